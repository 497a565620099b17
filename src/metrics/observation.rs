//! What can be observed. Small values without text, so that recording one costs nothing.

use std::time::Duration;

use crate::catalog::{ModelLabel, ProviderId};
use crate::error::Cause;
use crate::limits::meter::KeyLabel;
use crate::translate::usage::Tally;
use crate::wire::anthropic::message::ErrorType;

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Observation {
    /// A request for a known model has begun.
    RequestStarted {
        model: ModelLabel,
    },
    RequestEnded(RequestEnded),
    /// A request was turned away by us.
    Rejected(Rejection),
    /// A call to a provider has begun.
    CallStarted {
        provider: ProviderId,
    },
    CallEnded {
        provider: ProviderId,
        outcome: CallOutcome,
    },
    /// The head of a provider's answer arrived after this time.
    CallHead {
        provider: ProviderId,
        after: Duration,
    },
    /// One provider failed and another was asked.
    Fallback {
        from: ProviderId,
        to: ProviderId,
    },
    /// An attempt failed, and the same provider is asked again.
    Retry {
        provider: ProviderId,
        reason: RetryReason,
    },
    /// A provider refused our key or our credit.
    AccountRefused {
        provider: ProviderId,
    },
    /// A request had its turn at a provider whose calls are bounded, or gave up after this time.
    QueueWait {
        provider: ProviderId,
        waited: Duration,
    },
    /// A field was not sent to the provider.
    Dropped {
        field: &'static str,
    },
    /// A stream of ours said something out of order.
    OutOfOrder,
    /// What a provider's headers say is left.
    RateLimitRemaining {
        provider: ProviderId,
        kind: LimitKind,
        remaining: f64,
    },
}

/// The end of a request for a known model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestEnded {
    pub model: ModelLabel,
    /// The client's key.
    pub key: KeyLabel,
    pub outcome: Outcome,
    /// From the request read to the end of the answer.
    pub latency: Duration,
    /// The provider that answered, and what it took; none when none was asked.
    pub bill: Option<Bill>,
    /// From the request read to the first content; streams only.
    pub first_token: Option<Duration>,
    /// From the first content to the last; streams only.
    pub generation: Option<Duration>,
    /// The part of the latency that was not spent waiting for the provider.
    pub overhead: Option<Duration>,
}

/// What an answer took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bill {
    pub provider: ProviderId,
    pub tally: Tally,
    /// US dollars: the provider's figure, or from the catalog's prices.
    pub cost: Option<f64>,
}

impl Bill {
    /// The cost, if it can be added to others.
    pub fn known_cost(&self) -> Option<f64> {
        self.cost.filter(|cost| *cost > 0.0 && cost.is_finite())
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// The caller was wrong: not an error of the model.
    Refused,
    Failed(ErrorLabel),
    /// The client hung up.
    Cancelled,
}

impl Outcome {
    /// The outcome of a request that ended with this failure.
    pub fn of(cause: Cause) -> Outcome {
        match cause.is_failure() {
            true => Outcome::Failed(ErrorLabel::of(cause)),
            false => Outcome::Refused,
        }
    }
}

/// The label `type` of errors: Anthropic's types, and one for streams that broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorLabel {
    Type(ErrorType),
    StreamInterrupted,
}

impl ErrorLabel {
    /// All that a failed request can have.
    pub const ALL: [ErrorLabel; 6] = [
        ErrorLabel::Type(ErrorType::ApiError),
        ErrorLabel::Type(ErrorType::NotFoundError),
        ErrorLabel::Type(ErrorType::OverloadedError),
        ErrorLabel::Type(ErrorType::RateLimitError),
        ErrorLabel::Type(ErrorType::TimeoutError),
        ErrorLabel::StreamInterrupted,
    ];

    fn of(cause: Cause) -> ErrorLabel {
        match cause {
            Cause::Interrupted => ErrorLabel::StreamInterrupted,
            cause => ErrorLabel::Type(cause.answer().1),
        }
    }

    /// As it stands in the label.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorLabel::Type(kind) => kind.as_str(),
            ErrorLabel::StreamInterrupted => "stream_interrupted",
        }
    }
}

/// Why we turned a request away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    Auth,
    /// The key may not do this.
    Permission,
    Validation,
    UnknownModel,
    TooLarge,
    /// A limit of ours.
    RateLimit,
    /// The budget of the key is spent.
    Budget,
    ShuttingDown,
}

impl Rejection {
    pub const ALL: [Rejection; 8] = [
        Rejection::Auth,
        Rejection::Permission,
        Rejection::Validation,
        Rejection::UnknownModel,
        Rejection::TooLarge,
        Rejection::RateLimit,
        Rejection::Budget,
        Rejection::ShuttingDown,
    ];

    /// As it stands in the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Rejection::Auth => "auth",
            Rejection::Permission => "permission",
            Rejection::Validation => "validation",
            Rejection::UnknownModel => "unknown_model",
            Rejection::TooLarge => "too_large",
            Rejection::RateLimit => "rate_limit",
            Rejection::Budget => "budget",
            Rejection::ShuttingDown => "shutting_down",
        }
    }
}

/// How a call to a provider ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    Success,
    ClientError,
    RateLimited,
    ServerError,
    Timeout,
    Connect,
    InvalidResponse,
    Cancelled,
}

impl CallOutcome {
    pub const ALL: [CallOutcome; 8] = [
        CallOutcome::Success,
        CallOutcome::ClientError,
        CallOutcome::RateLimited,
        CallOutcome::ServerError,
        CallOutcome::Timeout,
        CallOutcome::Connect,
        CallOutcome::InvalidResponse,
        CallOutcome::Cancelled,
    ];

    /// The outcome of a call that failed so.
    pub fn of(cause: Cause) -> CallOutcome {
        match cause {
            Cause::RateLimited => CallOutcome::RateLimited,
            Cause::Timeout => CallOutcome::Timeout,
            Cause::Unreachable | Cause::ConnectTimeout | Cause::Disconnected => CallOutcome::Connect,
            Cause::InvalidResponse | Cause::Interrupted => CallOutcome::InvalidResponse,
            Cause::ProviderFailed | Cause::Overloaded => CallOutcome::ServerError,
            // Ours to end, not the provider's doing.
            Cause::Closing => CallOutcome::Cancelled,
            _ => CallOutcome::ClientError,
        }
    }

    /// As it stands in the label `outcome`.
    pub fn as_str(self) -> &'static str {
        match self {
            CallOutcome::Success => "success",
            CallOutcome::ClientError => "client_error",
            CallOutcome::RateLimited => "rate_limited",
            CallOutcome::ServerError => "server_error",
            CallOutcome::Timeout => "timeout",
            CallOutcome::Connect => "connect",
            CallOutcome::InvalidResponse => "invalid_response",
            CallOutcome::Cancelled => "cancelled",
        }
    }
}

/// Why the same provider was asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryReason {
    /// There was no connection.
    Connect,
    /// The connection was closed before an answer came.
    Disconnected,
    RateLimited,
    ServerError,
}

impl RetryReason {
    pub const ALL: [RetryReason; 4] =
        [RetryReason::Connect, RetryReason::Disconnected, RetryReason::RateLimited, RetryReason::ServerError];

    /// As it stands in the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            RetryReason::Connect => "connect",
            RetryReason::Disconnected => "disconnected",
            RetryReason::RateLimited => "rate_limited",
            RetryReason::ServerError => "server_error",
        }
    }
}

/// What a provider limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    Requests,
    Tokens,
}

impl LimitKind {
    /// As it stands in the label `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            LimitKind::Requests => "requests",
            LimitKind::Tokens => "tokens",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_the_end_of_the_gateway_cut_is_no_fault_of_the_provider() {
        assert_eq!(CallOutcome::of(Cause::Closing), CallOutcome::Cancelled);
        assert_eq!(Outcome::of(Cause::Closing), Outcome::Failed(ErrorLabel::Type(ErrorType::OverloadedError)));
    }
}
