//! Clients that send or read slowly, or stop in the middle: what they hold is let go.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::harness::gateway::Setup;
use crate::harness::http::{Connection, Request};
use crate::harness::message::{asking, streaming};
use crate::harness::{CLIENT_KEY, Gateway, METRICS_TOKEN, PATIENCE, Provider, eventually};

const REJECTED: &str = "gateway_rejected_requests_total{reason=\"validation\"}";
const TOO_LARGE: &str = "gateway_rejected_requests_total{reason=\"too_large\"}";

/// A pause between the drips of a client: several of them are within the time that it is given.
const DRIP: Duration = Duration::from_millis(40);

fn impatient(url: &str) -> Setup {
    Gateway::setup(url).in_section("server", "client_body_timeout = \"300ms\"\nmax_body = \"10KB\"")
}

fn messages(gateway: &Gateway) -> Request {
    gateway.request("POST", "/v1/messages").header("content-type", "application/json")
}

/// Sends a drip now and then until the gateway has closed the connection. Gives what it answered.
fn drip(gateway: &Gateway, head: &str, drip: &str) -> String {
    let mut socket = TcpStream::connect(gateway.address).unwrap();
    socket.set_read_timeout(Some(DRIP)).unwrap();
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    eventually("the end of the connection", || {
        // A connection that has been closed is seen by the read.
        let _ = socket.write_all(drip.as_bytes());
        let mut some = [0; 4096];
        match socket.read(&mut some) {
            Ok(0) => Some(()),
            Ok(read) => {
                answer.extend_from_slice(&some[..read]);
                None
            }
            Err(error) => match error.kind() {
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => None,
                _ => Some(()),
            },
        }
    });
    String::from_utf8(answer).unwrap()
}

fn head(gateway: &Gateway, framing: &str) -> String {
    format!(
        "POST /v1/messages HTTP/1.1\r\nhost: {}\r\nx-api-key: {CLIENT_KEY}\r\ncontent-type: application/json\r\n{framing}\r\n\r\n",
        gateway.address
    )
}

#[test]
fn a_body_that_does_not_come_in_time_is_given_up() {
    let provider = Provider::start();
    let gateway = impatient(&provider.url()).start();
    let begun = Instant::now();
    let call = messages(&gateway).header("content-length", "1000").raw_body("{\"model\": ").send();
    let (reply, connection) = call.reply_and_keep();
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let message = reply.assert_error(408, "invalid_request_error", true);
    assert!(message.contains("300ms"), "{message}");
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(gateway.metrics().value(REJECTED), 1.0);
    // What follows is neither the rest of a body nor the next request.
    let smuggled = gateway.bare("GET", "/healthz").send_on(connection);
    assert!(smuggled.reply_if_any().is_none());
    assert!(provider.is_idle());

    let counting = gateway.request("POST", "/v1/messages/count_tokens").header("content-length", "1000");
    counting.raw_body("{").ask().assert_error(408, "invalid_request_error", true);
    let metrics = gateway.metrics();
    assert_eq!(metrics.value(REJECTED), 2.0);
    assert_eq!(metrics.sum("model_requests_total"), 0.0);
}

/// The time is for the body as a whole, however it is framed.
#[test]
fn a_body_that_comes_in_drips_holds_no_connection() {
    let gateway = impatient("http://127.0.0.1:9/v1").start();
    for (framing, piece) in [("content-length: 10000", " "), ("transfer-encoding: chunked", "1\r\n \r\n")] {
        let answer = drip(&gateway, &head(&gateway, framing), piece);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{framing}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    assert_eq!(gateway.metrics().value(REJECTED), 2.0);
}

/// A refusal that comes before the body is no way to hold a connection either.
#[test]
fn a_refused_request_whose_body_comes_in_drips_holds_no_connection() {
    let gateway = impatient("http://127.0.0.1:9/v1").start();
    let gateway = &gateway;
    let dripping = |first_line: &str, framing: &str, piece: &str, status: u16| {
        let answer = drip(gateway, &format!("{first_line} HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n"), piece);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{first_line}, {framing}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    };
    // Side by side, since each takes its second.
    std::thread::scope(|scope| {
        for (first_line, status) in
            [("POST /v1/messages", 401), ("POST /nowhere", 404), ("PUT /v1/messages", 405), ("GET /healthz", 200)]
        {
            scope.spawn(move || dripping(first_line, "content-length: 10000", " ", status));
            scope.spawn(move || dripping(first_line, "transfer-encoding: chunked", "1\r\n \r\n", status));
        }
    });
}

#[test]
fn a_body_that_is_too_large_is_read_on_for_no_longer_either() {
    let gateway = impatient("http://127.0.0.1:9/v1").start();
    let chunk = format!("2af8\r\n{}\r\n", "x".repeat(11_000));
    for (framing, start, piece) in
        [("content-length: 1000000", "", "x"), ("transfer-encoding: chunked", chunk.as_str(), "1\r\nx\r\n")]
    {
        let answer = drip(&gateway, &format!("{}{start}", head(&gateway, framing)), piece);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{framing}: {answer}");
        assert!(answer.contains("request_too_large"), "{answer}");
    }
    let metrics = gateway.metrics();
    assert_eq!((metrics.value(TOO_LARGE), metrics.value(REJECTED)), (2.0, 0.0));
}

#[test]
fn a_body_that_breaks_off_is_counted() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    messages(&gateway).header("content-length", "1000").raw_body("{\"model\": ").send().hang_up();
    gateway.metrics_when("the body that broke off", |metrics| metrics.value(REJECTED) == 1.0);
    // Without a word: the kernel sends a reset when bytes are left unread.
    let request = messages(&gateway).header("content-length", "1000").header("expect", "100-continue");
    let call = request.raw_body("{\"model\": ").send();
    eventually("the word to go on", || (!call.is_waiting()).then_some(()));
    drop(call);
    let metrics = gateway.metrics_when("the reset", |metrics| metrics.value(REJECTED) == 2.0);
    assert_eq!(metrics.sum("model_requests_total"), 0.0);
}

/// One answer, and then the end: a second one would be taken for the answer to the next request.
#[test]
fn a_body_whose_chunks_are_broken_is_answered_once() {
    let gateway = impatient("http://127.0.0.1:9/v1").start();
    for broken in ["zz\r\n", "-5\r\nhello\r\n", "5\r\nhelloXX", "ffffffffffffffffff\r\n"] {
        let mut socket = TcpStream::connect(gateway.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = head(&gateway, "transfer-encoding: chunked");
        socket.write_all(format!("{head}{broken}GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
        let mut reader = BufReader::new(socket);
        let mut status = String::new();
        reader.read_line(&mut status).unwrap();
        assert!(status.starts_with("HTTP/1.1 400 "), "{broken:?}: {status}");
        let mut rest = String::new();
        // A reset says the same as an end.
        let _ = reader.read_to_string(&mut rest);
        assert!(rest.contains("connection: close"), "{broken:?}: {rest}");
        assert!(!rest.contains("HTTP/1.1"), "{broken:?}: {rest}");
    }
}

#[test]
fn a_slow_body_within_the_time_is_answered_and_the_connection_serves_again() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let body = asking("Hi").to_string();
    let mut socket = TcpStream::connect(gateway.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(head(&gateway, "transfer-encoding: chunked").as_bytes()).unwrap();
    for piece in body.as_bytes().chunks(body.len() / 4) {
        std::thread::sleep(DRIP);
        let framed = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        socket.write_all(&framed).unwrap();
    }
    socket.write_all(b"0\r\n\r\n").unwrap();
    provider.accept().say("well");
    let call = gateway.request("GET", "/v1/models").send_on(Connection::from(socket));
    let (first, connection) = call.reply_and_keep();
    assert_eq!(first.said(), "well");
    let second = gateway.request("GET", "/v1/models").send_on(connection).reply();
    assert_eq!((second.status, second.header("connection")), (200, None));
}

/// The first head on a connection has its time; there is no second one for those without a key.
#[test]
fn a_stranger_gets_one_answer_and_then_the_end() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for (method, path) in [
        ("GET", "/"),
        ("HEAD", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/nowhere"),
        ("POST", "/v1/messages"),
        ("GET", "/v1/messages"),
        ("GET", "/v1/models"),
        ("GET", "/metrics"),
        ("BREW", "/"),
    ] {
        let (reply, connection) = gateway.bare(method, path).send().reply_and_keep();
        assert_eq!(reply.header("connection"), Some("close"), "{method} {path}");
        assert!(gateway.request("GET", "/v1/models").send_on(connection).reply_if_any().is_none(), "{method} {path}");
    }
    let dripping = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n{}GET / HTTP/1.1\r\nx: ",
        "GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(3)
    );
    let answer = drip(&gateway, &dripping, "a");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let bearer = format!("Bearer {METRICS_TOKEN}");
    let known = gateway.request("GET", "/v1/models").send().reply_and_keep();
    let scraped = gateway.bare("GET", "/metrics").header("authorization", &bearer).send_on(known.1).reply_and_keep();
    let again = gateway.request("GET", "/nowhere").send_on(scraped.1).reply();
    assert_eq!([known.0.header("connection"), scraped.0.header("connection")], [None, None]);
    assert_eq!((known.0.status, scraped.0.status, again.status), (200, 200, 404));
}

/// Room for what a client has not read yet: little, so that the gateway soon has nowhere to write.
const ROOM: usize = 64 * 1024;
/// More than all buffers between a provider and its client take.
const LONG: usize = 16 << 20;
const PIECE: usize = 16 * 1024;

/// A client that reads only when its test says so.
fn reluctant(gateway: &Gateway, body: &Value) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(ROOM).unwrap();
    socket.connect(&gateway.address.into()).unwrap();
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = body.to_string();
    let head = head(gateway, &format!("connection: close\r\ncontent-length: {}", body.len()));
    socket.write_all(format!("{head}{body}").as_bytes()).unwrap();
    socket
}

fn inattentive(url: &str) -> Setup {
    Gateway::setup(url).in_section("server", "client_write_timeout = \"500ms\"")
}

#[test]
fn a_client_that_does_not_read_its_stream_loses_it_and_the_providers_call_ends() {
    let provider = Provider::start();
    let gateway = inattentive(&provider.url()).start();
    let client = reluctant(&gateway, &streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    let begun = Instant::now();
    let sent = exchange.text_until_held_back(&"x".repeat(PIECE), 4 * LONG);
    assert!(sent < 4 * LONG, "all of it was taken in");
    exchange.wait_until_closed();
    assert!(begun.elapsed() >= Duration::from_millis(500));
    let metrics = gateway.metrics_when("the end of the request", |metrics| {
        metrics.value("gateway_cancelled_requests_total{model=\"claude-test\"}") == 1.0
    });
    assert_eq!(metrics.value("gateway_inflight_requests{model=\"claude-test\"}"), 0.0);
    assert_eq!(metrics.value("gateway_provider_requests_total{outcome=\"cancelled\",provider=\"scripted\"}"), 1.0);
    assert_eq!(metrics.sum("model_errors_total"), 0.0);
    drop(client);
}

#[test]
fn a_client_that_does_not_read_a_long_answer_loses_its_connection() {
    let provider = Provider::start();
    let gateway = inattentive(&provider.url()).start();
    let mut client = reluctant(&gateway, &asking("Hi"));
    let begun = Instant::now();
    provider.accept().say(&"x".repeat(LONG));
    gateway.metrics_when("the end of the answer", |metrics| {
        metrics.of("gateway_http_requests_total").any(|(series, _)| series.contains("/v1/messages"))
    });
    assert!(begun.elapsed() >= Duration::from_millis(500));
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect_err("a connection that was reset");
    assert!(answer.len() < LONG, "{} bytes", answer.len());
}

#[test]
fn a_client_that_reads_slowly_but_steadily_is_not_cut() {
    let provider = Provider::start();
    let gateway = inattentive(&provider.url()).start();
    let mut client = reluctant(&gateway, &streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    let talking = std::thread::spawn(move || {
        for _ in 0..LONG / PIECE {
            exchange.text(&"x".repeat(PIECE));
        }
        exchange.finish();
    });
    // Far longer than the time in which something must be taken.
    let until = Instant::now() + Duration::from_secs(3);
    let mut some = vec![0; ROOM];
    while Instant::now() < until {
        std::thread::sleep(DRIP);
        client.read_exact(&mut some).unwrap();
    }
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("event: message_stop"), "ended after {} bytes", rest.len());
    talking.join().unwrap();
}
