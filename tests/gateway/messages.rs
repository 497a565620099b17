//! A message that is answered whole.

use serde_json::json;

use crate::harness::message::{MODEL, UPSTREAM, asking, with};
use crate::harness::{Gateway, PROVIDER_KEY, Provider};

#[test]
fn a_message_has_the_shape_of_the_messages_api() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let call = gateway.send(&asking("Hello, Claude!"));
    provider.accept().say("Hello, you!");
    let reply = call.reply();
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    reply.head.assert_named("scripted");
    let mut message = reply.json();
    let id = message["id"].take();
    assert!(id.as_str().is_some_and(|id| id.starts_with("msg_") && id.len() == 28), "{id}");
    let usage = message["usage"].take();
    assert_eq!(usage["input_tokens"], 10);
    assert_eq!(usage["output_tokens"], 3);
    assert_eq!(usage["cache_read_input_tokens"], 0);
    assert_eq!(usage["cache_creation_input_tokens"], 0);
    assert_eq!(
        message,
        json!({
            "id": null, "type": "message", "role": "assistant", "model": MODEL,
            "content": [{"type": "text", "text": "Hello, you!"}],
            "stop_reason": "end_turn", "stop_sequence": null, "usage": null,
        })
    );
}

#[test]
fn the_provider_gets_its_key_and_its_own_name_of_the_model_and_nothing_of_the_client() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let call = gateway
        .request("POST", "/v1/messages")
        .header("anthropic-version", "2023-06-01")
        .header("cookie", "session=1")
        .header("x-forwarded-for", "10.0.0.1")
        .json(&with(asking("Hi"), "metadata", json!({"user_id": "somebody"})))
        .send();
    let exchange = provider.accept();
    assert!(exchange.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{}", exchange.head);
    assert_eq!(exchange.header("authorization"), Some(format!("Bearer {PROVIDER_KEY}").as_str()));
    assert_eq!(exchange.header("content-type"), Some("application/json"));
    assert_eq!(exchange.body["model"], UPSTREAM);
    for name in ["x-api-key", "cookie", "x-forwarded-for", "anthropic-version"] {
        assert_eq!(exchange.header(name), None, "{name}");
    }
    assert!(!exchange.body.to_string().contains("somebody"));
    exchange.say("Hi");
    assert_eq!(call.reply().said(), "Hi");
}

/// Texts of every length around those at which they are copied, and more of them than are written at once.
#[test]
fn long_texts_reach_the_provider_as_they_were() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let texts: Vec<String> = (0..100).map(|at| format!("{at} \"é\\ {}", "x".repeat(4050 + at))).collect();
    let turn = |(at, text): (usize, &String)| json!({"role": (["user", "assistant"][at % 2]), "content": text});
    let mut body = asking("");
    body["messages"] = texts.iter().chain([&texts[0]]).enumerate().map(turn).collect();
    let call = gateway.send(&body);
    let exchange = provider.accept();
    let sent = exchange.body["messages"].as_array().unwrap();
    assert_eq!(sent.len(), 101);
    for (message, text) in sent.iter().zip(&texts) {
        assert_eq!(message["content"], **text);
    }
    exchange.say("Hi");
    assert_eq!(call.reply().said(), "Hi");
}

#[test]
fn beta_queries_and_headers_are_accepted() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let call = gateway
        .request("POST", "/v1/messages?beta=true")
        .header("anthropic-beta", "interleaved-thinking-2025-05-14,something-new-2030-01-01")
        .header("anthropic-version", "2099-12-31")
        .header("anthropic-dangerous-direct-browser-access", "true")
        .json(&asking("Hi"))
        .send();
    provider.accept().say("Hi");
    assert_eq!(call.reply().status, 200);
}

#[test]
fn a_media_type_may_have_parameters_or_be_absent() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let request = gateway.request("POST", "/v1/messages").body(asking("Hi").to_string());
    for request in [
        request.clone(),
        request.clone().header("content-type", "application/json; charset=utf-8"),
        request.clone().header("content-type", "Application/JSON"),
        request.header("content-encoding", "identity"),
    ] {
        let call = request.send();
        provider.accept().say("Hi");
        assert_eq!(call.reply().status, 200);
    }
}

#[test]
fn fields_that_the_provider_cannot_take_are_left_out_and_named() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let body = with(asking("Hi"), "service_tier", json!("auto"));
    let body = with(body, "container", json!("c"));
    let call = gateway.send(&with(body, "never_heard_of", json!(1)));
    let exchange = provider.accept();
    for field in ["service_tier", "container", "never_heard_of"] {
        assert!(exchange.body.get(field).is_none(), "{field}");
    }
    exchange.say("Hi");
    let reply = call.reply();
    assert_eq!(reply.header("x-gatewayz-dropped"), Some("container,other,service_tier"));
    let metrics = gateway.metrics();
    for field in ["service_tier", "container", "other"] {
        assert_eq!(metrics.value(&format!("gateway_translation_dropped_total{{field=\"{field}\"}}")), 1.0, "{field}");
    }
    let call = gateway.send(&asking("Hi"));
    provider.accept().say("Hi");
    assert_eq!(call.reply().header("x-gatewayz-dropped"), None);
}

#[test]
fn fields_that_the_provider_cannot_take_are_refused_where_that_is_configured() {
    let provider = Provider::start();
    let gateway = Gateway::setup(&provider.url()).in_section("translation", "unsupported = \"reject\"").start();
    let reply = gateway.send(&with(asking("Hi"), "service_tier", json!("auto"))).reply();
    let message = reply.assert_error(400, "invalid_request_error", false);
    assert!(message.starts_with("service_tier: "), "{message}");
    assert!(provider.is_idle());
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_rejected_requests_total{reason=\"validation\"}"), 1.0);
    assert_eq!(metrics.value("model_requests_total{model=\"claude-test\"}"), 1.0);
    assert_eq!(metrics.sum("model_errors_total"), 0.0);
}
