//! Token counts, for where no provider counts for us: a cheap estimate ([`estimate_request`]) and a count by a
//! real encoding ([`count_request`]).

mod exact;
mod media;
mod sample;
mod text;
mod walk;

pub use self::exact::count_request;
pub use self::sample::estimate_request;
pub use self::text::{Estimator, estimate};

#[cfg(test)]
mod tests {
    use super::walk::PER_MESSAGE;
    use super::*;

    fn tokens(body: &str) -> u64 {
        estimate_request(&serde_json::from_str(body).unwrap())
    }

    #[test]
    fn t44_system_tools_and_every_block_count() {
        let bare = tokens(r#"{"model":"m","messages":[{"role":"user","content":"Hello"}]}"#);
        let with = |fields: &str| {
            tokens(&format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hello"}}],{fields}}}"#))
        };
        assert!(with(r#""system":"You are a helpful assistant.""#) >= bare + 5);
        let tool = r#""tools":[{"name":"get_weather","description":"Weather of a city","input_schema":{"type":"object","properties":{"city":{"type":"string"}}}}]"#;
        assert!(with(tool) >= bare + 20);
        let block = |block: &str| {
            tokens(&format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{block}]}}]}}"#)) - PER_MESSAGE
        };
        assert_eq!(block(r#"{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}"#), 1500);
        for with_words in [
            r#"{"type":"text","text":"one two three four five"}"#,
            r#"{"type":"tool_result","tool_use_id":"x","content":"one two three four five"}"#,
            r#"{"type":"tool_result","tool_use_id":"x","content":[{"type":"text","text":"one two three four five"}]}"#,
            r#"{"type":"tool_use","id":"x","name":"y","input":{"a":"one two three four five"}}"#,
            r#"{"type":"thinking","thinking":"one two three four five","signature":"s"}"#,
            r#"{"type":"document","source":{"type":"text","data":"one two three four five"}}"#,
            r#"{"type":"search_result","title":"one two","source":"three","content":[{"type":"text","text":"four five"}]}"#,
        ] {
            assert!(block(with_words) >= 5, "{with_words}");
        }
    }
}
