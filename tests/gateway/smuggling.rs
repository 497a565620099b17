//! Requests whose framing is ambiguous, which is how one is smuggled past a proxy inside another, and heads that are
//! too much.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::message::asking;
use crate::harness::{CLIENT_KEY, Gateway, PATIENCE, Provider};

/// What would be the next request, if the gateway were mistaken about the end of the one before it.
const SMUGGLED: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

/// All that is answered until the gateway closes the connection.
fn answered(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> String {
    let mut socket = TcpStream::connect(gateway.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // The gateway may have read enough before all is written.
    let _ = socket.write_all(bytes.as_ref());
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the connection stays open"),
    }
    String::from_utf8(answer).unwrap()
}

fn post(headers: &str, body: &str) -> String {
    format!("POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {CLIENT_KEY}\r\n{headers}\r\n\r\n{body}")
}

fn assert_refused(gateway: &Gateway, request: &str, statuses: &[&str]) {
    let answer = answered(gateway, request);
    let shown: String = request.chars().take(200).collect();
    let status = answer.get(9..12).unwrap_or_default();
    assert!(statuses.contains(&status), "{shown:?}: {answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{shown:?}: {answer}");
    assert!(answer.contains("connection: close"), "{shown:?}: {answer}");
}

#[test]
fn a_length_that_can_be_read_in_two_ways_is_refused() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for headers in [
        "content-length: 5\r\ncontent-length: 5",
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 5",
        "content-length: 0x5",
        "content-length: -5",
        "content-length: ",
        "content-length: 5 5",
        "content-length: 5\u{b}",
        "content-length: 5\r\n 0",
        "content-length : 5",
        "content-length: 18446744073709551621",
        "content-length: 5\r\nnocolon",
        "content-length: 5\r\n: nameless",
        "content-length: 5\r\na b: c",
        "content-length: 5\r\nx: a\0b",
        "content-length: 5\r\nx: a\rb",
        "content-length: 5\r\nx: a\r\n folded",
        "content-length: 5\r\nhost: second",
    ] {
        assert_refused(&gateway, &post(headers, &format!("hello{SMUGGLED}")), &["400"]);
    }
}

#[test]
fn an_encoding_that_can_be_read_in_two_ways_is_refused() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for headers in [
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "content-length: 5\r\nTransfer-Encoding: chunked",
        "transfer-encoding: identity\r\ncontent-length: 5",
        "transfer-encoding : chunked",
        "transfer-encoding:\r\n chunked",
        "transfer-encoding: \u{b}chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding: chunked;x=y",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: identity, chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding:",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked",
    ] {
        for body in ["hello", "5\r\nhello\r\n0\r\n\r\n"] {
            assert_refused(&gateway, &post(headers, &format!("{body}{SMUGGLED}")), &["400"]);
        }
    }
    let old = post("transfer-encoding: chunked", "0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0");
    assert_refused(&gateway, &format!("{old}{SMUGGLED}"), &["400"]);
}

#[test]
fn chunks_that_can_be_read_in_two_ways_are_refused() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for body in [
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rXhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
        "5;x=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
    ] {
        assert_refused(&gateway, &post("transfer-encoding: chunked", &format!("{body}{SMUGGLED}")), &["400"]);
    }
}

/// What is odd and right is read as it is written, and the request that follows is that and no other.
#[test]
fn odd_framing_that_is_right_ends_where_it_ends() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let body = asking("Hi").to_string();
    let size = format!("{:x}", body.len());
    let single: String = body.chars().map(|each| format!("1;{}\r\n{each}\r\n", "x".repeat(2000))).collect();
    let chunked = "transfer-encoding: chunked";
    for (headers, body) in [
        ("transfer-encoding: ChUnKeD", format!("{size}\r\n{body}\r\n0\r\n\r\n")),
        (chunked, format!("{}{size}\r\n{body}\r\n0\r\n\r\n", "0".repeat(10_000))),
        (chunked, format!("{size};{}\r\n{body}\r\n0\r\n\r\n", "x".repeat(1 << 20))),
        (chunked, format!("{single}0\r\n\r\n")),
        (chunked, format!("{size}\r\n{body}\r\n0\r\n{}\r\n", "x: y\r\n".repeat(10_000))),
        (chunked, format!("{size}\r\n{body}\r\n0\r\nGET /nowhere HTTP/1.1\r\n\r\n")),
        (&format!("transfer_encoding: chunked\r\ncontent-length: {}", body.len()), body.clone()),
    ] {
        let mark = "GET /mark HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let request = format!("{}{mark}", post(headers, &body));
        let answer = std::thread::scope(|scope| {
            let asked = scope.spawn(|| answered(&gateway, &request));
            let exchange = provider.accept();
            assert_eq!(exchange.body["messages"][0]["content"], "Hi");
            exchange.say("well");
            asked.join().unwrap()
        });
        let statuses: Vec<&str> = answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect();
        assert_eq!(statuses, ["200", "404"], "{headers}: {answer}");
    }
}

/// Trailers come after everything has been decided.
#[test]
fn a_trailer_is_no_header() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    let answer = answered(
        &gateway,
        format!(
            "POST /v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-api-key: {CLIENT_KEY}\r\n\r\n"
        ),
    );
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

/// A refusal of a body in chunks that is all there costs no connection.
#[test]
fn a_refused_request_whose_chunks_have_come_keeps_its_connection() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    let request = gateway.request("POST", "/v1/messages").header("content-type", "text/plain");
    let request = request.header("transfer-encoding", "chunked").raw_body("5\r\nhello\r\n0\r\n\r\n");
    let (first, connection) = request.send().reply_and_keep();
    assert_eq!((first.status, first.header("connection")), (415, None));
    assert_eq!(gateway.bare("GET", "/healthz").send_on(connection).reply().status, 200);
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    let long = "a".repeat(1 << 20);
    for head in [
        format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", &long[..70_000]),
        format!("{long} / HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: x\r\nx: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: x\r\n{long}: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(1_000)),
    ] {
        assert_refused(&gateway, &head, &["400", "431"]);
    }
    assert_eq!(gateway.bare("GET", "/healthz").ask().status, 200);
}

#[test]
fn a_path_that_is_no_text_leads_nowhere() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for path in
        [&b"/\xff"[..], b"/v1/models/\xff\xfe", b"/v1/models/\xc0\xaf", b"/\0", b"/a b", b"/\x7f", b"//\xe2\x80"]
    {
        let answer = answered(&gateway, [b"GET ", path, b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"].concat());
        let status = answer.get(9..12).unwrap_or_default();
        assert!(["400", "401", "404"].contains(&status), "{path:?}: {answer}");
    }
}

/// HTTP/2 above all: the implementation in the tree has a known fault, and nobody may reach it.
#[test]
fn other_protocols_are_refused() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for bytes in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0",
        "\u{16}\u{3}\u{1}\0\u{5}hello\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/1.2\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ] {
        assert_refused(&gateway, bytes, &["400"]);
    }
    let upgrade = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__";
    let answer = answered(&gateway, format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{upgrade}\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
