//! Where limits are kept: what is set wrong is said, where Redis is stays secret, and the gateway serves without it.
//! What holds with a Redis is in `tests/replicas`.

use gatewayz::auth::hex_digest;
use serde_json::json;

use crate::harness::binary::{Process, request, run};
use crate::harness::gateway::Setup;
use crate::harness::message::{MODEL, UPSTREAM, asking, with};
use crate::harness::provider::closed_url;
use crate::harness::{CLIENT_KEY, Gateway, METRICS_TOKEN, Provider};

const PASSWORD: &str = "password-of-redis-0123456789";

fn setup(url: &str, limits: &str, section: &str) -> Setup {
    let digest = hex_digest("team");
    let key = format!("[[auth.keys]]\nname = \"team\"\nsha256 = {digest:?}\nlimits = {{ {limits} }}\n");
    Setup::default()
        .in_section("auth", &format!("key_sha256 = []\n{key}"))
        .in_section("limits", section)
        .provider("scripted", url)
        .model(MODEL, &["scripted"], UPSTREAM)
}

/// Nobody listens there.
fn no_redis() -> String {
    let authority = closed_url();
    let authority = authority.trim_start_matches("http://").split('/').next().unwrap();
    format!("redis://:{PASSWORD}@{authority}/0")
}

fn check(setup: &Setup) -> crate::harness::binary::Ended {
    let file = setup.file();
    let environment: Vec<(&str, &str)> =
        setup.environment().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    run(&["check", "--config", &file.text()], &environment)
}

#[test]
fn what_is_set_wrong_is_named_and_not_repeated() {
    let with_password = format!("backend = \"redis\"\nredis_url = \"redis://:{PASSWORD}@redis:6379\"");
    for (section, variable, expected) in [
        ("backend = \"redis\"", "", "REDIS_URL: is not set"),
        (&with_password, "", "limits.redis_url: must hold no password; set the variable REDIS_URL"),
        ("redis_url = \"http://redis\"", "", "limits.redis_url: is no redis:// or rediss:// URL"),
        ("backend = \"redis\"", "password-of-redis-0123456789", "REDIS_URL: is no redis:// or rediss:// URL"),
        ("backend = \"disk\"", "", "limits.backend"),
        ("on_backend_failure = \"panic\"", "", "limits.on_backend_failure"),
    ] {
        let ended = check(&setup("http://127.0.0.1:9/v1", "", section).with_environment(&[("REDIS_URL", variable)]));
        assert_eq!(ended.code, Some(1), "{section}: {}", ended.out);
        assert!(ended.err.contains(expected), "{expected} is not in {}", ended.err);
        assert!(!ended.err.contains(PASSWORD), "{}", ended.err);
    }
}

#[test]
fn check_shows_that_redis_is_known_and_not_where() {
    let url = no_redis();
    let with_url = |section| setup("http://127.0.0.1:9/v1", "", section).with_environment(&[("REDIS_URL", &url)]);
    let ended = check(&with_url("backend = \"redis\"\nredis_url = \"redis://from-the-file:6379\""));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    for part in ["[limits]", "backend = \"redis\"", "on_backend_failure = \"allow\"", "# REDIS_URL: redi…"] {
        assert!(ended.out.contains(part), "{part} is not in {}", ended.out);
    }
    for secret in [PASSWORD, "127.0.0.1:", "from-the-file"] {
        let shown = ended.out.replace("http://127.0.0.1:9/v1", "").replace("host = \"127.0.0.1\"", "");
        assert!(!shown.contains(secret), "{shown}");
    }
    let ended = check(&with_url(""));
    assert!(ended.out.contains("# REDIS_URL: not set"), "nothing is kept there: {}", ended.out);
}

fn ask(gateway: &Gateway, key: &str) -> crate::harness::http::Call {
    gateway.bare("POST", "/v1/messages").header("x-api-key", key).json(&asking("Hi")).send()
}

fn up(gateway: &Gateway) -> Option<f64> {
    gateway.metrics().get("gateway_limits_backend_up")
}

#[test]
fn without_its_redis_a_gateway_keeps_to_the_limits_by_itself() {
    let provider = Provider::start();
    let setup = setup(&provider.url(), "requests_per_minute = 2", "backend = \"redis\"");
    let gateway = setup.with_environment(&[("REDIS_URL", &no_redis())]).start();
    for left in ["1", "0"] {
        let call = ask(&gateway, "team");
        provider.accept().say("Hi");
        let reply = call.reply();
        assert_eq!((reply.status, reply.header("anthropic-ratelimit-requests-remaining")), (200, Some(left)));
    }
    ask(&gateway, "team").reply().assert_error(429, "rate_limit_error", true);
    assert_eq!(up(&gateway), Some(0.0));
    let usage = gateway.bare("GET", "/admin/usage").header("authorization", &format!("Bearer {METRICS_TOKEN}")).ask();
    assert_eq!(usage.json()["shared"], json!(false));
}

#[test]
fn or_denies_what_it_cannot_tell() {
    let provider = Provider::start();
    let section = "backend = \"redis\"\non_backend_failure = \"deny\"";
    let setup = setup(&provider.url(), "usd_per_day = 1.0", section).with_environment(&[("REDIS_URL", &no_redis())]);
    let gateway = setup.start();
    for body in [asking("Hi"), with(asking("Hi"), "stream", json!(true))] {
        let reply = gateway.bare("POST", "/v1/messages").header("x-api-key", "team").json(&body).ask();
        let message = reply.assert_error(529, "overloaded_error", true);
        assert!(!message.contains("edis"), "{message}");
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    let call = ask(&gateway, CLIENT_KEY);
    provider.accept().say("Hi");
    assert_eq!(call.reply().status, 200, "a key without limits");
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("model_errors_total{model=\"claude-test\"}"), 2.0, "a failure of the gateway's");
    assert_eq!(metrics.sum("gateway_rejected_requests_total"), 0.0);
}

#[test]
fn in_memory_there_is_no_backend_to_be_down_and_budgets_are_said_to_be_forgotten() {
    let said = "the budgets of 1 key(s) are kept in memory";
    let provider = Provider::start();
    let (process, address) = Process::serve(&setup(&provider.url(), "usd_per_day = 1.0", ""), &[], &[]);
    assert!(process.err.text().contains(said), "{}", process.err.text());
    let scrape = request(address, "GET", "/metrics").header("authorization", &format!("Bearer {METRICS_TOKEN}"));
    assert!(!scrape.ask().text().contains("gateway_limits_backend"));

    let redis = setup(&provider.url(), "usd_per_day = 1.0", "backend = \"redis\"");
    let url = no_redis();
    let (process, _) = Process::serve(&redis, &[], &[("REDIS_URL", &url)]);
    process.err.wait_for("Redis is away (connection refused)");
    assert!(!process.err.text().contains(said) && !process.err.text().contains(PASSWORD), "{}", process.err.text());

    let (process, _) = Process::serve(&setup(&provider.url(), "requests_per_minute = 1", ""), &[], &[]);
    assert!(!process.err.text().contains(said), "{}", process.err.text());
}
