//! Answers of status 200 that are wrong, odd or no answers, whole where a stream may have been asked for.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Fault, LITTLE_IDLENESS, MAX_BODY_KB, answered};
use crate::expect::Connection::{Closed, Kept};
use crate::expect::{
    ACCOUNT, Expected, FAILED, INVALID_REQUEST, NOT_FOUND, OVERLOADED, RATE_LIMITED, SENSELESS, TIMEOUT, fails,
    fails_once, says,
};
use crate::harness::provider::completion;
use crate::script::{Script, calling, choice, completion_with};

/// A whole answer with another body, that is an answer all the same, to whoever asked for it.
fn says_all_the_same(name: &'static str, body: String, message: &str) -> Fault {
    Fault::both(name, Script::body(body), says(message, Kept))
}

/// An error inside a 200.
fn error(code: Value) -> Script {
    Script::body(json!({"error": {"message": "it broke", "code": code}}).to_string())
}

/// `gzip` of "{}".
const ZIPPED: [u8; 22] = [31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 171, 174, 5, 0, 67, 191, 166, 163, 2, 0, 0, 0];

pub fn faults() -> Vec<Fault> {
    let hello = || completion("Hello").to_string();
    let well = "text:Hello end_turn 10+3";
    let call = "tool:get{\"a\":1} tool_use 10+3";
    let at_last = |connection| -> Expected { fails(TIMEOUT, connection) };
    let deep = format!("{{\"choices\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    vec![
        answered("error in a 200: 500", error(json!(500)), FAILED),
        answered("error in a 200: 502", error(json!(502)), OVERLOADED),
        answered("error in a 200: 429", error(json!(429)), RATE_LIMITED),
        answered("error in a 200: 400", error(json!(400)), INVALID_REQUEST),
        answered("error in a 200: 401", error(json!(401)), ACCOUNT),
        answered("error in a 200: 404", error(json!("model_not_found")), NOT_FOUND),
        answered("error in a 200: a word", error(json!("overloaded")), OVERLOADED),
        Fault::both("error in a 200, once", error(json!(500)).once(), fails_once(FAILED, Kept)),
        answered("error in a 200: vLLM", Script::body(r#"{"object":"error","message":"no","code":500}"#), FAILED),
        answered("error in a 200: finish_reason", Script::body(choice(json!({"finish_reason": "error"}))), FAILED),
        answered("200 without a body", Script::body(""), SENSELESS),
        answered("200: null", Script::body("null"), SENSELESS),
        answered("200: an array", Script::body("[]"), SENSELESS),
        answered("200: an empty object", Script::body("{}"), SENSELESS),
        answered("200: a number", Script::body("42"), SENSELESS),
        answered("200: not JSON", Script::body("{\"choices\": [{\"mess"), SENSELESS),
        answered(
            "200: a page",
            Script::answer(200, &[("content-type", "text/html")], "<html>welcome</html>"),
            SENSELESS,
        ),
        answered("200: not UTF-8", Script::body([123, 255, 254, 125]), SENSELESS),
        answered("200: nested 5,000 deep", Script::body(deep), SENSELESS),
        answered("choices empty", Script::body(completion_with("choices", Some(json!([])))), SENSELESS),
        answered("choices missing", Script::body(completion_with("choices", None)), SENSELESS),
        answered("choices null", Script::body(completion_with("choices", Some(json!(null)))), SENSELESS),
        answered("choices of another type", Script::body(completion_with("choices", Some(json!("x")))), SENSELESS),
        answered("choice without a message", Script::body(completion_with("choices", Some(json!([{}])))), SENSELESS),
        Fault::both(
            "compressed without being asked",
            Script::answer(200, &[("content-type", "application/json"), ("content-encoding", "gzip")], ZIPPED),
            fails(SENSELESS, Closed),
        ),
        Fault::both(
            "answer over the bound",
            Script::body(completion(&"x".repeat(MAX_BODY_KB * 4000)).to_string()),
            fails(SENSELESS, Closed),
        ),
        answered("content that is no text", Script::body(choice(json!({"message": {"content": {"a": 1}}}))), SENSELESS),
        answered("tool call with broken arguments", Script::body(calling("{\"a\": ", "tool_calls")), SENSELESS),
        answered("tool call whose arguments are no object", Script::body(calling("[1]", "tool_calls")), SENSELESS),
        answered(
            "tool call without a name",
            Script::body(calling("{}", "tool_calls").replace("\"get\"", "null")),
            SENSELESS,
        ),
        says_all_the_same("tool call, finish_reason stop", calling("{\"a\":1}", "stop"), call),
        Fault::each(
            "tool call cut by length",
            (Script::body(calling("{\"a\": ", "length")), says("max_tokens 10+3", Kept)),
            // A stream has shown the call before it was known to be cut.
            (Script::body(calling("{\"a\": ", "length")), says("tool:get{} max_tokens 10+3", Kept)),
        ),
        says_all_the_same("no finish_reason", choice(json!({"finish_reason": null})), well),
        says_all_the_same("unknown finish_reason", choice(json!({"finish_reason": "tired"})), well),
        says_all_the_same(
            "two choices",
            completion_with(
                "choices",
                Some(json!([
                    {"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"},
                    {"index": 1, "message": {"content": "No"}, "finish_reason": "stop"},
                ])),
            ),
            well,
        ),
        says_all_the_same("content null", choice(json!({"message": {"content": null}})), "end_turn 10+3"),
        says_all_the_same(
            "usage of 0",
            completion_with("usage", Some(json!({"prompt_tokens": 0, "completion_tokens": 0}))),
            "text:Hello end_turn 0+0",
        ),
        says_all_the_same("unknown fields", completion_with("vendor", Some(json!({"x": [1, 2]}))), well),
        says_all_the_same("blanks around the answer", format!("\r\n\r\n  {}\r\n\r\n", hello()), well),
        Fault::both(
            "another content-type",
            Script::answer(200, &[("content-type", "text/plain")], hello()),
            says(well, Kept),
        ),
        Fault::both("no content-type", Script::answer(200, &[], hello()), says(well, Kept)),
        Fault::both("body that stalls", Script::half_a_body().hold(), at_last(Closed)).with(LITTLE_IDLENESS),
        Fault::both(
            "body that drips beyond the total time-out",
            Script::asked()
                .head(200, &[("content-type", "application/json")], &[("content-length", "99999")])
                .drip(" ", Duration::from_millis(20)),
            at_last(Closed),
        )
        .with("total_timeout = \"1500ms\""),
    ]
}
