//! Budgets under a crowd: what is in flight is held, so that it is not spent many times over.

use std::sync::atomic::{AtomicU32, Ordering};

use gatewayz::auth::hex_digest;
use serde_json::{Value, json};

use crate::harness::gateway::Setup;
use crate::harness::http::Call;
use crate::harness::message::{MODEL, UPSTREAM, asking, both_ways, with};
use crate::harness::provider::{Exchange, completion};
use crate::harness::{Gateway, METRICS_TOKEN, Provider};
use crate::key_limits::{limited, number, request, send, served};

/// Worth ten and a half requests: each costs 10 + 3 tokens, 1.3 dollars.
const BUDGET: &str = "usd_per_month = 13.65";

fn assert_held(reply: &crate::harness::http::Reply) {
    let message = reply.assert_error(429, "rate_limit_error", true);
    assert!(message.contains("(13.65 US dollars) is held by requests in flight"), "{message}");
    assert_eq!(number(reply, "retry-after"), 1);
}

#[test]
fn requests_in_flight_hold_what_they_are_expected_to_cost() {
    let provider = Provider::start();
    let gateway = limited(&provider, BUDGET).start();
    // 100 tokens of output, a tenth of a dollar each, as long as it is not known what they come to.
    let first = send(&gateway, "one");
    let exchange = provider.accept();
    // What is expected is 10 dollars and something: two are more than there is.
    let second = send(&gateway, "one");
    let other = provider.accept();
    assert_held(&send(&gateway, "one").reply());
    for (call, exchange) in [(first, exchange), (second, other)] {
        exchange.say("Hi");
        assert_eq!(call.reply().status, 200);
    }
    // 2.6 are spent: nine more, of which the last may cost more than the rest.
    let open: Vec<_> = (0..9).map(|_| (send(&gateway, "one"), provider.accept())).collect();
    for body in both_ways("Hi") {
        assert_held(&request(&gateway, "one", &body).ask());
    }
    served(&gateway, &provider, "two");
    for (call, exchange) in open {
        exchange.say("Hi");
        assert_eq!(call.reply().status, 200);
    }
    send(&gateway, "one").reply().assert_error(402, "billing_error", false);
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_rejected_requests_total{reason=\"rate_limit\"}"), 3.0);
    assert_eq!(metrics.value("gateway_rejected_requests_total{reason=\"budget\"}"), 1.0);
    assert!(provider.is_idle());
}

#[test]
fn what_failed_or_hung_up_holds_nothing() {
    let provider = Provider::start();
    let gateway = limited(&provider, "usd_per_day = 0.5").start();
    for fails in [true, false] {
        let call = send(&gateway, "one");
        let exchange = provider.accept();
        send(&gateway, "one").reply().assert_error(429, "rate_limit_error", true);
        if fails {
            exchange.fail(500, "boom");
            assert_eq!(call.reply().status, 502);
        } else {
            call.hang_up();
            exchange.wait_until_closed();
            gateway.metrics_when("the end", |metrics| metrics.sum("gateway_inflight_requests") == 0.0);
        }
    }
    served(&gateway, &provider, "one");
    send(&gateway, "one").reply().assert_error(402, "billing_error", false);
}

/// 64 clients at once, that come again when they are told to.
#[test]
fn a_crowd_spends_a_budget_once() {
    let provider = Provider::start();
    let gateway = limited(&provider, BUDGET).start();
    let answered = AtomicU32::new(0);
    let client = || {
        loop {
            let reply = send(&gateway, "one").reply();
            match reply.status {
                200 => answered.fetch_add(1, Ordering::Relaxed),
                429 => continue,
                402 => return,
                _ => panic!("{}", reply.text()),
            };
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..64).map(|_| scope.spawn(client)).collect();
        while !clients.iter().all(|client| client.is_finished()) {
            match provider.try_accept() {
                Some(exchange) => exchange.say("Hi"),
                None => std::thread::yield_now(),
            }
        }
    });
    assert_eq!(answered.into_inner(), 11);
    let spent = spent(&gateway);
    assert!((spent - 14.3).abs() < 1e-6, "{spent}");
}

/// US dollars, by the key `one`.
/// The section of a key that is called as it reads, with a budget.
fn budget_of_one() -> String {
    format!(
        "key_sha256 = []\n[[auth.keys]]\nname = \"one\"\nsha256 = {:?}\nlimits = {{ usd_per_day = 3.5 }}\n",
        hex_digest("one")
    )
}

fn spent(gateway: &Gateway) -> f64 {
    let usage = gateway.bare("GET", "/admin/usage").header("authorization", &format!("Bearer {METRICS_TOKEN}")).ask();
    let usage = usage.json();
    let of_key = usage["keys"].as_array().unwrap().iter().find(|key| key["key"] == "one").unwrap();
    of_key["month"]["total"]["cost_usd"].as_f64().unwrap()
}

/// Answers as one that took so many tokens, and cost so many dollars when that is told.
fn bill(exchange: Exchange, tokens: (u64, u64), cost: Option<f64>) {
    let mut answer = completion("Hi");
    answer["usage"] = json!({ "prompt_tokens": tokens.0, "completion_tokens": tokens.1 });
    if let Some(cost) = cost {
        answer["usage"]["cost"] = json!(cost);
    }
    exchange.json(200, &answer);
}

/// Asks 50 times at once; gives those that the provider sees. The others are refused, since the rest is held.
fn burst(gateway: &Gateway, provider: &Provider, body: &Value) -> Vec<(Call, Exchange)> {
    let ask = |_| {
        let call = request(gateway, "one", body).send();
        loop {
            if let Some(exchange) = provider.try_accept() {
                return Some((call, exchange));
            }
            if !call.is_waiting() {
                call.reply().assert_error(429, "rate_limit_error", true);
                return None;
            }
            std::thread::yield_now();
        }
    };
    (0..50).filter_map(ask).collect()
}

#[test]
fn where_only_the_provider_knows_the_cost_one_goes_first() {
    let provider = Provider::start();
    let gateway = Setup::default()
        .in_section("auth", &budget_of_one())
        .provider_with("scripted", &provider.url(), "dialect = \"openrouter\"")
        .model(MODEL, &["scripted"], UPSTREAM)
        .model("claude-other", &["scripted"], UPSTREAM)
        .start();
    let other = |model: &str| with(asking("Hi"), "model", json!(model));
    for (model, at_once, cost) in [
        (asking("Hi"), 1, 1.0),
        // Of 2.5 that are left.
        (asking("Hi"), 3, 0.5),
        // What a request to another model cost is all that is known: a mean of 0.625 of the 1.0 that is left.
        (other("claude-other"), 2, 0.0),
    ] {
        let open = burst(&gateway, &provider, &model);
        assert_eq!(open.len(), at_once, "{model}");
        for (call, exchange) in open {
            bill(exchange, (10, 3), Some(cost));
            assert_eq!(call.reply().status, 200);
        }
    }
    assert_eq!(spent(&gateway), 2.5);
    let free = burst(&gateway, &provider, &other("claude-other"));
    assert_eq!(free.len(), 50, "whole answers have cost nothing");
}

#[test]
fn where_nobody_tells_a_cost_a_budget_stands_in_nobodys_way() {
    let provider = Provider::start();
    let gateway = Setup::default()
        .in_section("auth", &budget_of_one())
        .provider_with("scripted", &provider.url(), "dialect = \"generic\"")
        .model(MODEL, &["scripted"], UPSTREAM)
        .start();
    let open = burst(&gateway, &provider, &asking("Hi"));
    assert_eq!(open.len(), 50);
    for (call, exchange) in open {
        bill(exchange, (10, 3), None);
        assert_eq!(call.reply().status, 200);
    }
    assert_eq!(spent(&gateway), 0.0);
}

#[test]
fn refusals_and_hang_ups_do_not_make_requests_cheap() {
    let provider = Provider::start();
    let gateway = limited(&provider, BUDGET).start();
    served(&gateway, &provider, "one");
    for _ in 0..100 {
        let call = send(&gateway, "one");
        provider.accept().fail(400, "no");
        assert_eq!(call.reply().status, 400);
    }
    // 12.35 are left, and 1.3 are expected.
    assert_eq!(burst(&gateway, &provider, &asking("Hi")).len(), 10);
}

#[test]
fn small_requests_do_not_make_large_ones_cheap() {
    let provider = Provider::start();
    let gateway = limited(&provider, "usd_per_month = 100.0").start();
    for _ in 0..20 {
        let call = send(&gateway, "one");
        bill(provider.accept(), (1, 0), None);
        assert_eq!(call.reply().status, 200);
    }
    // 100 tokens of input or something more, a tenth of a dollar each, which are sure to be paid.
    let large = asking(&"word ".repeat(100));
    let open = burst(&gateway, &provider, &large);
    assert!((8..=10).contains(&open.len()), "{} are in flight", open.len());
    for (call, exchange) in open {
        bill(exchange, (100, 3), None);
        assert_eq!(call.reply().status, 200);
    }
    assert!(spent(&gateway) < 110.0, "{}", spent(&gateway));
}
