//! Requests as clients send them, and what must hold of every error.

use serde_json::{Value, json};

use super::http::{Head, Reply};

/// The model that tests ask for; what the provider calls it is [`UPSTREAM`].
pub const MODEL: &str = "claude-test";
pub const UPSTREAM: &str = "vendor/upstream-model";

/// One user turn.
pub fn asking(prompt: &str) -> Value {
    json!({"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": prompt}]})
}

/// The same, as a stream.
pub fn streaming(prompt: &str) -> Value {
    with(asking(prompt), "stream", json!(true))
}

/// The same with one field set.
pub fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

/// Both ways of asking for the same: streamed and not.
pub fn both_ways(prompt: &str) -> [Value; 2] {
    [asking(prompt), streaming(prompt)]
}

impl Head {
    /// Fails unless the headers are there that every answer carries. Gives the request's id.
    pub fn assert_named(&self, provider: &str) -> String {
        assert_eq!(self.header("x-gatewayz-provider"), Some(provider));
        let id = self.header("request-id").expect("a request-id");
        assert!(id.starts_with("req_") && id.len() == 28, "{id}");
        id.to_owned()
    }
}

impl Reply {
    /// Fails unless this is an error in Anthropic's envelope with this status, type and advice, made by the gateway
    /// itself. Gives its message.
    pub fn assert_error(&self, status: u16, kind: &str, retry: bool) -> String {
        self.assert_error_of("gatewayz", status, kind, retry)
    }

    /// The same for an error that a provider gave.
    pub fn assert_error_of(&self, provider: &str, status: u16, kind: &str, retry: bool) -> String {
        let text = self.text();
        assert_eq!(self.status, status, "{text}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{text}");
        assert_eq!(self.header("x-should-retry"), Some(if retry { "true" } else { "false" }), "{text}");
        assert!(self.complete, "{text}");
        let id = self.head.assert_named(provider);
        let body = self.json();
        assert_eq!(body["request_id"], id.as_str(), "{text}");
        assert_envelope(&body, kind)
    }
}

/// Fails unless this is Anthropic's error envelope with nothing else in it. Gives the message.
pub fn assert_envelope(body: &Value, kind: &str) -> String {
    assert_eq!(body["type"], "error", "{body}");
    assert_eq!(body["error"]["type"], kind, "{body}");
    assert!(body["request_id"].as_str().is_some_and(|id| id.starts_with("req_")), "{body}");
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(body), ["error", "request_id", "type"], "{body}");
    let message = body["error"]["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty(), "{body}");
    message.to_owned()
}
