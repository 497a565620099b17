//! Who may call.

use gatewayz::auth::hex_digest;

use crate::harness::gateway::Setup;
use crate::harness::http::Request;
use crate::harness::message::asking;
use crate::harness::{CLIENT_KEY, Gateway, METRICS_TOKEN, Provider};

/// A request for a message without any key.
fn keyless(gateway: &Gateway) -> Request {
    gateway.bare("POST", "/v1/messages").json(&asking("Hi"))
}

#[test]
fn a_key_opens_in_either_header() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let bearer = format!("Bearer {CLIENT_KEY}");
    for (name, value) in [
        ("x-api-key", CLIENT_KEY),
        ("authorization", &bearer),
        ("authorization", &bearer.to_lowercase().replace(&CLIENT_KEY.to_lowercase(), CLIENT_KEY)),
    ] {
        let call = keyless(&gateway).header(name, value).send();
        provider.accept().say("Hi");
        assert_eq!(call.reply().status, 200, "{name}: {value}");
    }
}

/// Clients that have both variables of the SDK in their environment send both headers, one of them meant for
/// another service.
#[test]
fn of_two_keys_one_must_be_right() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let both = |key: &str, bearer: &str| {
        keyless(&gateway).header("x-api-key", key).header("authorization", &format!("Bearer {bearer}"))
    };
    for request in [both(CLIENT_KEY, CLIENT_KEY), both(CLIENT_KEY, "other"), both("other", CLIENT_KEY)] {
        let call = request.send();
        provider.accept().say("Hi");
        assert_eq!(call.reply().status, 200);
    }
    both("other", "other").ask().assert_error(401, "authentication_error", false);
}

#[test]
fn without_a_key_or_with_a_wrong_one_nothing_is_answered() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let prefix = &CLIENT_KEY[..CLIENT_KEY.len() - 1];
    let longer = format!("{CLIENT_KEY}0");
    let wrong = [
        ("x-api-key", ""),
        ("x-api-key", "gw_live_wrong"),
        ("x-api-key", prefix),
        ("x-api-key", &longer),
        ("x-api-key", METRICS_TOKEN),
        ("x-api-key", "gw_live_\u{e9}"),
        ("authorization", "Bearer \u{2026}"),
        ("authorization", CLIENT_KEY),
        ("authorization", "Bearer"),
        ("authorization", "Bearer "),
        ("authorization", "Basic Z3dfbGl2ZTp4"),
    ];
    let missing = keyless(&gateway).ask().assert_error(401, "authentication_error", false);
    assert_eq!(missing, "x-api-key header is required");
    for (name, value) in wrong {
        let message = keyless(&gateway).header(name, value).ask().assert_error(401, "authentication_error", false);
        assert_eq!(message, "invalid x-api-key", "{name}: {value}");
    }
    assert!(provider.is_idle());
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_rejected_requests_total{reason=\"auth\"}"), 1.0 + wrong.len() as f64);
    assert_eq!(metrics.sum("model_requests_total"), 0.0);
}

#[test]
fn every_endpoint_with_data_asks_for_the_key() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for (method, path) in [
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/claude-test"),
        ("GET", "/v1/models/no-such-model"),
    ] {
        gateway.bare(method, path).ask().assert_error(401, "authentication_error", false);
    }
}

#[test]
fn several_keys_and_hashes_open_side_by_side() {
    let provider = Provider::start();
    let hashed =
        format!("key_sha256 = [\"{}\", \"{}\"]", hex_digest("hashed-one"), hex_digest("hashed-two").to_uppercase());
    let gateway = Setup::default()
        .provider("scripted", &provider.url())
        .model("*", &["scripted"], "*")
        .in_section("auth", &hashed)
        .with_environment(&[("GATEWAYZ_API_KEYS", " first-key , second-key,")])
        .start();
    for key in ["first-key", "second-key", "hashed-one", "hashed-two"] {
        let call = keyless(&gateway).header("x-api-key", key).send();
        provider.accept().say("Hi");
        assert_eq!(call.reply().status, 200, "{key}");
    }
    for key in [" ", ",", hex_digest("hashed-one").as_str()] {
        keyless(&gateway).header("x-api-key", key).ask().assert_error(401, "authentication_error", false);
    }
}
