//! Providers that fail before they have said anything: every failure is an HTTP status, streamed or not.

use std::time::{Duration, SystemTime};

use actix_web::http::header::HttpDate;
use serde_json::{Value, json};

use crate::harness::gateway::Setup;
use crate::harness::http::Reply;
use crate::harness::message::{MODEL, asking, both_ways};
use crate::harness::provider::{Exchange, closed_url, completion};
use crate::harness::{Gateway, PROVIDER_KEY, Provider};

/// Asks both ways, lets the provider answer so, and gives what the client got.
fn answers(answer: impl Fn(Exchange)) -> Vec<Reply> {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let ask = |body: &Value| {
        let call = gateway.send(body);
        answer(provider.accept());
        call.reply()
    };
    both_ways("Hi").iter().map(ask).collect()
}

/// What the client must get for a status of the provider.
fn expect(status: u16, kind: &str, retry: bool, answer: impl Fn(Exchange)) -> Vec<String> {
    let replies = answers(answer);
    replies.iter().map(|reply| reply.assert_error_of("scripted", status, kind, retry)).collect()
}

#[test]
fn what_a_provider_finds_wrong_in_the_request_is_passed_on_in_its_words() {
    for status in [400, 422] {
        for message in expect(400, "invalid_request_error", false, |it| it.fail(status, "top_k must be even")) {
            assert_eq!(message, "top_k must be even");
        }
    }
}

/// T61: clients compact when they read these words.
#[test]
fn a_prompt_over_the_context_is_told_in_anthropics_words() {
    let said = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.";
    for message in expect(400, "invalid_request_error", false, |it| it.fail(400, said)) {
        assert_eq!(message, "prompt is too long: 9001 tokens > 8192 maximum");
    }
}

/// Also when the next route answers: it must not go unnoticed until that one fails too.
#[test]
fn trouble_with_the_providers_account_is_counted_by_itself() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = Setup::default()
        .provider("first", &first.url())
        .provider("second", &second.url())
        .model(MODEL, &["first", "second"], "upstream")
        .start();
    for body in both_ways("Hi") {
        let call = gateway.send(&body);
        first.accept().fail(402, "top up");
        second.accept().fail(400, "wrong");
        assert_eq!(call.reply().status, 400);
    }
    let refusals = |provider: &str| {
        gateway.metrics().get(&format!("gateway_provider_account_refusals_total{{provider=\"{provider}\"}}"))
    };
    assert_eq!((refusals("first"), refusals("second")), (Some(2.0), Some(0.0)));
}

/// T60: it is not the client's key that is wrong.
#[test]
fn trouble_with_the_providers_account_is_not_the_clients_and_is_not_shown() {
    for status in [401, 402, 403] {
        let said = format!("Incorrect API key provided: {PROVIDER_KEY}. Top up at https://provider.example/billing");
        for message in expect(502, "api_error", false, |it| it.fail(status, &said)) {
            assert!(message.contains("account"), "{message}");
            assert!(!message.contains("Incorrect") && !message.contains("provider.example"), "{message}");
        }
    }
}

#[test]
fn moderation_by_the_provider_is_a_permission_error() {
    let body =
        json!({"error": {"code": 403, "message": "Your input was flagged", "metadata": {"reasons": ["violence"]}}});
    for message in expect(403, "permission_error", false, |it| it.json(403, &body)) {
        assert_eq!(message, "Your input was flagged");
    }
}

#[test]
fn a_model_that_the_provider_does_not_have_is_not_found() {
    expect(404, "not_found_error", false, |it| it.fail(404, "no such model"));
}

/// T57
#[test]
fn a_rate_limit_keeps_its_retry_after() {
    let body = json!({"error": {"message": "slow down"}}).to_string();
    for (header, seconds) in [("7", "7"), ("0.3", "1"), ("2.0", "2")] {
        for reply in answers(|it| it.answer(429, &[("retry-after", header)], &body)) {
            reply.assert_error_of("scripted", 429, "rate_limit_error", true);
            assert_eq!(reply.header("retry-after"), Some(seconds));
        }
    }
    for reply in answers(|it| it.fail(429, "slow down")) {
        reply.assert_error_of("scripted", 429, "rate_limit_error", true);
        assert_eq!(reply.header("retry-after"), Some("5"), "set where the provider says nothing");
    }
}

#[test]
fn a_retry_after_that_is_a_date_becomes_seconds() {
    let body = json!({"error": {"message": "slow down"}}).to_string();
    let soon = HttpDate::from(SystemTime::now() + Duration::from_secs(1_000)).to_string();
    for (date, least, most) in [
        (soon.as_str(), 900, 1_000),
        // Nobody is told to come again after more than a day.
        ("Fri, 31 Dec 2100 23:59:59 GMT", 86_400, 86_400),
        ("Thu, 01 Jan 2015 00:00:00 GMT", 0, 0),
    ] {
        for reply in answers(|it| it.answer(429, &[("retry-after", date)], &body)) {
            let seconds: u64 = reply.header("retry-after").expect(date).parse().unwrap();
            assert!((least..=most).contains(&seconds), "{date}: {seconds}");
        }
    }
    for odd in ["soon", "-5", "1e400", "NaN", ""] {
        for reply in answers(|it| it.answer(429, &[("retry-after", odd)], &body)) {
            reply.assert_error_of("scripted", 429, "rate_limit_error", true);
            assert!(matches!(reply.header("retry-after"), Some("0" | "5")), "{odd}: {:?}", reply.header("retry-after"));
        }
    }
}

#[test]
fn a_spent_quota_is_trouble_with_the_account_and_no_rate_limit() {
    let body = json!({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}});
    expect(502, "api_error", false, |it| it.json(429, &body));
}

#[test]
fn a_provider_that_fails_is_a_bad_gateway() {
    expect(502, "api_error", true, |it| it.fail(500, "boom"));
}

/// T59
#[test]
fn a_page_of_html_is_a_bad_gateway() {
    for message in expect(502, "api_error", true, |it| {
        it.answer(502, &[("content-type", "text/html")], "<html><h1>502 Bad Gateway</h1></html>");
    }) {
        assert!(!message.contains('<'), "{message}");
    }
}

#[test]
fn a_provider_that_is_overloaded_or_down_says_so_to_the_client() {
    for status in [502, 503, 529] {
        expect(529, "overloaded_error", true, |it| it.fail(status, "try later"));
    }
    for reply in answers(|it| it.answer(503, &[("retry-after", "3")], "{\"error\": {\"message\": \"later\"}}")) {
        assert_eq!(reply.header("retry-after"), Some("3"));
    }
    expect(529, "overloaded_error", true, |it| it.fail(400, "Model is cold: not ready for inference"));
}

#[test]
fn a_provider_that_ran_out_of_time_is_a_time_out() {
    for status in [408, 504] {
        expect(504, "timeout_error", true, |it| it.fail(status, "too slow"));
    }
}

#[test]
fn keys_and_addresses_in_a_providers_words_are_taken_out() {
    let said = format!("Bad field (key {PROVIDER_KEY}), see https://provider.example/docs");
    for (status, kind, retry) in [(400, "invalid_request_error", false), (404, "not_found_error", false)] {
        for message in expect(status, kind, retry, |it| it.fail(status, &said)) {
            assert!(message.contains("Bad field") && !message.contains("provider.example"), "{message}");
        }
    }
}

/// T58
#[test]
fn an_error_inside_a_200_is_an_error() {
    let error = |code: u16| json!({"error": {"message": "it broke", "code": code}});
    for (code, status, kind, retry) in [
        (429, 429, "rate_limit_error", true),
        (502, 529, "overloaded_error", true),
        (500, 502, "api_error", true),
        (400, 400, "invalid_request_error", false),
        (401, 502, "api_error", false),
    ] {
        expect(status, kind, retry, |it| it.json(200, &error(code)));
    }
    let vllm = json!({"object": "error", "message": "it broke", "type": "BadRequestError", "code": 400});
    expect(400, "invalid_request_error", false, |it| it.json(200, &vllm));
}

#[test]
fn a_200_that_makes_no_sense_is_a_bad_gateway() {
    for body in ["", "null", "[]", "{}", "<html>welcome</html>", "{\"choices\": []}", "{\"choices\": [{}]}", "{\"choi"]
    {
        expect(502, "api_error", true, |it| it.answer(200, &[("content-type", "application/json")], body));
    }
}

#[test]
fn other_statuses_are_a_bad_gateway() {
    for status in [202, 204, 304, 418] {
        expect(502, "api_error", true, |it| it.answer(status, &[], ""));
    }
}

/// A redirect would carry the prompt and the key to another host.
#[test]
fn a_redirect_is_not_followed() {
    let (provider, elsewhere) = (Provider::start(), Provider::start());
    let gateway = Gateway::before(&provider.url());
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/chat/completions", elsewhere.url());
        for body in both_ways("Hi") {
            let call = gateway.send(&body);
            provider.accept().answer(status, &[("location", &location)], "");
            call.reply().assert_error_of("scripted", 502, "api_error", true);
        }
    }
    assert!(elsewhere.is_idle());
}

#[test]
fn a_provider_that_cannot_be_reached_is_overloaded() {
    let gateway = Gateway::before(&closed_url());
    for body in both_ways("Hi") {
        let message = gateway.send(&body).reply().assert_error_of("scripted", 529, "overloaded_error", true);
        assert!(!message.contains("127.0.0.1"), "{message}");
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_provider_requests_total{outcome=\"connect\",provider=\"scripted\"}"), 2.0);
}

#[test]
fn a_provider_whose_name_does_not_resolve_is_overloaded() {
    let gateway = Gateway::before("http://no-such-host.invalid/v1");
    gateway.send(&asking("Hi")).reply().assert_error_of("scripted", 529, "overloaded_error", true);
}

#[test]
fn a_provider_that_closes_without_an_answer_is_overloaded() {
    expect(529, "overloaded_error", true, Exchange::cut);
}

#[test]
fn what_is_not_http_is_a_bad_gateway() {
    expect(502, "api_error", true, |mut it| it.raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"));
}

#[test]
fn a_provider_that_does_not_begin_in_time_is_a_time_out() {
    let provider = Provider::start();
    let gateway = Gateway::impatient(&provider.url()).start();
    for body in both_ways("Hi") {
        let call = gateway.send(&body);
        let exchange = provider.accept();
        call.reply().assert_error_of("scripted", 504, "timeout_error", true);
        exchange.wait_until_closed();
    }
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_provider_requests_total{outcome=\"timeout\",provider=\"scripted\"}"), 2.0);
    assert_eq!(metrics.value("gateway_provider_inflight{provider=\"scripted\"}"), 0.0);
}

#[test]
fn a_provider_that_falls_silent_in_a_whole_answer_is_a_time_out() {
    let provider = Provider::start();
    let gateway = Gateway::impatient(&provider.url()).start();
    let call = gateway.send(&asking("Hi"));
    let mut exchange = provider.accept();
    exchange.raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 600\r\n\r\n{\"id\":");
    call.reply().assert_error_of("scripted", 504, "timeout_error", true);
    exchange.wait_until_closed();
}

#[test]
fn a_provider_that_drips_is_stopped_at_the_total_time_out() {
    let provider = Provider::start();
    let lines = "idle_timeout = \"10s\"\ntotal_timeout = \"400ms\"";
    let setup = Setup::default().provider_with("scripted", &provider.url(), lines);
    let gateway = setup.model(MODEL, &["scripted"], "upstream").start();
    let call = gateway.send(&asking("Hi"));
    let mut exchange = provider.accept();
    exchange.raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 600\r\n\r\n{\"id\":");
    call.reply().assert_error_of("scripted", 504, "timeout_error", true);
    exchange.wait_until_closed();
}

/// The client library ends a body that was cut short without an error; the gateway must see it.
#[test]
fn an_answer_that_is_cut_short_is_a_bad_gateway() {
    let whole = completion("A whole completion, in front of what is missing").to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    for bytes in [
        format!("{head}content-length: {}\r\n\r\n{whole}", whole.len() + 10),
        format!("{head}content-length: {}\r\n\r\n{}", whole.len(), &whole[..40]),
        format!("{head}content-length: {}\r\n\r\n", whole.len()),
        format!("{head}transfer-encoding: chunked\r\n\r\n28\r\n{}\r\n", &whole[..40]),
        format!("{head}transfer-encoding: chunked\r\n\r\nffff\r\n{}", &whole[..40]),
    ] {
        expect(502, "api_error", true, |mut it| it.raw(&bytes));
    }
}

#[test]
fn an_answer_over_the_bound_is_a_bad_gateway() {
    let provider = Provider::start();
    let gateway = Gateway::setup(&provider.url()).in_section("server", "max_body = \"10KB\"").start();
    let call = gateway.send(&asking("Hi"));
    provider.accept().say(&"x".repeat(200_000));
    call.reply().assert_error_of("scripted", 502, "api_error", true);
}

#[test]
fn a_model_whose_provider_has_no_key_is_overloaded_and_asks_nobody() {
    let provider = Provider::start();
    let gateway = Gateway::setup(&provider.url()).without_environment("SCRIPTED_KEY").start();
    for body in both_ways("Hi") {
        gateway.send(&body).reply().assert_error(529, "overloaded_error", false);
    }
    assert!(provider.is_idle());
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("model_errors_total{model=\"claude-test\"}"), 2.0);
    assert_eq!(metrics.value("gateway_errors_total{model=\"claude-test\",type=\"overloaded_error\"}"), 2.0);
}

#[test]
fn after_a_failure_the_next_request_is_answered() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let answers: [fn(Exchange); 4] =
        [Exchange::cut, |it| it.fail(500, "boom"), |mut it| it.raw("x\r\n\r\n"), |it| it.fail(503, "x")];
    for answer in answers {
        let call = gateway.send(&asking("Hi"));
        answer(provider.accept());
        assert!(call.reply().status >= 500);
        let call = gateway.send(&asking("Hi"));
        provider.accept().say("well");
        assert_eq!(call.reply().said(), "well");
    }
}
