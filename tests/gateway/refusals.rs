//! Requests that are wrong, and what their senders are told.

use serde_json::{Value, json};

use crate::harness::message::{MODEL, asking, both_ways, streaming, with};
use crate::harness::{Gateway, Provider};

#[test]
fn a_body_that_is_no_json_is_refused() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for body in ["", "{", "not json", "{\"model\": \"x\",}", "[1, 2", "\u{0}"] {
        let request = gateway.request("POST", "/v1/messages").header("content-type", "application/json");
        let message = request.body(body).ask().assert_error(400, "invalid_request_error", false);
        assert!(message.starts_with("body: the request body is not valid JSON"), "{body:?}: {message}");
    }
    let request = gateway.request("POST", "/v1/messages").header("content-type", "application/json");
    let reply = request.body(b"{\"model\": \"\xff\xfe\"}".to_vec()).ask();
    assert!(reply.assert_error(400, "invalid_request_error", false).contains("UTF-8"));
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_rejected_requests_total{reason=\"validation\"}"), 7.0);
    assert_eq!(metrics.sum("model_requests_total"), 0.0);
}

#[test]
fn a_wrong_field_is_named_by_its_path() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    let messages = |value: Value| with(asking("Hi"), "messages", value);
    let user = |content: Value| messages(json!([{"role": "user", "content": content}]));
    let mut without_max_tokens = asking("Hi");
    without_max_tokens.as_object_mut().unwrap().remove("max_tokens");
    let cases = [
        (without_max_tokens, "max_tokens: Field required"),
        (with(asking("Hi"), "max_tokens", json!(0)), "max_tokens: "),
        (with(asking("Hi"), "max_tokens", json!("many")), "max_tokens: Input should be a valid"),
        (with(asking("Hi"), "stream", json!("yes")), "stream: Input should be a valid boolean"),
        (messages(json!([{"role": "robot", "content": "x"}])), "messages.0.role: "),
        (user(json!([{"type": "text", "text": 5}])), "messages.0.content.0.text.text: "),
        (with(asking("Hi"), "temperature", json!(1.5)), "temperature: "),
        (with(asking("Hi"), "top_p", json!(-0.1)), "top_p: "),
        (
            with(asking("Hi"), "thinking", json!({"type": "enabled", "budget_tokens": 10})),
            "thinking.enabled.budget_tokens: ",
        ),
        (messages(json!([])), "messages: at least one message is required"),
        (messages(json!([{"role": "user", "content": ""}])), "messages.0: "),
        (user(json!([{"type": "video"}])), "messages.0.content.0: "),
        (
            user(json!([{"type": "tool_result", "tool_use_id": "toolu_lost", "content": "x"}])),
            "messages.0.content.0.tool_result: unexpected `tool_use_id` found in `tool_result` blocks: toolu_lost",
        ),
        (
            user(json!([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "%%%"}}])),
            "messages.0.content.0.image.source.base64.data: invalid base64 data",
        ),
        (with(asking("Hi"), "tools", json!([{"name": "t"}])), "tools.0.custom.input_schema: Field required"),
        (json!([]), "body: Input should be a valid dictionary"),
        (json!({"messages": []}), "model: Field required"),
    ];
    for (body, start) in cases {
        let message = gateway.send(&body).reply().assert_error(400, "invalid_request_error", false);
        assert!(message.starts_with(start), "{message} does not start with {start}");
    }
}

#[test]
fn a_wrong_request_for_a_stream_is_refused_with_a_status() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    let body = with(streaming("Hi"), "messages", json!([]));
    gateway.send(&body).reply().assert_error(400, "invalid_request_error", false);
    let body = with(streaming("Hi"), "model", json!("no-such-model"));
    gateway.send(&body).reply().assert_error(404, "not_found_error", false);
}

#[test]
fn a_mistake_in_a_request_for_a_known_model_counts_as_a_request_and_not_as_an_error() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    let body = with(asking("Hi"), "messages", json!([]));
    gateway.send(&body).reply().assert_error(400, "invalid_request_error", false);
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_rejected_requests_total{reason=\"validation\"}"), 1.0);
    assert_eq!(metrics.value("model_requests_total{model=\"claude-test\"}"), 1.0);
    assert_eq!(metrics.sum("model_errors_total"), 0.0);
    assert_eq!(metrics.sum("gateway_errors_total"), 0.0);
    assert_eq!(metrics.value("model_latency_ms_count{model=\"claude-test\"}"), 0.0);
    assert_eq!(metrics.value("gateway_inflight_requests{model=\"claude-test\"}"), 0.0);
}

/// T79: the SDKs then send the whole conversation.
#[test]
fn a_thread_is_refused_in_the_way_that_makes_clients_send_everything() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for thread in [json!({"type": "create"}), json!({"type": "continue", "id": "thread_1"})] {
        for body in both_ways("Hi") {
            let reply = gateway.send(&with(body, "thread", thread.clone())).reply();
            assert_eq!((reply.status, reply.header("x-should-retry")), (400, Some("false")));
            let body = reply.json();
            assert_eq!(body["error"]["type"], "invalid_request_error");
            assert_eq!(
                body["error"]["details"],
                json!({"error_code": "thread_unsupported_request", "unsupported": []})
            );
            assert_eq!(body["request_id"], reply.header("request-id").unwrap());
        }
    }
}

#[test]
fn other_media_types_are_refused() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for (kind, path) in [
        ("text/plain", "/v1/messages"),
        ("application/x-www-form-urlencoded", "/v1/messages"),
        ("multipart/form-data; boundary=x", "/v1/messages"),
        ("application/jsonp", "/v1/messages/count_tokens"),
        ("application/json\u{e9}", "/v1/messages"),
        ("", "/v1/messages"),
    ] {
        let request = gateway.request("POST", path).header("content-type", kind);
        request.body(asking("Hi").to_string()).ask().assert_error(415, "invalid_request_error", false);
    }
}

#[test]
fn compressed_bodies_are_refused() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for encoding in ["gzip", "deflate", "br", "zstd", "gzip\u{e9}"] {
        let request = gateway.request("POST", "/v1/messages").header("content-encoding", encoding);
        request.json(&asking("Hi")).ask().assert_error(415, "invalid_request_error", false);
        let twice = gateway.request("POST", "/v1/messages").header("content-encoding", "identity");
        twice.header("content-encoding", encoding).json(&asking("Hi")).ask().assert_error(
            415,
            "invalid_request_error",
            false,
        );
    }
}

#[test]
fn wrong_methods_are_refused() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for (method, path, allowed) in [
        ("GET", "/v1/messages", "POST"),
        ("PUT", "/v1/messages", "POST"),
        ("DELETE", "/v1/messages", "POST"),
        ("GET", "/v1/messages/count_tokens", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/models/claude-test", "GET"),
        ("POST", "/", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("PUT", "/readyz", "GET, HEAD"),
        ("POST", "/metrics", "GET"),
        ("BREW", "/metrics", "GET, HEAD, POST"),
    ] {
        let reply = gateway.request(method, path).ask();
        reply.assert_error(405, "invalid_request_error", false);
        assert_eq!(reply.header("allow"), Some(allowed), "{method} {path}");
    }
}

#[test]
fn unknown_paths_are_not_found() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for path in [
        "/v2/messages",
        "/v1",
        "/v1/",
        "/v1/messages/",
        "/v1/message",
        "/v1/complete",
        "/.env",
        "/v1/messages/batches",
        "/%ff",
        "/v1//messages",
    ] {
        for method in ["GET", "POST"] {
            gateway.request(method, path).ask().assert_error(404, "not_found_error", false);
        }
    }
}

#[test]
fn unknown_models_are_not_found() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    let long = "x".repeat(10_000);
    for model in ["no-such-model", "claude-tes", "claude-test ", "Claude-Test", "\u{1f600}\n\"quoted\"", &long] {
        for path in ["/v1/messages", "/v1/messages/count_tokens"] {
            let body = with(asking("Hi"), "model", json!(model));
            let message = gateway.request("POST", path).json(&body).ask().assert_error(404, "not_found_error", false);
            assert!(message.starts_with("model: "), "{message}");
            assert!(message.len() < 1000, "{message}");
        }
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_rejected_requests_total{reason=\"unknown_model\"}"), 12.0);
    assert_eq!(metrics.sum("model_requests_total"), 0.0);
    assert_eq!(metrics.label_values("model"), [MODEL]);
}

#[test]
fn a_wrong_request_is_told_so_before_its_model_is_looked_for() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    let no_name = with(asking("Hi"), "model", json!(""));
    let no_turns = with(with(asking("Hi"), "model", json!("no-such-model")), "messages", json!([]));
    for path in ["/v1/messages", "/v1/messages/count_tokens"] {
        for (body, said) in [(&no_name, "model: "), (&no_turns, "messages: ")] {
            let message =
                gateway.request("POST", path).json(body).ask().assert_error(400, "invalid_request_error", false);
            assert!(message.starts_with(said), "{message}");
        }
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_rejected_requests_total{reason=\"validation\"}"), 4.0);
    assert_eq!(metrics.value("gateway_rejected_requests_total{reason=\"unknown_model\"}"), 0.0);
    assert_eq!(metrics.sum("model_requests_total"), 0.0);
}

#[test]
fn a_body_over_the_bound_is_too_large() {
    let provider = Provider::start();
    let gateway = Gateway::setup(&provider.url()).in_section("server", "max_body = \"10KB\"").start();
    let over = asking(&"x".repeat(10_000));
    gateway.send(&over).reply().assert_error(413, "request_too_large", false);
    gateway.send(&asking(&"x".repeat(200_000))).reply().assert_error(413, "request_too_large", false);
    gateway.request("POST", "/v1/messages/count_tokens").json(&over).ask().assert_error(
        413,
        "request_too_large",
        false,
    );

    let framed = format!("{:x}\r\n{over}\r\n0\r\n\r\n", over.to_string().len());
    let reply = gateway.request("POST", "/v1/messages").header("transfer-encoding", "chunked").raw_body(framed).ask();
    reply.assert_error(413, "request_too_large", false);
    assert!(provider.is_idle());

    let within = asking(&"x".repeat(9_000));
    let call = gateway.send(&within);
    provider.accept().say("Hi");
    assert_eq!(call.reply().status, 200);
    assert_eq!(gateway.metrics().value("gateway_rejected_requests_total{reason=\"too_large\"}"), 4.0);
}
