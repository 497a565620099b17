//! What a key may use: rates, calls at once, budgets; and what is told of them.

use gatewayz::auth::hex_digest;
use serde_json::{Value, json};

use crate::harness::gateway::Setup;
use crate::harness::http::{Call, Reply, Request};
use crate::harness::message::{MODEL, UPSTREAM, asking, both_ways, streaming, with};
use crate::harness::{CLIENT_KEY, Gateway, METRICS_TOKEN, Provider};

/// A gateway with two keys of the same limits, called `one` and `two`.
pub fn limited(provider: &Provider, limits: &str) -> Setup {
    let entry = |name: &str| {
        let digest = hex_digest(name);
        format!("[[auth.keys]]\nname = {name:?}\nsha256 = {digest:?}\nlimits = {{ {limits} }}\n")
    };
    Setup::default()
        .in_section("auth", &format!("key_sha256 = []\n{}{}", entry("one"), entry("two")))
        .provider("scripted", &provider.url())
        .model(MODEL, &["scripted"], UPSTREAM)
        .with_lines("price = { input = 100000.0, output = 100000.0 }")
}

pub fn request(gateway: &Gateway, key: &str, body: &Value) -> Request {
    gateway.bare("POST", "/v1/messages").header("x-api-key", key).json(body)
}

pub fn send(gateway: &Gateway, key: &str) -> Call {
    request(gateway, key, &asking("Hi")).send()
}

/// Answered well.
pub fn served(gateway: &Gateway, provider: &Provider, key: &str) -> Reply {
    let call = send(gateway, key);
    provider.accept().say("Hi");
    let reply = call.reply();
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

pub fn number(reply: &Reply, header: &str) -> u64 {
    let value = reply.header(header).unwrap_or_else(|| panic!("no {header}"));
    value.parse().unwrap_or_else(|_| panic!("{header}: {value}"))
}

#[test]
fn requests_beyond_the_limit_of_a_key_are_told_when_to_come_back() {
    let provider = Provider::start();
    // One in 20 seconds comes back: none during the test.
    let gateway = limited(&provider, "requests_per_minute = 3").start();
    for left in [2, 1, 0] {
        let reply = served(&gateway, &provider, "one");
        assert_eq!(number(&reply, "anthropic-ratelimit-requests-limit"), 3);
        assert_eq!(number(&reply, "anthropic-ratelimit-requests-remaining"), left);
        let reset = reply.header("anthropic-ratelimit-requests-reset").unwrap();
        let reset = humantime::parse_rfc3339(reset).unwrap();
        let until = reset.duration_since(std::time::SystemTime::now()).unwrap().as_secs();
        assert!(until <= 20 * (3 - left) + 1 && until + 3 >= 20 * (3 - left), "{until} s for {left}");
        assert_eq!(reply.header("anthropic-ratelimit-input-tokens-limit"), None);
    }
    for body in both_ways("Hi") {
        let reply = request(&gateway, "one", &body).ask();
        let message = reply.assert_error(429, "rate_limit_error", true);
        assert!(message.contains("3 requests per minute"), "{message}");
        assert!((17..=20).contains(&number(&reply, "retry-after")));
        assert_eq!(number(&reply, "anthropic-ratelimit-requests-remaining"), 0);
    }
    served(&gateway, &provider, "two");
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_rejected_requests_total{reason=\"rate_limit\"}"), 2.0);
    assert_eq!(metrics.value("model_requests_total{model=\"claude-test\"}"), 6.0);
    assert_eq!(metrics.sum("model_errors_total"), 0.0, "a limit of ours is no error of the model");
    assert!(provider.is_idle());
}

/// After `retry-after` the next request passes.
#[test]
fn a_limit_refills() {
    let provider = Provider::start();
    let gateway = limited(&provider, "requests_per_minute = 120").start();
    for _ in 0..120 {
        served(&gateway, &provider, "one");
    }
    let refused = std::iter::repeat_with(|| {
        let call = send(&gateway, "one");
        // It refills while we ask.
        crate::harness::eventually("an answer or a call", || match provider.try_accept() {
            Some(exchange) => {
                exchange.say("Hi");
                Some(())
            }
            None => (!call.is_waiting()).then_some(()),
        });
        call.reply()
    })
    .find(|reply| reply.status != 200)
    .unwrap();
    assert_eq!((refused.status, number(&refused, "retry-after")), (429, 1));
    std::thread::sleep(std::time::Duration::from_secs(1));
    served(&gateway, &provider, "one");
}

#[test]
fn tokens_are_estimated_first_and_counted_then() {
    let provider = Provider::start();
    let limits = "input_tokens_per_minute = 600, output_tokens_per_minute = 600";
    let gateway = limited(&provider, limits).start();
    // The provider counts 10 and 3.
    let reply = served(&gateway, &provider, "one");
    assert_eq!(number(&reply, "anthropic-ratelimit-input-tokens-limit"), 600);
    assert!((588..=592).contains(&number(&reply, "anthropic-ratelimit-input-tokens-remaining")));
    assert!((596..=600).contains(&number(&reply, "anthropic-ratelimit-output-tokens-remaining")));
    let long = "many words ".repeat(250);
    let call = request(&gateway, "one", &streaming(&long)).send();
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.text("so far");
    let (head, events) = call.events();
    let remaining: u64 = head.header("anthropic-ratelimit-input-tokens-remaining").unwrap().parse().unwrap();
    assert!(remaining < 200, "the estimate is reserved: {remaining}");
    let reply = request(&gateway, "one", &asking(&long)).ask();
    assert!(reply.assert_error(429, "rate_limit_error", true).contains("input tokens per minute"));
    exchange.finish();
    events.rest();
    let reply = served(&gateway, &provider, "one");
    assert!(number(&reply, "anthropic-ratelimit-input-tokens-remaining") > 560, "10 were used, the rest came back");
}

/// The provider bills what it was asked, whoever hangs up.
#[test]
fn hanging_up_before_anything_is_known_leaves_the_estimate() {
    let provider = Provider::start();
    let gateway = limited(&provider, "input_tokens_per_minute = 600").start();
    let long = "many words ".repeat(100);
    for (body, at_least) in [(asking(&long), 150), (streaming(&long), 300)] {
        let call = request(&gateway, "one", &body).send();
        let exchange = provider.accept();
        call.hang_up();
        exchange.wait_until_closed();
        gateway.metrics_when("the end", |metrics| metrics.sum("gateway_inflight_requests") == 0.0);
        let left = number(&served(&gateway, &provider, "one"), "anthropic-ratelimit-input-tokens-remaining");
        assert!(left < 600 - at_least, "{left}");
    }
    assert_eq!(gateway.metrics().sum("gateway_tokens_total"), 26.0, "of the two that were answered");
}

#[test]
fn calls_at_once_are_bounded_however_they_end() {
    let provider = Provider::start();
    let gateway = limited(&provider, "concurrent_requests = 1").start();
    let call = request(&gateway, "one", &streaming("Hi")).send();
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.text("so far");
    let (_, mut events) = call.events();
    events.until("content_block_delta");
    let refused = send(&gateway, "one").reply();
    assert!(refused.assert_error(429, "rate_limit_error", true).contains("1 concurrent requests"));
    served(&gateway, &provider, "two");
    events.hang_up();
    exchange.wait_until_closed();
    gateway.metrics_when("the end", |metrics| metrics.sum("gateway_inflight_requests") == 0.0);
    served(&gateway, &provider, "one");
    served(&gateway, &provider, "one");
}

#[test]
fn a_budget_that_is_spent_is_a_matter_of_billing() {
    let provider = Provider::start();
    // Each answer costs 10 + 3 tokens: 1.3 dollars.
    let gateway = limited(&provider, "usd_per_day = 2.0").start();
    served(&gateway, &provider, "one");
    served(&gateway, &provider, "one");
    for body in both_ways("Hi") {
        let reply = request(&gateway, "one", &body).ask();
        reply.assert_error(402, "billing_error", false);
        assert_eq!(reply.header("retry-after"), None);
    }
    served(&gateway, &provider, "two");
    assert_eq!(gateway.metrics().value("gateway_rejected_requests_total{reason=\"budget\"}"), 2.0);
    let usage = gateway.bare("GET", "/admin/usage").header("authorization", &format!("Bearer {METRICS_TOKEN}")).ask();
    let usage = usage.json();
    let of = |name: &str| {
        let keys = usage["keys"].as_array().unwrap();
        keys.iter().find(|key| key["key"] == name).unwrap_or_else(|| panic!("{name} in {usage}")).clone()
    };
    let expected = |requests: u64| {
        json!({
            "requests": requests, "errors": 0, "input_tokens": 10 * requests, "output_tokens": 3 * requests,
            "cache_read_tokens": 0, "cache_write_tokens": 0, "cost_usd": 1.3 * requests as f64,
        })
    };
    for period in ["day", "month"] {
        assert_eq!(of("one")[period]["total"], expected(2));
        assert_eq!(of("one")[period]["models"], json!({ MODEL: expected(2) }));
        assert_eq!(of("two")[period]["total"], expected(1));
        assert_eq!(of("(unnamed)")[period]["total"]["requests"], 0);
    }
    let month = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    assert!(month.starts_with(of("one")["month"]["period"].as_str().unwrap()));
}

#[test]
fn every_answer_to_a_known_key_tells_its_limits() {
    let provider = Provider::start();
    let setup = limited(&provider, "requests_per_minute = 3, usd_per_day = 1.0");
    let gateway = setup.in_section("server", "max_body = \"1KB\"\nmax_inflight = 2").start();
    let left = |reply: &Reply, status: u16, left: u64| {
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(number(reply, "anthropic-ratelimit-requests-limit"), 3, "{status}");
        assert_eq!(number(reply, "anthropic-ratelimit-requests-remaining"), left, "{status}");
    };
    let of_key = |method: &str, path: &str| gateway.bare(method, path).header("x-api-key", "one");
    let refused = |body: &Value| request(&gateway, "one", body).ask();
    left(&of_key("GET", "/v1/models").ask(), 200, 3);
    left(&of_key("GET", "/v1/models/claude-none").ask(), 404, 3);
    left(&of_key("POST", "/v1/messages/count_tokens").json(&asking("Hi")).ask(), 200, 3);
    left(&refused(&json!({})), 400, 3);
    left(&refused(&with(asking("Hi"), "model", json!("claude-none"))), 404, 3);
    left(&refused(&asking(&"x".repeat(2000))), 413, 3);
    let call = send(&gateway, "one");
    provider.accept().fail(500, "boom");
    left(&call.reply(), 502, 2);
    left(&served(&gateway, &provider, "one"), 200, 1);
    left(&send(&gateway, "one").reply(), 402, 1);
    let open = [send(&gateway, "two"), send(&gateway, CLIENT_KEY)];
    let exchanges = [provider.accept(), provider.accept()];
    left(&send(&gateway, "one").reply(), 529, 1);
    exchanges.into_iter().for_each(|exchange| exchange.say("Hi"));
    open.into_iter().for_each(|call| assert_eq!(call.reply().status, 200));

    let stranger = send(&gateway, "nobody").reply();
    assert_eq!((stranger.status, stranger.header("anthropic-ratelimit-requests-limit")), (401, None));
    let health = gateway.bare("GET", "/healthz").ask();
    assert_eq!((health.status, health.header("anthropic-ratelimit-requests-limit")), (200, None));
}

#[test]
fn a_key_without_limits_hears_of_none() {
    let provider = Provider::start();
    let gateway = limited(&provider, "").start();
    let reply = served(&gateway, &provider, "one");
    let head = format!("{:?}", reply.head);
    assert!(!head.contains("anthropic-ratelimit"), "{head}");
}

/// What failed is in the usage as an error, and costs no tokens.
#[test]
fn failures_are_in_the_usage() {
    let provider = Provider::start();
    let gateway = limited(&provider, "requests_per_minute = 100").start();
    let call = send(&gateway, "one");
    provider.accept().fail(500, "boom");
    assert_eq!(call.reply().status, 502);
    let usage = gateway.bare("GET", "/admin/usage").header("authorization", &format!("Bearer {METRICS_TOKEN}")).ask();
    let text = usage.text();
    assert!(text.contains("\"key\":\"one\"") && text.contains("\"errors\":1"), "{text}");
}

/// A provider that counts beyond all measure must not take the key's answers with it.
#[test]
fn an_absurd_count_of_tokens_costs_the_key_its_tokens_and_nothing_else() {
    let provider = Provider::start();
    let gateway = limited(&provider, "output_tokens_per_minute = 1").start();
    let call = send(&gateway, "one");
    let mut body = crate::harness::provider::completion("Hi");
    body["usage"] = json!({"prompt_tokens": 1, "completion_tokens": 1_000_000_000_000_u64});
    provider.accept().json(200, &body);
    assert_eq!(call.reply().status, 200);
    let reply = send(&gateway, "one").reply();
    reply.assert_error(429, "rate_limit_error", true);
    assert_eq!(reply.header("retry-after"), Some("86400"), "a day at most");
    served(&gateway, &provider, "two");
}
