//! Streams that break after content has been sent: an error event ends them, and nothing pretends to be whole.

use serde_json::json;

use crate::harness::message::{MODEL, assert_envelope, streaming};
use crate::harness::provider::{Exchange, delta};
use crate::harness::sse::Transcript;
use crate::harness::{Gateway, Provider};

/// Lets a provider say "Hello" and then do this. The client must see what was said, then one error of this type
/// as the last event (T56), and the metrics must count the failure under this type and outcome.
fn broken(kind: &str, label: &str, outcome: &str, then: impl FnOnce(Exchange)) -> Transcript {
    let provider = Provider::start();
    let gateway = Gateway::impatient(&provider.url()).start();
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.text("Hello");
    let (head, mut events) = call.events();
    let id = head.assert_named("scripted");
    assert_eq!(events.until("content_block_delta").data["delta"]["text"], "Hello");
    then(exchange);
    let transcript = events.rest();
    let last = transcript.events.last().expect("an error");
    assert_eq!(last.name, "error", "{transcript:?}");
    assert_envelope(&last.data, kind);
    assert_eq!(last.data["request_id"], id.as_str());
    assert_eq!((transcript.count("error"), transcript.count("message_stop")), (1, 0), "{transcript:?}");
    assert_eq!(transcript.count("message_delta"), 0, "{transcript:?}");

    let metrics = gateway.metrics();
    let of_model = |name: &str| metrics.value(&format!("{name}{{model=\"{MODEL}\"}}"));
    assert_eq!(of_model("model_requests_total"), 1.0);
    assert_eq!(of_model("model_errors_total"), 1.0);
    assert_eq!(of_model("model_latency_ms_count"), 0.0);
    assert_eq!(of_model("gateway_inflight_requests"), 0.0);
    assert!(of_model("model_tokens_used_total") > 0.0, "what was said so far is counted");
    assert_eq!(metrics.value(&format!("gateway_errors_total{{model=\"{MODEL}\",type=\"{label}\"}}")), 1.0);
    let calls = format!("gateway_provider_requests_total{{outcome=\"{outcome}\",provider=\"scripted\"}}");
    assert_eq!(metrics.value(&calls), 1.0);
    assert_eq!(metrics.value("gateway_provider_inflight{provider=\"scripted\"}"), 0.0);
    assert!(provider.is_idle(), "nobody is asked again after content (T16)");
    transcript
}

fn interrupted(then: impl FnOnce(Exchange)) -> Transcript {
    broken("api_error", "stream_interrupted", "invalid_response", then)
}

/// T55
#[test]
fn a_connection_that_is_cut_ends_the_stream_with_an_error() {
    interrupted(Exchange::cut);
}

#[test]
fn a_connection_that_is_cut_inside_a_chunk_ends_the_stream_with_an_error() {
    interrupted(|mut it| it.raw("fff\r\ndata: {\"choices\""));
}

/// T55
#[test]
fn a_clean_end_without_a_finish_ends_the_stream_with_an_error() {
    interrupted(Exchange::end);
}

/// T8
#[test]
fn a_chunk_that_is_no_json_ends_the_stream_with_an_error() {
    let transcript = broken("api_error", "api_error", "invalid_response", |mut it| {
        it.text(" again");
        it.chunk("data: {\"choices\":[{\"index\":0,\"del\n\n");
    });
    assert_eq!(transcript.said(), " again");
}

/// T53
#[test]
fn an_error_object_in_mid_stream_ends_the_stream_with_an_error() {
    broken("overloaded_error", "overloaded_error", "server_error", |mut it| {
        let mut chunk = delta(json!({"content": ""}), Some("error"));
        chunk["error"] = json!({"code": 502, "message": "Provider disconnected"});
        it.data(&chunk);
        it.finish();
    });
}

/// T54
#[test]
fn an_error_of_vllm_in_mid_stream_ends_the_stream_with_an_error() {
    broken("api_error", "api_error", "server_error", |mut it| {
        it.data(&json!({"object": "error", "message": "engine died", "type": "InternalServerError", "code": 500}));
        it.end();
    });
}

#[test]
fn silence_in_mid_answer_ends_the_stream_with_an_error() {
    broken("timeout_error", "timeout_error", "timeout", |it| {
        it.wait_until_closed();
    });
}

#[test]
fn a_line_over_the_bound_ends_the_stream_with_an_error() {
    let provider = Provider::start();
    let gateway = Gateway::setup(&provider.url()).in_section("stream", "max_line = \"1KB\"").start();
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    let said = delta(json!({"content": "Hello"}), None);
    exchange.chunk(format!("data: {said}\n\ndata: {}\n\n", "x".repeat(5000)));
    let transcript = call.events().1.rest();
    assert_eq!(transcript.said(), "Hello", "what came before in the same bytes is the client's");
    assert_envelope(&transcript.events.last().unwrap().data, "api_error");
    exchange.wait_until_closed();
    assert!(gateway.metrics().value("model_tokens_used_total{model=\"claude-test\"}") > 0.0);
}

#[test]
fn tool_calls_over_the_bound_end_the_stream_with_an_error() {
    let provider = Provider::start();
    let gateway = Gateway::setup(&provider.url()).in_section("stream", "max_tool_buffer = \"1KB\"").start();
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    for index in 0..2 {
        let function = json!({"name": "t", "arguments": format!("{{\"x\": \"{}", "x".repeat(3000))});
        let part = json!({"index": index, "id": format!("call_{index}"), "function": function});
        exchange.data(&delta(json!({"tool_calls": [part]}), None));
    }
    let reply = call.reply();
    assert!(reply.text().contains("max_tool_buffer"), "{}", reply.text());
    exchange.wait_until_closed();
}

/// T21, T30: a tool must never run with arguments that are not what the model said.
#[test]
fn arguments_that_are_no_object_end_the_stream_with_an_error() {
    broken("api_error", "api_error", "invalid_response", |mut it| {
        let function = json!({"name": "t", "arguments": "{\"x\": "});
        it.data(&delta(
            json!({"tool_calls": [{"index": 0, "id": "call_1", "function": function}]}),
            Some("tool_calls"),
        ));
        it.finish();
    });
}
