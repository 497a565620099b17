//! How many requests there may be at once.

use crate::harness::gateway::Setup;
use crate::harness::http::Reply;
use crate::harness::message::{asking, streaming};
use crate::harness::{Gateway, Provider, eventually};

/// Room for two, over two workers.
fn setup(provider: &Provider) -> Setup {
    Gateway::setup(&provider.url()).in_section("server", "max_inflight = 2")
}

fn assert_full(reply: &Reply) {
    let message = reply.assert_error(529, "overloaded_error", true);
    assert!(message.contains("too many requests"), "{message}");
    assert_eq!(reply.header("retry-after"), Some("1"));
}

#[test]
fn beyond_the_bound_clients_are_told_to_come_again() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    let whole = gateway.send(&asking("Hi"));
    let whole_exchange = provider.accept();
    let stream = gateway.send(&streaming("Hi"));
    let mut stream_exchange = provider.accept();
    stream_exchange.begin();
    stream_exchange.text("Hello");
    let (_, mut events) = stream.events();
    events.until("content_block_delta");

    for path in ["/v1/messages", "/v1/messages/count_tokens"] {
        assert_full(&gateway.request("POST", path).json(&asking("Hi")).ask());
        // Before anything of the body is read, and after the key has been looked at.
        assert_full(&gateway.request("POST", path).header("content-length", "1000").raw_body("{").ask());
        gateway.bare("POST", path).json(&asking("Hi")).ask().assert_error(401, "authentication_error", false);
    }
    assert!(provider.is_idle());
    for path in ["/", "/healthz", "/readyz", "/v1/models", "/v1/models/claude-test"] {
        assert_eq!(gateway.request("GET", path).ask().status, 200, "{path}");
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_rejected_requests_total{reason=\"rate_limit\"}"), 4.0);
    assert_eq!(metrics.sum("model_requests_total") + metrics.sum("model_errors_total"), 0.0);

    // A place that becomes free is taken again: after a whole answer, and after the end of a stream.
    whole_exchange.say("well");
    assert_eq!(whole.reply().said(), "well");
    let call = gateway.send(&asking("Hi"));
    let exchange = provider.accept();
    assert_full(&gateway.send(&asking("Hi")).reply());
    stream_exchange.finish();
    events.rest().assert_whole();
    assert_eq!(count(&gateway), 200);
    exchange.say("well");
    assert_eq!(call.reply().said(), "well");
}

fn count(gateway: &Gateway) -> u16 {
    gateway.request("POST", "/v1/messages/count_tokens").json(&asking("Hi")).ask().status
}

/// However a request ends, its place is free again.
#[test]
fn no_place_is_lost() {
    let provider = Provider::start();
    let gateway = setup(&provider).in_section("server", "client_body_timeout = \"100ms\"").start();
    for _ in 0..3 {
        let late = gateway.request("POST", "/v1/messages").header("content-length", "1000");
        late.raw_body("{").ask().assert_error(408, "invalid_request_error", true);
        gateway.request("POST", "/v1/messages").body("{").ask().assert_error(400, "invalid_request_error", false);
        let call = gateway.send(&streaming("Hi"));
        provider.accept().fail(500, "no");
        call.reply().assert_error_of("scripted", 502, "api_error", true);
        let call = gateway.send(&streaming("Hi"));
        let mut exchange = provider.accept();
        exchange.begin();
        exchange.text("Hello");
        exchange.cut();
        assert_eq!(call.events().1.rest().events.last().unwrap().name, "error");

        let whole = gateway.send(&asking("Hi"));
        let whole_exchange = provider.accept();
        whole.hang_up();
        whole_exchange.wait_until_closed();
        let stream = gateway.send(&streaming("Hi"));
        let mut stream_exchange = provider.accept();
        stream_exchange.begin();
        stream_exchange.text("Hello");
        let (_, mut events) = stream.events();
        events.until("content_block_delta");
        events.hang_up();
        stream_exchange.wait_until_closed();
    }
    gateway.metrics_when("the end of all that was hung up", |metrics| {
        metrics.value("gateway_cancelled_requests_total{model=\"claude-test\"}") == 6.0
    });
    // Both places are there.
    let (first, second) = (gateway.send(&asking("Hi")), gateway.send(&asking("Hi")));
    for exchange in [provider.accept(), provider.accept()] {
        exchange.say("well");
    }
    assert_eq!((first.reply().status, second.reply().status), (200, 200));
}

/// What counts is the end of the answer, not of the work for it.
#[test]
fn an_answer_that_its_client_has_not_taken_keeps_its_place() {
    let provider = Provider::start();
    let gateway = Gateway::setup(&provider.url()).in_section("server", "max_inflight = 1").start();
    let call = gateway.send(&asking("Hi"));
    provider.accept().say(&"x".repeat(16 << 20));
    gateway.metrics_when("the end of the work", |metrics| metrics.sum("model_requests_total") == 1.0);
    assert_full(&gateway.send(&asking("Hi")).reply());
    assert_eq!(call.reply().status, 200);
    eventually("a free place", || (count(&gateway) == 200).then_some(()));
}
