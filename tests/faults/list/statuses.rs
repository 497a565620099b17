//! Answers other than 200.

use serde_json::json;

use super::{Fault, LITTLE_IDLENESS, answered};
use crate::expect::Connection::{Closed, Either, Gone, Kept};
use crate::expect::{
    ACCOUNT, FAILED, INVALID_REQUEST, MODERATED, NOT_FOUND, OVERLOADED, OVERLOADED_FOR_LONG, RATE_LIMITED,
    RATE_LIMITED_SHORTLY, SENSELESS, TIMEOUT, TOO_LARGE, fails, fails_once,
};
use crate::script::Script;

/// A rate limit that says this of the time to wait.
fn limited(retry_after: &str) -> Script {
    Script::fails(429, &[("retry-after", retry_after)], "slow down")
}

pub fn faults() -> Vec<Fault> {
    let flagged = json!({"error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"]}}});
    let quota = json!({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}});
    let page = "<html><h1>502 Bad Gateway</h1></html>";
    let overflow = "This model's maximum context length is 8192 tokens, your messages resulted in 9001 tokens";
    let elsewhere = [("location", "http://127.0.0.1:9/v1/chat/completions")];
    vec![
        Fault::both("204", Script::asked().head(204, &[], &[]), fails(SENSELESS, Kept)),
        answered("202", Script::answer(202, &[], ""), SENSELESS),
        answered("301", Script::answer(301, &elsewhere, ""), SENSELESS),
        answered("307", Script::answer(307, &elsewhere, ""), SENSELESS),
        Fault::both("304", Script::asked().head(304, &[], &[]), fails(SENSELESS, Kept)),
        answered("400", Script::status(400), INVALID_REQUEST),
        answered("400, the prompt is too long", Script::fails(400, &[], overflow), INVALID_REQUEST),
        answered("400, the model is cold", Script::fails(400, &[], "Model is cold: not ready"), OVERLOADED),
        answered("400, no such model", Script::fails(400, &[], "x/y is not a valid model ID"), NOT_FOUND),
        answered("401", Script::status(401), ACCOUNT),
        answered("402", Script::status(402), ACCOUNT),
        answered("403", Script::status(403), ACCOUNT),
        answered("403, moderated", Script::answer(403, &[], flagged.to_string()), MODERATED),
        answered("404", Script::status(404), NOT_FOUND),
        answered("404, a page", Script::answer(404, &[], page), NOT_FOUND),
        answered("408", Script::status(408), TIMEOUT),
        answered("413", Script::status(413), TOO_LARGE),
        answered("418", Script::status(418), SENSELESS),
        answered("422", Script::status(422), INVALID_REQUEST),
        answered("429", Script::status(429), RATE_LIMITED),
        answered("429, a short time", limited("1"), RATE_LIMITED_SHORTLY.after("1")),
        answered("429, no time at all", limited("0"), RATE_LIMITED_SHORTLY.after("0")),
        answered("429, a date that is past", limited("Thu, 01 Jan 2015 00:00:00 GMT"), RATE_LIMITED_SHORTLY.after("0")),
        answered("429, a long time", limited("77"), RATE_LIMITED.after("77")),
        answered("429, nonsense", limited("soon"), RATE_LIMITED),
        answered("429, a number that is none", limited("NaN"), RATE_LIMITED),
        answered("429, the quota is spent", Script::answer(429, &[], quota.to_string()), ACCOUNT),
        Fault::both("429 once, a short time", limited("0").once(), fails_once(RATE_LIMITED_SHORTLY.after("0"), Kept)),
        answered("500", Script::status(500), FAILED),
        Fault::both("500 once", Script::status(500).once(), fails_once(FAILED, Kept)),
        answered("500 without a body", Script::answer(500, &[], ""), FAILED),
        answered("500, plain text", Script::answer(500, &[], "Internal Server Error"), FAILED),
        Fault::both(
            "500, its body is cut",
            Script::asked().head(500, &[], &[("content-length", "99")]).raw("{\"err").close(),
            fails(FAILED, Gone),
        ),
        Fault::both(
            "500, its body stalls",
            Script::asked().head(500, &[], &[("content-length", "99")]).raw("{\"err").hold(),
            fails(FAILED, Closed),
        )
        .with(LITTLE_IDLENESS),
        Fault::both("500, a body of a megabyte", Script::answer(500, &[], "x".repeat(1 << 20)), fails(FAILED, Either)),
        answered("501", Script::status(501), FAILED),
        answered("502", Script::status(502), OVERLOADED),
        answered("502, a page", Script::answer(502, &[("content-type", "text/html")], page), FAILED),
        answered("503", Script::status(503), OVERLOADED),
        Fault::both("503 once", Script::status(503).once(), fails_once(OVERLOADED, Kept)),
        answered("503, a time", Script::fails(503, &[("retry-after", "1")], "later"), OVERLOADED.after("1")),
        answered(
            "503, a long time",
            Script::fails(503, &[("retry-after", "77")], "later"),
            OVERLOADED_FOR_LONG.after("77"),
        ),
        answered("504", Script::status(504), TIMEOUT),
        answered("524", Script::status(524), TIMEOUT),
        answered("529", Script::status(529), OVERLOADED),
        answered("599", Script::status(599), FAILED),
    ]
}
