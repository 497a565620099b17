//! Keys that are told apart: what each may ask for, and until when.

use gatewayz::auth::hex_digest;
use serde_json::json;

use crate::harness::binary::{Process, run};
use crate::harness::gateway::Setup;
use crate::harness::http::{Reply, Request};
use crate::harness::message::{MODEL, UPSTREAM, asking, both_ways, with};
use crate::harness::{Gateway, METRICS_TOKEN, Provider};

/// A gateway with one key in its configuration, called `team`.
fn with_key(provider: &Provider, lines: &str) -> Setup {
    let digest = hex_digest("team-key");
    let entry = format!("key_sha256 = []\n[[auth.keys]]\nname = \"team\"\nsha256 = {digest:?}\n{lines}");
    Setup::default()
        .in_section("auth", &entry)
        .provider("scripted", &provider.url())
        .model(MODEL, &["scripted"], UPSTREAM)
        .model("gpt-test", &["scripted"], "vendor/gpt")
        .model("gpt-*", &["scripted"], "*")
}

fn team(gateway: &Gateway, method: &str, path: &str) -> Request {
    gateway.bare(method, path).header("x-api-key", "team-key")
}

fn ask(gateway: &Gateway, model: &str) -> Reply {
    team(gateway, "POST", "/v1/messages").json(&with(asking("Hi"), "model", json!(model))).ask()
}

#[test]
fn a_key_may_use_its_models_and_sees_no_others() {
    let provider = Provider::start();
    let gateway = with_key(&provider, "models = [\"gpt-*\"]").start();
    for model in ["gpt-test", "gpt-guessed"] {
        let call = team(&gateway, "POST", "/v1/messages").json(&with(asking("Hi"), "model", json!(model))).send();
        provider.accept().say("Hi");
        assert_eq!(call.reply().status, 200);
    }
    for body in both_ways("Hi") {
        let reply = team(&gateway, "POST", "/v1/messages").json(&body).ask();
        let message = reply.assert_error(403, "permission_error", false);
        assert_eq!(message, "this key may not use the model claude-test");
    }
    let counted = team(&gateway, "POST", "/v1/messages/count_tokens").json(&asking("Hi")).ask();
    counted.assert_error(403, "permission_error", false);
    let listed = team(&gateway, "GET", "/v1/models").ask().json();
    let ids: Vec<&str> = listed["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str()).collect();
    assert_eq!(ids, ["gpt-test"]);
    assert_eq!(team(&gateway, "GET", "/v1/models/gpt-test").ask().status, 200);
    team(&gateway, "GET", "/v1/models/claude-test").ask().assert_error(404, "not_found_error", false);
    assert!(provider.is_idle());
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_rejected_requests_total{reason=\"permission\"}"), 3.0);
    assert_eq!(metrics.value("model_requests_total{model=\"claude-test\"}"), 2.0);
    assert_eq!(metrics.value("model_errors_total{model=\"claude-test\"}"), 0.0, "the caller's mistake");
}

/// A deployment may have variables and nothing else.
#[test]
fn a_key_of_a_variable_opens_and_check_names_the_variable() {
    let provider = Provider::start();
    let setup = with_key(&provider, "models = [\"gpt-*\"]");
    let text = setup.text();
    let mut variables: Vec<(&str, &str)> =
        setup.environment().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    variables.push(("GATEWAYZ_CONFIG_TOML", &text));
    let process = Process::start(&["serve"], &variables);
    let address = process.address();
    let asked = |model: &str| {
        let body = with(asking("Hi"), "model", json!(model));
        Request::new(address, "POST", "/v1/messages").header("x-api-key", "team-key").json(&body)
    };
    let call = asked("gpt-test").send();
    provider.accept().say("Hi");
    assert_eq!(call.reply().status, 200);
    asked(MODEL).ask().assert_error(403, "permission_error", false);

    let checked = run(&["check"], &variables);
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    let read = "# read from: built-in defaults < GATEWAYZ_CONFIG_TOML < GATEWAYZ__ variables";
    assert_eq!(checked.out.lines().next(), Some(read));
    assert!(checked.out.contains("name = \"team\""), "{}", checked.out);
}

#[test]
fn a_key_that_is_disabled_or_has_expired_opens_nothing() {
    let provider = Provider::start();
    for (lines, word) in [("disabled = true", "disabled"), ("expires_at = \"2020-01-01T00:00:00Z\"", "expired")] {
        let gateway = with_key(&provider, lines).start();
        let message = ask(&gateway, MODEL).assert_error(401, "authentication_error", false);
        assert!(message.contains(word), "{message}");
    }
    let gateway = with_key(&provider, "expires_at = \"2999-01-01T00:00:00Z\"").start();
    let call = team(&gateway, "POST", "/v1/messages").json(&asking("Hi")).send();
    provider.accept().say("Hi");
    assert_eq!(call.reply().status, 200);
}

/// A client may still send the key from before, or one that is for something else, in the other header.
#[test]
fn of_two_known_keys_the_one_that_opens_is_taken() {
    let provider = Provider::start();
    let keys = |others: &str| {
        let digest = hex_digest("second-key");
        let second = format!("[[auth.keys]]\nname = \"second\"\nsha256 = {digest:?}\nmodels = [\"gpt-*\"]\n{others}");
        format!("disabled = true\n{second}")
    };
    let gateway = with_key(&provider, &keys("")).start();
    let both = |gateway: &Gateway, first: &str, second: &str, model: &str| {
        let request = gateway.bare("POST", "/v1/messages").header("x-api-key", first);
        let request = request.header("authorization", &format!("Bearer {second}"));
        request.json(&with(asking("Hi"), "model", json!(model)))
    };
    for (first, second) in [("team-key", "second-key"), ("second-key", "team-key")] {
        let call = both(&gateway, first, second, "gpt-test").send();
        provider.accept().say("Hi");
        assert_eq!(call.reply().status, 200, "{first}");
        let message = both(&gateway, first, second, MODEL).ask().assert_error(403, "permission_error", false);
        assert_eq!(message, "this key may not use the model claude-test", "the rules of the key that opens");
    }
    let gateway = with_key(&provider, &keys("expires_at = \"2020-01-01T00:00:00Z\"")).start();
    for (first, second, word) in [("team-key", "second-key", "disabled"), ("second-key", "team-key", "expired")] {
        let message = both(&gateway, first, second, MODEL).ask().assert_error(401, "authentication_error", false);
        assert!(message.contains(word), "the first says why: {message}");
    }
    assert!(provider.is_idle());

    let gateway = with_key(&provider, &keys("").replace("disabled = true", "role = \"admin\"")).start();
    for (first, second) in [("team-key", "second-key"), ("second-key", "team-key")] {
        let call = both(&gateway, first, second, "gpt-test").send();
        provider.accept().say("Hi");
        assert_eq!(call.reply().status, 200, "{first}");
        let metrics = gateway.bare("GET", "/metrics").header("x-api-key", first);
        assert_eq!(metrics.header("authorization", &format!("Bearer {second}")).ask().status, 200, "{first}");
    }
}

#[test]
fn an_admin_sees_metrics_and_usage_and_asks_no_models() {
    let provider = Provider::start();
    let gateway = with_key(&provider, "role = \"admin\"").start();
    ask(&gateway, MODEL).assert_error(403, "permission_error", false);
    for path in ["/metrics", "/admin/usage"] {
        assert_eq!(team(&gateway, "GET", path).ask().status, 200);
        assert_eq!(gateway.bare("GET", path).header("authorization", "Bearer team-key").ask().status, 200);
        let by_token = gateway.bare("GET", path).header("authorization", &format!("Bearer {METRICS_TOKEN}"));
        assert_eq!(by_token.ask().status, 200);
    }
    let gateway = with_key(&provider, "").start();
    for path in ["/metrics", "/admin/usage"] {
        for request in [team(&gateway, "GET", path), gateway.bare("GET", path), gateway.request("GET", path)] {
            let reply = request.ask();
            reply.assert_error(401, "authentication_error", false);
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
    }
    let gateway = with_key(&provider, "role = \"admin\"\ndisabled = true").start();
    assert_eq!(team(&gateway, "GET", "/metrics").ask().status, 401);
}
