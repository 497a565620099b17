//! Every mood: what it is called, the number that it takes, and what it does.

/// One way to behave. What each means for a client is said once, in [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Healthy: what a model without a mood does, and a way to spare one model from a mood set for all.
    Well,
    /// A long wait before the first token.
    Slow,
    /// Another number of tokens per second.
    Speed,
    /// 429 with `retry-after`.
    RateLimit,
    /// 500.
    Error,
    /// 502 with a page of HTML, as a load balancer sends it.
    BadGateway,
    /// 503.
    Unavailable,
    /// 529.
    Overloaded,
    /// 408.
    Timeout,
    /// 401: the key is wrong.
    Unauthorised,
    /// 403: the key may not use the model.
    Forbidden,
    /// 402: the account is empty.
    NoCredit,
    /// 404: no such model.
    NotFound,
    /// 400 with a reason.
    Invalid,
    /// 403 with the reasons of a moderation.
    Moderated,
    /// 400: the prompt is longer than the context.
    Context,
    /// 400: the model is not loaded yet.
    Cold,
    /// A 200 in which the model declines.
    Refuse,
    /// Takes the request and never answers.
    Hang,
    /// Stalls in mid-answer, with the connection open.
    HangAfter,
    /// Closes the connection in mid-answer.
    Cut,
    /// Sends something that is not JSON in mid-answer.
    Malformed,
    /// A 200 that holds an error.
    ErrorIn200,
    /// An error in mid-answer, `finish_reason` "error".
    ErrorInStream,
    /// No usage, though it was asked for.
    NoUsage,
    /// No `[DONE]`.
    NoDone,
    /// No `finish_reason`.
    NoFinish,
    /// An answer without any content.
    Empty,
    /// Calls the first tool, whatever was asked.
    Tools,
    /// Two tool calls whose fragments take turns.
    Interleaved,
    /// Reasons without being asked to.
    Think,
    /// Half of the prompt came from the cache.
    Cached,
    /// A whole JSON completion where a stream was asked for.
    JsonForStream,
    /// Fails with 503 for a share of the requests.
    Flaky,
    /// An emoji whose two JSON escapes come in two chunks.
    Surrogates,
}

/// The number that a mood may take.
pub struct Argument {
    /// What the number means, with its unit.
    pub meaning: &'static str,
    /// Used when none is given.
    pub default: u32,
    /// The largest that is accepted.
    pub most: u32,
}

/// A mood as it is written and explained.
pub struct Entry {
    pub mood: Mood,
    pub name: &'static str,
    pub argument: Option<Argument>,
    pub what: &'static str,
}

const fn plain(mood: Mood, name: &'static str, what: &'static str) -> Entry {
    Entry { mood, name, argument: None, what }
}

const fn with(
    mood: Mood,
    name: &'static str,
    meaning: &'static str,
    default: u32,
    most: u32,
    what: &'static str,
) -> Entry {
    Entry { mood, name, argument: Some(Argument { meaning, default, most }), what }
}

const HOUR_MS: u32 = 3_600_000;
const MANY: u32 = 1_000_000;
const TOKENS: &str = "tokens sent before";

/// Every mood, in the order of the help text.
pub const TABLE: &[Entry] = &[
    plain(Mood::Well, "well", "healthy; spares one model from a mood set for all"),
    with(Mood::Slow, "slow", "milliseconds", 3000, HOUR_MS, "waits before the first token"),
    with(Mood::Speed, "speed", "tokens per second", 10, MANY, "sends tokens at this speed"),
    with(Mood::RateLimit, "rate-limit", "retry-after in seconds", 7, 86_400, "429 with a retry-after header"),
    plain(Mood::Error, "error", "500 with a JSON error"),
    plain(Mood::BadGateway, "bad-gateway", "502 with an HTML page"),
    plain(Mood::Unavailable, "unavailable", "503"),
    plain(Mood::Overloaded, "overloaded", "529"),
    plain(Mood::Timeout, "timeout", "408, at once"),
    plain(Mood::Unauthorised, "unauthorised", "401, the provider key is wrong"),
    plain(Mood::Forbidden, "forbidden", "403, the provider key may not use the model"),
    plain(Mood::NoCredit, "no-credit", "402, the provider account is empty"),
    plain(Mood::NotFound, "not-found", "404, the provider does not know the model"),
    plain(Mood::Invalid, "invalid", "400 with a reason"),
    plain(Mood::Moderated, "moderated", "403 with metadata.reasons, as OpenRouter sends it"),
    plain(Mood::Context, "context", "400, the prompt is longer than the model's context"),
    plain(Mood::Cold, "cold", "400, the model is cold and not ready"),
    plain(Mood::Refuse, "refuse", "declines: a refusal text and finish_reason content_filter"),
    plain(Mood::Hang, "hang", "takes the request and never answers"),
    with(Mood::HangAfter, "hang-after", TOKENS, 5, MANY, "stalls in mid-answer, connection open"),
    with(Mood::Cut, "cut", TOKENS, 5, MANY, "closes the connection in mid-answer"),
    with(Mood::Malformed, "malformed", TOKENS, 5, MANY, "a chunk (or the body) that is not JSON"),
    plain(Mood::ErrorIn200, "error-in-200", "status 200, but an error is all that it says"),
    with(Mood::ErrorInStream, "error-in-stream", TOKENS, 5, MANY, "an error in mid-answer, finish_reason error"),
    plain(Mood::NoUsage, "no-usage", "never says the usage"),
    plain(Mood::NoDone, "no-done", "the stream ends without [DONE]"),
    plain(Mood::NoFinish, "no-finish", "the answer ends without a finish_reason"),
    plain(Mood::Empty, "empty", "an answer without any content"),
    plain(Mood::Tools, "tools", "calls the first tool offered, save right after a tool result"),
    plain(Mood::Interleaved, "interleaved", "two tool calls, fragments in turns; not after a tool result"),
    plain(Mood::Think, "think", "reasons before it answers, in reasoning_content"),
    plain(Mood::Cached, "cached", "reports half of the prompt as read from the cache"),
    plain(Mood::JsonForStream, "json-for-stream", "a JSON completion where a stream was asked for"),
    with(Mood::Flaky, "flaky", "percent of the requests", 50, 100, "503 for this share, evenly spread"),
    plain(Mood::Surrogates, "surrogates", "an emoji whose two escapes come in two chunks"),
];
