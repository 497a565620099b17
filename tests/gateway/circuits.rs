//! A model of a provider that keeps failing: it is left alone, and tried again by one request at a time.

use serde_json::json;

use crate::harness::gateway::Setup;
use crate::harness::message::{MODEL, UPSTREAM, asking, both_ways, streaming, with};
use crate::harness::{Gateway, Provider, eventually};

/// Opens after three failures, for so long.
fn setup(provider: &Provider, open_for: &str) -> Setup {
    let breaker = format!("breaker = {{ min_requests = 3, open_for = \"{open_for}\" }}");
    Setup::default()
        .provider_with("scripted", &provider.url(), &breaker)
        .model(MODEL, &["scripted"], UPSTREAM)
        .model("claude-other", &["scripted"], "vendor/other")
        .model("claude-alias", &["scripted"], UPSTREAM)
}

fn fail_three_times(gateway: &Gateway, provider: &Provider) {
    for _ in 0..3 {
        let call = gateway.send(&asking("Hi"));
        provider.accept().fail(500, "boom");
        call.reply().assert_error_of("scripted", 502, "api_error", true);
    }
}

fn state(gateway: &Gateway, model: &str) -> f64 {
    let series = format!("gateway_circuit_state{{model=\"{model}\",provider=\"scripted\"}}");
    gateway.metrics().get(&series).expect("a series from the start")
}

#[test]
fn a_model_that_keeps_failing_is_left_alone_and_nothing_else_is() {
    let provider = Provider::start();
    let gateway = setup(&provider, "1h").start();
    assert_eq!([MODEL, "claude-other", "claude-alias"].map(|model| state(&gateway, model)), [0.0; 3]);
    fail_three_times(&gateway, &provider);
    for body in both_ways("Hi") {
        let reply = gateway.send(&body).reply();
        reply.assert_error_of("scripted", 529, "overloaded_error", true);
        let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((3590..=3600).contains(&seconds), "{seconds}");
    }
    let alias = gateway.send(&with(asking("Hi"), "model", json!("claude-alias"))).reply();
    assert_eq!(alias.status, 529, "the same model of the provider by another name");
    assert!(provider.is_idle());
    let call = gateway.send(&with(asking("Hi"), "model", json!("claude-other")));
    provider.accept().say("I am well");
    assert_eq!(call.reply().said(), "I am well");
    assert_eq!([MODEL, "claude-other", "claude-alias"].map(|model| state(&gateway, model)), [2.0, 0.0, 2.0]);
    let ready = gateway.bare("GET", "/readyz").ask();
    assert_eq!(ready.status, 200, "a new process would not cure it");
    let open = |model: &str| json!({"provider": "scripted", "model": model, "state": "open"});
    assert_eq!(ready.json()["circuits"], json!([open(MODEL), open("claude-alias")]));
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("model_errors_total{model=\"claude-test\"}"), 5.0);
    assert_eq!(metrics.value("gateway_provider_requests_total{outcome=\"server_error\",provider=\"scripted\"}"), 3.0);
}

#[test]
fn one_probe_at_a_time_closes_it_again() {
    let provider = Provider::start();
    let gateway = setup(&provider, "50ms").start();
    fail_three_times(&gateway, &provider);
    // The first one that is let through; those before are told to come back.
    let (probe, exchange) = eventually("a probe", || {
        let call = gateway.send(&streaming("probe"));
        eventually("a probe or a refusal", || match provider.try_accept() {
            Some(exchange) => Some(Some(exchange)),
            None if !call.is_waiting() => Some(None),
            None => None,
        })
        .map(|exchange| (call, exchange))
    });
    assert_eq!(state(&gateway, MODEL), 1.0);
    let refused = gateway.send(&asking("Hi")).reply();
    refused.assert_error_of("scripted", 529, "overloaded_error", true);
    assert_eq!(refused.header("retry-after"), Some("1"));
    let mut exchange = exchange;
    exchange.begin();
    exchange.text("I am back");
    let (_, mut events) = probe.events();
    events.until("content_block_delta");
    assert_eq!(state(&gateway, MODEL), 0.0, "the end of the stream need not be waited for");
    let call = gateway.send(&asking("Hi"));
    provider.accept().say("well");
    assert_eq!(call.reply().said(), "well");
    exchange.finish();
}

#[test]
fn an_open_circuit_goes_on_with_the_next_route() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = Setup::default()
        .provider_with("first", &first.url(), "breaker = { min_requests = 1, open_for = \"1h\" }")
        .provider("second", &second.url())
        .model(MODEL, &["first", "second"], UPSTREAM)
        .start();
    let call = gateway.send(&asking("Hi"));
    first.accept().fail(500, "boom");
    second.accept().say("one");
    assert_eq!(call.reply().said(), "one");
    for body in both_ways("Hi") {
        let call = gateway.send(&body);
        second.accept().say("at once");
        let reply = call.reply();
        assert!(reply.text().contains("at once"));
        reply.head.assert_named("second");
    }
    assert!(first.is_idle());
    assert_eq!(gateway.metrics().value("gateway_fallbacks_total{from=\"first\",to=\"second\"}"), 3.0);
}

/// Neither is the provider's failure.
#[test]
fn wrong_requests_and_clients_that_hang_up_open_nothing() {
    let provider = Provider::start();
    let gateway = setup(&provider, "1h").start();
    for _ in 0..5 {
        let call = gateway.send(&asking("Hi"));
        provider.accept().fail(400, "wrong");
        assert_eq!(call.reply().status, 400);
        let call = gateway.send(&asking("Hi"));
        let exchange = provider.accept();
        call.hang_up();
        exchange.wait_until_closed();
        let call = gateway.send(&asking("Hi"));
        provider.accept().fail(429, "slow down");
        assert_eq!(call.reply().status, 429);
    }
    assert_eq!(state(&gateway, MODEL), 0.0);
}

/// The circuits of models that clients made up are as many as their labels.
#[test]
fn a_guessed_model_has_a_circuit_of_its_own() {
    let provider = Provider::start();
    let gateway = Setup::default()
        .provider_with("scripted", &provider.url(), "breaker = { min_requests = 1, open_for = \"1h\" }")
        .model("*", &["scripted"], "*")
        .in_section("metrics", "max_dynamic_models = 2")
        .start();
    let fails = |model: &str| {
        let call = gateway.send(&with(asking("Hi"), "model", json!(model)));
        provider.accept().fail(500, "boom");
        assert_eq!(call.reply().status, 502);
    };
    fails("vendor/one");
    fails("vendor/two");
    fails("vendor/three");
    let four = gateway.send(&with(asking("Hi"), "model", json!("vendor/four"))).reply();
    assert_eq!(four.status, 529, "it shares the circuit of all others");
    assert_eq!(["one", "two", "other"].map(|model| state(&gateway, model)), [2.0; 3]);
    assert_eq!(gateway.metrics().of("gateway_circuit_state").count(), 3);
}

/// A probe that is not streamed has said enough with its head.
#[test]
fn a_long_answer_to_a_probe_keeps_nobody_out() {
    let provider = Provider::start();
    let gateway = setup(&provider, "1ms").start();
    fail_three_times(&gateway, &provider);
    std::thread::sleep(std::time::Duration::from_millis(5));
    let probe = gateway.send(&asking("probe"));
    let mut exchange = provider.accept();
    exchange.raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 600\r\n\r\n{\"id\":");
    gateway.metrics_when("the end of the probe", |metrics| metrics.sum("gateway_circuit_state") == 0.0);
    let call = gateway.send(&asking("Hi"));
    provider.accept().say("well");
    assert_eq!(call.reply().said(), "well");
    probe.hang_up();
}
