//! The fourth verb: what a provider says when it fails, to what the client is told.

mod clean;
mod overflow;
mod said;

use serde_json::Value;

use self::clean::cleaned;
use self::said::Said;
use crate::error::{Cause, GatewayError};
use crate::wire::openai::completion::Completion;

/// A provider's answer that is not a success. `retry_after` in seconds, from its header.
pub fn answer(status: u16, retry_after: Option<u64>, body: &[u8]) -> GatewayError {
    let said = Said::read(body);
    from_parts(status, &said).retry_after(retry_after.or(said.retry_after))
}

/// The failure inside a 200, if the body or chunk holds one (T53, T54, T58).
pub fn inside(completion: &Completion<'_>, body: &[u8]) -> Option<GatewayError> {
    let in_choice = completion.choices.first().and_then(|choice| choice.error);
    let failed = completion.error.or(in_choice).is_some()
        || completion.object.as_deref() == Some("error")
        || completion.choices.first().is_some_and(|choice| choice.finish_reason.as_deref() == Some("error"));
    failed.then(|| {
        let said = match in_choice.map(|error| serde_json::from_str::<Value>(error.get())) {
            Some(Ok(error)) => Said::of(&error),
            _ => Said::read(body),
        };
        from_parts(said.status(), &said).retry_after(said.retry_after)
    })
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
        400 | 413 | 422 | 500 if overflow::is_overflow(said) => {
            GatewayError::new(Cause::ContextOverflow, overflow::message(said))
        }
        400 | 503 if said.mentions(&["is cold", "not ready", "model is loading", "currently loading"]) => {
            with_status(Cause::Overloaded, "is not ready to serve this model")
        }
        // OpenRouter and others: an id that they do not know is a bad request to them.
        400 if said.mentions(&["is not a valid model", "model_not_found", "unknown model", "invalid model id"]) => {
            with_status(Cause::ProviderNotFound, "does not have this model")
        }
        400 | 422 => kept(Cause::InvalidRequest, "The provider refused the request without saying why"),
        401 | 402 => account(),
        403 if said.moderated => kept(Cause::Moderated, "The provider's moderation refused the request"),
        403 => account(),
        404 => with_status(Cause::ProviderNotFound, "does not have this model"),
        408 | 504 | 524 => with_status(Cause::Timeout, "ran out of time"),
        413 => kept(Cause::BodyTooLarge, "The request is too large for the provider"),
        // A limit on the rate may mention billing too: only the kind of the error tells.
        429 if said.is_kind(&["insufficient_quota", "billing_hard_limit", "billing_not_active"]) => account(),
        429 => with_status(Cause::RateLimited, "limits the rate of requests"),
        502 if said.is_page => {
            GatewayError::new(Cause::ProviderFailed, "The provider answered 502 with a body that makes no sense")
        }
        502 | 503 | 529 => with_status(Cause::Overloaded, "is overloaded or down"),
        500..=599 => with_status(Cause::ProviderFailed, "failed"),
        _ => {
            GatewayError::new(Cause::InvalidResponse, format!("The provider answered with an unexpected HTTP {status}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(answer(502, None, b"").cause, Cause::Overloaded);
    }
}
