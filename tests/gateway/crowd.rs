//! Many clients at once: nobody is lost, nobody gets another's answer.

use std::sync::Barrier;

use serde_json::json;

use crate::harness::message::{asking, streaming, with};
use crate::harness::{Gateway, Simulator};

const EACH: usize = 200;
const MODELS: [&str; 3] = ["claude-sonnet-4-5", "gpt-5", "vendor/llama"];

/// What client number so and so says and wants to hear.
fn words(kind: &str, number: usize) -> String {
    format!("the {kind} number {number} has said {}", "and said again ".repeat(number % 7 + 1).trim())
}

#[test]
fn two_hundred_streams_and_two_hundred_whole_answers_do_not_mix() {
    let simulator = Simulator::start();
    let gateway = simulator.gateway();
    let together = Barrier::new(2 * EACH);
    std::thread::scope(|scope| {
        for number in 0..EACH {
            let (gateway, together): (&Gateway, &Barrier) = (&gateway, &together);
            let model = json!(MODELS[number % MODELS.len()]);
            let asked = model.clone();
            scope.spawn(move || {
                let words = words("stream", number);
                let body = with(
                    with(streaming(&format!("repeat: {words}")), "model", asked.clone()),
                    "max_tokens",
                    json!(1000),
                );
                together.wait();
                let (head, events) = gateway.send(&body).events();
                assert_eq!(head.status, 200);
                let transcript = events.rest();
                transcript.assert_whole();
                assert_eq!(transcript.said(), words);
                assert_eq!(transcript.events[0].data["message"]["model"], asked);
            });
            scope.spawn(move || {
                let words = words("message", number);
                let body =
                    with(with(asking(&format!("repeat: {words}")), "model", model.clone()), "max_tokens", json!(1000));
                together.wait();
                let reply = gateway.send(&body).reply();
                assert_eq!(reply.said(), words);
                assert_eq!(reply.json()["model"], model);
            });
        }
    });
    let metrics = gateway.metrics();
    let all = 2.0 * EACH as f64;
    for (place, label) in ["claude-sonnet-4-5", "gpt-5", "llama"].iter().enumerate() {
        let own = 2.0 * (0..EACH).filter(|number| number % MODELS.len() == place).count() as f64;
        for name in ["model_requests_total", "model_latency_ms_count"] {
            assert_eq!(metrics.value(&format!("{name}{{model=\"{label}\"}}")), own, "{name} of {label}");
        }
    }
    assert_eq!(metrics.sum("model_requests_total"), all);
    assert_eq!(metrics.sum("model_errors_total"), 0.0);
    assert_eq!(metrics.sum("gateway_cancelled_requests_total"), 0.0);
    assert_eq!(metrics.sum("gateway_inflight_requests"), 0.0);
    assert_eq!(metrics.sum("gateway_provider_inflight"), 0.0);
    assert_eq!(metrics.value("gateway_provider_requests_total{outcome=\"success\",provider=\"simulator\"}"), all);
    let stats = simulator.stats();
    assert_eq!((&stats["total"], &stats["abandoned_streams"]), (&json!(400), &json!(0)));
}

/// Ids are never used twice.
#[test]
fn every_message_and_every_request_has_an_id_of_its_own() {
    let simulator = Simulator::start();
    let gateway = simulator.gateway();
    let mut ids: Vec<String> = (0..50)
        .flat_map(|_| {
            let reply = gateway.send(&with(asking("Hi"), "model", json!("m"))).reply();
            let message = reply.json()["id"].as_str().unwrap().to_owned();
            [reply.header("request-id").unwrap().to_owned(), message]
        })
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}
