//! What the log tells of each request, and what it never tells.

use gatewayz::config::load::load;
use gatewayz::startup::outfit;
use serde_json::{Value, json};

use crate::harness::binary::{Process, request};
use crate::harness::gateway::Setup;
use crate::harness::http::Request;
use crate::harness::message::{MODEL, asking, streaming, with};
use crate::harness::provider::{completion, delta};
use crate::harness::{CLIENT_KEY, METRICS_TOKEN, PROVIDER_KEY, Provider, eventually};

const PROMPT: &str = "Xylophone-prompt-nobody-may-read";
const SYSTEM: &str = "Yttrium-system-nobody-may-read";
const COMPLETION: &str = "Zucchini-completion-nobody-may-read";
/// In settings that may hold keys.
const EXTRA_HEADER: &str = "Vanadium-header-nobody-may-read";
const EXTRA_FIELD: &str = "Thulium-field-nobody-may-read";
const SIGNATURE_KEY: &str = "signature-key-nobody-may-read";
const WRONG_KEY: &str = "gw_live_wrongwrongwrongwrongwrongwrong00";

/// Requests of every kind: answered, streamed, refused, failed, cancelled, gone on with the next provider. Gives
/// the ids of those that were answered, in order.
fn exercise(address: std::net::SocketAddr, first: &Provider, second: &Provider) -> Vec<String> {
    let send = |body: &Value| request(address, "POST", "/v1/messages").json(body).send();
    let asking = |body: Value| with(body, "system", json!(SYSTEM));
    let mut ids = Vec::new();
    let mut note = |head: &crate::harness::http::Head| ids.push(head.header("request-id").unwrap().to_owned());

    let call = send(&asking(self::asking(PROMPT)));
    first.accept().json(200, &completion(COMPLETION));
    note(&call.reply().head);

    let call = send(&asking(streaming(PROMPT)));
    let mut exchange = first.accept();
    exchange.begin();
    exchange.text(COMPLETION);
    exchange.finish();
    let (head, events) = call.events();
    events.rest().assert_whole();
    note(&head);

    let quoting = format!("cannot digest '{PROMPT}' with key {PROVIDER_KEY}");
    let call = send(&asking(self::asking(PROMPT)));
    first.accept().fail(500, &quoting);
    second.accept().fail(400, &quoting);
    note(&call.reply().head);

    let call = send(&asking(streaming(PROMPT)));
    let mut exchange = first.accept();
    exchange.begin();
    exchange.text(COMPLETION);
    exchange.chunk(format!("data: {{\"{COMPLETION}\n\n"));
    exchange.end();
    let (head, events) = call.events();
    assert_eq!(events.rest().events.last().unwrap().name, "error");
    note(&head);

    note(&send(&with(self::asking(PROMPT), "model", json!(PROMPT))).reply().head);
    note(&send(&with(self::asking(PROMPT), "messages", json!([{"role": PROMPT, "content": SYSTEM}]))).reply().head);
    note(&send(&with(self::asking(PROMPT), "temperature", json!(9))).reply().head);
    let wrong = Request::new(address, "POST", "/v1/messages").header("x-api-key", WRONG_KEY);
    note(&wrong.json(&self::asking(PROMPT)).ask().head);

    let call = send(&asking(streaming(PROMPT)));
    let mut exchange = first.accept();
    exchange.begin();
    exchange.data(&delta(json!({"content": COMPLETION}), None));
    let (head, mut events) = call.events();
    events.until("content_block_delta");
    note(&head);
    events.hang_up();
    exchange.wait_until_closed();
    ids
}

fn setup(first: &Provider, second: &Provider) -> Setup {
    let extras =
        format!("extra_headers = {{ x-extra = {EXTRA_HEADER:?} }}\nextra_body = {{ extra = {EXTRA_FIELD:?} }}");
    Setup::default()
        .provider_with("first", &first.url(), &extras)
        .provider("second", &second.url())
        .model(MODEL, &["first", "second"], "upstream")
        .with_environment(&[("GATEWAYZ_SIGNATURE_KEY", SIGNATURE_KEY)])
}

fn assert_discreet(log: &str) {
    for secret in [
        PROMPT,
        SYSTEM,
        COMPLETION,
        EXTRA_HEADER,
        EXTRA_FIELD,
        SIGNATURE_KEY,
        WRONG_KEY,
        CLIENT_KEY,
        METRICS_TOKEN,
        PROVIDER_KEY,
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is told");
    }
}

#[test]
fn each_request_is_one_line_of_json_without_prompt_completion_or_key() {
    let (first, second) = (Provider::start(), Provider::start());
    let environment = [("GATEWAYZ_LOG_FORMAT", "json")];
    let (mut process, address) = Process::serve(&setup(&first, &second), &[], &environment);
    let ids = exercise(address, &first, &second);
    process.err.wait_for("cancelled");
    process.signal("INT");
    process.wait();
    assert_discreet(&process.err.text());

    let lines: Vec<Value> = process
        .err
        .all()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{field} of {line}");
        }
    }
    let requests: Vec<&Value> = lines.iter().filter(|line| line["target"] == "gatewayz::request").collect();
    let told: Vec<&str> = requests.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    assert_eq!(told, ids);
    let seen: Vec<Value> = requests
        .iter()
        .map(|line| json!([line["model"], line["provider"], line["status"], line["outcome"], line["stream"]]))
        .collect();
    assert_eq!(
        seen,
        [
            json!([MODEL, "first", 200, "success", false]),
            json!([MODEL, "first", 200, "success", true]),
            json!([MODEL, "second", 400, "refused", false]),
            json!([MODEL, "first", 502, "api_error", true]),
            json!(["-", "-", 404, "not_found_error", null]),
            json!(["-", "-", 400, "invalid_request_error", null]),
            json!([MODEL, "-", 400, "refused", false]),
            json!(["-", "-", 401, "authentication_error", null]),
            json!([MODEL, "first", 499, "cancelled", true]),
        ]
    );
    let whole = requests[0];
    assert_eq!((&whole["input_tokens"], &whole["output_tokens"]), (&json!(10), &json!(3)));
    assert!(whole["latency_ms"].is_u64() && requests[1]["first_token_ms"].is_u64(), "{whole}");
}

#[test]
fn the_log_in_text_tells_the_same() {
    let (first, second) = (Provider::start(), Provider::start());
    let (mut process, address) = Process::serve(&setup(&first, &second), &[], &[]);
    let ids = exercise(address, &first, &second);
    process.err.wait_for("outcome=cancelled");
    process.signal("INT");
    process.wait();
    assert_discreet(&process.err.text());
    for id in ids {
        let lines: Vec<String> = process.err.all().into_iter().filter(|line| line.contains(&id)).collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("status=") && lines[0].contains("model="), "{lines:?}");
    }
}

/// Also when somebody looks for a fault.
#[test]
fn the_most_talkative_log_keeps_the_secrets() {
    let (first, second) = (Provider::start(), Provider::start());
    let (mut process, address) = Process::serve(&setup(&first, &second), &[], &[("RUST_LOG", "trace")]);
    exercise(address, &first, &second);
    let lines = process.err.clone();
    eventually("the end of the last request", || lines.text().contains("outcome=cancelled").then_some(()));
    let scrape = Request::new(address, "GET", "/metrics").header("authorization", &format!("Bearer {METRICS_TOKEN}"));
    let metrics = scrape.ask();
    assert_eq!(metrics.status, 200);
    assert_discreet(&metrics.text());
    process.signal("INT");
    process.wait();
    assert!(lines.text().contains(" TRACE "), "{}", lines.text());
    assert_discreet(&lines.text());
}

/// Settings are told with `{:?}` sooner or later.
#[test]
fn no_secret_stands_in_a_debug_text() {
    let (first, second) = (Provider::start(), Provider::start());
    let setup = setup(&first, &second);
    let file = setup.file();
    let loaded = load(Some(file.path()), setup.environment()).unwrap();
    let (catalog, directory) = outfit(&loaded.settings, &loaded.secrets).unwrap();
    assert!(catalog.any_usable());
    let debug = format!("{loaded:?} {loaded:#?} {directory:?}");
    assert!(debug.contains("first"), "{debug}");
    assert_discreet(&debug);
}

/// Whatever a client or a provider says, a line of the log begins where the gateway begins one.
#[test]
fn nothing_that_is_said_makes_a_line_or_a_header_of_its_own() {
    let provider = Provider::start();
    let setup = Setup::default().provider("first", &provider.url()).model("*", &["first"], "*");
    for format in ["text", "json"] {
        let (mut process, address) =
            Process::serve(&setup, &[], &[("GATEWAYZ_LOG_FORMAT", format), ("RUST_LOG", "gatewayz=trace")]);
        let forged = "2026-01-01T00:00:00.000Z ERROR forged";
        for text in [
            format!("m\r\n{forged}"),
            format!("m\n{forged}"),
            format!("m\u{85}{forged}"),
            format!("m\u{2028}{forged}"),
            format!("m\0\u{1b}[2J\u{9b}2J {forged}"),
            format!("m\" status=200 {forged}"),
            format!("\r\nx-injected: {forged}\r\n"),
        ] {
            let body = with(asking("Hi"), "model", json!(text));
            let call = request(address, "POST", "/v1/messages").header("x-request-id", "a b").json(&body).send();
            provider.accept().fail(400, &text);
            let reply = call.reply();
            assert_eq!(reply.status, 400);
            assert_eq!(reply.header("x-injected"), None);
        }
        process.signal("INT");
        process.wait();
        for line in process.err.all() {
            let begins = match format {
                "json" => serde_json::from_str::<Value>(&line).is_ok_and(|line| line["level"] != "error"),
                _ => {
                    line.starts_with("20")
                        && line
                            .get(24..30)
                            .is_some_and(|level| [" INFO ", " WARN ", " DEBUG", " TRACE"].contains(&level))
                }
            };
            assert!(begins && !line.contains(|c: char| c.is_control() || c == '\u{2028}'), "{line:?}");
        }
    }
}
