//! Connections that serve more than once, on both sides of the gateway.

use std::io::Read;
use std::net::TcpStream;

use serde_json::json;

use crate::harness::gateway::Setup;
use crate::harness::message::{asking, streaming};
use crate::harness::provider::{Exchange, delta, usage};
use crate::harness::{Gateway, PATIENCE, Provider};

/// One worker, so that there is one pool.
fn setup(provider: &Provider) -> Setup {
    Gateway::setup(&provider.url()).with_environment(&[("GATEWAYZ__SERVER__WORKERS", "1")])
}

fn stream_and_keep(exchange: &mut Exchange, text: &str) {
    exchange.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    exchange.text(text);
    exchange.data(&delta(json!({}), Some("stop")));
    exchange.data(&json!({"choices": [], "usage": usage()}));
    exchange.chunk("data: [DONE]\n\n");
    exchange.raw("0\r\n\r\n");
}

#[test]
fn the_connection_to_a_provider_is_used_again() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    let call = gateway.send(&asking("one"));
    let mut exchange = provider.accept();
    exchange.say_and_keep("one");
    assert_eq!(call.reply().said(), "one");
    let call = gateway.send(&streaming("two"));
    let mut exchange = exchange.next().expect("the second request on the same connection");
    stream_and_keep(&mut exchange, "two");
    assert_eq!(call.events().1.rest().said(), "two");
    let call = gateway.send(&asking("three"));
    let mut exchange = exchange.next().expect("the third request on the same connection");
    exchange.say_and_keep("three");
    assert_eq!(call.reply().said(), "three");
    assert!(provider.is_idle());
}

#[test]
fn a_connection_that_the_provider_closed_is_not_used_again() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    for _ in 0..20 {
        let call = gateway.send(&asking("Hi"));
        let mut exchange = provider.accept();
        exchange.say_and_keep("well");
        assert_eq!(call.reply().said(), "well");
        exchange.cut();
    }
}

/// What a stream left unread must not come before the next answer.
#[test]
fn a_connection_with_an_answer_that_failed_is_not_used_again() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    exchange.text("Hello");
    exchange.chunk("data: {not json\n\n");
    assert_eq!(call.events().1.rest().events.last().unwrap().name, "error");
    assert!(exchange.next().is_none(), "the connection is closed");
    let call = gateway.send(&asking("Hi"));
    provider.accept().say("well");
    assert_eq!(call.reply().said(), "well");
}

/// An interim answer, which nobody asked for, is no answer. The real one must never reach the next client.
#[test]
fn the_answer_after_an_interim_one_reaches_its_own_client() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    for status in ["100 Continue", "103 Early Hints"] {
        let first = gateway.send(&asking("Hi"));
        let mut exchange = provider.accept();
        exchange.raw(format!("HTTP/1.1 {status}\r\n\r\n"));
        let second = gateway.send(&asking("mine"));
        provider.accept().say("yours");
        assert_eq!(second.reply().said(), "yours");
        exchange.say("the first one's");
        assert_eq!(first.reply().said(), "the first one's");
    }
}

/// A stream without a length and without chunks comes as it is said, and ends with its connection.
#[test]
fn a_stream_may_last_until_its_connection_closes() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    for done in ["data: [DONE]\n\n", ""] {
        let call = gateway.send(&streaming("Hi"));
        let mut exchange = provider.accept();
        exchange.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n");
        exchange.raw("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n");
        let (_, mut events) = call.events();
        assert_eq!(events.until("content_block_delta").data["delta"]["text"], "Hel", "before the end");
        let last = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\n";
        exchange.raw(format!("{last}{done}"));
        drop(exchange);
        assert_eq!(events.rest().events.last().unwrap().name, "message_stop");
    }
}

#[test]
fn a_client_may_send_one_request_after_the_other() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    let request = |body| gateway.request("POST", "/v1/messages").json(&body);
    let call = request(asking("one")).send();
    provider.accept().say("one");
    let (reply, connection) = call.reply_and_keep();
    assert_eq!(reply.said(), "one");
    let call = request(streaming("two")).send_on(connection);
    provider.accept().say("two");
    let (reply, connection) = call.reply_and_keep();
    assert!(reply.text().contains("\"two\"") && reply.complete, "{}", reply.text());
    let (reply, _) = gateway.bare("GET", "/healthz").send_on(connection).reply_and_keep();
    assert_eq!(reply.status, 200);
}

/// An answer that comes before the body was read must not make the body the next request.
#[test]
fn after_a_refusal_the_connection_is_good_or_closed() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    let smuggled = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2);
    for request in [
        gateway.bare("POST", "/v1/messages").body(smuggled.clone()),
        gateway.request("POST", "/v1/messages").header("content-type", "text/plain").body(smuggled.clone()),
        gateway.request("PUT", "/v1/messages").body(smuggled.clone()),
        gateway.request("POST", "/nowhere").body(smuggled.clone()),
        gateway.request("GET", "/healthz").body(smuggled.clone()),
    ] {
        let (first, connection) = request.send().reply_and_keep();
        let marked = gateway.bare("GET", "/no-such-path-as-a-mark").send_on(connection);
        if let Some(second) = marked.reply_if_any() {
            assert_eq!(second.status, 404, "after {}: {}", first.status, second.text());
        }
    }
}

#[test]
fn bodies_in_chunks_and_after_a_go_on_are_read() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let body = asking("Hi").to_string();
    let (start, rest) = body.split_at(20);
    let framed = format!("14\r\n{start}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n", rest.len());
    let chunked = gateway.request("POST", "/v1/messages").header("transfer-encoding", "chunked").raw_body(framed);
    let expecting = gateway.request("POST", "/v1/messages").header("expect", "100-continue").body(body);
    for request in [chunked, expecting] {
        let call = request.send();
        let exchange = provider.accept();
        assert_eq!(exchange.body["messages"][0]["content"], "Hi");
        exchange.say("Hi");
        assert_eq!(call.reply().status, 200);
    }
}

#[test]
fn a_client_that_dawdles_over_its_head_is_let_go() {
    let setup = Gateway::setup("http://127.0.0.1:9/v1").in_section("server", "client_header_timeout = \"200ms\"");
    let gateway = setup.start();
    let mut socket = TcpStream::connect(gateway.address).unwrap();
    std::io::Write::write_all(&mut socket, b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("the gateway closes the connection");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}
