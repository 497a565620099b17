//! A model with two routes: who answers when the first fails, and when nobody else may.

use serde_json::{Value, json};

use crate::harness::gateway::Setup;
use crate::harness::message::{MODEL, asking, both_ways, streaming, with};
use crate::harness::provider::{Exchange, closed_url};
use crate::harness::{Gateway, Provider};

fn setup(first: &str, second: &str) -> Setup {
    Setup::default().provider_with("first", first, "first_byte_timeout = \"300ms\"").provider("second", second).model(
        MODEL,
        &["first", "second"],
        "upstream",
    )
}

fn fallbacks(gateway: &Gateway) -> f64 {
    gateway.metrics().value("gateway_fallbacks_total{from=\"first\",to=\"second\"}")
}

/// T73
#[test]
fn a_failure_before_content_goes_on_with_the_next_route() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = setup(&first.url(), &second.url()).start();
    let failures: [fn(Exchange); 8] = [
        |it| it.fail(500, "boom"),
        |it| it.fail(429, "slow down"),
        |it| it.fail(503, "down"),
        |it| it.fail(401, "wrong key"),
        |it| it.fail(404, "no such model"),
        |it| it.json(200, &json!({"error": {"message": "it broke", "code": 502}})),
        |it| it.answer(200, &[], "<html>"),
        Exchange::cut,
    ];
    for fail in failures {
        let call = gateway.send(&asking("Hi"));
        fail(first.accept());
        second.accept().say("from the second");
        let reply = call.reply();
        assert_eq!(reply.said(), "from the second");
        reply.head.assert_named("second");
    }
    for fail in failures {
        let call = gateway.send(&streaming("Hi"));
        fail(first.accept());
        let mut exchange = second.accept();
        exchange.begin();
        exchange.text("from the second");
        exchange.finish();
        let (head, events) = call.events();
        head.assert_named("second");
        let transcript = events.rest();
        transcript.assert_whole();
        assert_eq!(transcript.said(), "from the second");
    }
    assert_eq!(fallbacks(&gateway), 16.0);
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("model_requests_total{model=\"claude-test\"}"), 16.0);
    assert_eq!(metrics.sum("model_errors_total"), 0.0, "who was answered has seen no error");
}

#[test]
fn a_provider_that_is_away_or_too_slow_goes_on_with_the_next_route() {
    let (slow, second) = (Provider::start(), Provider::start());
    for first in [closed_url(), slow.url()] {
        let gateway = setup(&first, &second.url()).start();
        let call = gateway.send(&asking("Hi"));
        second.accept().say("from the second");
        assert_eq!(call.reply().said(), "from the second");
    }
}

/// T73, T16
#[test]
fn a_stream_that_fails_before_content_goes_on_with_one_message_start() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = setup(&first.url(), &second.url()).in_section("stream", "commit_after = \"20ms\"").start();
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = first.accept();
    exchange.begin();
    let (_, mut events) = call.events();
    assert_eq!(events.next().unwrap().name, "message_start");
    exchange.chunk("data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n");
    exchange.cut();
    let mut exchange = second.accept();
    exchange.begin();
    exchange.text("from the second");
    exchange.finish();
    let transcript = events.rest();
    assert_eq!(
        transcript.names(),
        ["content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"]
    );
    assert_eq!(fallbacks(&gateway), 1.0);
}

/// T16
#[test]
fn a_stream_that_fails_after_content_asks_nobody_else() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = setup(&first.url(), &second.url()).start();
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = first.accept();
    exchange.begin();
    exchange.text("from the first");
    exchange.cut();
    let transcript = call.events().1.rest();
    assert_eq!(transcript.said(), "from the first");
    assert_eq!(transcript.events.last().unwrap().name, "error");
    assert!(second.is_idle());
    assert_eq!(fallbacks(&gateway), 0.0);
}

#[test]
fn a_request_that_is_wrong_asks_nobody_else() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = setup(&first.url(), &second.url()).start();
    for body in both_ways("Hi") {
        let call = gateway.send(&body);
        first.accept().fail(400, "top_k must be even");
        call.reply().assert_error_of("first", 400, "invalid_request_error", false);
    }
    assert!(second.is_idle());
}

/// T74
#[test]
fn when_all_routes_fail_the_last_error_is_told_once() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = setup(&first.url(), &second.url()).start();
    for body in both_ways("Hi") {
        let call = gateway.send(&body);
        first.accept().fail(500, "boom");
        second.accept().answer(429, &[("retry-after", "9")], "{\"error\": {\"message\": \"slow down\"}}");
        let reply = call.reply();
        reply.assert_error_of("second", 429, "rate_limit_error", true);
        assert_eq!(reply.header("retry-after"), Some("9"));
    }
    assert!(first.is_idle() && second.is_idle());
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("model_errors_total{model=\"claude-test\"}"), 2.0);
    assert_eq!(metrics.value("gateway_errors_total{model=\"claude-test\",type=\"rate_limit_error\"}"), 2.0);
}

#[test]
fn a_route_without_its_key_is_passed_over() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = setup(&first.url(), &second.url()).without_environment("FIRST_KEY").start();
    let call = gateway.send(&asking("Hi"));
    second.accept().say("from the second");
    call.reply().head.assert_named("second");
    assert!(first.is_idle());
    assert_eq!(fallbacks(&gateway), 0.0);
}

/// What one provider cannot take is left out for it alone.
#[test]
fn each_route_gets_the_request_in_its_own_dialect() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = Setup::default()
        .provider_with("first", &first.url(), "dialect = \"openai\"")
        .provider("second", &second.url())
        .model(MODEL, &["first", "second"], "upstream")
        .start();
    let call = gateway.send(&with(asking("Hi"), "top_k", json!(5)));
    let exchange = first.accept();
    assert_eq!((&exchange.body["top_k"], &exchange.body["max_completion_tokens"]), (&Value::Null, &json!(100)));
    exchange.fail(500, "boom");
    let exchange = second.accept();
    assert_eq!((&exchange.body["top_k"], &exchange.body["max_tokens"]), (&json!(5), &json!(100)));
    exchange.say("Hi");
    assert_eq!(call.reply().header("x-gatewayz-dropped"), None);
}

/// What one dialect cannot take, the next may.
#[test]
fn a_route_that_cannot_take_the_request_is_passed_over() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = Setup::default()
        .provider("first", &first.url())
        .provider_with("second", &second.url(), "dialect = \"openrouter\"")
        .model(MODEL, &["first", "second"], "upstream")
        .start();
    let source = json!({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"});
    let content = json!([{"type": "document", "source": source}, {"type": "text", "text": "What is it?"}]);
    let call = gateway.send(&with(asking("Hi"), "messages", json!([{"role": "user", "content": content}])));
    second.accept().say("A paper");
    let reply = call.reply();
    assert_eq!(reply.said(), "A paper");
    reply.head.assert_named("second");
    assert!(first.is_idle());
    assert_eq!(gateway.metrics().sum("gateway_rejected_requests_total"), 0.0);
}
