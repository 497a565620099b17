//! Providers behind TLS: whom the gateway trusts, and that it says nothing to others.

use rcgen::date_time_ymd;

use crate::harness::binary::{Process, request};
use crate::harness::gateway::Setup;
use crate::harness::message::{MODEL, both_ways};
use crate::harness::scratch::Scratch;
use crate::harness::tls::{Authority, Met, TlsProvider};
use crate::harness::{CLIENT_KEY, METRICS_TOKEN, PROVIDER_KEY};

fn setup(provider: &TlsProvider, roots: Option<&Scratch>) -> Setup {
    let lines = roots.map(|roots| format!("ca_file = {:?}", roots.text())).unwrap_or_default();
    Setup::default().provider_with("private", &provider.url(), &lines).model(MODEL, &["private"], "upstream")
}

#[test]
fn a_private_provider_is_trusted_by_its_file_of_roots() {
    let authority = Authority::new("friend");
    let provider = authority.provider();
    let roots = authority.file();
    let gateway = setup(&provider, Some(&roots)).start();
    let question = "Hi ".repeat(100_000);
    for body in both_ways(&question) {
        let reply = gateway.send(&body).reply();
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.text().contains("well"), "{}", reply.text());
        let Met::Request { head, body, protocol } = provider.meet() else { panic!("no request") };
        assert_eq!(body["messages"][0]["content"], *question);
        assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(PROVIDER_KEY), "{head}");
        // Never HTTP/2, also where the provider would rather have it.
        assert_eq!(protocol.as_deref(), Some("http/1.1"));
    }
}

/// Fails unless the gateway turns away before it has said anything, and the log tells why.
fn assert_distrusted(provider: &TlsProvider, roots: Option<&Scratch>, why: &str) {
    let (mut process, address) = Process::serve(&setup(provider, roots), &[], &[]);
    for body in both_ways("Hi") {
        let reply = request(address, "POST", "/v1/messages").json(&body).ask();
        let message = reply.assert_error_of("private", 529, "overloaded_error", true);
        assert!(!message.contains("localhost") && !message.to_lowercase().contains("certificate"), "{message}");
        assert!(matches!(provider.meet(), Met::Nothing), "the gateway spoke to a stranger");
    }
    process.signal("INT");
    process.wait();
    let log = process.err.text();
    let line = log.lines().find(|line| line.contains("WARN") && line.contains("provider")).unwrap_or_default();
    assert!(line.contains(why), "{why} is not told: {log}");
    for secret in [PROVIDER_KEY, CLIENT_KEY, METRICS_TOKEN] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_provider_that_no_known_root_vouches_for_is_refused() {
    let provider = Authority::new("stranger").provider();
    assert_distrusted(&provider, None, "UnknownIssuer");
    let (other, namesake) = (Authority::new("friend").file(), Authority::new("stranger").file());
    assert_distrusted(&provider, Some(&other), "UnknownIssuer");
    assert_distrusted(&provider, Some(&namesake), "BadSignature");
}

#[test]
fn a_certificate_of_another_name_is_refused() {
    let authority = Authority::new("friend");
    let roots = authority.file();
    assert_distrusted(&authority.provider_as("elsewhere.example", |_| ()), Some(&roots), "not valid for name");
}

#[test]
fn a_certificate_that_is_not_valid_now_is_refused() {
    let authority = Authority::new("friend");
    let roots = authority.file();
    let expired = authority.provider_as("localhost", |params| {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    });
    assert_distrusted(&expired, Some(&roots), "expired");
    let early = authority.provider_as("localhost", |params| params.not_before = date_time_ymd(4000, 1, 1));
    assert_distrusted(&early, Some(&roots), "not valid yet");
}
