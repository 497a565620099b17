//! The end of the process: notice first, then an orderly end, and at once when asked twice.

use std::time::{Duration, Instant};

use gatewayz::startup::Stop;

use crate::harness::binary::{Process, request};
use crate::harness::gateway::Setup;
use crate::harness::http::Request;
use crate::harness::message::{asking, streaming};
use crate::harness::{Gateway, Provider, eventually};

fn setup(provider: &Provider, notice: &str, drain: &str) -> Setup {
    let times = format!("drain_notice = {notice:?}\ndrain = {drain:?}");
    Gateway::setup(&provider.url()).in_section("server", &times)
}

fn is_draining(address: std::net::SocketAddr) -> Option<()> {
    let reply = Request::new(address, "GET", "/readyz").ask();
    (reply.status == 503 && reply.json()["status"] == "draining").then_some(())
}

#[test]
fn on_sigterm_it_gives_notice_and_open_streams_finish() {
    let provider = Provider::start();
    let (mut process, address) = Process::serve(&setup(&provider, "3s", "60s"), &[], &[]);
    let call = request(address, "POST", "/v1/messages").json(&streaming("Hi")).send();
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.text("before");
    let (_, mut events) = call.events();
    events.until("content_block_delta");

    process.signal("TERM");
    eventually("the notice", || is_draining(address));
    assert_eq!(Request::new(address, "GET", "/healthz").ask().status, 200);
    for path in ["/v1/messages", "/v1/messages/count_tokens"] {
        let reply = request(address, "POST", path).json(&asking("Hi")).ask();
        reply.assert_error(529, "overloaded_error", true);
        assert_eq!((reply.header("connection"), reply.header("retry-after")), (Some("close"), Some("1")));
    }
    exchange.text(" and after");
    assert_eq!(events.until("content_block_delta").data["delta"]["text"], " and after");

    eventually("the end of the notice", || std::net::TcpStream::connect(address).is_err().then_some(()));
    assert!(process.is_running(), "a stream is open");
    exchange.text(" the listener closed");
    exchange.finish();
    let transcript = events.rest();
    assert_eq!(transcript.said(), " the listener closed");
    assert_eq!(transcript.events.last().unwrap().name, "message_stop");
    assert_eq!(process.wait().code(), Some(0), "{}", process.err.text());
    assert!(provider.is_idle());
    // 10 tokens in and 3 out: the last request is counted, though nobody can scrape it any more.
    process.err.wait_for("ended after 1 requests: 0 errors, 0 cancelled, 13 tokens");
}

#[test]
fn what_is_open_at_the_end_of_the_drain_is_told_so() {
    let provider = Provider::start();
    let (mut process, address) = Process::serve(&setup(&provider, "10ms", "300ms"), &[], &[]);
    let streamed = request(address, "POST", "/v1/messages").json(&streaming("Hi")).send();
    let mut streaming_exchange = provider.accept();
    streaming_exchange.begin();
    streaming_exchange.text("before");
    let (_, mut events) = streamed.events();
    events.until("content_block_delta");
    let whole = request(address, "POST", "/v1/messages").json(&asking("Hi")).send();
    let _unanswered = provider.accept();

    process.signal("TERM");
    let last = events.rest().events.pop().unwrap();
    assert_eq!((last.name.as_str(), &last.data["error"]["type"]), ("error", &serde_json::json!("overloaded_error")));
    whole.reply().assert_error_of("scripted", 529, "overloaded_error", true);
    assert_eq!(process.wait().code(), Some(0), "{}", process.err.text());
}

#[test]
fn without_open_requests_it_ends_after_the_notice() {
    let provider = Provider::start();
    let (mut process, _) = Process::serve(&setup(&provider, "50ms", "60s"), &[], &[]);
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0), "{}", process.err.text());
}

#[test]
fn on_sigint_the_listener_closes_at_once() {
    let provider = Provider::start();
    let (mut process, address) = Process::serve(&setup(&provider, "1h", "60s"), &[], &[]);
    let call = request(address, "POST", "/v1/messages").json(&asking("Hi")).send();
    let exchange = provider.accept();
    process.signal("INT");
    eventually("the end of the listener", || std::net::TcpStream::connect(address).is_err().then_some(()));
    exchange.say("in spite of it");
    assert_eq!(call.reply().said(), "in spite of it");
    assert_eq!(process.wait().code(), Some(0), "{}", process.err.text());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let provider = Provider::start();
    for signals in [["TERM", "TERM"], ["TERM", "INT"], ["INT", "TERM"]] {
        let (mut process, address) = Process::serve(&setup(&provider, "1h", "1h"), &[], &[]);
        let call = request(address, "POST", "/v1/messages").json(&streaming("Hi")).send();
        let mut exchange = provider.accept();
        exchange.begin();
        exchange.text("Hello");
        let (_, mut events) = call.events();
        events.until("content_block_delta");
        process.signal(signals[0]);
        process.err.wait_for("a second signal");
        process.signal(signals[1]);
        assert_eq!(process.wait().code(), Some(0), "{signals:?}: {}", process.err.text());
        exchange.wait_until_closed();
        assert!(!events.rest().complete, "a stream that was cut has no end");
    }
}

#[test]
fn open_requests_are_given_so_long_and_no_longer() {
    let provider = Provider::start();
    let (mut process, address) = Process::serve(&setup(&provider, "0s", "1s"), &[], &[]);
    let call = request(address, "POST", "/v1/messages").json(&streaming("Hi")).send();
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.text("Hello");
    let (_, mut events) = call.events();
    events.until("content_block_delta");
    let begun = Instant::now();
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0), "{}", process.err.text());
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(events.rest().count("message_stop"), 0);
}

#[test]
fn what_is_turned_away_in_the_notice_is_counted_as_such() {
    let provider = Provider::start();
    let gateway = setup(&provider, "1h", "1h").start();
    gateway.tell_to_stop(Stop::WithNotice);
    eventually("the notice", || is_draining(gateway.address));
    for _ in 0..3 {
        gateway.send(&asking("Hi")).reply().assert_error(529, "overloaded_error", true);
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_rejected_requests_total{reason=\"shutting_down\"}"), 3.0);
    assert_eq!(metrics.sum("model_requests_total"), 0.0);
    assert_eq!(metrics.sum("model_errors_total"), 0.0);
    gateway.tell_to_stop(Stop::WithNotice);
    gateway.wait_until_closed();
}
