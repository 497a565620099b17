//! What a client hears while the provider is silent, and until when a failure is a status.

use std::time::Duration;

use crate::harness::gateway::Setup;
use crate::harness::message::{MODEL, assert_envelope, streaming};
use crate::harness::{Gateway, Provider};

/// Commits after so many milliseconds, and pings as often.
fn speaking_after(provider: &Provider, commit_ms: u64, ping_ms: u64) -> Setup {
    let stream = format!("commit_after = \"{commit_ms}ms\"\nping_interval = \"{ping_ms}ms\"");
    Gateway::setup(&provider.url()).in_section("stream", &stream)
}

/// Longer than any test takes.
const NEVER_MS: u64 = 3_600_000;

/// T69
#[test]
fn pings_fill_the_silence_before_the_first_token_and_after_it() {
    let provider = Provider::start();
    let gateway = speaking_after(&provider, 50, 50).start();
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    let (head, mut events) = call.events();
    assert_eq!(head.status, 200);
    assert_eq!(events.next().unwrap().name, "message_start");
    for _ in 0..4 {
        assert_eq!(events.next().unwrap().name, "ping");
    }
    exchange.begin();
    for _ in 0..2 {
        assert_eq!(events.next().unwrap().name, "ping");
    }
    exchange.chunk(": OPENROUTER PROCESSING\n\n");
    exchange.text("Hello");
    assert_eq!(events.next_but_ping().unwrap().name, "content_block_start");
    assert_eq!(events.next_but_ping().unwrap().name, "content_block_delta");
    for _ in 0..3 {
        assert_eq!(events.next().unwrap().name, "ping");
    }
    exchange.finish();
    assert_eq!(events.rest().names(), ["content_block_stop", "message_delta", "message_stop"]);
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("model_requests_total{model=\"claude-test\"}"), 1.0);
    assert_eq!(metrics.sum("model_errors_total"), 0.0);
}

/// The comments of a provider are not for the client, and do not keep it from hearing pings.
#[test]
fn comments_of_the_provider_do_not_stop_the_pings() {
    let provider = Provider::start();
    let gateway = speaking_after(&provider, 20, 60).start();
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    let (_, mut events) = call.events();
    events.until("message_start");
    events.until("ping");
    for _ in 0..3 {
        exchange.chunk(": OPENROUTER PROCESSING\n\n");
        assert_eq!(events.next().unwrap().name, "ping");
    }
    exchange.text("Hello");
    exchange.finish();
    assert_eq!(events.rest().said(), "Hello");
}

#[test]
fn nothing_is_sent_before_content_or_the_time_to_commit() {
    let provider = Provider::start();
    let gateway = speaking_after(&provider, NEVER_MS, 20).start();
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.chunk(": OPENROUTER PROCESSING\n\n");
    // Five times the interval of the pings: none of them may come.
    std::thread::sleep(Duration::from_millis(100));
    assert!(call.is_waiting());
    exchange.text("Hello");
    let (_, mut events) = call.events();
    assert_eq!(events.next().unwrap().name, "message_start");
    exchange.finish();
    assert_eq!(events.rest().said(), "Hello");
}

/// T53
#[test]
fn a_failure_before_the_commit_is_a_status() {
    let provider = Provider::start();
    let gateway = speaking_after(&provider, NEVER_MS, 20).start();

    let call = gateway.send(&streaming("Hi"));
    provider.accept().fail(429, "slow down");
    call.reply().assert_error_of("scripted", 429, "rate_limit_error", true);

    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.chunk(": OPENROUTER PROCESSING\n\n");
    exchange.chunk("data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n");
    exchange.chunk("data: {\"error\":{\"code\":503,\"message\":\"Provider is down\"}}\n\n");
    exchange.end();
    call.reply().assert_error_of("scripted", 529, "overloaded_error", true);
}

#[test]
fn a_failure_after_the_commit_is_an_event() {
    let provider = Provider::start();
    let gateway = speaking_after(&provider, 20, NEVER_MS).start();
    for (status, kind) in
        [(429, "rate_limit_error"), (500, "api_error"), (401, "api_error"), (400, "invalid_request_error")]
    {
        let call = gateway.send(&streaming("Hi"));
        let exchange = provider.accept();
        let (head, mut events) = call.events();
        let id = head.assert_named("scripted");
        assert_eq!((head.status, events.next().unwrap().name.as_str()), (200, "message_start"));
        exchange.fail(status, "no");
        let transcript = events.rest();
        assert_eq!(transcript.names(), ["error"]);
        let body = &transcript.events.last().unwrap().data;
        assert_envelope(body, kind);
        assert_eq!(body["request_id"], id.as_str());
        assert!(transcript.complete);
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("model_errors_total{model=\"claude-test\"}"), 3.0);
    assert_eq!(metrics.value("model_requests_total{model=\"claude-test\"}"), 4.0);
}

#[test]
fn a_provider_that_never_begins_ends_a_committed_stream_with_an_event() {
    let provider = Provider::start();
    let gateway = Gateway::impatient(&provider.url())
        .in_section("stream", "commit_after = \"20ms\"\nping_interval = \"50ms\"")
        .start();
    let call = gateway.send(&streaming("Hi"));
    let exchange = provider.accept();
    let transcript = call.events().1.rest();
    assert_eq!(transcript.names(), ["message_start", "error"]);
    assert!(transcript.count("ping") >= 2, "{:?}", transcript.events);
    assert_envelope(&transcript.events.last().unwrap().data, "timeout_error");
    exchange.wait_until_closed();
    assert_eq!(
        gateway.metrics().value(&format!("gateway_errors_total{{model=\"{MODEL}\",type=\"timeout_error\"}}")),
        1.0
    );
}
