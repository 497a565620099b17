//! Clients that hang up: the call to the provider, which costs money, ends at once.

use std::time::Duration;

use crate::harness::gateway::Setup;
use crate::harness::message::{MODEL, asking, streaming};
use crate::harness::{Gateway, Provider};

/// A tenth of this is usual; a busy machine is given the rest.
const PROMPTLY: Duration = Duration::from_secs(1);

/// Two routes, so that a retry would have somewhere to go.
fn setup(first: &Provider, second: &Provider) -> Setup {
    Setup::default().provider("first", &first.url()).provider("second", &second.url()).model(
        MODEL,
        &["first", "second"],
        "upstream",
    )
}

/// Fails unless the one request was counted as cancelled, and nobody was asked again. Gives the tokens counted.
fn assert_cancelled(gateway: &Gateway, providers: [&Provider; 2]) -> f64 {
    let metrics = gateway.metrics_when("the end of the request", |metrics| {
        metrics.value("gateway_cancelled_requests_total{model=\"claude-test\"}") == 1.0
    });
    let of_model = |name: &str| metrics.value(&format!("{name}{{model=\"{MODEL}\"}}"));
    assert_eq!(of_model("model_requests_total"), 1.0);
    assert_eq!(of_model("model_errors_total"), 0.0);
    assert_eq!(of_model("model_latency_ms_count"), 0.0);
    assert_eq!(of_model("gateway_inflight_requests"), 0.0);
    assert_eq!(metrics.value("gateway_provider_requests_total{outcome=\"cancelled\",provider=\"first\"}"), 1.0);
    assert_eq!(metrics.sum("gateway_provider_requests_total"), 1.0);
    assert_eq!(metrics.sum("gateway_provider_inflight"), 0.0);
    assert_eq!(metrics.sum("gateway_fallbacks_total"), 0.0);
    assert!(providers.iter().all(|provider| provider.is_idle()), "nobody is asked again (T71)");
    of_model("model_tokens_used_total")
}

/// T70, T71
#[test]
fn hanging_up_before_the_head_closes_the_providers_connection() {
    for body in [asking("Hi"), streaming("Hi")] {
        let (first, second) = (Provider::start(), Provider::start());
        let gateway = setup(&first, &second).start();
        let call = gateway.send(&body);
        let exchange = first.accept();
        call.hang_up();
        assert!(exchange.wait_until_closed() < PROMPTLY);
        assert_cancelled(&gateway, [&first, &second]);
    }
}

/// T70, T71
#[test]
fn hanging_up_between_head_and_first_token_closes_the_providers_connection() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = setup(&first, &second).start();
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = first.accept();
    exchange.begin();
    exchange.chunk(": OPENROUTER PROCESSING\n\n");
    call.hang_up();
    assert!(exchange.wait_until_closed() < PROMPTLY);
    assert_cancelled(&gateway, [&first, &second]);
}

/// T70, T71
#[test]
fn hanging_up_in_the_silence_after_the_commit_closes_the_providers_connection() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = setup(&first, &second).in_section("stream", "commit_after = \"20ms\"").start();
    let call = gateway.send(&streaming("Hi"));
    let exchange = first.accept();
    let (_, mut events) = call.events();
    events.until("message_start");
    events.hang_up();
    assert!(exchange.wait_until_closed() < PROMPTLY);
    assert_cancelled(&gateway, [&first, &second]);
}

/// T70, T71, T72
#[test]
fn hanging_up_after_content_closes_the_providers_connection_and_counts_the_tokens_so_far() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = setup(&first, &second).start();
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = first.accept();
    exchange.begin();
    exchange.text("Nine words of an answer that never ends, alas");
    let (_, mut events) = call.events();
    events.until("content_block_delta");
    events.hang_up();
    assert!(exchange.wait_until_closed() < PROMPTLY);
    let tokens = assert_cancelled(&gateway, [&first, &second]);
    assert!((10.0..30.0).contains(&tokens), "{tokens}");
    let metrics = gateway.metrics();
    assert!(metrics.value("gateway_tokens_total{kind=\"output\",model=\"claude-test\"}") >= 9.0);
    assert!(metrics.value("gateway_tokens_total{kind=\"input\",model=\"claude-test\"}") >= 1.0);
    assert_eq!(metrics.value("gateway_token_counts_total{source=\"estimated\"}"), 1.0);
}

#[test]
fn hanging_up_in_a_whole_answer_closes_the_providers_connection() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = setup(&first, &second).start();
    let call = gateway.send(&asking("Hi"));
    let mut exchange = first.accept();
    exchange.raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 600\r\n\r\n{\"id\":");
    call.hang_up();
    assert!(exchange.wait_until_closed() < PROMPTLY);
    assert_cancelled(&gateway, [&first, &second]);
}

/// A client that does not read must not make the gateway hold all that the provider says.
#[test]
fn a_client_that_does_not_read_holds_the_provider_back() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = setup(&first, &second).start();
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = first.accept();
    exchange.begin();
    let sent = exchange.text_until_held_back(&"x".repeat(16 * 1024), 64 << 20);
    assert!(sent < 64 << 20, "all of it was taken in");
    call.hang_up();
    assert!(exchange.wait_until_closed() < PROMPTLY);
    assert_cancelled(&gateway, [&first, &second]);
}

#[test]
fn a_client_that_goes_in_the_middle_of_its_request_leaves_nothing_behind() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let request = gateway.request("POST", "/v1/messages").header("content-type", "application/json");
    request.header("content-length", "1000").raw_body("{\"model\": ").send().hang_up();
    let call = gateway.send(&asking("Hi"));
    provider.accept().say("Hi");
    assert_eq!(call.reply().status, 200);
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("model_requests_total{model=\"claude-test\"}"), 1.0);
    assert_eq!(metrics.value("gateway_inflight_requests{model=\"claude-test\"}"), 0.0);
}
