//! The client of a row, and what it makes of its answer.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::gateway::Gateway;
use crate::harness::http::{Call, Reply, Request};
use crate::harness::message::{asking, assert_envelope, with};
use crate::harness::sse::{Event, Events};
use crate::harness::{CLIENT_KEY, PATIENCE, eventually};
use crate::list::Client;
use crate::protocol::{Ended, check};
use crate::provider::Seen;
use crate::row::Row;
use crate::script::Act;

/// Sends the request of a row and does with the answer what its client does.
pub fn ask(gateway: &Gateway, row: &Row, seen: &Seen) -> String {
    let body = with(with(asking("Hi"), "model", json!(row.id())), "stream", json!(row.stream));
    let request = |key: &str| gateway.bare("POST", "/v1/messages").header("x-api-key", key);
    let call = request(CLIENT_KEY).json(&body);
    match row.client {
        Client::Waits | Client::ComesLate => answer(call, row, seen),
        Client::HasNoKey => answer(gateway.bare("POST", "/v1/messages").json(&body), row, seen),
        Client::HasAWrongKey => answer(request("gw_live_wrong").json(&body), row, seen),
        Client::SendsTooMuch => {
            answer(request(CLIENT_KEY).json(&with(body, "system", json!("x".repeat(99_999)))), row, seen)
        }
        Client::SendsNoJson => {
            answer(request(CLIENT_KEY).header("content-type", "application/json").body("{\"model"), row, seen)
        }
        Client::AsksForNoTokens => answer(request(CLIENT_KEY).json(&with(body, "max_tokens", json!(0))), row, seen),
        Client::AsksForAnUnknownModel => {
            answer(request(CLIENT_KEY).json(&with(body, "model", json!("who"))), row, seen)
        }
        Client::HangsUpBeforeContent => {
            let call = call.send();
            eventually("the call to the provider", || (seen.calls() > 0).then_some(()));
            call.hang_up();
            "gone".to_owned()
        }
        Client::HangsUpAfterContent => {
            with_content(&call).hang_up();
            "gone".to_owned()
        }
        Client::FindsThePlaceTaken => {
            let before = with_content(&request(CLIENT_KEY).json(&with(body, "stream", json!(true))));
            let seen = answer(call, row, seen);
            before.hang_up();
            wait_for(gateway, row, 0.0);
            seen
        }
        Client::HangsUpInTheQueue => {
            let before = with_content(&request(CLIENT_KEY).json(&with(body, "stream", json!(true))));
            let call = call.send();
            wait_for(gateway, row, 2.0);
            call.hang_up();
            wait_for(gateway, row, 1.0);
            before.hang_up();
            wait_for(gateway, row, 0.0);
            "gone".to_owned()
        }
        Client::FindsTheCircuitOpen => {
            call.clone().ask();
            answer(call, row, seen)
        }
    }
}

/// A stream of which content has come.
fn with_content(request: &Request) -> Events {
    let (_, mut events) = request.clone().send().events();
    events.until("content_block_delta");
    events
}

/// Waits until so many requests of the row are open.
fn wait_for(gateway: &Gateway, row: &Row, open: f64) {
    let series = format!("gateway_inflight_requests{{model=\"{}\"}}", row.id());
    let deadline = Instant::now() + PATIENCE;
    while gateway.metrics().value(&series) != open {
        assert!(Instant::now() < deadline, "not {open} open requests in {PATIENCE:?}");
        // The metrics of all rows are long, and others wait for the only worker.
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A request that nothing is wrong with, after the fault.
pub fn ask_again(gateway: &Gateway, row: &Row) -> String {
    let body = with(asking("Hi"), "model", json!(row.id()));
    message(&gateway.send(&body).reply().json())
}

fn answer(request: Request, row: &Row, seen: &Seen) -> String {
    for _ in 0..row.before() {
        assert_eq!(request.clone().ask().status, 200, "before the fault");
    }
    read(request.send(), row, seen)
}

fn read(call: Call, row: &Row, seen: &Seen) -> String {
    if row.script.acts.iter().any(|act| matches!(act, Act::UntilContentIsSeen)) {
        let (_, mut events) = call.events();
        let mut all = Vec::new();
        while all.last().is_none_or(|event: &Event| event.name != "content_block_delta") {
            all.push(events.next().expect("content"));
        }
        seen.content_is_seen();
        all.extend(events.rest().events);
        let frame = |event: &Event| format!("event: {}\ndata: {}\n\n", event.name, event.data);
        return stream(&all.iter().map(frame).collect::<String>());
    }
    let reply = call.reply();
    assert!(reply.complete, "the answer has no end: {}", reply.text());
    let is_stream = reply.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
    match reply.status {
        200 if is_stream => stream(&reply.text()),
        200 => {
            assert!(!row.stream, "a stream was asked for: {}", reply.text());
            message(&reply.json())
        }
        _ => failure(&reply, row),
    }
}

fn failure(reply: &Reply, row: &Row) -> String {
    let (status, body) = (reply.status, reply.json());
    let kind = body["error"]["type"].as_str().expect("a type");
    let retry = reply.header("x-should-retry") == Some("true");
    let provider = if row.client.asks_a_provider() { row.id() } else { "gatewayz".to_owned() };
    reply.assert_error_of(&provider, status, kind, retry);
    let after = reply.header("retry-after").map(|seconds| format!(" after {seconds}")).unwrap_or_default();
    format!("{status} {kind} {}{after}", if retry { "retry" } else { "for good" })
}

fn stream(text: &str) -> String {
    match check(text.as_bytes()).unwrap_or_else(|fault| panic!("{fault}")) {
        Ended::Stopped(whole) => message(&whole),
        Ended::Failed(error) => {
            let kind = error["type"].as_str().expect("a type");
            let data = text.split("\n\n").filter_map(|frame| frame.split_once("\ndata: "));
            let events: Vec<Value> = data.map(|(_, data)| serde_json::from_str(data).expect("JSON")).collect();
            assert_envelope(events.last().expect("an event"), kind);
            format!("{} error {kind}", content(&events))
        }
    }
}

/// A message in one line: blocks, stop reason, input and output tokens.
fn message(message: &Value) -> String {
    let blocks = message["content"].as_array().unwrap_or_else(|| panic!("no message: {message}"));
    let block = |block: &Value| match block["type"].as_str() {
        Some("text") => format!("text:{} ", block["text"].as_str().unwrap()),
        Some("thinking") => format!("thinking:{} ", block["thinking"].as_str().unwrap()),
        _ => format!("tool:{}{} ", block["name"].as_str().unwrap(), block["input"]),
    };
    let usage = &message["usage"];
    let tokens = format!("{}+{}", usage["input_tokens"], usage["output_tokens"]);
    let said: String = blocks.iter().map(block).collect();
    let said = if said.len() > 80 { format!("{}… ", &said[..30]) } else { said };
    format!("{said}{} {tokens}", message["stop_reason"].as_str().unwrap())
}

/// The blocks that a stream has opened before it broke, in one line.
fn content(events: &[Value]) -> String {
    let mut said = String::new();
    for event in events {
        let (block, delta) = (&event["content_block"], &event["delta"]);
        match event["type"].as_str().unwrap_or_default() {
            "content_block_start" => {
                let kind = block["type"].as_str().unwrap();
                let name = block["name"].as_str().unwrap_or_default();
                said.push_str(&format!("{}{kind}:{name}", if said.is_empty() { "" } else { " " }));
            }
            "content_block_delta" => {
                let text = [&delta["text"], &delta["thinking"], &delta["partial_json"]];
                said.push_str(text.into_iter().find_map(Value::as_str).unwrap_or_default());
            }
            _ => {}
        }
    }
    said
}
