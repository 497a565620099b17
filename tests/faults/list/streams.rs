//! Streams that break, and streams that are odd.

use std::time::Duration;

use serde_json::json;

use super::{Fault, LITTLE_IDLENESS, MAX_STREAM_KB};
use crate::expect::Connection::{Closed, Either, Gone, Kept};
use crate::expect::{
    Connection, Expected, FAILED, Failure, INTERRUPTED, OVERLOADED, RATE_LIMITED, SENSELESS, TIMEOUT, breaks, fails,
    fails_once, says,
};
use crate::harness::provider::delta;
use crate::script::Script;

const WELL: &str = "text:Hello end_turn 10+3";
const SEEN: &str = "text:Hello";

/// A stream that fails before content.
fn fails_first(name: &'static str, script: Script, failure: Failure, connection: Connection) -> Fault {
    Fault::stream(name, script, fails(failure, connection))
}

/// A stream that fails after "Hello" has reached the client.
fn fails_after(name: &'static str, then: impl Fn(Script) -> Script, failure: Failure, connection: Connection) -> Fault {
    let script = then(Script::stream().role().text("Hello").until_content_is_seen());
    Fault::stream(name, script, Expected { connection, ..breaks(SEEN, failure) })
}

/// A stream that is odd, and whole.
fn odd(name: &'static str, script: Script, message: &str, connection: Connection) -> Fault {
    Fault::stream(name, script, says(message, connection))
}

fn hello() -> Script {
    Script::stream().role().text("Hello")
}

/// All the data of a stream with other ends of lines.
fn lines(end: &str) -> String {
    let text = |text| delta(json!({"content": text}), None).to_string();
    let finish = delta(json!({}), Some("stop")).to_string();
    let usage = json!({"choices": [], "usage": crate::harness::provider::usage()}).to_string();
    let data = [text("Hel"), text("lo"), finish, usage, "[DONE]".to_owned()];
    data.map(|data| format!("data: {data}{end}{end}")).concat()
}

fn error(code: u16) -> serde_json::Value {
    json!({"error": {"code": code, "message": "it broke"}})
}

pub fn faults() -> Vec<Fault> {
    let tool = |arguments: &str| Script::stream().role().call(0, Some("get"), arguments);
    let long = "x".repeat(MAX_STREAM_KB * 1100);
    let tick = Duration::from_millis(20);
    let mut chunk_with_error = delta(json!({"content": ""}), Some("error"));
    chunk_with_error["error"] = json!({"code": 502, "message": "Provider disconnected"});
    vec![
        // Before content: still a status.
        fails_first("stream that ends before it begins", Script::stream().end(), SENSELESS, Kept),
        fails_first("stream cut before its first event", Script::stream().close(), SENSELESS, Gone),
        fails_first("stream cut after the role", Script::stream().role().close(), INTERRUPTED, Gone),
        fails_first("stream of comments alone", Script::stream().chunk(": PROCESSING\n\n").end(), SENSELESS, Kept),
        fails_first("stream of [DONE] alone", Script::stream().done().end(), SENSELESS, Kept),
        fails_first("stream of usage alone", Script::stream().usage().done().end(), SENSELESS, Kept),
        fails_first("error event before content", Script::stream().role().data(&error(500)).end(), FAILED, Closed),
        fails_first("error event of a rate limit", Script::stream().data(&error(429)).end(), RATE_LIMITED, Closed),
        fails_first("error event of a down provider", Script::stream().data(&error(503)).end(), OVERLOADED, Closed),
        Fault::stream(
            "error event before content, once",
            Script::stream().data(&error(500)).close().once(),
            fails_once(FAILED, Kept),
        ),
        fails_first(
            "chunk before content that is no JSON",
            Script::stream().chunk("data: {not json\n\n").hold(),
            SENSELESS,
            Closed,
        ),
        fails_first(
            "page in place of events",
            Script::stream().chunk("<html>\n\nwelcome\n\n</html>").end(),
            SENSELESS,
            Kept,
        ),
        fails_first(
            "wrong size of a chunk before content",
            Script::stream().raw("zz\r\nxx\r\n").hold(),
            INTERRUPTED,
            Closed,
        ),
        fails_first("stall before content", Script::stream().role().hold(), TIMEOUT, Closed).with(LITTLE_IDLENESS),
        fails_first(
            "comments beyond the total time-out",
            Script::stream().drip("d\r\n: PROCESSING\n\r\n", tick),
            TIMEOUT,
            Closed,
        )
        .with("total_timeout = \"1500ms\""),
        fails_first(
            "line over the bound before content",
            Script::stream().chunk(format!("data: {long}")).hold(),
            SENSELESS,
            Closed,
        ),
        Fault::stream(
            "tool calls over the bound",
            tool("").call(0, None, "").call(1, Some("put"), &long).hold(),
            breaks("tool_use:get", SENSELESS),
        ),
        Fault::each(
            "events where no stream was asked for",
            (hello().ends_well(), fails(SENSELESS, Kept)),
            (hello().ends_well(), says(WELL, Kept)),
        ),
        // After content: an error event.
        fails_after("cut after content", Script::close, INTERRUPTED, Gone),
        fails_after("reset after content", Script::reset, INTERRUPTED, Gone),
        fails_after("end after content", Script::end, INTERRUPTED, Kept),
        fails_after("cut inside a chunk of HTTP", |it| it.raw("fff\r\ndata: {\"choices\"").close(), INTERRUPTED, Gone),
        fails_after("cut inside an event", |it| it.chunk("data: {\"choices\":[{\"ind").close(), INTERRUPTED, Gone),
        fails_after("end inside an event", |it| it.chunk("data: {\"choices\":[{\"ind").end(), INTERRUPTED, Kept),
        fails_after("wrong size of a chunk after content", |it| it.raw("zz\r\nxx\r\n").hold(), INTERRUPTED, Closed),
        fails_after(
            "chunk after content that is no JSON",
            |it| it.chunk("data: {not json\n\n").hold(),
            SENSELESS,
            Closed,
        ),
        fails_after("error event after content", |it| it.data(&error(500)).hold(), FAILED, Closed),
        fails_after(
            "error and finish in one chunk",
            |it| it.data(&chunk_with_error).ends_well().hold(),
            OVERLOADED,
            Closed,
        ),
        fails_after("stall after content", Script::hold, TIMEOUT, Closed).with(LITTLE_IDLENESS),
        fails_after("drip beyond the total time-out", |it| it.drip("1\r\n:\r\n", tick), TIMEOUT, Closed)
            .with("total_timeout = \"2s\""),
        fails_after(
            "line over the bound after content",
            |it| it.chunk(format!("data: {long}")).hold(),
            SENSELESS,
            Closed,
        ),
        Fault::stream(
            "cut in a tool call",
            tool("{\"a\":").until_content_is_seen().close(),
            Expected { connection: Gone, ..breaks("tool_use:get{\"a\":", INTERRUPTED) },
        ),
        Fault::stream(
            "cut in thinking",
            Script::stream().role().thinking("Hm").until_content_is_seen().close(),
            Expected { connection: Gone, ..breaks("thinking:Hm", INTERRUPTED) },
        ),
        Fault::stream(
            "broken arguments in a stream",
            tool("{\"a\":").finish("tool_calls").usage().done().end(),
            breaks("tool_use:get{\"a\":", SENSELESS),
        ),
        Fault::stream("arguments that cannot become an object", tool("{\"a\":}").hold(), fails(SENSELESS, Closed)),
        // Odd, but whole.
        odd("no [DONE]", hello().finish("stop").usage().end(), WELL, Kept),
        odd("no [DONE], connection closed", hello().finish("stop").usage().close(), WELL, Gone),
        odd("cut after the finish, no usage", hello().finish("stop").close(), "text:Hello end_turn 5+1", Gone),
        odd("[DONE] without a finish", hello().usage().done().end(), WELL, Kept),
        odd("no usage", hello().finish("stop").done().end(), "text:Hello end_turn 5+1", Kept),
        odd("usage twice", hello().finish("stop").usage().usage().done().end(), WELL, Kept),
        odd("finish twice", hello().finish("stop").finish("stop").usage().done().end(), WELL, Kept),
        odd(
            "cut by length inside arguments",
            tool("{\"a\":").finish("length").usage().done().end(),
            "tool:get{} max_tokens 10+3",
            Kept,
        ),
        odd(
            "bytes after [DONE]",
            hello().finish("stop").usage().done().chunk("data: {not json\n\ngarbage").end(),
            WELL,
            Kept,
        ),
        odd("HTTP pipelined after the end", hello().ends_well().raw("HTTP/1.1 200 OK\r\n\r\n"), WELL, Either),
        odd("connection open after [DONE]", hello().finish("stop").usage().done().hold(), WELL, Closed),
        odd("flood of comments", hello().chunk(": PROCESSING\n\n".repeat(5000)).ends_well(), WELL, Kept),
        odd("lines that end in CRLF", Script::stream().chunk(lines("\r\n")).end(), WELL, Kept),
        odd("lines that end in CR", Script::stream().chunk(lines("\r")).end(), WELL, Kept),
        odd("no blank line at the end", Script::stream().chunk(lines("\n").trim_end()).end(), WELL, Kept),
        odd("one chunk for the whole stream", Script::stream().chunk(lines("\n")).end(), WELL, Kept),
        odd("stream byte by byte", hello().ends_well().bytewise(), WELL, Kept),
        odd(
            "stream of a known length",
            Script::answer(200, &[("content-type", "text/event-stream")], lines("\n")),
            WELL,
            Kept,
        ),
        odd(
            "fields beside data",
            Script::stream().chunk("event: x\nid: 7\nretry: 9\n").chunk(lines("\n")).end(),
            WELL,
            Kept,
        ),
        odd("byte order mark", Script::stream().chunk(format!("\u{feff}{}", lines("\n"))).end(), WELL, Kept),
    ]
}
