//! Anthropic's headers that tell how the limits of a key stand.

use std::time::{Duration, SystemTime};

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};

use crate::limits::meter::{Level, Standing};

/// No reset is named later than this.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Adds them for each limit that the key has.
pub fn show(response: &mut HttpResponse, standing: &Standing) {
    const REQUESTS: [&str; 3] = [
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ];
    const INPUT_TOKENS: [&str; 3] = [
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ];
    const OUTPUT_TOKENS: [&str; 3] = [
        "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ];
    for (names, level) in
        [(REQUESTS, standing.requests), (INPUT_TOKENS, standing.input_tokens), (OUTPUT_TOKENS, standing.output_tokens)]
    {
        if let Some(level) = level {
            show_one(response, names, &level);
        }
    }
}

fn show_one(response: &mut HttpResponse, [limit, remaining, reset]: [&'static str; 3], level: &Level) {
    let mut set = |name, value| {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    };
    set(limit, HeaderValue::from(level.limit));
    set(remaining, HeaderValue::from(level.remaining));
    // Rounded up: at the time that is named it is full. A bucket that was overdrawn beyond all measure says a day.
    let full_at = SystemTime::now().checked_add(level.full_in.min(LONGEST) + Duration::from_millis(999));
    let full_at = full_at.map(|at| humantime::format_rfc3339_seconds(at).to_string());
    if let Some(Ok(value)) = full_at.map(HeaderValue::try_from) {
        set(reset, value);
    }
}
