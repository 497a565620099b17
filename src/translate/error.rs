//! The fourth verb: what a provider says when it fails, to what the client is told.

use serde_json::Value;

use crate::error::{Cause, GatewayError};
use crate::wire::openai::completion::Completion;

/// The longest message that is passed on, in characters.
const MAX_MESSAGE: usize = 600;

/// A provider's answer that is not a success. `retry_after` in seconds, from its header.
pub fn answer(status: u16, retry_after: Option<u64>, body: &[u8]) -> GatewayError {
    let said = Said::read(body);
    let error = from_parts(status, &said);
    error.retry_after(retry_after.or(said.retry_after))
}

/// The failure inside a 200, if the body or chunk holds one (T53, T54, T58).
pub fn inside(completion: &Completion<'_>, body: &[u8]) -> Option<GatewayError> {
    let in_choice = completion.choices.first().and_then(|choice| choice.error);
    let failed = completion.error.or(in_choice).is_some()
        || completion.object.as_deref() == Some("error")
        || completion.choices.first().is_some_and(|choice| choice.finish_reason.as_deref() == Some("error"));
    failed.then(|| {
        let said = match in_choice {
            Some(error) => Said::of(&serde_json::from_str(error.get()).unwrap_or_default()),
            None => Said::read(body),
        };
        let status = said.code.filter(|code| (400..600).contains(code)).unwrap_or(500);
        from_parts(status, &said).retry_after(said.retry_after)
    })
}

/// What can be read of an error body, whatever its shape.
#[derive(Debug, Default)]
struct Said {
    message: String,
    /// Everything that may name the kind of failure: types, codes, the provider's provider's own words.
    words: String,
    code: Option<u16>,
    moderated: bool,
    retry_after: Option<u64>,
    is_json: bool,
}

impl Said {
    fn read(body: &[u8]) -> Said {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Said { is_json: true, ..Said::of(&value) },
            Err(_) => Said::default(),
        }
    }

    fn of(value: &Value) -> Said {
        let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let detail = |value: &Value| match value.get("detail") {
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) if !other.is_null() => Some(other.to_string()),
            _ => None,
        };
        let metadata = error.get("metadata");
        let raw = text(metadata.and_then(|metadata| metadata.get("raw")));
        let message =
            text(Some(error)).or_else(|| text(error.get("message"))).or_else(|| detail(value)).unwrap_or_default();
        let words = [text(error.get("type")), text(error.get("code")), raw, Some(message.clone())];
        let code = error.get("code").or_else(|| error.get("status")).and_then(|code| match code {
            Value::Number(number) => number.as_u64().and_then(|code| u16::try_from(code).ok()),
            Value::String(text) => text.parse().ok(),
            _ => None,
        });
        Said {
            message,
            words: words.into_iter().flatten().collect::<Vec<_>>().join("\n").to_lowercase(),
            code,
            moderated: metadata.and_then(|metadata| metadata.get("reasons")).is_some(),
            retry_after: metadata.and_then(|metadata| metadata.get("retry_after_seconds")).and_then(Value::as_u64),
            is_json: true,
        }
    }

    fn mentions(&self, any: &[&str]) -> bool {
        any.iter().any(|word| self.words.contains(word))
    }
}

fn from_parts(status: u16, said: &Said) -> GatewayError {
    let kept = |cause, otherwise: &str| match said.message.is_empty() {
        true => GatewayError::new(cause, otherwise),
        false => GatewayError::new(cause, cleaned(&said.message)),
    };
    let with_status = |cause, what: &str| match said.message.is_empty() {
        true => GatewayError::new(cause, format!("The provider {what} (HTTP {status})")),
        false => GatewayError::new(cause, format!("The provider {what} (HTTP {status}): {}", cleaned(&said.message))),
    };
    let account = || {
        GatewayError::new(
            Cause::ProviderAccount,
            format!(
                "The gateway's account with the provider is at fault (HTTP {status}); its operator must check key and credit"
            ),
        )
    };
    match status {
        400 | 413 | 422 | 500 if is_context_overflow(said) => context_overflow(said),
        400 | 503 if said.mentions(&["is cold", "not ready", "model is loading", "currently loading"]) => {
            with_status(Cause::Overloaded, "is not ready to serve this model")
        }
        400 | 422 => kept(Cause::InvalidRequest, "The provider refused the request without saying why"),
        401 | 402 => account(),
        403 if said.moderated => kept(Cause::Moderated, "The provider's moderation refused the request"),
        403 => account(),
        404 => with_status(Cause::ProviderNotFound, "does not have this model"),
        408 | 504 | 524 => with_status(Cause::Timeout, "ran out of time"),
        413 => kept(Cause::BodyTooLarge, "The request is too large for the provider"),
        429 if said.mentions(&["insufficient_quota", "billing"]) => account(),
        429 => with_status(Cause::RateLimited, "limits the rate of requests"),
        502 if !said.is_json => {
            GatewayError::new(Cause::ProviderFailed, "The provider answered 502 with a body that makes no sense")
        }
        502 | 503 | 529 => with_status(Cause::Overloaded, "is overloaded or down"),
        500..=599 => with_status(Cause::ProviderFailed, "failed"),
        _ => {
            GatewayError::new(Cause::InvalidResponse, format!("The provider answered with an unexpected HTTP {status}"))
        }
    }
}

fn is_context_overflow(said: &Said) -> bool {
    said.mentions(&[
        "context_length_exceeded",
        "exceed_context_size",
        "maximum context length",
        "context window",
        "context length",
        "context size",
        "prompt is too long",
        "input is too long",
        "too many tokens",
    ])
}

/// In Anthropic's words, by which clients know that they must compact (T61).
fn context_overflow(said: &Said) -> GatewayError {
    let mut numbers: Vec<u64> = said
        .words
        .replace(',', "")
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .filter(|number| *number >= 100)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let message = match numbers[..] {
        [.., maximum, tokens] => format!("prompt is too long: {tokens} tokens > {maximum} maximum"),
        _ => "prompt is too long: the model's context does not hold it".to_owned(),
    };
    GatewayError::new(Cause::ContextOverflow, message)
}

/// A provider's message without what is not the client's business: addresses and whatever may be a key.
fn cleaned(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().map(clean_word).collect();
    let text = words.join(" ");
    match text.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn clean_word(word: &str) -> &str {
    let lower = word.to_ascii_lowercase();
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let digits = bare.bytes().filter(u8::is_ascii_digit).count();
    let starred = word.contains("***");
    let key_like =
        bare.len() >= 24 && digits >= 4 && bare.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if lower.contains("://") || lower.contains("www.") {
        "[url]"
    } else if ["sk-", "rc_", "gw_live_", "key-"].iter().any(|prefix| bare.to_ascii_lowercase().starts_with(prefix))
        || starred
        || key_like
    {
        "[key]"
    } else {
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_addresses_are_taken_out_of_messages() {
        let message = "Incorrect API key provided: sk-abcd****wxyz. See https://example.com/keys or 0123456789abcdef0123456789abcdef";
        assert_eq!(cleaned(message), "Incorrect API key provided: [key] See [url] or [key]");
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let cut = cleaned(&"ü".repeat(2 * MAX_MESSAGE));
        assert_eq!(cut.chars().count(), MAX_MESSAGE + 1);
    }

    #[test]
    fn context_overflow_is_worded_so_that_clients_compact() {
        let body = br#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens."}}"#;
        let error = answer(400, None, body);
        assert_eq!(
            (error.cause, error.message.as_str()),
            (Cause::ContextOverflow, "prompt is too long: 9001 tokens > 8192 maximum")
        );
    }

    #[test]
    fn every_status_has_a_cause() {
        let table = [
            (400, Cause::InvalidRequest),
            (422, Cause::InvalidRequest),
            (401, Cause::ProviderAccount),
            (402, Cause::ProviderAccount),
            (403, Cause::ProviderAccount),
            (404, Cause::ProviderNotFound),
            (408, Cause::Timeout),
            (429, Cause::RateLimited),
            (500, Cause::ProviderFailed),
            (502, Cause::Overloaded),
            (503, Cause::Overloaded),
            (529, Cause::Overloaded),
            (504, Cause::Timeout),
            (307, Cause::InvalidResponse),
            (418, Cause::InvalidResponse),
        ];
        for (status, cause) in table {
            assert_eq!(answer(status, None, br#"{"error":{"message":"x"}}"#).cause, cause, "{status}");
        }
        assert_eq!(answer(502, None, b"<html>").cause, Cause::ProviderFailed);
    }
}
