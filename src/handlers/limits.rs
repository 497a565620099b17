//! Anthropic's headers that tell how the limits of a key stand: on every answer to whoever showed one, whether or not the
//! request counts against them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest};

use crate::auth::Key;
use crate::limits::meter::{Level, Standing};

struct Shown(Arc<Key>);

/// Has the limits of this key told with the answer.
pub(super) fn tell_with(request: &HttpRequest, key: &Arc<Key>) {
    request.extensions_mut().insert(Shown(key.clone()));
}

/// Middleware: tells how the limits stand when the head of the answer is settled.
pub async fn tell(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    let shown = response.request().extensions().get::<Shown>().map(|Shown(key)| key.meter.standing());
    if let Some(standing) = shown {
        show(response.headers_mut(), &standing);
    }
    Ok(response)
}

/// No reset is named later than this.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Adds them for each limit that the key has.
pub fn show(headers: &mut HeaderMap, standing: &Standing) {
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
            show_one(headers, names, &level);
        }
    }
}

fn show_one(headers: &mut HeaderMap, [limit, remaining, reset]: [&'static str; 3], level: &Level) {
    let mut set = |name, value| {
        headers.insert(HeaderName::from_static(name), value);
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
