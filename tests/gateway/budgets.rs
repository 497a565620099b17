//! Budgets under a crowd: what is in flight is held, so that it is not spent many times over.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::harness::message::both_ways;
use crate::harness::{METRICS_TOKEN, Provider};
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
    let usage = gateway.bare("GET", "/admin/usage").header("authorization", &format!("Bearer {METRICS_TOKEN}")).ask();
    let spent = usage.json()["keys"].as_array().unwrap().iter().find(|key| key["key"] == "one").unwrap()["month"]["total"]
        ["cost_usd"]
        .as_f64()
        .unwrap();
    assert!((spent - 14.3).abs() < 1e-6, "{spent}");
}
