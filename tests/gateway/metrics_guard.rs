//! Who may see the metrics, and the form in which they come.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::harness::http::{Reply, Request};
use crate::harness::message::asking;
use crate::harness::{CLIENT_KEY, Gateway, METRICS_TOKEN, Provider};

fn bearer(gateway: &Gateway, token: &str) -> Request {
    gateway.bare("GET", "/metrics").header("authorization", &format!("Bearer {token}"))
}

fn assert_closed(reply: &Reply) {
    reply.assert_error(401, "authentication_error", false);
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    assert!(!reply.text().contains("model_requests_total"), "{}", reply.text());
}

#[test]
fn only_the_bearer_token_opens_the_metrics() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    assert_eq!(bearer(&gateway, METRICS_TOKEN).ask().status, 200);
    let plain = |name: &str, value: &str| gateway.bare("GET", "/metrics").header(name, value);
    for request in [
        gateway.bare("GET", "/metrics"),
        bearer(&gateway, "wrong"),
        bearer(&gateway, ""),
        bearer(&gateway, &METRICS_TOKEN[1..]),
        bearer(&gateway, &format!("{METRICS_TOKEN}x")),
        bearer(&gateway, CLIENT_KEY),
        plain("x-api-key", CLIENT_KEY),
        plain("x-api-key", METRICS_TOKEN),
        plain("authorization", METRICS_TOKEN),
        plain("authorization", &format!("Basic {METRICS_TOKEN}")),
        gateway.bare("GET", &format!("/metrics?token={METRICS_TOKEN}&access_token={METRICS_TOKEN}")),
    ] {
        assert_closed(&request.ask());
    }
}

#[test]
fn without_a_configured_token_the_binary_refuses_and_the_metrics_stay_closed() {
    let setup = Gateway::setup("http://127.0.0.1:9/v1").without_environment("METRICS_TOKEN");
    let gateway = setup.start_insecure();
    for token in ["", " ", METRICS_TOKEN, CLIENT_KEY] {
        assert_closed(&bearer(&gateway, token).ask());
    }
    assert_closed(&gateway.bare("GET", "/metrics").ask());
}

#[test]
fn the_content_type_is_prometheus_to_the_letter() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for accept in ["*/*", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"] {
        let reply = bearer(&gateway, METRICS_TOKEN).header("accept", accept).ask();
        assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        assert_eq!(reply.header("content-encoding"), None);
        reply.head.assert_named("gatewayz");
    }
}

#[test]
fn the_metrics_are_compressed_when_asked() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    let plain = bearer(&gateway, METRICS_TOKEN).ask();
    let packed = bearer(&gateway, METRICS_TOKEN).header("accept-encoding", "gzip").ask();
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(packed.body.len() * 3 < plain.body.len(), "{} of {}", packed.body.len(), plain.body.len());
    let mut text = String::new();
    GzDecoder::new(&packed.body[..]).read_to_string(&mut text).unwrap();
    assert!(text.contains("model_requests_total{model=\"claude-test\"} 0"), "{text}");
}

#[test]
fn every_family_has_its_help_and_its_type() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let call = gateway.send(&asking("Hi"));
    provider.accept().say("Hi");
    call.reply();
    let metrics = gateway.metrics();
    let families = metrics.families();
    assert!(families.len() > 25, "{families:?}");
    for family in families {
        assert!(metrics.help.get(&family).is_some_and(|help| help.len() > 10), "{family} has no help");
        let kind = metrics.kinds.get(&family).map(String::as_str);
        assert!(matches!(kind, Some("counter" | "gauge" | "histogram")), "{family} is {kind:?}");
        assert_eq!(family.ends_with("_total"), kind == Some("counter"), "{family} is {kind:?}");
    }
    for (family, kind) in [
        ("model_requests_total", "counter"),
        ("model_errors_total", "counter"),
        ("model_latency_ms", "histogram"),
        ("model_tokens_used_total", "counter"),
    ] {
        assert_eq!(metrics.kinds[family], kind);
    }
}
