//! Keys and models that change while the gateway runs.

use gatewayz::auth::hex_digest;
use serde_json::json;

use crate::harness::binary::{Process, request};
use crate::harness::exposition::Exposition;
use crate::harness::gateway::Setup;
use crate::harness::http::{Call, Request};
use crate::harness::message::{MODEL, UPSTREAM, asking, streaming, with};
use crate::harness::provider::Exchange;
use crate::harness::scratch::Scratch;
use crate::harness::{METRICS_TOKEN, Provider, eventually};

/// The process, the file that it reads, and where it listens.
struct Running {
    process: Process,
    file: Scratch,
    address: std::net::SocketAddr,
}

fn key(name: &str, limits: &str) -> String {
    let digest = hex_digest(name);
    format!("[[auth.keys]]\nname = {name:?}\nsha256 = {digest:?}\nlimits = {{ {limits} }}\n")
}

fn setup(provider: &Provider, keys: &str, model: &str) -> Setup {
    Setup::default()
        .in_section("auth", &format!("key_sha256 = []\n{keys}"))
        .provider("scripted", &provider.url())
        .model(model, &["scripted"], UPSTREAM)
}

impl Running {
    fn start(setup: &Setup) -> Running {
        let file = setup.file();
        let environment: Vec<(&str, &str)> =
            setup.environment().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let process = Process::start(&["serve", "--config", &file.text()], &environment);
        let address = process.address();
        Running { process, file, address }
    }

    fn write(&self, setup: &Setup) {
        std::fs::write(self.file.path(), setup.text()).unwrap();
    }

    fn hang_up(&self, expected: &str) {
        self.process.signal("HUP");
        self.process.err.wait_for(expected);
    }

    fn ask(&self, key: &str, model: &str) -> Request {
        let body = with(asking("Hi"), "model", json!(model));
        Request::new(self.address, "POST", "/v1/messages").header("x-api-key", key).json(&body)
    }
}

#[test]
fn on_sighup_keys_and_models_are_replaced_and_open_requests_go_on() {
    let provider = Provider::start();
    let running = Running::start(&setup(&provider, &key("old", ""), MODEL));
    let old = || running.ask("old", MODEL);
    let call =
        Request::new(running.address, "POST", "/v1/messages").header("x-api-key", "old").json(&streaming("Hi")).send();
    let mut exchange = provider.accept();
    exchange.begin();
    exchange.text("before");
    let (_, mut events) = call.events();
    events.until("content_block_delta");

    running.write(&setup(&provider, &key("new", ""), "claude-new"));
    running.hang_up("reloaded: 1 models, 1 named keys");
    old().ask().assert_error(401, "authentication_error", false);
    running.ask("new", MODEL).ask().assert_error(404, "not_found_error", false);
    let call = running.ask("new", "claude-new").send();
    provider.accept().say("I am new");
    assert_eq!(call.reply().said(), "I am new");
    exchange.text(" and after");
    exchange.finish();
    assert_eq!(events.rest().said(), " and after");
    let scrape =
        request(running.address, "GET", "/metrics").header("authorization", &format!("Bearer {METRICS_TOKEN}"));
    let text = scrape.ask().text();
    for series in ["model_requests_total{model=\"claude-test\"} 1", "model_requests_total{model=\"claude-new\"} 1"] {
        assert!(text.contains(series), "no {series}");
    }
    assert!(text.contains("model_errors_total{model=\"claude-new\"} 0"), "a series from the start");
}

#[test]
fn a_key_that_is_new_has_its_series_from_the_start() {
    let provider = Provider::start();
    let with_keys = |keys: &str| setup(&provider, keys, MODEL).in_section("metrics", "per_key = true");
    let running = Running::start(&with_keys(&key("old", "")));
    running.write(&with_keys(&key("new", "")));
    running.hang_up("reloaded: 1 models, 1 named keys");
    let scrape =
        request(running.address, "GET", "/metrics").header("authorization", &format!("Bearer {METRICS_TOKEN}"));
    let text = scrape.ask().text();
    assert!(text.contains("gateway_key_requests_total{key=\"new\"} 0"), "{text}");
}

#[test]
fn a_change_of_the_file_is_noticed() {
    let provider = Provider::start();
    let running = Running::start(&setup(&provider, &key("old", ""), MODEL));
    running.write(&setup(&provider, &key("another", ""), MODEL));
    running.process.err.wait_for("reloaded: 1 models, 1 named keys");
    running.ask("old", MODEL).ask().assert_error(401, "authentication_error", false);
}

/// Whoever replaces a file may keep its time and hit its size.
#[test]
fn a_file_of_the_same_time_and_size_in_its_place_is_noticed() {
    let provider = Provider::start();
    let running = Running::start(&setup(&provider, &key("old", ""), MODEL));
    let other = setup(&provider, &key("new", ""), MODEL).file();
    let before = running.file.path().metadata().unwrap();
    let opened = std::fs::File::options().append(true).open(other.path()).unwrap();
    opened.set_modified(before.modified().unwrap()).unwrap();
    assert_eq!(other.path().metadata().unwrap().len(), before.len());
    std::fs::rename(other.path(), running.file.path()).unwrap();
    running.process.err.wait_for("reloaded: 1 models, 1 named keys");
    running.ask("old", MODEL).ask().assert_error(401, "authentication_error", false);
}

#[test]
fn a_change_while_the_gateway_starts_is_noticed() {
    let provider = Provider::start();
    let fresh = setup(&provider, &key("new", ""), MODEL).text();
    let gateway =
        setup(&provider, &key("old", ""), MODEL).start_while(move |file| std::fs::write(file, fresh).unwrap());
    let asked = || gateway.bare("GET", "/v1/models").header("x-api-key", "new").ask();
    eventually("the new key", || (asked().status == 200).then_some(()));
}

#[test]
fn a_broken_file_changes_nothing_and_says_why() {
    let provider = Provider::start();
    let running = Running::start(&setup(&provider, &key("old", ""), MODEL));
    let serves = || {
        let call = running.ask("old", MODEL).send();
        provider.accept().say("as before");
        assert_eq!(call.reply().said(), "as before");
    };
    let unknown = setup(&provider, &key("new", ""), MODEL).provider("second", "http://127.0.0.1:9/v1");
    let unknown = unknown.model("claude-second", &["second"], UPSTREAM);
    running.write(&unknown);
    running.process.err.wait_for("nothing was reloaded: models have routes to second");
    serves();
    std::fs::write(running.file.path(), "[server]\nprot = 1\n").unwrap();
    running.process.err.wait_for("server.prot");
    serves();
    std::fs::remove_file(running.file.path()).unwrap();
    running.hang_up("nothing was reloaded");
    serves();
}

#[test]
fn budgets_that_come_with_a_reload_are_said_to_be_forgotten_too() {
    let provider = Provider::start();
    let running = Running::start(&setup(&provider, &key("team", ""), MODEL));
    assert!(!running.process.err.text().contains("budgets"), "{}", running.process.err.text());
    running.write(&setup(&provider, &key("team", "usd_per_day = 1.0"), MODEL));
    running.hang_up("the budgets of 1 key(s) are kept in memory");
}

#[test]
fn what_takes_effect_at_the_next_start_is_said() {
    let provider = Provider::start();
    let running = Running::start(&setup(&provider, &key("old", ""), MODEL));
    running.write(&setup(&provider, &key("old", ""), MODEL).in_section("stream", "ping_interval = \"7s\""));
    running.hang_up("changes of stream take effect at the next start");
}

/// A limit that changes applies at once; what has been used stays used.
#[test]
fn limits_of_a_key_change_and_its_usage_stays() {
    let provider = Provider::start();
    let running = Running::start(&setup(&provider, &key("team", "requests_per_minute = 1"), MODEL));
    let served = || {
        let call = running.ask("team", MODEL).send();
        provider.accept().say("Hi");
        assert_eq!(call.reply().status, 200);
    };
    served();
    running.ask("team", MODEL).ask().assert_error(429, "rate_limit_error", true);
    running.write(&setup(&provider, &key("team", "requests_per_minute = 2"), MODEL));
    running.hang_up("reloaded: 1 models, 1 named keys");
    served();
    running.ask("team", MODEL).ask().assert_error(429, "rate_limit_error", true);
    let usage = Request::new(running.address, "GET", "/admin/usage");
    let usage = usage.header("authorization", &format!("Bearer {METRICS_TOKEN}")).ask().json();
    let team = usage["keys"].as_array().unwrap().iter().find(|key| key["key"] == "team").unwrap().clone();
    assert_eq!(team["day"]["total"]["requests"], 2);
}

/// Requests that are under way end as they would have, those of a key that is taken away too.
#[test]
fn two_hundred_requests_in_flight_outlive_reloads_and_the_removal_of_their_key() {
    const EACH: usize = 100;
    let provider = Provider::start();
    let running = Running::start(&setup(&provider, &[key("old", ""), key("kept", "")].concat(), MODEL));
    let send = |body: serde_json::Value, number: usize| {
        let key = if number.is_multiple_of(2) { "old" } else { "kept" };
        Request::new(running.address, "POST", "/v1/messages").header("x-api-key", key).json(&body).send()
    };
    let whole: Vec<Call> = (0..EACH).map(|number| send(asking("Hi"), number)).collect();
    let held: Vec<Exchange> = whole.iter().map(|_| provider.accept()).collect();
    let streams: Vec<Call> = (0..EACH).map(|number| send(streaming("Hi"), number)).collect();
    let mut begun: Vec<Exchange> = streams.iter().map(|_| provider.accept()).collect();
    for exchange in &mut begun {
        exchange.begin();
        exchange.text("before");
    }
    let mut streams: Vec<_> = streams.into_iter().map(Call::events).collect();
    for (_, events) in &mut streams {
        events.until("content_block_delta");
    }
    let inflight = || {
        let scrape =
            request(running.address, "GET", "/metrics").header("authorization", &format!("Bearer {METRICS_TOKEN}"));
        Exposition::read(&scrape.ask().text()).sum("gateway_inflight_requests")
    };
    assert_eq!(inflight(), 2.0 * EACH as f64);

    let models = |names: &[&str], model: &str| {
        let keys: String = names.iter().map(|name| key(name, "")).collect();
        setup(&provider, &keys, MODEL).model(model, &["scripted"], UPSTREAM)
    };
    running.write(&models(&["kept", "old", "by-signal"], "claude-by-signal"));
    running.hang_up("reloaded: 2 models, 3 named keys");
    running.write(&models(&["kept"], "claude-by-change"));
    running.process.err.wait_for("reloaded: 2 models, 1 named keys");
    running.ask("old", MODEL).ask().assert_error(401, "authentication_error", false);
    assert_eq!(inflight(), 2.0 * EACH as f64);

    for exchange in held {
        exchange.say("as if nothing had been");
    }
    for call in whole {
        let reply = call.reply();
        assert_eq!((reply.status, reply.said().as_str()), (200, "as if nothing had been"));
    }
    for mut exchange in begun {
        exchange.text(" and after");
        exchange.finish();
    }
    for (head, events) in streams {
        let transcript = events.rest();
        assert_eq!((head.status, transcript.said().as_str()), (200, " and after"));
        assert_eq!(transcript.events.last().unwrap().name, "message_stop");
    }
    for name in ["old", "by-signal"] {
        running.ask(name, MODEL).ask().assert_error(401, "authentication_error", false);
    }
    let call = running.ask("kept", "claude-by-change").send();
    provider.accept().say("Hi");
    assert_eq!(call.reply().status, 200);
    assert!(provider.is_idle());
}

/// Whoever asks in the moment of a reload notices nothing.
#[test]
fn reloads_under_load_lose_no_request() {
    let simulator = crate::harness::Simulator::start();
    let with_models = |more: &str| {
        simulator
            .setup()
            .in_section("auth", &format!("key_sha256 = []\n{}", key("team", "")))
            .model(MODEL, &["simulator"], "*")
            .model(more, &["simulator"], "*")
    };
    let running = Running::start(&with_models("claude-0"));
    let (address, done) = (running.address, std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        let asking = || {
            let mut count = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let request = Request::new(address, "POST", "/v1/messages").header("x-api-key", "team");
                let reply = request.json(&asking("Hi")).ask();
                assert_eq!(reply.status, 200, "{}", reply.text());
                count += 1;
            }
            count
        };
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(asking)).collect();
        for round in 1..=10 {
            running.write(&with_models(&format!("claude-{round}")));
            running.process.signal("HUP");
            eventually("the new model", || {
                let id = format!("/v1/models/claude-{round}");
                let reply = Request::new(address, "GET", &id).header("x-api-key", "team").ask();
                (reply.status == 200).then_some(())
            });
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let count: u32 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert!(count > 20, "{count}");
    });
}

#[test]
fn the_last_key_can_be_taken_back() {
    let provider = Provider::start();
    let more = |keys: &str| setup(&provider, keys, MODEL).without_environment("GATEWAYZ_API_KEYS");
    let running = Running::start(&more(&key("old", "")));
    running.write(&more(""));
    running.hang_up("no client key is left");
    running.ask("old", MODEL).ask().assert_error(401, "authentication_error", false);
    running.ask("", MODEL).ask().assert_error(401, "authentication_error", false);
}
