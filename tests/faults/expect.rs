//! What must come of a fault: for the client, for the providers, in the metrics.

/// Attempts with one provider where trying again may help: `retry.max_attempts`.
pub const ATTEMPTS: usize = 3;

/// What the gateway does about a failure before content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// Asks the same provider again, then the next one.
    Retry,
    /// Asks the same provider again, but once: a stale connection is the likely reason, and the provider may have read
    /// the request.
    RetryOnce,
    /// Asks the next provider.
    NextRoute,
    /// Tells the client: nobody else would do better.
    Tell,
}

impl Handling {
    /// How often a provider is asked that fails so each time.
    pub fn attempts(self) -> usize {
        match self {
            Handling::Retry => ATTEMPTS,
            Handling::RetryOnce => ATTEMPTS.min(2),
            Handling::NextRoute | Handling::Tell => 1,
        }
    }

    pub fn next_route(self) -> bool {
        self != Handling::Tell
    }
}

/// A failure, as everybody sees it.
#[derive(Clone, Copy)]
pub struct Failure {
    /// Before content.
    pub status: u16,
    pub kind: &'static str,
    /// `x-should-retry`
    pub retry: bool,
    /// Seconds, as the header says them.
    pub retry_after: Option<&'static str>,
    /// `type` of `gateway_errors_total`; none when the caller was wrong.
    pub label: Option<&'static str>,
    /// `outcome` of `gateway_provider_requests_total`, for each attempt; empty when no call is made.
    pub outcome: &'static str,
    pub handling: Handling,
}

impl Failure {
    const fn new(status: u16, kind: &'static str, outcome: &'static str, handling: Handling) -> Failure {
        Failure { status, kind, retry: true, retry_after: None, label: Some(kind), outcome, handling }
    }

    /// The client need not send the request again.
    const fn for_good(mut self) -> Failure {
        self.retry = false;
        self
    }

    const fn of_the_caller(mut self) -> Failure {
        (self.retry, self.label) = (false, None);
        self
    }

    const fn labelled(mut self, label: &'static str) -> Failure {
        self.label = Some(label);
        self
    }

    const fn handled(mut self, handling: Handling) -> Failure {
        self.handling = handling;
        self
    }

    /// `reason` of `gateway_retries_total`.
    pub fn reason(&self) -> &'static str {
        match self.handling {
            Handling::RetryOnce => "disconnected",
            _ => self.outcome,
        }
    }

    /// Whether the provider was called at all.
    pub fn is_call(&self) -> bool {
        !self.outcome.is_empty()
    }

    /// With this as `retry-after`, in seconds.
    pub const fn after(mut self, seconds: &'static str) -> Failure {
        self.retry_after = Some(seconds);
        self
    }
}

use Handling::{NextRoute, Retry, RetryOnce, Tell};

pub const INVALID_REQUEST: Failure = Failure::new(400, "invalid_request_error", "client_error", Tell).of_the_caller();
pub const MODERATED: Failure = Failure::new(403, "permission_error", "client_error", Tell).of_the_caller();
pub const TOO_LARGE: Failure = Failure::new(413, "request_too_large", "client_error", Tell).of_the_caller();
pub const ACCOUNT: Failure = Failure::new(502, "api_error", "client_error", NextRoute).for_good();
pub const NOT_FOUND: Failure = Failure::new(404, "not_found_error", "client_error", NextRoute).for_good();
/// With a time to wait that is longer than the gateway waits, or without any; then it says 5 seconds.
pub const RATE_LIMITED: Failure = Failure::new(429, "rate_limit_error", "rate_limited", NextRoute).after("5");
/// With a time that the gateway waits.
pub const RATE_LIMITED_SHORTLY: Failure = RATE_LIMITED.handled(Retry);
pub const TIMEOUT: Failure = Failure::new(504, "timeout_error", "timeout", NextRoute);
pub const CONNECT_TIMEOUT: Failure = Failure::new(504, "timeout_error", "connect", Retry);
pub const FAILED: Failure = Failure::new(502, "api_error", "server_error", Retry);
pub const OVERLOADED: Failure = Failure::new(529, "overloaded_error", "server_error", Retry);
/// With a time to wait that is longer than the gateway waits.
pub const OVERLOADED_FOR_LONG: Failure = OVERLOADED.handled(NextRoute);
/// Makes no sense.
pub const SENSELESS: Failure = Failure::new(502, "api_error", "invalid_response", NextRoute);
/// Broken off in the middle of an answer.
pub const INTERRUPTED: Failure = SENSELESS.labelled("stream_interrupted");
pub const UNREACHABLE: Failure = Failure::new(529, "overloaded_error", "connect", Retry);
/// The connection was closed without an answer.
pub const HUNG_UP: Failure = UNREACHABLE.handled(RetryOnce);
/// No call was made: there was no place for it, or the circuit was open.
pub const NO_CALL: Failure = Failure::new(529, "overloaded_error", "", NextRoute);

pub const UNAUTHENTICATED: Failure = Failure::new(401, "authentication_error", "", Tell).of_the_caller();
pub const UNKNOWN_MODEL: Failure = Failure::new(404, "not_found_error", "", Tell).of_the_caller();
pub const DRAINING: Failure = Failure::new(529, "overloaded_error", "", Tell).after("1");

/// What becomes of the connection to the provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connection {
    /// The next request goes over it.
    Kept,
    /// The gateway closes it.
    Closed,
    /// The provider has closed it, or there was none.
    Gone,
    /// Kept or closed, as it happens; the next answer is the right one in both cases.
    Either,
}

/// What the client gets, when nobody else can answer.
#[derive(Clone)]
pub enum Answer {
    /// A whole message; in the words of `view::message`.
    Message(String),
    /// A message, if the provider is asked once more; the failure otherwise.
    OnceMore(Failure),
    Failure(Failure),
    /// This content, and then the failure. Streams only.
    Broken(String, Failure),
    /// The client has gone.
    Nothing,
    /// The request is turned away, for this `reason` of `gateway_rejected_requests_total`.
    TurnedAway(Failure, &'static str),
}

/// What must come of one fault, asked for in one way.
#[derive(Clone)]
pub struct Expected {
    pub answer: Answer,
    pub connection: Connection,
}

/// What a healthy provider says, and what is counted then.
pub const WELL: &str = "text:well end_turn 10+3";

/// A failure before content.
pub fn fails(failure: Failure, connection: Connection) -> Expected {
    Expected { answer: Answer::Failure(failure), connection }
}

/// A failure of one call alone.
pub fn fails_once(failure: Failure, connection: Connection) -> Expected {
    Expected { answer: Answer::OnceMore(failure), connection }
}

/// A whole message.
pub fn says(message: &str, connection: Connection) -> Expected {
    Expected { answer: Answer::Message(message.to_owned()), connection }
}

/// Content, and then a failure.
pub fn breaks(content: &str, failure: Failure) -> Expected {
    Expected { answer: Answer::Broken(content.to_owned(), failure), connection: Connection::Closed }
}
