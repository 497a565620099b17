//! What people, container health checks and deploys ask; no key is needed.

use serde_json::json;

use crate::harness::Gateway;

#[test]
fn the_root_tells_what_this_is() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    let reply = gateway.bare("GET", "/").ask();
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    reply.head.assert_named("gatewayz");
    let body = reply.json();
    assert_eq!((&body["name"], &body["version"]), (&json!("gatewayz"), &json!(env!("CARGO_PKG_VERSION"))));
    assert!(body["endpoints"].as_array().unwrap().contains(&json!("POST /v1/messages")), "{body}");
}

/// Claude Code asks so before its first request.
#[test]
fn head_requests_are_answered_without_a_body() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    for path in ["/", "/healthz", "/readyz"] {
        let reply = gateway.bare("HEAD", path).ask();
        assert_eq!((reply.status, reply.body.len()), (200, 0), "{path}");
        reply.head.assert_named("gatewayz");
    }
}

#[test]
fn a_gateway_with_a_provider_is_alive_and_ready() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    let alive = gateway.bare("GET", "/healthz").ask();
    assert_eq!((alive.status, alive.json()), (200, json!({"status": "ok"})));
    let ready = gateway.bare("GET", "/readyz").ask();
    let expected = json!({"status": "ready", "providers": {"scripted": "ready"}, "circuits": []});
    assert_eq!((ready.status, ready.json()), (200, expected));
}

#[test]
fn a_gateway_without_any_provider_key_is_alive_and_not_ready() {
    let setup = Gateway::setup("http://127.0.0.1:9/v1").without_environment("SCRIPTED_KEY");
    let gateway = setup.start();
    assert_eq!(gateway.bare("GET", "/healthz").ask().status, 200);
    let ready = gateway.bare("GET", "/readyz").ask();
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["providers"], json!({"scripted": "no key"}));
    let one_of_two = setup.provider("second", "http://127.0.0.1:9/v1").start();
    let ready = one_of_two.bare("GET", "/readyz").ask();
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["providers"], json!({"scripted": "no key", "second": "ready"}));
}
