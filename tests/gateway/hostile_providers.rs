//! Providers that answer to hurt: what they say is bounded, stays where it belongs, and leads nowhere.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::harness::http::Reply;
use crate::harness::message::{asking, both_ways, streaming, with};
use crate::harness::provider::{Exchange, completion};
use crate::harness::{Gateway, Provider};

/// Asks both ways, answers each time with this, and gives what the client got.
fn answered(gateway: &Gateway, provider: &Provider, head: &str, body: &[u8]) -> [Reply; 2] {
    both_ways("Hi").map(|asked| {
        let call = gateway.send(&asked);
        let mut exchange: Exchange = provider.accept();
        exchange.raw(format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len()));
        exchange.raw(body);
        drop(exchange);
        call.reply()
    })
}

fn compressed(bytes: &[u8], times: usize) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..times {
        out.write_all(bytes).unwrap();
    }
    out.finish().unwrap()
}

#[test]
fn an_answer_that_is_compressed_unasked_is_not_unpacked() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let call = gateway.send(&asking("Hi"));
    let exchange = provider.accept();
    assert_eq!(exchange.header("accept-encoding"), Some("identity"));
    exchange.say("well");
    assert_eq!(call.reply().status, 200);

    let answer = compressed(completion("well").to_string().as_bytes(), 1);
    let bomb = compressed(&vec![b' '; 1 << 20], 200);
    let memory = || gateway.metrics().value("process_resident_memory_bytes");
    let before = memory();
    for body in [&answer, &bomb] {
        for kind in ["application/json", "text/event-stream"] {
            let head = format!("200 OK\r\ncontent-type: {kind}\r\ncontent-encoding: gzip");
            for reply in answered(&gateway, &provider, &head, body) {
                reply.assert_error_of("scripted", 502, "api_error", true);
            }
        }
        for reply in answered(&gateway, &provider, "500 Failed\r\ncontent-encoding: gzip", body) {
            let message = reply.assert_error_of("scripted", 502, "api_error", true);
            assert!(message.is_ascii() && !message.contains(char::is_control), "{message:?}");
        }
    }
    assert!(memory() < before + 100e6, "200 MB were unpacked");
}

/// It would carry prompt and key to another host.
#[test]
fn a_redirect_is_not_followed() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    for status in [301, 302, 303, 307, 308] {
        let head = format!("{status} Elsewhere\r\nlocation: http://{}/v1/x", elsewhere.local_addr().unwrap());
        for reply in answered(&gateway, &provider, &head, b"") {
            let message = reply.assert_error_of("scripted", 502, "api_error", true);
            assert!(message.contains(&status.to_string()) && !message.contains("127.0.0.1"), "{message}");
            assert_eq!(reply.header("location"), None);
        }
    }
    assert!(elsewhere.accept().is_err(), "somebody followed");
    assert!(provider.is_idle());
}

/// What a client names may lie in the gateway's own network.
#[test]
fn an_address_in_a_request_is_passed_on_and_never_visited() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    target.set_nonblocking(true).unwrap();
    let url = format!("http://{}/latest/meta-data", target.local_addr().unwrap());
    let image = json!([{"type": "image", "source": {"type": "url", "url": url}}]);
    let messages = json!([{"role": "user", "content": image}]);
    for body in [asking("x"), streaming("x")] {
        let call = gateway.send(&with(body, "messages", messages.clone()));
        let exchange = provider.accept();
        assert_eq!(exchange.body["messages"][0]["content"][0]["image_url"]["url"], url);
        exchange.say("a cloud");
        assert_eq!(call.reply().status, 200);
    }
    let counted = gateway.request("POST", "/v1/messages/count_tokens").json(&with(asking("x"), "messages", messages));
    assert_eq!(counted.ask().status, 200);
    assert!(target.accept().is_err(), "the gateway went there");
    for scheme in ["file:///etc/passwd", "gopher://127.0.0.1:70/x", "data:text/plain,x", "javascript:x"] {
        let image = json!([{"type": "image", "source": {"type": "url", "url": scheme}}]);
        let body = with(asking("x"), "messages", json!([{"role": "user", "content": image}]));
        gateway.send(&body).reply().assert_error(400, "invalid_request_error", false);
    }
}

#[test]
fn a_head_that_is_no_honest_http_is_an_error_of_the_provider() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let (long, many) = ("a".repeat(300_000), "x: a\r\n".repeat(200));
    for head in [
        "429 Slow\r\nretry-after: 5\rx-injected: yes",
        "200 OK\r\nx: a\r\n folded",
        "200 OK\r\nx: a\0b",
        "200 OK\r\nnocolon",
        "200 OK\r\ncontent-length: 5",
        "200 OK\r\ntransfer-encoding: chunked",
        "101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c",
        "204 No Content",
        "304 Not Modified",
        &format!("200 OK\r\nx: {long}"),
        &format!("200 OK\r\n{many}y: z"),
    ] {
        for reply in answered(&gateway, &provider, head, b"{}") {
            reply.assert_error_of("scripted", 502, "api_error", true);
            assert_eq!(reply.header("x-injected"), None);
        }
    }
}

/// Only what is known goes on, and only as what it is.
#[test]
fn headers_of_a_provider_are_not_the_gateways() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let own = "x-gatewayz-provider: forged\r\nrequest-id: forged\r\nx-should-retry: true\r\nset-cookie: a=b\r\naccess-control-allow-origin: *\r\nx-gatewayz-dropped: forged";
    let body = completion("well").to_string();
    let head = format!("200 OK\r\ncontent-type: application/json\r\n{own}");
    for reply in answered(&gateway, &provider, &head, body.as_bytes()) {
        assert_eq!(reply.status, 200);
        reply.head.assert_named("scripted");
        for name in ["set-cookie", "access-control-allow-origin", "x-should-retry", "x-gatewayz-dropped"] {
            assert_eq!(reply.header(name), None, "{name}");
        }
    }
    for (said, told) in [
        ("7", "7"),
        ("1e300", "86400"),
        ("99999999999999999999999", "86400"),
        ("-5", "0"),
        ("soon", "5"),
        ("", "5"),
        ("NaN", "5"),
        ("inf", "5"),
        ("5, 6", "5"),
        ("5;x", "5"),
    ] {
        let head = format!("429 Slow\r\n{own}\r\nretry-after: {said}");
        for reply in answered(&gateway, &provider, &head, b"{}") {
            reply.assert_error_of("scripted", 429, "rate_limit_error", true);
            assert_eq!(reply.header("retry-after"), Some(told), "{said:?}");
        }
    }
}

/// They end in a terminal, or in somebody's log.
#[test]
fn a_providers_words_bring_no_control_characters() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    for body in [
        &b"{\"error\":{\"message\":\"first\\r\\nx-injected: yes\\u0000\\u001b[31m\\u0007\\u009b2J last\"}}"[..],
        b"first\r\nx-injected: yes\0\x1b[31m\x07 last",
        b"{\"detail\":[{\"msg\":\"first\\u001b]0;title\\u0007 last\"}]}",
    ] {
        for status in ["400 Bad", "500 Failed", "418 Teapot"] {
            for reply in answered(&gateway, &provider, &format!("{status}\r\ncontent-type: application/json"), body) {
                let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
                assert!(!message.contains(char::is_control), "{message:?}");
                assert_eq!(reply.header("x-injected"), None);
            }
        }
    }
}

#[test]
fn an_answer_that_nests_without_end_is_an_error_of_the_provider() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let deep = 100_000;
    for (open, close) in
        [("[", "]"), ("{\"a\":", "}"), ("[{\"text\":", "}]"), ("{\"error\":{\"metadata\":{\"raw\":", "}}}")]
    {
        let nest = format!("{}1{}", open.repeat(deep), close.repeat(deep));
        let content = completion("HERE").to_string().replace("\"HERE\"", &nest);
        // Content that is no text is none; what counts here is that it is passed over.
        for reply in answered(&gateway, &provider, "200 OK\r\ncontent-type: application/json", content.as_bytes()) {
            assert!([200, 502].contains(&reply.status) && reply.body.len() < 4_000, "{}", reply.status);
        }
        for body in [nest.as_str(), &open.repeat(deep)] {
            for head in ["200 OK\r\ncontent-type: application/json", "500 Failed\r\ncontent-type: application/json"] {
                for reply in answered(&gateway, &provider, head, body.as_bytes()) {
                    let message = reply.assert_error_of("scripted", 502, "api_error", true);
                    assert!(message.len() < 4_000, "{} bytes", message.len());
                }
            }
            let data = format!("data: {body}\n\n");
            for reply in answered(&gateway, &provider, "200 OK\r\ncontent-type: text/event-stream", data.as_bytes()) {
                reply.assert_error_of("scripted", 502, "api_error", true);
            }
        }
    }
}

/// What nginx does in front of many a provider: it refuses by the length in the head, and reads no further.
#[test]
fn a_refusal_counts_that_comes_before_all_was_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::before(&format!("http://{}/v1", listener.local_addr().unwrap()));
    // More than the sockets of both sides take in.
    let text = "words ".repeat(4 << 20);
    for closes in [false, true] {
        let call = gateway.send(&asking(&text));
        let (mut socket, _) = listener.accept().unwrap();
        socket.read_exact(&mut [0; 1000]).unwrap();
        let body = json!({"error": {"message": "too much"}}).to_string();
        let length = body.len();
        socket.write_all(format!("HTTP/1.1 413 No\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes()).unwrap();
        if closes {
            socket.shutdown(Shutdown::Write).unwrap();
        }
        call.reply().assert_error_of("scripted", 413, "request_too_large", false);
        assert!(matches!(read_to_end(&mut socket), Ok(rest) if rest < text.len()), "the rest is not sent after it");
    }
}

#[test]
fn a_success_that_is_promised_before_all_was_asked_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::before(&format!("http://{}/v1", listener.local_addr().unwrap()));
    let call = gateway.send(&asking(&"words ".repeat(4 << 20)));
    let (socket, _) = listener.accept().unwrap();
    let mut asked = BufReader::new(&socket);
    let mut length = 0;
    loop {
        let mut line = String::new();
        asked.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
            None if line.trim_end().is_empty() => break,
            None => {}
        }
    }
    let body = completion("well").to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json";
    (&socket).write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes()).unwrap();
    assert_eq!(io::copy(&mut asked.take(length), &mut io::sink()).unwrap(), length);
    (&socket).write_all(body.as_bytes()).unwrap();
    assert_eq!(call.reply().said(), "well");
}

/// How much comes until the other side closes.
fn read_to_end(socket: &mut TcpStream) -> io::Result<usize> {
    match io::copy(socket, &mut io::sink()) {
        Ok(read) => Ok(read as usize),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
        Err(error) => Err(error),
    }
}
