//! The same provider asked again: when that is safe or cheap, and when it is not.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::gateway::Setup;
use crate::harness::message::{MODEL, UPSTREAM, asking, both_ways, streaming};
use crate::harness::provider::{Exchange, closed_url};
use crate::harness::{Gateway, Provider};

/// What a provider does with a request.
type Failure = fn(Exchange);

fn retrying(provider: &Provider) -> Setup {
    Gateway::setup(&provider.url()).retrying("base_delay = \"20ms\"")
}

fn retries(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metrics().value(&format!("gateway_retries_total{{provider=\"scripted\",reason=\"{reason}\"}}"))
}

fn rate_limited(exchange: Exchange, seconds: &str) {
    exchange.answer(429, &[("retry-after", seconds)], "{\"error\": {\"message\": \"slow down\"}}");
}

fn answer_well(exchange: Exchange, text: &str) {
    // A completion is an answer to a stream too (T5).
    exchange.say(text);
}

#[test]
fn a_failure_that_may_pass_is_tried_again_with_the_same_provider() {
    let failures: [(&str, Failure); 6] = [
        ("server_error", |it| it.fail(500, "boom")),
        ("server_error", |it| it.fail(503, "down")),
        ("server_error", |it| it.answer(502, &[("content-type", "text/html")], "<html>Bad Gateway</html>")),
        ("server_error", |it| it.json(200, &json!({"error": {"message": "overloaded", "code": 503}}))),
        ("disconnected", Exchange::cut),
        ("rate_limited", |it| rate_limited(it, "0")),
    ];
    for (reason, fail) in failures {
        let provider = Provider::start();
        let gateway = retrying(&provider).start();
        for body in both_ways("Hi") {
            let call = gateway.send(&body);
            fail(provider.accept());
            answer_well(provider.accept(), "at the second try");
            let reply = call.reply();
            assert_eq!(reply.status, 200, "{reason}: {}", reply.text());
            assert!(reply.text().contains("at the second try"));
        }
        assert_eq!(retries(&gateway, reason), 2.0);
        let metrics = gateway.metrics();
        assert_eq!(metrics.sum("gateway_retries_total"), 2.0);
        assert_eq!(metrics.sum("gateway_provider_requests_total"), 4.0);
        assert_eq!(metrics.sum("model_errors_total"), 0.0, "who was answered has seen no error");
        assert_eq!(metrics.value("model_requests_total{model=\"claude-test\"}"), 2.0);
    }
}

#[test]
fn the_attempts_of_a_route_are_bounded() {
    let provider = Provider::start();
    let gateway = retrying(&provider).start();
    for body in both_ways("Hi") {
        let call = gateway.send(&body);
        for _ in 0..3 {
            provider.accept().fail(500, "boom");
        }
        call.reply().assert_error_of("scripted", 502, "api_error", true);
    }
    assert!(provider.is_idle());
    assert_eq!(retries(&gateway, "server_error"), 4.0);
    assert_eq!(gateway.metrics().value("model_errors_total{model=\"claude-test\"}"), 2.0);
}

#[test]
fn what_is_slow_or_billed_or_bound_to_fail_again_is_not_asked_twice() {
    let failures: [(u16, Failure); 9] = [
        (400, |it| it.fail(400, "wrong")),
        (502, |it| it.fail(401, "key")),
        (502, |it| it.fail(402, "credit")),
        (404, |it| it.fail(404, "no such model")),
        (504, |it| it.fail(408, "slow")),
        (504, |it| it.fail(504, "slow")),
        (429, |it| it.fail(429, "slow down, for as long as you like")),
        (429, |it| rate_limited(it, "6")),
        (502, |it| it.answer(200, &[("content-type", "application/json")], "{\"choices\": []}")),
    ];
    let provider = Provider::start();
    let gateway = retrying(&provider).start();
    for (status, fail) in failures {
        for body in both_ways("Hi") {
            let call = gateway.send(&body);
            fail(provider.accept());
            assert_eq!(call.reply().status, status);
            assert!(provider.is_idle());
        }
    }
    assert_eq!(gateway.metrics().sum("gateway_retries_total"), 0.0);
}

/// T16, T73
#[test]
fn nothing_is_tried_again_after_content() {
    let provider = Provider::start();
    let gateway = retrying(&provider).start();
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.text("half an ans");
    exchange.chunk("data: {\"error\":{\"code\":503,\"message\":\"down\"}}\n\n");
    exchange.end();
    let transcript = call.events().1.rest();
    assert_eq!(transcript.events.last().unwrap().name, "error");
    assert!(provider.is_idle());
    assert_eq!(gateway.metrics().sum("gateway_retries_total"), 0.0);
}

#[test]
fn a_connection_that_closes_without_an_answer_is_tried_again_once() {
    let provider = Provider::start();
    let gateway = retrying(&provider).start();
    for body in both_ways("Hi") {
        let call = gateway.send(&body);
        provider.accept().cut();
        provider.accept().cut();
        call.reply().assert_error_of("scripted", 529, "overloaded_error", true);
    }
    assert!(provider.is_idle());
    assert_eq!(retries(&gateway, "disconnected"), 2.0);
}

/// The provider closes each connection of the pool at the moment of its next use.
#[test]
fn a_stale_connection_of_the_pool_costs_no_request() {
    let provider = Provider::start();
    let gateway = retrying(&provider).with_environment(&[("GATEWAYZ__SERVER__WORKERS", "1")]).start();
    for _ in 0..10 {
        let call = gateway.send(&asking("one"));
        let mut exchange = provider.accept();
        exchange.say_and_keep("one");
        assert_eq!(call.reply().said(), "one");
        let call = gateway.send(&asking("two"));
        exchange.next().expect("the same connection again").cut();
        provider.accept().say("two");
        assert_eq!(call.reply().said(), "two");
    }
    assert_eq!(retries(&gateway, "disconnected"), 10.0);
}

/// A load balancer that has lost its state closes all of them at once.
#[test]
fn a_pool_that_has_gone_stale_costs_no_request_and_opens_no_circuit() {
    let provider = Provider::start();
    let breaker = "breaker = { min_requests = 2, open_for = \"1h\" }";
    let gateway = Setup::default()
        .provider_with("scripted", &provider.url(), breaker)
        .model(MODEL, &["scripted"], UPSTREAM)
        .retrying("")
        .with_environment(&[("GATEWAYZ__SERVER__WORKERS", "1")])
        .start();
    let calls: Vec<_> = (0..5).map(|_| gateway.send(&asking("one"))).collect();
    let mut pool: Vec<Exchange> = calls.iter().map(|_| provider.accept()).collect();
    pool.iter_mut().for_each(|exchange| exchange.say_and_keep("one"));
    calls.into_iter().for_each(|call| assert_eq!(call.reply().said(), "one"));
    // Whichever of them is used next is closed at that moment.
    for exchange in pool {
        std::thread::spawn(move || exchange.next().map(Exchange::cut));
    }
    for body in both_ways("two") {
        let call = gateway.send(&body);
        answer_well(provider.accept(), "two");
        let reply = call.reply();
        assert!(reply.text().contains("two"), "{}", reply.text());
    }
    assert_eq!(retries(&gateway, "disconnected"), 1.0, "the others of the pool were not tried");
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("gateway_circuit_state"), 0.0);
    assert_eq!(metrics.sum("model_errors_total"), 0.0);
}

#[test]
fn a_stale_connection_after_another_failure_is_tried_again_too() {
    let provider = Provider::start();
    let gateway = retrying(&provider).start();
    for body in both_ways("Hi") {
        let call = gateway.send(&body);
        provider.accept().fail(503, "down");
        provider.accept().cut();
        answer_well(provider.accept(), "at the third try");
        assert!(call.reply().text().contains("at the third try"));
    }
}

/// Bytes that are always there already must not keep a timer from being heard.
#[test]
fn the_total_time_holds_though_the_provider_never_stops() {
    let provider = Provider::start();
    let setup = Setup::default()
        .provider_with("scripted", &provider.url(), "total_timeout = \"300ms\"")
        .model(MODEL, &["scripted"], UPSTREAM)
        .in_section("stream", "commit_after = \"10ms\"\nping_interval = \"20ms\"");
    let gateway = setup.start();
    for piece in
        [": OPENROUTER PROCESSING\n\n", "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n"]
    {
        let begun = Instant::now();
        let call = gateway.send(&streaming("Hi"));
        let mut exchange = provider.accept();
        exchange.begin();
        let flood = std::thread::spawn(move || exchange.chunk_until_closed(&piece.repeat(100)));
        let (_, events) = call.events();
        let transcript = events.rest();
        let last = transcript.events.last().unwrap();
        assert_eq!((last.name.as_str(), &last.data["error"]["type"]), ("error", &json!("timeout_error")));
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        if piece.starts_with(':') {
            assert!(transcript.count("ping") > 3, "pings are heard too");
        }
        flood.join().unwrap();
    }
}

#[test]
fn a_failure_whose_body_stalls_is_told_by_its_status() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let begun = Instant::now();
    let call = gateway.send(&asking("Hi"));
    let mut exchange = provider.accept();
    exchange.raw("HTTP/1.1 503 Down\r\ncontent-length: 100\r\n\r\n{\"error\":");
    call.reply().assert_error_of("scripted", 529, "overloaded_error", true);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

/// The trouble of one provider must not say that coming again is no use, when another was only busy.
#[test]
fn of_two_failures_the_one_that_may_pass_is_told() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = Setup::default()
        .provider("first", &first.url())
        .provider("second", &second.url())
        .model(MODEL, &["first", "second"], UPSTREAM)
        .start();
    for body in both_ways("Hi") {
        let call = gateway.send(&body);
        rate_limited(first.accept(), "30");
        second.accept().fail(401, "key");
        let reply = call.reply();
        reply.assert_error_of("second", 429, "rate_limit_error", true);
        assert_eq!(reply.header("retry-after"), Some("30"));
    }
}

#[test]
fn a_provider_that_asks_for_a_moment_gets_it() {
    let provider = Provider::start();
    let gateway = retrying(&provider).start();
    let call = gateway.send(&asking("Hi"));
    let begun = Instant::now();
    rate_limited(provider.accept(), "1");
    provider.accept().say("well");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(call.reply().said(), "well");
}

/// T69: nobody waits in silence, whatever for.
#[test]
fn a_stream_hears_pings_while_its_next_attempt_waits() {
    let provider = Provider::start();
    let gateway = retrying(&provider).in_section("stream", "commit_after = \"30ms\"\nping_interval = \"30ms\"").start();
    let call = gateway.send(&streaming("Hi"));
    rate_limited(provider.accept(), "1");
    let (_, mut events) = call.events();
    for name in ["message_start", "ping", "ping", "ping"] {
        assert_eq!(events.next().unwrap().name, name);
    }
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.text("well");
    exchange.finish();
    let transcript = events.rest();
    assert_eq!(transcript.said(), "well");
}

#[test]
fn no_pause_outlasts_the_time_that_is_left() {
    let provider = Provider::start();
    let setup = Setup::default()
        .provider_with("scripted", &provider.url(), "total_timeout = \"900ms\"")
        .model(MODEL, &["scripted"], UPSTREAM)
        .retrying("");
    let gateway = setup.start();
    for body in both_ways("Hi") {
        let call = gateway.send(&body);
        rate_limited(provider.accept(), "1");
        let reply = call.reply();
        reply.assert_error_of("scripted", 429, "rate_limit_error", true);
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    assert!(provider.is_idle());
}

/// All attempts share the time of one.
#[test]
fn attempts_share_the_total_time() {
    let provider = Provider::start();
    let setup = Setup::default()
        .provider_with("scripted", &provider.url(), "total_timeout = \"500ms\"")
        .model(MODEL, &["scripted"], UPSTREAM)
        .retrying("max_attempts = 1000\nbase_delay = \"1ms\"\nmax_delay = \"1ms\"")
        .in_section("stream", "commit_after = \"10s\"");
    let gateway = setup.start();
    for body in both_ways("Hi") {
        let begun = Instant::now();
        let call = gateway.send(&body);
        provider.accept().fail(500, "boom");
        let silent = provider.accept();
        call.reply().assert_error_of("scripted", 504, "timeout_error", true);
        assert!(begun.elapsed() < Duration::from_secs(5));
        silent.wait_until_closed();
    }
}

#[test]
fn a_refused_connection_is_tried_again_and_then_told() {
    let gateway = Gateway::setup(&closed_url()).retrying("base_delay = \"1ms\"").start();
    for body in both_ways("Hi") {
        gateway.send(&body).reply().assert_error_of("scripted", 529, "overloaded_error", true);
    }
    assert_eq!(retries(&gateway, "connect"), 4.0);
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_provider_requests_total{outcome=\"connect\",provider=\"scripted\"}"), 6.0);
}

/// T71
#[test]
fn a_client_that_goes_in_the_pause_is_not_worked_for() {
    let provider = Provider::start();
    let gateway = retrying(&provider).start();
    for body in both_ways("Hi") {
        let call = gateway.send(&body);
        rate_limited(provider.accept(), "1");
        gateway.metrics_when("the pause", |metrics| metrics.sum("gateway_provider_inflight") == 0.0);
        call.hang_up();
    }
    gateway.metrics_when("the end of both", |metrics| {
        metrics.value("gateway_cancelled_requests_total{model=\"claude-test\"}") == 2.0
    });
    assert!(provider.is_idle());
    assert_eq!(gateway.metrics().sum("gateway_provider_requests_total"), 2.0);
}

/// Each route has its own attempts, and the last error is told.
#[test]
fn a_route_is_given_up_before_the_next_is_tried() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = Setup::default()
        .provider("first", &first.url())
        .provider("second", &second.url())
        .model(MODEL, &["first", "second"], UPSTREAM)
        .retrying("base_delay = \"1ms\"\nmax_attempts = 2")
        .start();
    for body in both_ways("Hi") {
        let call = gateway.send(&body);
        first.accept().fail(500, "boom");
        first.accept().fail(500, "boom");
        second.accept().fail(503, "down");
        answer_well(second.accept(), "at last");
        let reply = call.reply();
        assert!(reply.text().contains("at last"), "{}", reply.text());
        reply.head.assert_named("second");
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_fallbacks_total{from=\"first\",to=\"second\"}"), 2.0);
    assert_eq!(metrics.sum("gateway_retries_total"), 4.0);
    assert_eq!(metrics.value("gateway_translation_dropped_total{field=\"other\"}"), 0.0);
}
