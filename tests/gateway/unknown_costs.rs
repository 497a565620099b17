//! Budgets cannot count what nobody tells: which keys and models that concerns is said.

use gatewayz::auth::hex_digest;

use crate::harness::binary::{Process, run};
use crate::harness::gateway::Setup;

const PRICE: &str = "price = { input = 1.0, output = 1.0 }";
const WARNING: &str = "do not hold for models of unknown cost";

fn key(name: &str, models: &str, limits: &str) -> String {
    let digest = hex_digest(name);
    format!("[[auth.keys]]\nname = {name:?}\nsha256 = {digest:?}\nmodels = [{models}]\nlimits = {{ {limits} }}\n")
}

/// Two keys with budgets and one without; a provider that tells the cost, and one that does not.
fn setup(price: &str) -> Setup {
    let url = "http://127.0.0.1:9/v1";
    let keys = [
        key("spender", "\"claude-*\", \"gpt-test\"", "usd_per_month = 1.0"),
        key("careful", "\"gpt-told\"", "usd_per_day = 1.0"),
        key("free", "\"*\"", "requests_per_minute = 1"),
    ];
    Setup::default()
        .in_section("auth", &format!("key_sha256 = []\n{}", keys.concat()))
        .provider("silent", url)
        .provider_with("telling", url, "dialect = \"openrouter\"")
        .model("claude-a", &["silent"], "a")
        .with_lines(price)
        .model("claude-b", &["telling", "silent"], "b")
        .with_lines(price)
        .model("claude-told", &["telling"], "c")
        .model("claude-priced", &["silent"], "d")
        .with_lines(PRICE)
        .model("gpt-told", &["telling"], "e")
        .model("gpt-other", &["silent"], "f")
}

fn environment(setup: &Setup) -> Vec<(&str, &str)> {
    setup.environment().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn check(setup: &Setup) -> String {
    let file = setup.file();
    let ended = run(&["check", "--config", &file.text()], &environment(setup));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    ended.err
}

fn assert_named(said: &str) {
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains(WARNING)).collect();
    let [warning] = warnings[..] else { panic!("one warning: {said}") };
    assert!(warning.contains("the budgets of spender do not hold"), "{warning}");
    assert!(warning.ends_with("does not tell it: claude-a, claude-b"), "{warning}");
}

#[test]
fn check_and_the_start_name_them_and_a_price_settles_it() {
    let (unknown, known) = (setup(""), setup(PRICE));
    assert_named(&check(&unknown));
    assert!(!check(&known).contains(WARNING));
    let (process, _) = Process::serve(&unknown, &[], &[]);
    assert_named(&process.err.text());
    let (process, _) = Process::serve(&known, &[], &[]);
    assert!(!process.err.text().contains(WARNING), "{}", process.err.text());
}

#[test]
fn a_reload_names_them_too() {
    let (before, after) = (setup(PRICE), setup(""));
    let file = before.file();
    let process = Process::start(&["serve", "--config", &file.text()], &environment(&before));
    process.address();
    std::fs::write(file.path(), after.text()).unwrap();
    process.err.wait_for(WARNING);
    assert_named(&process.err.text());
}

/// What cannot be asked for costs nothing.
#[test]
fn a_provider_without_its_key_is_no_reason() {
    assert!(!check(&setup("").without_environment("SILENT_KEY")).contains(WARNING));
}
