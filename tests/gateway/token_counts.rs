//! Counting tokens before sending.

use serde_json::{Value, json};

use crate::harness::message::{MODEL, asking, with};
use crate::harness::{Gateway, Provider};

fn count(gateway: &Gateway, body: &Value) -> u64 {
    let reply = gateway.request("POST", "/v1/messages/count_tokens?beta=true").json(body).ask();
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.head.assert_named("gatewayz");
    let body = reply.json();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    body["input_tokens"].as_u64().unwrap()
}

/// T44
#[test]
fn everything_in_a_request_counts() {
    let provider = Provider::start();
    let gateway = Gateway::before(&provider.url());
    let mut plain = asking("What is the weather like in Rome today?");
    plain.as_object_mut().unwrap().remove("max_tokens");
    let base = count(&gateway, &plain);
    assert!((8..40).contains(&base), "{base}");
    let tool = json!({"name": "weather", "description": "Tells the weather of a city", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}});
    let image =
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}});
    let with_image = json!([{"role": "user", "content": [image, {"type": "text", "text": "What is this?"}]}]);
    for more in [
        with(plain.clone(), "system", json!("You are a careful assistant who answers in one sentence.")),
        with(plain.clone(), "system", json!([{"type": "text", "text": "You are a careful assistant."}])),
        with(plain.clone(), "tools", json!([tool])),
        with(plain.clone(), "messages", with_image),
    ] {
        let tokens = count(&gateway, &more);
        assert!(tokens > base, "{tokens} for {more}");
    }
    let long = count(&gateway, &asking(&"word ".repeat(10_000)));
    assert!((8_000..13_000).contains(&long), "{long}");
    assert!(provider.is_idle(), "no provider is asked");
}

#[test]
fn counting_refuses_what_a_message_would_refuse() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    let refused = |body: Value, status: u16, kind: &str| {
        gateway.request("POST", "/v1/messages/count_tokens").json(&body).ask().assert_error(status, kind, false)
    };
    refused(json!("x"), 400, "invalid_request_error");
    refused(with(asking("Hi"), "messages", json!([])), 400, "invalid_request_error");
    refused(with(asking("Hi"), "model", json!("nobody")), 404, "not_found_error");
    let metrics = gateway.metrics();
    assert_eq!(metrics.value("gateway_rejected_requests_total{reason=\"validation\"}"), 2.0);
    assert_eq!(metrics.value("gateway_rejected_requests_total{reason=\"unknown_model\"}"), 1.0);
}

/// Counted in the HTTP metrics only: the model has done nothing.
#[test]
fn counting_is_no_request_for_a_model() {
    let gateway = Gateway::before("http://127.0.0.1:9/v1");
    count(&gateway, &asking("Hi"));
    let metrics = gateway.metrics();
    assert_eq!(metrics.value(&format!("model_requests_total{{model=\"{MODEL}\"}}")), 0.0);
    assert_eq!(metrics.sum("gateway_tokens_total"), 0.0);
    let http = "gateway_http_requests_total{endpoint=\"/v1/messages/count_tokens\",method=\"POST\",status=\"200\"}";
    assert_eq!(metrics.value(http), 1.0);
}
