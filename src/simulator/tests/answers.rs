//! Answers of a healthy provider.

use std::time::Instant;

use super::*;

#[actix_web::test]
async fn a_completion_has_all_that_a_provider_sends() {
    let running = Running::new();
    for path in ["/v1/chat/completions", "/chat/completions", "/api/v1/chat/completions"] {
        let answer = running.ask("POST", path, &asking("m", "count to 3").to_string()).await.json();
        assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
        assert_eq!((&answer["object"], &answer["model"]), (&json!("chat.completion"), &json!("m")));
        assert!(answer["created"].as_u64().unwrap() > 1_700_000_000);
        let choice = &answer["choices"][0];
        assert_eq!(choice["message"], json!({"role": "assistant", "content": "1 2 3"}));
        assert_eq!(choice["finish_reason"], "stop");
        assert_eq!(
            answer["usage"],
            json!({"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0}})
        );
    }
}

#[actix_web::test]
async fn a_stream_says_what_the_completion_says() {
    let running = Running::new();
    let prompt = "Why is the sky blue?";
    let whole = running.json(asking("m", prompt)).await;
    let stream = running.chat(streaming("m", prompt)).await;
    assert!(stream.complete && stream.head.contains("content-type: text/event-stream"));
    assert!(stream.body.ends_with("data: [DONE]\n\n"));
    assert_eq!(json!(stream.text()), whole["choices"][0]["message"]["content"]);
    let chunks = stream.chunks();
    let last = chunks.last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &whole["usage"]));
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "stop");

    let mut quiet = streaming("m", prompt);
    quiet["stream_options"] = Value::Null;
    assert!(!running.chat(quiet).await.body.contains("usage"));
}

#[actix_web::test]
async fn tools_are_called_in_fragments() {
    let running = Running::new();
    let body = with_tools(streaming("m", "Weather in Paris and Tokyo?"), &["get_weather"]);
    let chunks = running.chat(body).await.chunks();
    let parts: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0])
        .filter(|part| !part.is_null())
        .collect();
    assert_eq!(parts[0]["function"], json!({"name": "get_weather", "arguments": ""}));
    assert!(parts[0]["id"].as_str().unwrap().starts_with("call_") && parts.len() > 6);
    let arguments = |index: i64| -> String {
        let of = parts.iter().filter(|part| part["index"] == index);
        of.filter_map(|part| part["function"]["arguments"].as_str()).collect()
    };
    assert_eq!([arguments(0), arguments(1)], [r#"{"city":"Paris"}"#, r#"{"city":"Tokyo"}"#]);
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "tool_calls");

    let whole = running.json(with_tools(asking("m", "weather in Rome"), &["get_weather"])).await;
    let message = &whole["choices"][0]["message"];
    assert_eq!(message["content"], Value::Null);
    assert_eq!(message["tool_calls"][0]["function"]["arguments"], r#"{"city":"Rome"}"#);
}

#[actix_web::test]
async fn reasoning_comes_in_the_style_asked_for() {
    let running = Running::new();
    let mut body = asking("m", "hello");
    body["reasoning"] = json!({"effort": "high"});
    let answer = running.json(body).await;
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["reasoning_details"][0]["text"], message["reasoning"]);
    assert!(answer["usage"]["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap() > 5);
    let stream = running.chat(streaming("simulate-think", "hello")).await;
    assert!(stream.body.contains("reasoning_content") && !stream.body.contains("reasoning_details"));
}

#[actix_web::test]
async fn a_stop_sequence_and_a_limit_end_the_answer() {
    let running = Running::new();
    let mut body = asking("m", "count to 9");
    body["stop"] = json!([" 4"]);
    let choice = &running.json(body.clone()).await["choices"][0];
    assert_eq!((&choice["message"]["content"], &choice["stop_reason"]), (&json!("1 2 3"), &json!(" 4")));
    body["max_tokens"] = json!(2);
    let answer = running.json(body).await;
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["usage"]["completion_tokens"], 2);
}

#[actix_web::test]
async fn the_pace_is_kept() {
    let running = Running::with(Pace { first_token: Duration::from_millis(100), tokens_per_second: 100.0 });
    for body in [asking("m", "count to 20"), streaming("m", "count to 20")] {
        let start = Instant::now();
        running.chat(body).await;
        let taken = start.elapsed();
        assert!(taken >= Duration::from_millis(290) && taken < Duration::from_secs(2), "{taken:?}");
    }
}
