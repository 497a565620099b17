//! What is counted, and as what.

use serde_json::{Value, json};

use crate::harness::exposition::Exposition;
use crate::harness::gateway::Setup;
use crate::harness::message::{MODEL, asking, both_ways, streaming, with};
use crate::harness::provider::{completion, delta};
use crate::harness::{Gateway, Provider, Simulator};

/// The value of a series that has no label but the model's.
fn of_model(metrics: &Exposition, name: &str, model: &str) -> f64 {
    metrics.value(&format!("{name}{{model=\"{model}\"}}"))
}

/// Without this, healthy models vanish from the panels of errors, and first increments are lost to `rate()`.
#[test]
fn every_series_of_every_model_in_the_catalog_exists_at_zero_from_the_start() {
    let gateway = Setup::default().start();
    let metrics = gateway.metrics();
    let listed = gateway.request("GET", "/v1/models?limit=1000").ask().json();
    let models: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert!(models.len() > 20, "{models:?}");
    for family in ["claude", "gpt", "gemini", "llama", "mistral"] {
        assert!(models.iter().any(|model| model.starts_with(family)), "no {family} in {models:?}");
    }
    for model in models {
        for name in [
            "model_requests_total",
            "model_errors_total",
            "model_latency_ms_count",
            "model_latency_ms_sum",
            "model_tokens_used_total",
            "gateway_cancelled_requests_total",
            "gateway_inflight_requests",
        ] {
            assert_eq!(metrics.get(&format!("{name}{{model=\"{model}\"}}")), Some(0.0), "{name} of {model}");
        }
        for bucket in ["5", "1500", "600000", "+Inf"] {
            let series = format!("model_latency_ms_bucket{{model=\"{model}\",le=\"{bucket}\"}}");
            assert_eq!(metrics.get(&series), Some(0.0), "{series}");
        }
        for kind in ["api_error", "overloaded_error", "rate_limit_error", "timeout_error", "stream_interrupted"] {
            let series = format!("gateway_errors_total{{model=\"{model}\",type=\"{kind}\"}}");
            assert_eq!(metrics.get(&series), Some(0.0), "{series}");
        }
    }
    for reason in ["auth", "validation", "unknown_model", "too_large", "rate_limit", "shutting_down"] {
        let series = format!("gateway_rejected_requests_total{{reason=\"{reason}\"}}");
        assert_eq!(metrics.get(&series), Some(0.0), "{series}");
    }
}

#[test]
fn a_thousand_requests_are_a_thousand() {
    const MODEL: &str = "claude-sonnet-4-5-20250929";
    let simulator = Simulator::start();
    let gateway = Setup::default().provider("simulator", &simulator.url()).model(MODEL, &["simulator"], "*").start();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                for number in 0..125 {
                    let body = both_ways("Hello, Claude!")[(thread + number) % 2].clone();
                    let reply = gateway.send(&with(body, "model", json!(MODEL))).reply();
                    assert!(reply.status == 200 && reply.complete);
                }
            });
        }
    });
    let metrics = gateway.metrics();
    assert_eq!(of_model(&metrics, "model_requests_total", MODEL), 1000.0);
    assert_eq!(of_model(&metrics, "model_latency_ms_count", MODEL), 1000.0);
    assert_eq!(of_model(&metrics, "model_errors_total", MODEL), 0.0);
    assert_eq!(of_model(&metrics, "gateway_time_to_first_token_seconds_count", MODEL), 500.0);
    assert_eq!(of_model(&metrics, "gateway_inflight_requests", MODEL), 0.0);
    assert_eq!(metrics.value("gateway_provider_requests_total{outcome=\"success\",provider=\"simulator\"}"), 1000.0);
    assert_eq!(metrics.value("gateway_provider_latency_seconds_count{provider=\"simulator\"}"), 1000.0);
    assert_eq!(metrics.value("gateway_overhead_seconds_count"), 1000.0);
    assert_eq!(simulator.stats()["total"], 1000);
}

/// The observation is handed over before the last bytes go out.
#[test]
fn a_scrape_begun_right_after_an_answer_includes_it() {
    let simulator = Simulator::start();
    let gateway = simulator.setup().model(MODEL, &["simulator"], "*").start();
    for round in 1..=100 {
        let reply = gateway.send(&both_ways("Hi")[round % 2]).reply();
        assert_eq!(reply.status, 200);
        assert_eq!(of_model(&gateway.metrics(), "model_requests_total", MODEL), round as f64);
    }
    for round in 1..=20 {
        let body = with(both_ways("Hi")[round % 2].clone(), "model", json!("simulate-error"));
        assert_eq!(gateway.send(&body).reply().status, 502);
        assert_eq!(of_model(&gateway.metrics(), "model_errors_total", "simulate-error"), round as f64);
    }
}

#[test]
fn what_failed_is_an_error_and_what_the_caller_did_wrong_is_none() {
    let simulator = Simulator::start();
    let gateway = simulator.gateway();
    // Mood, type of the error or none where the caller is at fault, outcome of the call.
    let cases = [
        ("rate-limit", Some("rate_limit_error"), "rate_limited"),
        ("error", Some("api_error"), "server_error"),
        ("bad-gateway", Some("api_error"), "server_error"),
        ("unavailable", Some("overloaded_error"), "server_error"),
        ("overloaded", Some("overloaded_error"), "server_error"),
        ("timeout", Some("timeout_error"), "timeout"),
        ("unauthorised", Some("api_error"), "client_error"),
        ("forbidden", Some("api_error"), "client_error"),
        ("no-credit", Some("api_error"), "client_error"),
        // Only a wildcard takes this id: the client may have made it up.
        ("not-found", None, "client_error"),
        ("cold", Some("overloaded_error"), "server_error"),
        ("error-in-200", Some("overloaded_error"), "server_error"),
        ("invalid", None, "client_error"),
        ("moderated", None, "client_error"),
        ("context", None, "client_error"),
        ("well", None, "success"),
        ("refuse", None, "success"),
    ];
    for (mood, error, outcome) in cases {
        let model = format!("simulate-{mood}");
        let calls = format!("gateway_provider_requests_total{{outcome=\"{outcome}\",provider=\"simulator\"}}");
        let before = gateway.metrics().value(&calls);
        for body in both_ways("Hi") {
            gateway.send(&with(body, "model", json!(model))).reply();
        }
        let metrics = gateway.metrics();
        assert_eq!(of_model(&metrics, "model_requests_total", &model), 2.0, "{mood}");
        assert_eq!(of_model(&metrics, "model_errors_total", &model), if error.is_some() { 2.0 } else { 0.0 }, "{mood}");
        let good = if outcome == "success" { 2.0 } else { 0.0 };
        assert_eq!(of_model(&metrics, "model_latency_ms_count", &model), good, "{mood}");
        assert_eq!(of_model(&metrics, "gateway_inflight_requests", &model), 0.0, "{mood}");
        if let Some(kind) = error {
            let series = format!("gateway_errors_total{{model=\"{model}\",type=\"{kind}\"}}");
            assert_eq!(metrics.value(&series), 2.0, "{series}");
        }
        assert_eq!(metrics.value(&calls) - before, 2.0, "{mood}: {calls}");
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("model_errors_total"), metrics.sum("gateway_errors_total"));
    assert_eq!(metrics.sum("gateway_provider_requests_total"), 2.0 * cases.len() as f64);
    assert_eq!(metrics.value("gateway_provider_inflight{provider=\"simulator\"}"), 0.0);
    assert_eq!(metrics.sum("gateway_rejected_requests_total"), 0.0);
}

#[test]
fn tokens_add_up_and_do_not_overlap() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let usage = json!({
        "prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 15},
        "completion_tokens_details": {"reasoning_tokens": 7},
    });
    let call = gateway.send(&asking("Hi"));
    provider.accept().json(200, &with(completion("Hi"), "usage", usage.clone()));
    assert_eq!(call.reply().json()["usage"]["input_tokens"], 25);
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.text("Hi");
    exchange.data(&with(delta(json!({}), Some("stop")), "usage", usage));
    exchange.chunk("data: [DONE]\n\n");
    exchange.end();
    call.events().1.rest().assert_whole();

    let metrics = gateway.metrics();
    let kind = |kind: &str| metrics.value(&format!("gateway_tokens_total{{kind=\"{kind}\",model=\"{MODEL}\"}}"));
    assert_eq!((kind("input"), kind("cache_read"), kind("cache_write"), kind("output")), (50.0, 120.0, 30.0, 80.0));
    assert_eq!(of_model(&metrics, "model_tokens_used_total", MODEL), 280.0);
    assert_eq!(of_model(&metrics, "gateway_reasoning_tokens_total", MODEL), 14.0);
    assert_eq!(metrics.value("gateway_token_counts_total{source=\"provider\"}"), 2.0);
    assert_eq!(metrics.value("gateway_token_counts_total{source=\"estimated\"}"), 0.0);
}

#[test]
fn tokens_that_nobody_counted_are_estimated_and_said_to_be() {
    let simulator = Simulator::start();
    let gateway = simulator.gateway();
    for body in both_ways("repeat: some words to count") {
        gateway.send(&with(body, "model", json!("simulate-no-usage"))).reply();
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_token_counts_total{source=\"estimated\"}"), 2.0);
    assert!(of_model(&metrics, "model_tokens_used_total", "simulate-no-usage") > 10.0);
}

#[test]
fn cost_is_the_providers_figure_or_comes_from_the_prices() {
    let provider = Provider::start();
    let gateway = Setup::default()
        .provider("scripted", &provider.url())
        .model(MODEL, &["scripted"], "upstream")
        .with_lines("price = { input = 1000.0, output = 2000.0 }")
        .start();
    let cost = || gateway.metrics().value("gateway_cost_usd_total{model=\"claude-test\",provider=\"scripted\"}");
    assert_eq!(cost(), 0.0);
    let call = gateway.send(&asking("Hi"));
    provider.accept().say("Hi");
    call.reply();
    assert!((cost() - 0.016).abs() < 1e-9, "10 tokens in and 3 out: {}", cost());
    let call = gateway.send(&asking("Hi"));
    let mut answer = completion("Hi");
    answer["usage"]["cost"] = json!(0.5);
    provider.accept().json(200, &answer);
    call.reply();
    assert!((cost() - 0.516).abs() < 1e-9, "{}", cost());
}

#[test]
fn the_latency_is_in_milliseconds_and_streams_are_timed_to_their_end() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let call = gateway.send(&streaming("Hi"));
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.text("Hello");
    let (_, mut events) = call.events();
    events.until("content_block_delta");
    std::thread::sleep(std::time::Duration::from_millis(60));
    exchange.finish();
    events.rest();
    let metrics = gateway.metrics();
    let latency = of_model(&metrics, "model_latency_ms_sum", MODEL);
    assert!((60.0..20_000.0).contains(&latency), "{latency}");
    let first = of_model(&metrics, "gateway_time_to_first_token_seconds_sum", MODEL);
    assert!(first > 0.0 && first * 1000.0 <= latency - 60.0, "{first} s of {latency} ms");
    assert_eq!(of_model(&metrics, "gateway_time_per_output_token_seconds_count", MODEL), 1.0);
    assert!(metrics.value("gateway_overhead_seconds_sum") < 0.06, "waiting is not overhead");
}

#[test]
fn open_requests_are_in_flight() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let calls = [gateway.send(&asking("Hi")), gateway.send(&streaming("Hi"))];
    let exchanges = [provider.accept(), provider.accept()];
    let metrics = gateway.metrics();
    assert_eq!(of_model(&metrics, "gateway_inflight_requests", MODEL), 2.0);
    assert_eq!(metrics.value("gateway_provider_inflight{provider=\"scripted\"}"), 2.0);
    assert_eq!(of_model(&metrics, "model_requests_total", MODEL), 0.0, "a request counts when it has ended");
    exchanges.into_iter().for_each(|exchange| exchange.say("Hi"));
    calls.into_iter().for_each(|call| assert_eq!(call.reply().status, 200));
    let metrics = gateway.metrics();
    assert_eq!(of_model(&metrics, "gateway_inflight_requests", MODEL), 0.0);
    assert_eq!(metrics.value("gateway_provider_inflight{provider=\"scripted\"}"), 0.0);
}

/// T76
#[test]
fn invented_model_names_cannot_multiply_the_series() {
    let simulator = Simulator::start();
    let gateway =
        simulator.setup().model(MODEL, &["simulator"], "*").in_section("metrics", "max_dynamic_models = 5").start();
    for number in 0..40 {
        let body = with(asking("Hi"), "model", json!(format!("vendor-{number}/invented-{number}")));
        assert_eq!(gateway.send(&body).reply().json()["model"], format!("vendor-{number}/invented-{number}"));
    }
    for odd in ["evil\"} 1\nfake_total{x=\"", "\u{1f600}", "a\\b", &"x".repeat(5000)] {
        assert_eq!(gateway.send(&with(asking("Hi"), "model", json!(odd))).reply().status, 200, "{odd}");
    }
    let metrics = gateway.metrics();
    let models = metrics.label_values("model");
    assert_eq!(models.len(), 5 + 2, "{models:?}");
    assert!(models.contains(&"other".to_owned()) && models.contains(&"invented-0".to_owned()), "{models:?}");
    assert_eq!(of_model(&metrics, "model_requests_total", "other"), 39.0);
    assert_eq!(metrics.sum("model_requests_total"), 44.0);
}

#[test]
fn labels_of_wildcard_models_are_bare_and_tame() {
    let simulator = Simulator::start();
    let gateway = simulator.gateway();
    for asked in ["anthropic/claude-3-haiku", "evil\"} 1\nfake_total{x=\"", "\u{1f600}"] {
        assert_eq!(gateway.send(&with(asking("Hi"), "model", json!(asked))).reply().status, 200, "{asked}");
    }
    let metrics = gateway.metrics();
    assert_eq!(of_model(&metrics, "model_requests_total", "claude-3-haiku"), 1.0);
    assert!(!metrics.families().contains(&"fake_total".to_owned()));
    for model in metrics.label_values("model") {
        assert!(model.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:@+".contains(&byte)), "{model}");
    }
}

#[test]
fn paths_that_do_not_exist_cannot_multiply_the_series() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for number in 0..20 {
        gateway.bare("GET", &format!("/wp-admin/{number}.php")).ask();
        gateway.request("GET", &format!("/v1/models/no-such-{number}")).ask();
    }
    let metrics = gateway.metrics();
    let unmatched = "gateway_http_requests_total{endpoint=\"unmatched\",method=\"GET\",status=\"404\"}";
    assert_eq!(metrics.value(unmatched), 20.0);
    let series: Vec<_> = metrics.of("gateway_http_requests_total").collect();
    assert!(series.len() < 5, "{series:?}");
}

#[test]
fn methods_that_do_not_exist_cannot_multiply_the_series() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for number in 0..20 {
        let reply = gateway.bare(&format!("XYZZY{number}"), "/").ask();
        reply.assert_error(405, "invalid_request_error", false);
    }
    gateway.bare("GET", "/").ask();
    assert_eq!(gateway.metrics().label_values("method"), ["GET"]);
}

#[test]
fn an_invented_prefix_counts_for_no_model_of_the_catalog() {
    let simulator = Simulator::start();
    let gateway = simulator.setup().model(MODEL, &["simulator"], "*").start();
    gateway.send(&with(asking("Hi"), "model", json!(format!("bogus/{MODEL}")))).reply();
    let metrics = gateway.metrics();
    assert_eq!(of_model(&metrics, "model_requests_total", MODEL), 0.0);
    assert_eq!(of_model(&metrics, "model_requests_total", "other"), 1.0);
}

/// What never reached a model counts as rejected and nowhere else.
#[test]
fn rejections_have_their_reason() {
    let gateway = Gateway::setup("http://127.0.0.1:9/v1").in_section("server", "max_body = \"10KB\"").start();
    let rejected =
        |reason: &str| gateway.metrics().value(&format!("gateway_rejected_requests_total{{reason=\"{reason}\"}}"));
    let send = |body: Value| gateway.send(&body).reply().status;
    assert_eq!(gateway.bare("POST", "/v1/messages").json(&asking("Hi")).ask().status, 401);
    assert_eq!(rejected("auth"), 1.0);
    assert_eq!(send(json!("x")), 400);
    assert_eq!(rejected("validation"), 1.0);
    assert_eq!(send(with(asking("Hi"), "model", json!("nobody"))), 404);
    assert_eq!(rejected("unknown_model"), 1.0);
    assert_eq!(send(asking(&"x".repeat(20_000))), 413);
    assert_eq!(rejected("too_large"), 1.0);
    assert_eq!(rejected("shutting_down"), 0.0);
    assert_eq!(gateway.metrics().sum("model_requests_total"), 0.0);
}

#[test]
fn what_a_providers_headers_say_is_left_of_its_limits_is_shown() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let call = gateway.send(&asking("Hi"));
    let headers = [
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-remaining-tokens", "149984"),
        ("x-ratelimit-remaining", "soon"),
    ];
    provider.accept().answer(200, &headers, &completion("Hi").to_string());
    call.reply();
    let metrics = gateway.metrics();
    let left =
        |kind: &str| metrics.value(&format!("gateway_ratelimit_remaining{{kind=\"{kind}\",provider=\"scripted\"}}"));
    assert_eq!((left("requests"), left("tokens")), (59.0, 149_984.0));
}

#[test]
fn the_build_and_the_process_are_shown() {
    let gateway =
        Gateway::setup("http://127.0.0.1:9/v1").with_environment(&[("RAILWAY_REPLICA_ID", "replica-7")]).start();
    let metrics = gateway.metrics();
    let build: Vec<_> = metrics.of("gateway_build_info").collect();
    assert_eq!(build.len(), 1);
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(build[0].0.contains(&version) && build[0].0.contains("replica=\"replica-7\""), "{build:?}");
    for name in ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"] {
        assert!(metrics.get(name).is_some(), "{name}");
    }
}
