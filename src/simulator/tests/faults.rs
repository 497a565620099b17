//! The moods, streamed and not.

use super::*;

/// What came within the test's patience, and whether the connection was closed by then.
async fn within_patience(running: &Running, body: Value) -> (String, bool) {
    let mut socket = running.send("POST", "/v1/chat/completions", &body.to_string()).await;
    let mut raw = Vec::new();
    let closed = timeout(PATIENCE, socket.read_to_end(&mut raw)).await.is_ok();
    (String::from_utf8(raw).unwrap(), closed)
}

#[actix_web::test]
async fn failures_have_their_status_streamed_or_not() {
    let running = Running::new();
    for (mood, status, part) in [
        ("rate-limit", 429, "temporarily rate-limited"),
        ("error", 500, "server_error"),
        ("bad-gateway", 502, "<html>"),
        ("unavailable", 503, "temporarily"),
        ("overloaded", 529, "overloaded"),
        ("timeout", 408, "timed out"),
        ("unauthorised", 401, "invalid_api_key"),
        ("forbidden", 403, "no access"),
        ("no-credit", 402, "credits"),
        ("not-found", 404, "does not exist"),
        ("invalid", 400, "Invalid request"),
        ("moderated", 403, r#""reasons":["violence"]"#),
        ("context", 400, "maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens."),
        ("cold", 400, "cold"),
        ("flaky-100", 503, "temporarily"),
    ] {
        let model = format!("vendor/simulate-{mood}");
        for body in [asking(&model, "hi"), streaming(&model, "hi")] {
            let reply = running.chat(body).await;
            assert_eq!(reply.status, status, "{mood}");
            assert!(reply.body.contains(part), "{mood}: {}", reply.body);
        }
    }
}

#[actix_web::test]
async fn a_cut_answer_breaks_off() {
    let running = Running::new();
    for body in [asking("simulate-cut", "count to 9"), streaming("simulate-cut", "count to 9")] {
        let reply = running.chat(body).await;
        assert_eq!((reply.status, reply.complete), (200, false));
        assert!(!reply.body.is_empty() && !reply.body.contains("[DONE]"));
    }
    assert_eq!(running.chat(streaming("simulate-cut-2", "count to 9")).await.text(), "1 2");
    assert_eq!(running.stats().await["abandoned_streams"], 0);
}

#[actix_web::test]
async fn a_hanging_answer_stays_open() {
    let running = Running::new();
    for body in [asking("simulate-hang", "hi"), streaming("simulate-hang", "hi")] {
        assert_eq!(within_patience(&running, body).await, (String::new(), false));
    }
    let (raw, closed) = within_patience(&running, streaming("simulate-hang-after-2", "count to 9")).await;
    assert!(!closed && raw.contains(r#""content":" 2""#) && !raw.contains(r#""content":" 3""#));
    let (raw, closed) = within_patience(&running, asking("simulate-hang-after", "count to 9")).await;
    assert!(!closed && raw.contains("200 OK") && !raw.contains("usage\":{"));
}

#[actix_web::test]
async fn errors_hide_behind_a_200() {
    let running = Running::new();
    let whole = running.chat(asking("simulate-error-in-200", "hi")).await;
    assert_eq!((whole.status, &whole.json()["error"]["code"]), (200, &json!(502)));
    let stream = running.chat(streaming("simulate-error-in-200", "hi")).await;
    assert_eq!(stream.chunks()[0]["error"]["code"], 502);

    let whole = running.json(asking("simulate-error-in-stream-2", "count to 9")).await;
    let choice = &whole["choices"][0];
    assert_eq!((&choice["message"]["content"], &choice["finish_reason"]), (&json!("1 2"), &json!("error")));
    let stream = running.chat(streaming("simulate-error-in-stream-2", "count to 9")).await;
    assert_eq!(stream.text(), "1 2");
    let error = stream.chunks().pop().unwrap();
    assert_eq!((&error["error"]["code"], &error["choices"][0]["finish_reason"]), (&json!(502), &json!("error")));

    let whole = running.chat(asking("simulate-malformed", "hi")).await;
    assert!(whole.complete && serde_json::from_str::<Value>(&whole.body).is_err());
    let stream = running.chat(streaming("simulate-malformed-1", "count to 3")).await;
    let bad = |line: &str| serde_json::from_str::<Value>(line).is_err();
    let lines: Vec<&str> = stream.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(lines.iter().position(|line| bad(line)), Some(2));
}

#[actix_web::test]
async fn parts_are_left_out() {
    let running = Running::new();
    let whole = async |mood: &str| running.json(asking(&format!("simulate-{mood}"), "hi")).await;
    let stream = async |mood: &str| running.chat(streaming(&format!("simulate-{mood}"), "hi")).await;
    assert!(whole("no-usage").await.get("usage").is_none());
    assert!(!stream("no-usage").await.body.contains("total_tokens"));
    assert!(!stream("no-done").await.body.contains("[DONE]"));
    assert_eq!(whole("no-finish").await["choices"][0]["finish_reason"], Value::Null);
    let unfinished = stream("no-finish").await;
    assert!(unfinished.body.contains("[DONE]") && !unfinished.body.contains("\"stop\""));
    assert_eq!(whole("empty").await["choices"][0]["message"]["content"], "");
    let empty = stream("empty").await;
    assert_eq!((empty.text().as_str(), empty.chunks().len()), ("", 3));
}

#[actix_web::test]
async fn answers_are_bent() {
    let running = Running::new();
    let refused = running.json(asking("simulate-refuse", "hi")).await;
    assert_eq!(refused["choices"][0]["finish_reason"], "content_filter");
    assert!(refused["choices"][0]["message"]["refusal"].is_string());
    assert!(running.chat(streaming("simulate-refuse", "hi")).await.body.contains(r#""refusal":"#));

    let cached = running.json(asking("simulate-cached", "some words to keep in a cache")).await;
    let usage = &cached["usage"];
    assert_eq!(
        usage["prompt_tokens_details"]["cached_tokens"].as_u64(),
        usage["prompt_tokens"].as_u64().map(|all| all / 2)
    );
    let json = running.chat(streaming("simulate-json-for-stream", "hi")).await;
    assert_eq!(json.json()["object"], "chat.completion");

    let turns = with_tools(streaming("simulate-interleaved", "hi"), &["f", "g"]);
    let chunks = running.chat(turns).await.chunks();
    let indices: Vec<i64> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["index"].as_i64())
        .take(4)
        .collect();
    assert_eq!(indices, [0, 1, 0, 1]);
    let called = running.json(with_tools(asking("simulate-tools", "hi"), &["f"])).await;
    assert_eq!(called["choices"][0]["finish_reason"], "tool_calls");
}

#[actix_web::test]
async fn an_emoji_comes_in_two_halves() {
    let running = Running::new();
    let stream = running.chat(streaming("simulate-surrogates", "hi")).await;
    assert!(stream.body.contains(r#""content":"\ud83d""#) && stream.body.contains(r#""content":"\ude00""#));
    let whole = running.json(asking("simulate-surrogates", "hi")).await;
    assert!(whole["choices"][0]["message"]["content"].as_str().unwrap().contains('😀'));
}

#[actix_web::test]
async fn a_slow_stream_says_that_it_is_alive() {
    let running = Running::new();
    let reply = running.chat(streaming("simulate-slow-1200", "hello")).await;
    assert!(reply.body.starts_with(": OPENROUTER PROCESSING\n\n"));
    assert!(reply.text().starts_with("Hello!"));
}
