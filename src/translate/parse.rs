//! Reading a request body, and saying where a mistake is as Anthropic does.
//!
//! The good case is read once, without looking for paths; only a body that fails is read again to find the
//! place.

use serde_json::Value;
use serde_path_to_error::Segment;

use super::invalid::Invalid;
use crate::wire::anthropic::request::MessagesRequest;

/// Reads the body of a Messages request.
pub fn request(body: &[u8]) -> Result<MessagesRequest<'_>, Invalid> {
    if std::str::from_utf8(body).is_err() {
        return Err(Invalid::new("body", "the request body is not valid UTF-8"));
    }
    serde_json::from_slice(body).map_err(|_| mistake(body))
}

fn mistake(body: &[u8]) -> Invalid {
    let whole: Value = match serde_json::from_slice(body) {
        Ok(whole) => whole,
        Err(error) => return Invalid::new("body", format!("the request body is not valid JSON: {error}")),
    };
    let mut reader = serde_json::Deserializer::from_slice(body);
    match serde_path_to_error::deserialize::<_, MessagesRequest<'_>>(&mut reader) {
        Ok(_) => Invalid::new("body", "the request body is not valid JSON: trailing characters"),
        Err(error) => {
            let mut path = dotted(error.path(), &whole);
            let problem = error.inner().to_string();
            if let Some(field) = missing_field(&problem) {
                path = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
            }
            let path = if path.is_empty() { "body".to_owned() } else { path };
            Invalid::new(path, worded(&problem))
        }
    }
}

/// `messages.0.content.1.text.text`: indices as fields, and a block's type after its index.
fn dotted(path: &serde_path_to_error::Path, whole: &Value) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut at = Some(whole);
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => {
                names.push(index.to_string());
                at = at.and_then(|value| value.get(index));
                // A tool without a type is a custom one, and its path says nothing of it.
                names.extend(at.and_then(|value| value.get("type")).and_then(Value::as_str).map(str::to_owned));
            }
            Segment::Map { key } | Segment::Enum { variant: key } => {
                at = at.and_then(|value| value.get(key));
                names.push(key.clone());
            }
            Segment::Unknown => {}
        }
    }
    names.join(".")
}

fn missing_field(problem: &str) -> Option<&str> {
    problem.strip_prefix("missing field `")?.split('`').next()
}

/// serde's words in Anthropic's.
fn worded(problem: &str) -> String {
    if problem.starts_with("missing field") {
        return "Field required".to_owned();
    }
    let expected = problem.split_once("expected ").map_or("", |(_, expected)| expected);
    let expected = expected.split(" at line ").next().unwrap_or_default();
    match expected {
        "a string" => "Input should be a valid string".to_owned(),
        "a boolean" => "Input should be a valid boolean".to_owned(),
        "u64" | "u32" => "Input should be a valid non-negative integer".to_owned(),
        "f64" => "Input should be a valid number".to_owned(),
        "a sequence" => "Input should be a valid list".to_owned(),
        "a string or a list of content blocks" => "Input should be a valid string or list".to_owned(),
        _ if expected.starts_with("struct ") || expected == "an object" => {
            "Input should be a valid dictionary".to_owned()
        }
        _ if problem.starts_with("unknown variant") => {
            format!("Input should be {}", expected.replace('`', "'").replace("one of ", ""))
        }
        _ => problem.split(" at line ").next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> String {
        let invalid = request(body.as_bytes()).unwrap_err();
        format!("{}: {}", invalid.path, invalid.problem)
    }

    #[test]
    fn mistakes_are_named_by_path_and_in_anthropics_words() {
        assert_eq!(said(r#"{"messages":[]}"#), "model: Field required");
        assert_eq!(said(r#"{"model":"m"}"#), "messages: Field required");
        assert_eq!(said(r#"{"model":5,"messages":[]}"#), "model: Input should be a valid string");
        assert_eq!(said(r#"{"model":"m","messages":{}}"#), "messages: Input should be a valid list");
        assert_eq!(
            said(r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":5}]}]}"#),
            "messages.0.content.0.text.text: Input should be a valid string"
        );
        assert_eq!(said(r#"{"model":"m","messages":[{"role":"user"}]}"#), "messages.0.content: Field required");
        assert_eq!(
            said(r#"{"model":"m","messages":[{"role":"robot","content":"x"}]}"#),
            "messages.0.role: Input should be 'user', 'assistant', 'system'"
        );
        assert_eq!(
            said(r#"{"model":"m","messages":[],"max_tokens":-1}"#),
            "max_tokens: Input should be a valid non-negative integer"
        );
        assert_eq!(said(r#"{"model":"m","messages":[],"stream":"yes"}"#), "stream: Input should be a valid boolean");
        assert!(said("{").starts_with("body: the request body is not valid JSON"));
        assert!(said("[]").starts_with("body: Input should be a valid dictionary"));
        assert!(
            said(&format!("{}{}", "[".repeat(5000), "]".repeat(5000)))
                .starts_with("body: the request body is not valid JSON")
        );
    }
}
