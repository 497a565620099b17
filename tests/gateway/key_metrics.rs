//! Metrics by key: only where they are asked for, under the names of the configuration.

use gatewayz::auth::hex_digest;

use crate::harness::gateway::Setup;
use crate::harness::message::{MODEL, UPSTREAM, asking};
use crate::harness::{Gateway, Provider};

fn setup(provider: &Provider) -> Setup {
    let entry = |name: &str, limits: &str| {
        let digest = hex_digest(name);
        format!("[[auth.keys]]\nname = {name:?}\nsha256 = {digest:?}\nlimits = {{ {limits} }}\n")
    };
    let keys = format!("key_sha256 = []\n{}{}", entry("busy", "requests_per_minute = 3"), entry("idle", ""));
    Setup::default()
        .in_section("auth", &keys)
        .provider("scripted", &provider.url())
        .model(MODEL, &["scripted"], UPSTREAM)
        .with_lines("price = { input = 100000.0, output = 100000.0 }")
}

fn send(gateway: &Gateway, key: &str) -> crate::harness::http::Call {
    gateway.bare("POST", "/v1/messages").header("x-api-key", key).json(&asking("Hi")).send()
}

#[test]
fn what_each_key_takes_is_shown_when_asked_for() {
    let provider = Provider::start();
    let gateway = setup(&provider).in_section("metrics", "per_key = true").start();
    let before = gateway.metrics();
    for key in ["busy", "idle", "(unnamed)"] {
        let of = |family: &str, more: &str| before.get(&format!("gateway_key_{family}{{key=\"{key}\"{more}}}"));
        assert_eq!(of("requests_total", ""), Some(0.0), "{key}");
        assert_eq!(of("errors_total", ""), Some(0.0), "{key}");
        assert_eq!(of("cost_usd_total", ""), Some(0.0), "{key}");
        for kind in ["input", "output", "cache_read", "cache_write"] {
            assert_eq!(of("tokens_total", &format!(",kind=\"{kind}\"")), Some(0.0), "{key} {kind}");
        }
    }
    for answered in [true, true, false] {
        let call = send(&gateway, "busy");
        match answered {
            true => provider.accept().say("Hi"),
            false => provider.accept().fail(500, "boom"),
        };
        call.reply();
    }
    assert_eq!(send(&gateway, "busy").reply().status, 429);
    let metrics = gateway.metrics();
    let busy = |family: &str, more: &str| metrics.value(&format!("gateway_key_{family}{{key=\"busy\"{more}}}"));
    assert_eq!(busy("requests_total", ""), 4.0, "as model_requests_total: a refusal is a request");
    assert_eq!(busy("errors_total", ""), 1.0, "a limit is no error");
    assert_eq!(busy("tokens_total", ",kind=\"input\""), 20.0);
    assert_eq!(busy("tokens_total", ",kind=\"output\""), 6.0);
    assert!((busy("cost_usd_total", "") - 2.6).abs() < 1e-9);
    assert_eq!(metrics.value("gateway_key_requests_total{key=\"idle\"}"), 0.0);
}

#[test]
fn otherwise_no_metric_names_a_key() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    let call = send(&gateway, "busy");
    provider.accept().say("Hi");
    call.reply();
    let families = gateway.metrics().families();
    assert!(!families.iter().any(|family| family.starts_with("gateway_key_")), "{families:?}");
}
