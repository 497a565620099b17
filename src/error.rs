//! Every way a request can fail, and what the client is told: the single table of status, type and retry.
//!
//! Pure: `handlers` turn a [`GatewayError`] into an HTTP answer, `translate::error` makes one from what a
//! provider said.

use crate::wire::anthropic::message::{ErrorDetails, ErrorType};

/// Seconds until the next try, when a provider limits the rate and does not say until when (T57): long enough to
/// be polite, short enough for somebody who waits.
const DEFAULT_RETRY_AFTER: u64 = 5;

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The request is wrong, by our rules or the provider's.
    InvalidRequest,
    /// The prompt is longer than the model's context.
    ContextOverflow,
    /// Client key missing or wrong.
    Unauthenticated,
    /// The client's key may not do this.
    Forbidden,
    /// The client's key has used what it may for now.
    KeyLimit,
    /// The client's key has spent its budget.
    BudgetSpent,
    /// The provider's moderation refused the prompt.
    Moderated,
    UnknownModel,
    UnknownPath,
    WrongMethod,
    /// Content type or encoding that we do not read.
    UnsupportedMedia,
    BodyTooLarge,
    /// The client broke off in the middle of its body, or its framing is wrong.
    BodyIncomplete,
    /// The client did not send its body in time.
    BodyTimeout,
    /// The provider's rate limit.
    RateLimited,
    /// The provider refuses our key or our credit.
    ProviderAccount,
    /// A configured route names a model that its provider does not have.
    ProviderNotFound,
    /// The provider, or our limit on it, ran out of time.
    Timeout,
    /// The provider failed with a 500.
    ProviderFailed,
    /// The provider's answer makes no sense.
    InvalidResponse,
    /// The provider broke off in the middle of an answer.
    Interrupted,
    /// The provider says that it is overloaded, down or not ready.
    Overloaded,
    /// No connection to the provider.
    Unreachable,
    /// No connection to the provider in time.
    ConnectTimeout,
    /// The provider closed the connection before it answered. A connection of the pool that had gone stale looks the
    /// same.
    Disconnected,
    /// The provider has failed so often that it is left alone for a while.
    CircuitOpen,
    /// All calls that the provider may have at once are taken, and enough requests wait, or this one waited long
    /// enough.
    QueueFull,
    /// No provider of this model has a key.
    NoRoute,
    /// Redis, which knows what the client's key has used, is away, and requests shall then be refused.
    LimitsUnknown,
    /// The gateway has as many requests open as it may have.
    Full,
    /// The gateway is shutting down and takes no new requests.
    Draining,
    /// The gateway is shutting down and cannot wait for this request any longer.
    Closing,
    /// Our own fault.
    Internal,
}

impl Cause {
    /// HTTP status, error type, and whether the same request may succeed when sent again.
    pub fn answer(self) -> (u16, ErrorType, bool) {
        use ErrorType::*;
        match self {
            Cause::InvalidRequest | Cause::ContextOverflow => (400, InvalidRequestError, false),
            Cause::Unauthenticated => (401, AuthenticationError, false),
            Cause::BudgetSpent => (402, BillingError, false),
            Cause::Forbidden | Cause::Moderated => (403, PermissionError, false),
            Cause::UnknownModel | Cause::UnknownPath | Cause::ProviderNotFound => (404, NotFoundError, false),
            Cause::WrongMethod => (405, InvalidRequestError, false),
            Cause::BodyTooLarge => (413, RequestTooLarge, false),
            Cause::BodyIncomplete => (400, InvalidRequestError, false),
            Cause::BodyTimeout => (408, InvalidRequestError, true),
            Cause::UnsupportedMedia => (415, InvalidRequestError, false),
            Cause::RateLimited | Cause::KeyLimit => (429, RateLimitError, true),
            Cause::ProviderAccount => (502, ApiError, false),
            Cause::ProviderFailed | Cause::InvalidResponse | Cause::Interrupted => (502, ApiError, true),
            Cause::Timeout | Cause::ConnectTimeout => (504, TimeoutError, true),
            Cause::Overloaded | Cause::Unreachable | Cause::Disconnected => (529, OverloadedError, true),
            Cause::CircuitOpen | Cause::QueueFull | Cause::LimitsUnknown => (529, OverloadedError, true),
            Cause::Full | Cause::Draining | Cause::Closing => (529, OverloadedError, true),
            Cause::NoRoute => (529, OverloadedError, false),
            Cause::Internal => (500, ApiError, true),
        }
    }

    /// Whether the same request may succeed when it is sent again.
    pub fn may_pass(self) -> bool {
        self.answer().2
    }

    /// Whether the gateway or a provider failed, as opposed to a caller who was wrong.
    pub fn is_failure(self) -> bool {
        match self {
            Cause::InvalidRequest
            | Cause::ContextOverflow
            | Cause::Unauthenticated
            | Cause::Forbidden
            | Cause::KeyLimit
            | Cause::BudgetSpent
            | Cause::Moderated
            | Cause::UnknownModel
            | Cause::UnknownPath
            | Cause::WrongMethod
            | Cause::UnsupportedMedia
            | Cause::BodyTooLarge
            | Cause::BodyIncomplete
            | Cause::BodyTimeout
            | Cause::Full
            | Cause::Draining => false,
            Cause::RateLimited
            | Cause::ProviderAccount
            | Cause::ProviderNotFound
            | Cause::Timeout
            | Cause::ProviderFailed
            | Cause::InvalidResponse
            | Cause::Interrupted
            | Cause::Overloaded
            | Cause::Unreachable
            | Cause::ConnectTimeout
            | Cause::Disconnected
            | Cause::CircuitOpen
            | Cause::QueueFull
            | Cause::NoRoute
            | Cause::LimitsUnknown
            | Cause::Closing
            | Cause::Internal => true,
        }
    }
}

/// A failed request: what the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayError {
    pub cause: Cause,
    /// For the client's eyes: no keys, no addresses, no internals.
    pub message: String,
    /// Seconds, when that is known.
    pub retry_after: Option<u64>,
    pub details: Option<ErrorDetails>,
    /// The provider that was asked last, for the header that names it.
    pub provider: Option<String>,
}

impl GatewayError {
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        GatewayError { cause, message: message.into(), retry_after: None, details: None, provider: None }
    }

    /// With the number of seconds after which the client may try again.
    pub fn retry_after(mut self, seconds: Option<u64>) -> Self {
        self.retry_after = seconds;
        self
    }

    /// The `retry-after` of the answer, in seconds.
    pub fn retry_after_told(&self) -> Option<u64> {
        self.retry_after.or((self.cause == Cause::RateLimited).then_some(DEFAULT_RETRY_AFTER))
    }
}

impl std::fmt::Display for GatewayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for GatewayError {}
