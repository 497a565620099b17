//! Control, counts, and what is refused.

use super::*;

const STREAM: &str = "/v1/chat/completions";

#[actix_web::test]
async fn a_mood_is_set_wears_off_and_is_cleared() {
    let running = Running::new();
    let put = r#"{"mood":"rate-limit","argument":9,"times":1}"#;
    for path in ["/simulator/moods/vendor/m", "/simulator/moods/vendor%2Fm"] {
        assert_eq!(running.ask("PUT", path, put).await.status, 200);
        let listed = running.ask("GET", "/simulator/moods", "").await.json();
        assert_eq!(listed["set"]["vendor/m"], json!({"mood": "rate-limit", "argument": 9, "times": 1}));
        let reply = running.chat(asking("vendor/m", "hi")).await;
        assert_eq!(reply.status, 429);
        assert!(reply.head.contains("retry-after: 9"));
        assert_eq!(running.chat(asking("vendor/m", "hi")).await.status, 200);
    }
    assert_eq!(running.ask("PUT", "/simulator/moods/*", r#"{"mood":"error"}"#).await.status, 200);
    assert_eq!(running.chat(asking("any", "hi")).await.status, 500);
    assert_eq!(running.ask("DELETE", "/simulator/moods/*", "").await.status, 200);
    assert_eq!(running.ask("DELETE", "/simulator/moods/*", "").await.status, 404);
    assert_eq!(running.chat(asking("any", "hi")).await.status, 200);
}

#[actix_web::test]
async fn wrong_input_gets_an_error_that_says_what() {
    let running = Running::new();
    for (method, path, body, status, part) in [
        ("PUT", "/simulator/moods/m", "{}", 400, "missing field `mood`"),
        ("PUT", "/simulator/moods/m", r#"{"mood":"sad"}"#, 400, "no mood 'sad'"),
        ("PUT", "/simulator/moods/m", r#"{"mood":"hang","argument":1}"#, 400, "no argument"),
        ("PUT", "/simulator/moods/m", r#"{"mood":"cut","argument":-1}"#, 400, "u32"),
        ("PUT", "/simulator/moods/m", r#"{"mood":"cut","times":0}"#, 400, "times"),
        ("PUT", "/simulator/moods/", r#"{"mood":"cut"}"#, 400, "Name a model"),
        ("GET", "/v1/chat/completions", "", 404, "GET /v1/chat/completions"),
        ("POST", "/v1/messages", "{}", 404, "/v1/messages"),
        ("POST", STREAM, "{", 400, "parse"),
        ("POST", STREAM, r#"{"model":"m","messages":[]}"#, 400, "messages"),
        ("POST", STREAM, &asking("simulate-sadness", "hi").to_string(), 404, "sadness"),
    ] {
        let reply = running.ask(method, path, body).await;
        let error = &reply.json()["error"];
        assert_eq!(reply.status, status, "{error}");
        assert!(error["message"].as_str().unwrap().contains(part), "{error}");
        assert!(error["type"].is_string() && error.get("param").is_some() && error.get("code").is_some());
    }
    assert_eq!(running.stats().await["refused"], 2);
}

#[actix_web::test]
async fn models_are_listed() {
    let running = Running::new();
    let list = running.ask("GET", "/api/v1/models", "").await.json();
    assert_eq!((&list["object"], &list["data"][0]["id"]), (&json!("list"), &json!("simulate-well")));
}

#[actix_web::test]
async fn a_client_that_hangs_up_is_counted() {
    let running = Running::new();
    let mut hanging = Vec::new();
    for (model, stream) in [("simulate-hang-after", true), ("simulate-hang", true), ("simulate-hang", false)] {
        let body = if stream { streaming(model, "hi") } else { asking(model, "hi") };
        hanging.push(running.send("POST", STREAM, &body.to_string()).await);
    }
    running.chat(streaming("m", "hi")).await;
    rt::time::sleep(PATIENCE).await;
    let stats = running.stats().await;
    assert_eq!((&stats["open_streams"], &stats["abandoned_streams"]), (&json!(2), &json!(0)));
    drop(hanging);
    rt::time::sleep(PATIENCE).await;
    let stats = running.stats().await;
    assert_eq!((&stats["open_streams"], &stats["abandoned_streams"]), (&json!(0), &json!(2)));
    assert_eq!((&stats["abandoned_requests"], &stats["total"]), (&json!(1), &json!(4)));
    assert_eq!(stats["models"], json!({"m": 1, "simulate-hang": 2, "simulate-hang-after": 1}));
}
