//! Connections that do not come about, and answers that are no HTTP.

use std::time::Duration;

use super::{Fault, LITTLE_IDLENESS, LITTLE_PATIENCE};
use crate::expect::Connection::{Closed, Either, Gone, Kept};
use crate::expect::{
    CONNECT_TIMEOUT, HUNG_UP, INTERRUPTED, SENSELESS, TIMEOUT, UNREACHABLE, WELL, fails, fails_once, says,
};
use crate::harness::provider::completion;
use crate::script::Script;

const HELLO: &str = "text:Hello end_turn 10+3";

pub fn faults() -> Vec<Fault> {
    let hello = completion("Hello").to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let length = hello.len();
    let early_hints = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";
    vec![
        Fault::both("connection refused", Script::refused(), fails(UNREACHABLE, Gone)),
        Fault::both("connection that does not come about", Script::full(), fails(CONNECT_TIMEOUT, Gone))
            .with("connect_timeout = \"200ms\""),
        Fault::both("closed before the request is read", Script::connected().close(), fails(HUNG_UP, Gone)),
        Fault::both("closed without an answer", Script::asked().close(), fails(HUNG_UP, Gone)),
        Fault::both("closed without an answer, once", Script::asked().close().once(), fails_once(HUNG_UP, Kept)),
        Fault::both(
            "stale connection: closed on its second use",
            Script::asked().close().second_call(),
            fails_once(HUNG_UP, Kept),
        ),
        Fault::both("reset without an answer", Script::asked().reset(), fails(HUNG_UP, Gone)),
        Fault::both(
            "stale connection: reset on its second use",
            Script::asked().reset().second_call(),
            fails_once(HUNG_UP, Kept),
        ),
        Fault::both("black hole", Script::asked().hold(), fails(TIMEOUT, Closed)).with(LITTLE_PATIENCE),
        Fault::both("head that stalls", Script::asked().raw(head).hold(), fails(TIMEOUT, Closed)).with(LITTLE_PATIENCE),
        Fault::both(
            "head that drips",
            Script::asked().raw(head).drip("x-more: and more\r\n", Duration::from_millis(20)),
            fails(TIMEOUT, Closed),
        )
        .with(LITTLE_PATIENCE),
        Fault::both("head that is cut", Script::asked().raw(head).close(), fails(SENSELESS, Gone)),
        Fault::both("not HTTP", Script::asked().raw("SSH-2.0-OpenSSH_9.2\r\n\r\n").hold(), fails(SENSELESS, Closed)),
        Fault::both(
            "bytes that are no text",
            Script::asked().raw([0, 159, 146, 150, 13, 10, 13, 10]).hold(),
            fails(SENSELESS, Closed),
        ),
        Fault::both(
            "HTTP/1.0",
            Script::asked()
                .raw(format!(
                    "HTTP/1.0 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{hello}"
                ))
                .close(),
            says(HELLO, Gone),
        ),
        Fault::both(
            "head of 200 KB",
            Script::asked().raw(format!("{head}x-long: {}\r\n\r\n", "x".repeat(200_000))).hold(),
            fails(SENSELESS, Closed),
        ),
        Fault::both(
            "head of 200 lines",
            Script::asked().raw(format!("{head}{}\r\n", "x-more: x\r\n".repeat(200))).hold(),
            fails(SENSELESS, Closed),
        ),
        Fault::both(
            "100 Continue before the answer",
            Script::asked()
                .raw("HTTP/1.1 100 Continue\r\n\r\n")
                .raw(format!("{head}content-length: {length}\r\n\r\n{hello}")),
            says(HELLO, Kept),
        ),
        Fault::both(
            "several interim answers and the answer, in one piece",
            Script::asked().raw(format!(
                "{}HTTP/1.1 102 Processing\r\n\r\n{head}content-length: {length}\r\n\r\n{hello}",
                early_hints.repeat(3)
            )),
            says(HELLO, Kept),
        ),
        Fault::both(
            "an interim answer and nothing more",
            Script::asked().raw(early_hints).hold(),
            fails(TIMEOUT, Closed),
        )
        .with(LITTLE_PATIENCE),
        Fault::both("an interim answer and the end", Script::asked().raw(early_hints).close(), fails(SENSELESS, Gone)),
        Fault::both(
            "interim answers without end",
            Script::asked().drip(early_hints, Duration::from_millis(1)),
            fails(SENSELESS, Closed),
        ),
        Fault::both(
            "a change of the protocol",
            Script::asked().raw("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n").hold(),
            fails(SENSELESS, Closed),
        ),
        Fault::both(
            "two different lengths",
            Script::asked().raw(format!("{head}content-length: {length}\r\ncontent-length: 5\r\n\r\n{hello}")),
            fails(SENSELESS, Closed),
        ),
        Fault::both(
            "a length and chunks",
            Script::asked().raw(format!(
                "{head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{hello}\r\n0\r\n\r\n"
            )),
            says(HELLO, Kept),
        ),
        Fault::both(
            "neither length nor chunks: all until the end",
            Script::asked().raw(format!("{head}\r\n{}", &hello[..20])).raw(&hello[20..]).close(),
            says(HELLO, Gone),
        ),
        Fault::both(
            "neither length nor chunks, and cut",
            Script::asked().raw(format!("{head}\r\n{}", &hello[..20])).close(),
            fails(SENSELESS, Gone),
        ),
        Fault::both(
            "neither length nor chunks, and no end",
            Script::asked().raw(format!("{head}\r\n{hello}")).hold(),
            fails(TIMEOUT, Closed),
        )
        .with(LITTLE_IDLENESS),
        Fault::both("body that is cut", Script::half_a_body().close(), fails(INTERRUPTED, Gone)),
        Fault::both(
            "body that never begins",
            Script::asked().head(200, &[], &[("content-length", "9")]).close(),
            fails(INTERRUPTED, Gone),
        ),
        Fault::both(
            "body cut between chunks",
            Script::asked().raw(format!("{head}transfer-encoding: chunked\r\n\r\n14\r\n{}\r\n", &hello[..20])).close(),
            fails(SENSELESS, Gone),
        ),
        Fault::both(
            "body cut inside a chunk",
            Script::asked().raw(format!("{head}transfer-encoding: chunked\r\n\r\nffff\r\n{}", &hello[..20])).close(),
            fails(SENSELESS, Gone),
        ),
        Fault::both(
            "wrong size of a chunk",
            Script::asked().raw(format!("{head}transfer-encoding: chunked\r\n\r\nxyz\r\n{hello}\r\n0\r\n\r\n")).hold(),
            fails(INTERRUPTED, Closed),
        ),
        Fault::both(
            "length that is too small",
            Script::asked().raw(format!("{head}content-length: {}\r\n\r\n{hello}", length - 10)),
            fails(SENSELESS, Either),
        ),
        Fault::both(
            "bytes after the answer",
            Script::asked().raw(format!("{head}content-length: {length}\r\n\r\n{hello}HTTP/1.1 200 OK\r\n\r\n")),
            says("text:Hello end_turn 10+3", Either),
        ),
        Fault::both("byte by byte", Script::body(&hello).bytewise(), says("text:Hello end_turn 10+3", Kept)),
        Fault::both("well", Script { until_call: 0, ..Script::asked() }, says(WELL, Kept)),
    ]
}
