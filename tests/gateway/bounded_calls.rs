//! A provider that sells so many calls at once: never more, a queue before it, and a clear word to who has no place.

use std::time::Duration;

use crate::harness::gateway::Setup;
use crate::harness::message::{MODEL, UPSTREAM, asking, both_ways, streaming};
use crate::harness::provider::Exchange;
use crate::harness::{Gateway, Provider, eventually};

fn bounded(provider: &Provider, lines: &str) -> Setup {
    Setup::default().provider_with("scripted", &provider.url(), lines).model(MODEL, &["scripted"], UPSTREAM)
}

/// Streams that have been accepted by the provider and have content.
fn open_stream(gateway: &Gateway, provider: &Provider) -> (crate::harness::sse::Events, Exchange) {
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.text("so far");
    let (_, mut events) = call.events();
    events.until("content_block_delta");
    (events, exchange)
}

fn inflight(gateway: &Gateway) -> f64 {
    gateway.metrics().value("gateway_inflight_requests{model=\"claude-test\"}")
}

/// The worker threads are two: the bound is one for both.
#[test]
fn never_more_calls_than_the_bound_and_the_queue_is_served_in_order() {
    let provider = Provider::start();
    let gateway = bounded(&provider, "max_concurrent = 2").start();
    let mut open = vec![open_stream(&gateway, &provider), open_stream(&gateway, &provider)];
    let mut waiting = Vec::new();
    for at in 0..6 {
        waiting.push(gateway.send(&asking(&format!("number {at}"))));
        eventually("the request waits", || (inflight(&gateway) == f64::from(at) + 3.0).then_some(()));
    }
    assert!(provider.is_idle());
    assert_eq!(gateway.metrics().sum("gateway_provider_inflight"), 2.0);
    let (events, exchange) = open.remove(0);
    exchange.finish();
    events.rest();
    for (at, call) in waiting.into_iter().enumerate() {
        let exchange = provider.accept();
        assert_eq!(exchange.body["messages"][0]["content"], format!("number {at}"));
        assert!(provider.is_idle());
        exchange.say("your turn");
        assert_eq!(call.reply().said(), "your turn");
    }
    let waits = gateway.metrics().value("gateway_provider_queue_wait_seconds_count{provider=\"scripted\"}");
    assert_eq!(waits, 8.0);
}

#[test]
fn who_finds_the_queue_full_is_told_at_once_when_to_come_back() {
    let provider = Provider::start();
    let gateway = bounded(&provider, "max_concurrent = 1\nmax_queue = 1\nqueue_timeout = \"30s\"").start();
    let (events, exchange) = open_stream(&gateway, &provider);
    let waiting = gateway.send(&asking("second"));
    eventually("the request waits", || (inflight(&gateway) == 2.0).then_some(()));
    for body in both_ways("third") {
        let reply = gateway.send(&body).reply();
        reply.assert_error_of("scripted", 529, "overloaded_error", true);
        assert_eq!(reply.header("retry-after"), Some("30"));
    }
    exchange.finish();
    events.rest();
    provider.accept().say("second");
    assert_eq!(waiting.reply().said(), "second");
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_errors_total{model=\"claude-test\",type=\"overloaded_error\"}"), 2.0);
    assert_eq!(metrics.sum("gateway_provider_requests_total"), 2.0, "who had no place was no call");
}

#[test]
fn who_waits_too_long_is_told_so() {
    let provider = Provider::start();
    let gateway = bounded(&provider, "max_concurrent = 1\nqueue_timeout = \"50ms\"").start();
    let (_events, _exchange) = open_stream(&gateway, &provider);
    for body in both_ways("second") {
        let reply = gateway.send(&body).reply();
        reply.assert_error_of("scripted", 529, "overloaded_error", true);
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
}

#[test]
fn a_full_queue_goes_on_with_the_next_route() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = Setup::default()
        .provider_with("first", &first.url(), "max_concurrent = 1\nmax_queue = 0")
        .provider("second", &second.url())
        .model(MODEL, &["first", "second"], UPSTREAM)
        .start();
    let (_events, _exchange) = open_stream(&gateway, &first);
    for body in both_ways("Hi") {
        let call = gateway.send(&body);
        second.accept().say("here is room");
        let reply = call.reply();
        assert!(reply.text().contains("here is room"));
        reply.head.assert_named("second");
    }
}

/// Places come back whatever becomes of a call, and of who waits for one.
#[test]
fn who_goes_leaves_its_place_to_the_next() {
    let provider = Provider::start();
    let gateway = bounded(&provider, "max_concurrent = 1\nmax_queue = 1").start();
    for round in 0..5 {
        let (events, exchange) = open_stream(&gateway, &provider);
        let gone = gateway.send(&asking("who hangs up in the queue"));
        eventually("the request waits", || (inflight(&gateway) == 2.0).then_some(()));
        gone.hang_up();
        eventually("it is gone", || (inflight(&gateway) == 1.0).then_some(()));
        let waiting = gateway.send(&asking("who waits"));
        eventually("the next waits", || (inflight(&gateway) == 2.0).then_some(()));
        match round % 3 {
            0 => events.hang_up(),
            1 => exchange.cut(),
            _ => exchange.finish(),
        }
        let exchange = provider.accept();
        assert_eq!(exchange.body["messages"][0]["content"], "who waits");
        exchange.say("well");
        assert_eq!(waiting.reply().said(), "well");
        eventually("nobody is left", || (inflight(&gateway) == 0.0).then_some(()));
    }
    assert!(provider.is_idle());
}

/// T69
#[test]
fn a_stream_hears_pings_while_it_waits_for_its_turn() {
    let provider = Provider::start();
    let gateway = bounded(&provider, "max_concurrent = 1")
        .in_section("stream", "commit_after = \"30ms\"\nping_interval = \"30ms\"")
        .start();
    let (events, exchange) = open_stream(&gateway, &provider);
    let (_, mut waiting) = gateway.send(&streaming("second")).events();
    for name in ["message_start", "ping", "ping"] {
        assert_eq!(waiting.next().unwrap().name, name);
    }
    exchange.finish();
    events.rest();
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.text("at last");
    exchange.finish();
    assert_eq!(waiting.rest().said(), "at last");
}

/// Time in our queue is not the provider's.
#[test]
fn who_waited_long_is_still_given_the_providers_time() {
    let provider = Provider::start();
    let lines = "max_concurrent = 1\ntotal_timeout = \"400ms\"\nbreaker = { min_requests = 2 }";
    let gateway = bounded(&provider, lines).start();
    let calls: Vec<_> = (0..4).map(|_| gateway.send(&asking("Hi"))).collect();
    for _ in 0..4 {
        let exchange = provider.accept();
        std::thread::sleep(Duration::from_millis(250));
        exchange.say("slowly");
    }
    for call in calls {
        assert_eq!(call.reply().said(), "slowly");
    }
    assert_eq!(gateway.metrics().sum("gateway_circuit_state"), 0.0);
}

/// What is left of an answer must not keep the next request out.
#[test]
fn an_answer_that_does_not_end_keeps_no_place() {
    let provider = Provider::start();
    let gateway = bounded(&provider, "max_concurrent = 1\nmax_queue = 0").retrying("base_delay = \"1ms\"").start();
    let call = gateway.send(&streaming("one"));
    let mut exchange = provider.accept();
    exchange.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    exchange.text("one");
    exchange.chunk("data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n");
    assert_eq!(call.events().1.rest().said(), "one");
    let call = gateway.send(&asking("two"));
    let mut failing = provider.accept();
    failing.raw(format!("HTTP/1.1 503 Down\r\ncontent-length: 1000000\r\n\r\n{}", "x".repeat(70_000)));
    provider.accept().say("two");
    assert_eq!(call.reply().said(), "two");
}

#[test]
fn a_failure_of_a_bounded_provider_is_told_as_any_other() {
    let provider = Provider::start();
    let gateway = bounded(&provider, "max_concurrent = 2").start();
    for (status, kind, told) in [
        (429, "rate_limit_error", 429),
        (503, "overloaded_error", 529),
        (402, "api_error", 502),
        (500, "api_error", 502),
    ] {
        for body in both_ways("Hi") {
            let call = gateway.send(&body);
            provider.accept().fail(status, "no");
            call.reply().assert_error_of("scripted", told, kind, status != 402);
            let call = gateway.send(&body);
            provider.accept().raw(format!("HTTP/1.1 {status} Cut\r\ncontent-length: 1000\r\n\r\n{{"));
            call.reply().assert_error_of("scripted", told, kind, status != 402);
        }
    }
    assert_eq!(gateway.metrics().sum("gateway_provider_inflight"), 0.0);
}
