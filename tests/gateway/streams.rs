//! A message that is answered as a stream of events.

use serde_json::json;

use crate::harness::message::{MODEL, streaming};
use crate::harness::provider::{completion, delta, usage};
use crate::harness::sse::Transcript;
use crate::harness::{Gateway, Provider};

/// What the client gets for these bytes of a stream, however they are cut.
fn streamed(bytes: &str, cut: usize) -> Transcript {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    bytes.as_bytes().chunks(cut).for_each(|piece| exchange.chunk(piece));
    exchange.end();
    call.events().1.rest()
}

/// T6
#[test]
fn a_stream_has_headers_that_keep_proxies_from_holding_it_back() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let request = gateway.request("POST", "/v1/messages").header("accept-encoding", "gzip, deflate, br");
    let call = request.json(&streaming("Hi")).send();
    let mut exchange = provider.accept();
    assert_eq!(exchange.header("accept"), Some("text/event-stream"));
    assert_eq!(exchange.body["stream"], true);
    assert_eq!(exchange.body["stream_options"], json!({"include_usage": true}));
    exchange.begin();
    exchange.text("Hello");
    exchange.finish();
    let (head, events) = call.events();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(head.header("cache-control"), Some("no-cache"));
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    assert_eq!(head.header("content-encoding"), None);
    head.assert_named("scripted");
    assert_eq!(events.rest().said(), "Hello");
}

#[test]
fn events_come_in_the_order_of_the_messages_api() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.text("Hel");
    exchange.text("lo");
    exchange.finish();
    let transcript = call.events().1.rest();
    transcript.assert_whole();
    let names = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(transcript.names(), names);
    assert_eq!(transcript.events[1].name, "ping");
    let mut start = transcript.events[0].data["message"].clone();
    assert!(start["id"].take().as_str().is_some_and(|id| id.starts_with("msg_")));
    let usage = start["usage"].take();
    assert!(usage["input_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{usage}");
    assert!(usage["output_tokens"].as_u64().is_some(), "{usage}");
    let expected = json!({
        "id": null, "type": "message", "role": "assistant", "model": MODEL, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": null,
    });
    assert_eq!(start, expected);
    let end = transcript.find("message_delta").unwrap();
    assert_eq!(end.data["delta"], json!({"stop_reason": "end_turn", "stop_sequence": null}));
    assert_eq!((&end.data["usage"]["input_tokens"], &end.data["usage"]["output_tokens"]), (&json!(10), &json!(3)));
}

#[test]
fn each_piece_is_passed_on_as_it_comes() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.text("one");
    let (_, mut events) = call.events();
    assert_eq!(events.until("content_block_delta").data["delta"]["text"], "one");
    for word in ["two", "three"] {
        exchange.text(word);
        assert_eq!(events.next_but_ping().unwrap().data["delta"]["text"], word);
    }
    exchange.finish();
    assert_eq!(events.rest().names(), ["content_block_stop", "message_delta", "message_stop"]);
}

/// T1, T7
#[test]
fn any_cut_of_the_providers_bytes_gives_the_same_text() {
    let text = "Zażółć gęślą jaźń \u{1f600} 你好";
    let bytes = format!(
        ": OPENROUTER PROCESSING\n\ndata: {}\r\n\r\ndata:{}\n\ndata: {}\n\ndata: [DONE]\n\n",
        delta(json!({"role": "assistant", "content": text}), None),
        delta(json!({"content": text}), None),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage()}),
    );
    for cut in [1, 2, 3, 7, 64, bytes.len()] {
        let transcript = streamed(&bytes, cut);
        transcript.assert_whole();
        assert_eq!(transcript.said(), text.repeat(2), "cut into {cut}");
    }
}

/// T4
#[test]
fn a_stream_may_end_in_every_good_way() {
    let text = format!("data: {}\n\n", delta(json!({"content": "Hello"}), None));
    let finish = format!("data: {}\n\n", delta(json!({}), Some("stop")));
    let usage = format!("data: {}\n\n", json!({"choices": [], "usage": usage()}));
    let done = "data: [DONE]\n\n";
    for end in [
        format!("{finish}{usage}{done}"),
        format!("{finish}{usage}"),
        format!("{finish}{done}"),
        finish.clone(),
        format!("{finish}{done}{usage}"),
        format!("{finish}{usage}{done}: more\n\ndata: {{\"odd\": 1}}\n\n"),
        format!("{usage}{finish}{done}"),
        format!("{finish}{usage}data: [DONE]"),
    ] {
        let transcript = streamed(&format!("{text}{end}"), 4096);
        transcript.assert_whole();
        assert_eq!(transcript.said(), "Hello", "{end}");
        let told = &transcript.find("message_delta").unwrap().data["usage"]["input_tokens"];
        assert_eq!(told == &json!(10), end.contains("prompt_tokens"), "{end}: {told}");
    }
}

/// A provider that sends `[DONE]` and keeps the connection open must not keep the client waiting.
#[test]
fn a_stream_ends_though_the_provider_keeps_the_connection_open() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.text("Hello");
    exchange.data(&delta(json!({}), Some("stop")));
    exchange.chunk("data: [DONE]\n\n");
    let transcript = call.events().1.rest();
    transcript.assert_whole();
    assert_eq!(transcript.said(), "Hello");
    exchange.wait_until_closed();
    assert_eq!(gateway.metrics().value("gateway_token_counts_total{source=\"estimated\"}"), 1.0);
}

/// T5
#[test]
fn a_completion_in_json_becomes_events() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let call = gateway.send(&streaming("Hi"));
    provider.accept().say("Hello");
    let (head, events) = call.events();
    assert_eq!(head.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let transcript = events.rest();
    transcript.assert_whole();
    assert_eq!(transcript.said(), "Hello");
    assert_eq!(transcript.find("message_delta").unwrap().data["usage"]["output_tokens"], 3);

    let call = gateway.send(&streaming("Hi"));
    let pretty = serde_json::to_string_pretty(&completion("Hello")).unwrap();
    provider.accept().answer(200, &[("content-type", "application/json")], &pretty);
    assert_eq!(call.events().1.rest().said(), "Hello");
}

#[test]
fn an_answer_without_content_is_a_whole_message() {
    let transcript = streamed(
        &format!(
            "data: {}\n\ndata: {}\n\ndata: [DONE]\n\n",
            delta(json!({"role": "assistant"}), None),
            delta(json!({}), Some("stop"))
        ),
        4096,
    );
    transcript.assert_whole();
    assert_eq!(transcript.names(), ["message_start", "message_delta", "message_stop"]);
}

/// T13, T22, T24
#[test]
fn a_tool_call_comes_as_its_own_block_with_its_arguments_in_deltas() {
    let call = |name: &str, arguments: &str| json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}]});
    let more = json!({"tool_calls": [{"index": 0, "function": {"arguments": "\"Rome\"}"}}]});
    let bytes = format!(
        "data: {}\n\ndata: {}\n\ndata: {}\n\ndata: {}\n\ndata: [DONE]\n\n",
        delta(json!({"content": "Let me look."}), None),
        delta(call("weather", "{\"city\": "), None),
        delta(more, Some("tool_calls")),
        json!({"choices": [], "usage": usage()}),
    );
    let transcript = streamed(&bytes, 4096);
    transcript.assert_whole();
    let start = transcript.events.iter().filter(|event| event.name == "content_block_start").nth(1).unwrap();
    assert_eq!(start.data["index"], 1);
    assert_eq!(
        start.data["content_block"],
        json!({"type": "tool_use", "id": "call_1", "name": "weather", "input": {}})
    );
    let arguments: String =
        transcript.events.iter().filter_map(|event| event.data["delta"]["partial_json"].as_str()).collect();
    assert_eq!(arguments, "{\"city\": \"Rome\"}");
    assert_eq!(transcript.find("message_delta").unwrap().data["delta"]["stop_reason"], "tool_use");
}
