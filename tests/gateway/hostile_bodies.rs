//! Bodies that are made to hurt.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::harness::http::{Call, Reply};
use crate::harness::message::{MODEL, asking, with};
use crate::harness::{Gateway, Provider};

const PATHS: [&str; 2] = ["/v1/messages", "/v1/messages/count_tokens"];
const DEEP: usize = 100_000;

fn send(gateway: &Gateway, path: &str, body: impl Into<Vec<u8>>) -> Call {
    gateway.request("POST", path).header("content-type", "application/json").body(body).send()
}

fn refused(gateway: &Gateway, path: &str, body: impl Into<Vec<u8>>) -> String {
    send(gateway, path, body).reply().assert_error(400, "invalid_request_error", false)
}

/// The body with this JSON in place of `"HERE"`.
fn containing(body: &Value, json: &str) -> String {
    let text = body.to_string();
    assert!(text.contains("\"HERE\""));
    text.replace("\"HERE\"", json)
}

fn in_messages(content: Value) -> Value {
    with(asking("Hi"), "messages", json!([{"role": "user", "content": content}]))
}

fn schema() -> Value {
    json!([{"name": "t", "input_schema": {"type": "object", "properties": {"x": "HERE"}}}])
}

fn calling() -> Value {
    let call = json!([{"type": "tool_use", "id": "toolu_1", "name": "t", "input": {"x": "HERE"}}]);
    let result = json!([{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]);
    let turns = json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": call}, {"role": "user", "content": result}]);
    with(asking("Hi"), "messages", turns)
}

/// Neither the gateway's stack nor, where it is passed on unread, the provider's parser may suffer.
#[test]
fn json_that_nests_without_end_is_refused() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let result = json!([{"type": "tool_result", "tool_use_id": "toolu_1", "content": "HERE"}]);
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"content\":", "}]")] {
        let nest = format!("{}1{}", open.repeat(DEEP), close.repeat(DEEP));
        for body in [
            nest.clone(),
            open.repeat(DEEP),
            containing(&in_messages(json!("HERE")), &nest),
            containing(&in_messages(result.clone()), &nest),
            containing(&with(asking("Hi"), "system", json!("HERE")), &nest),
            containing(&with(asking("Hi"), "tools", schema()), &nest),
            containing(&calling(), &nest),
            containing(&with(asking("Hi"), "output_config", json!({"format": {"schema": "HERE"}})), &nest),
            containing(&with(asking("Hi"), "output_format", json!("HERE")), &nest),
        ] {
            for path in PATHS {
                refused(&gateway, path, body.clone());
            }
        }
    }
    assert!(provider.is_idle());
    let nest = format!("{}1{}", "[".repeat(DEEP), "]".repeat(DEEP));
    for (body, place) in [
        (with(asking("Hi"), "tools", schema()), "tools.0.custom.input_schema: "),
        (calling(), "messages.1.content.0.tool_use.input: "),
    ] {
        let message = refused(&gateway, "/v1/messages", containing(&body, &nest));
        assert!(message.starts_with(place) && message.contains("128 levels"), "{message}");
    }

    // What is only accepted and not passed on may be as deep as it likes.
    let call = send(&gateway, "/v1/messages", containing(&with(asking("Hi"), "metadata", json!({"x": "HERE"})), &nest));
    let exchange = provider.accept();
    assert!(!exchange.body.to_string().contains("[["));
    exchange.say("well");
    assert_eq!(call.reply().status, 200);
}

#[test]
fn numbers_beyond_every_type_are_refused() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    let long = "9".repeat(400);
    for number in
        ["1e999", "-1e999", "18446744073709551616", "-1", "-0", "1.5", "1e2", "1e-999", "01", "NaN", "0x10", &long]
    {
        for path in PATHS {
            let message = refused(&gateway, path, containing(&with(asking("Hi"), "max_tokens", json!("HERE")), number));
            assert!(!message.contains(&long), "{message}");
        }
    }
    for number in ["1e999", "-1e999", &long, "-1", "1.0000001"] {
        for field in ["temperature", "top_p"] {
            refused(&gateway, "/v1/messages", containing(&with(asking("Hi"), field, json!("HERE")), number));
        }
    }
}

#[test]
fn numbers_at_the_edge_of_their_types_are_passed_on() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    for (field, number, sent) in [
        ("max_tokens", "18446744073709551615", json!(u64::MAX)),
        ("max_tokens", "1", json!(1)),
        ("temperature", "-0", json!(-0.0)),
        ("temperature", "-0.0", json!(-0.0)),
        ("temperature", "1e-999", json!(0.0)),
        ("temperature", "1.0", json!(1.0)),
    ] {
        let body = containing(&with(asking("Hi"), field, json!("HERE")), number);
        let call = send(&gateway, "/v1/messages", body);
        let exchange = provider.accept();
        assert_eq!(exchange.body[field], sent, "{field} = {number}");
        exchange.say("well");
        assert_eq!(call.reply().status, 200);
    }
    // What is passed on unread stays as it is, whatever it is.
    for number in ["1e999", &"9".repeat(400), "-0", "0.1000000000000000055511151231257827"] {
        let call = send(&gateway, "/v1/messages", containing(&calling(), number));
        let exchange = provider.accept();
        let arguments = exchange.body["messages"][1]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
        assert_eq!(arguments, format!("{{\"x\":{number}}}"));
        exchange.say("well");
        assert_eq!(call.reply().status, 200);
    }
}

/// Two readers of one body must not see two models: a proxy in front may have looked at the other one.
#[test]
fn a_field_that_stands_twice_means_one_thing() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let twice = |first: &str, second: &str| {
        format!(
            "{{\"model\":{first},\"max_tokens\":5,\"messages\":[{{\"role\":\"user\",\"content\":\"Hi\"}}],\"model\":{second}}}"
        )
    };
    let model = format!("{MODEL:?}");
    for path in PATHS {
        let reply = send(&gateway, path, twice(&model, "\"no-such-model\"")).reply();
        assert_ne!(reply.status, 200, "{}", reply.text());
    }
    assert!(provider.is_idle());
}

#[test]
fn bytes_that_are_no_text_are_refused_wherever_they_stand() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    for bytes in [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"] {
        let text = asking("HERE").to_string();
        let (before, after) = text.split_once("HERE").unwrap();
        for path in PATHS {
            let body = [before.as_bytes(), bytes, after.as_bytes()].concat();
            assert!(refused(&gateway, path, body).contains("UTF-8"));
        }
    }
}

/// Escaped or, against the rules of JSON, plain: they are text, and reach the provider escaped.
#[test]
fn control_characters_are_text_and_nothing_else() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    for written in ["a\\u0000b\\u0001\\r\\nc", "a\0b\u{1}\r\nc"] {
        let call = send(&gateway, "/v1/messages", containing(&in_messages(json!("HERE")), &format!("\"{written}\"")));
        let exchange = provider.accept();
        assert_eq!(exchange.body["messages"][0]["content"], "a\0b\u{1}\r\nc");
        exchange.say("d\0e\r\n");
        assert_eq!(call.reply().said(), "d\0e\r\n");
    }
    refused(&gateway, "/v1/messages", format!("\0{}", asking("Hi")));
    refused(&gateway, "/v1/messages", format!("{}\0", asking("Hi")));
}

/// A bomb in every encoding that there is: nothing of it is unpacked, and nothing is asked.
#[test]
fn compressed_bodies_are_not_unpacked() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..200 {
        bomb.write_all(&zeros).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let before = resident(&gateway);
    for encoding in ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "identity, gzip", "GZIP"] {
        for path in PATHS {
            let request = gateway.request("POST", path).header("content-type", "application/json");
            let reply: Reply = request.header("content-encoding", encoding).body(bomb.clone()).ask();
            reply.assert_error(415, "invalid_request_error", false);
        }
    }
    assert!(resident(&gateway) < before + 100e6, "200 MB were unpacked");
    assert!(provider.is_idle());
}

/// Bytes of memory.
fn resident(gateway: &Gateway) -> f64 {
    gateway.metrics().value("process_resident_memory_bytes")
}

#[test]
fn paths_lead_nowhere_but_to_their_models() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for id in [
        "..",
        "../../etc/passwd",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%5c..%5cetc%5cpasswd",
        "claude-test/../claude-test",
        "%00",
        "claude-test%00",
        "claude-test%0d%0ax-injected:%20yes",
        "%ff%fe",
        "%",
        "%zz",
        "*",
    ] {
        let reply = gateway.request("GET", &format!("/v1/models/{id}")).ask();
        assert!(reply.status == 404 || reply.status == 400, "{id}: {} {}", reply.status, reply.text());
        assert_eq!(reply.header("x-injected"), None);
        assert!(!reply.text().contains("root:"), "{}", reply.text());
    }
    assert_eq!(gateway.request("GET", "/v1/models/claude%2Dtest").ask().status, 200);
}
