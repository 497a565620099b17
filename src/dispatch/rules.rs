//! What follows an attempt that failed. Pure: one function of what is known.

use std::time::Duration;

use crate::config::Retry;
use crate::error::Cause;
use crate::metrics::observation::RetryReason;

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The same provider again, after a pause.
    Retry { after: Duration, reason: RetryReason },
    /// The next route, if there is one.
    GoOn,
    /// Nobody else would do better.
    GiveUp,
}

/// A failed attempt, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Attempt {
    /// On this route, from 1.
    pub(super) number: u32,
    pub(super) cause: Cause,
    /// An attempt on this route has already met a connection that closed without an answer.
    pub(super) disconnected_before: bool,
    /// What the provider asked for.
    pub(super) retry_after: Option<Duration>,
    /// What is left of the provider's `total_timeout`.
    pub(super) time_left: Duration,
    /// Drawn from 0 to 1: clients that failed together must not come back together.
    pub(super) chance: f64,
}

/// Decides. No content may have been sent.
pub(super) fn next(rules: &Retry, attempt: Attempt) -> Next {
    let Some(class) = Class::of(attempt.cause) else { return Next::GiveUp };
    let Class::Again(reason) = class else { return Next::GoOn };
    if attempt.number >= rules.max_attempts {
        return Next::GoOn;
    }
    let after = match (reason, attempt.retry_after) {
        // A stale connection of the pool says nothing about the provider; twice in a row it is no accident. The
        // provider may have read the first request, so that more would be billed more than twice.
        (RetryReason::Disconnected, _) if !attempt.disconnected_before => Duration::ZERO,
        (RetryReason::Disconnected, _) => return Next::GoOn,
        // It has said when, and to come sooner would be rude; to guess is no better.
        (RetryReason::RateLimited, None) => return Next::GoOn,
        (_, Some(asked)) if asked > rules.honour_retry_after_up_to => return Next::GoOn,
        (RetryReason::RateLimited, Some(asked)) => asked + spread(rules.base_delay, attempt.chance),
        (_, asked) => backoff(rules, attempt.number, attempt.chance).max(asked.unwrap_or_default()),
    };
    match after < attempt.time_left {
        true => Next::Retry { after, reason },
        false => Next::GoOn,
    }
}

/// Exponential, with full jitter: between 0 and the delay.
fn backoff(rules: &Retry, number: u32, chance: f64) -> Duration {
    let doubled = rules.base_delay.saturating_mul(2u32.saturating_pow(number.saturating_sub(1)));
    spread(doubled.min(rules.max_delay), chance)
}

fn spread(most: Duration, chance: f64) -> Duration {
    most.mul_f64(chance.clamp(0.0, 1.0))
}

/// What kind of failure it is.
enum Class {
    /// The same provider may do better at once, and was not put to work for nothing.
    Again(RetryReason),
    /// Another provider may.
    Elsewhere,
}

impl Class {
    fn of(cause: Cause) -> Option<Class> {
        match cause {
            Cause::Unreachable | Cause::ConnectTimeout => Some(Class::Again(RetryReason::Connect)),
            Cause::Disconnected => Some(Class::Again(RetryReason::Disconnected)),
            Cause::RateLimited => Some(Class::Again(RetryReason::RateLimited)),
            Cause::ProviderFailed | Cause::Overloaded => Some(Class::Again(RetryReason::ServerError)),
            // To wait once more for who was too slow costs the client twice, and an answer that broke off or made no
            // sense has been generated and is billed.
            Cause::Timeout | Cause::Interrupted | Cause::InvalidResponse => Some(Class::Elsewhere),
            Cause::ProviderAccount | Cause::ProviderNotFound => Some(Class::Elsewhere),
            Cause::CircuitOpen | Cause::QueueFull => Some(Class::Elsewhere),
            Cause::InvalidRequest
            | Cause::ContextOverflow
            | Cause::Moderated
            | Cause::BodyTooLarge
            | Cause::BodyIncomplete
            | Cause::BodyTimeout
            | Cause::UnsupportedMedia
            | Cause::WrongMethod
            | Cause::UnknownPath
            | Cause::UnknownModel
            | Cause::Unauthenticated
            | Cause::Forbidden
            | Cause::KeyLimit
            | Cause::BudgetSpent
            | Cause::NoRoute
            | Cause::Full
            | Cause::Draining
            | Cause::Closing
            | Cause::LimitsUnknown
            | Cause::Internal => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Retry = Retry {
        max_attempts: 3,
        base_delay: Duration::from_millis(200),
        max_delay: Duration::from_millis(500),
        honour_retry_after_up_to: Duration::from_secs(5),
    };

    const FIRST: Attempt = Attempt {
        number: 1,
        cause: Cause::Overloaded,
        disconnected_before: false,
        retry_after: None,
        time_left: Duration::MAX,
        chance: 1.0,
    };

    /// The longest pause that can be drawn.
    fn after(number: u32, cause: Cause, retry_after: Option<u64>, time_left_ms: u64) -> Next {
        let retry_after = retry_after.map(Duration::from_secs);
        let time_left = Duration::from_millis(time_left_ms);
        next(&RULES, Attempt { number, cause, retry_after, time_left, ..FIRST })
    }

    fn retry(after_ms: u64, reason: RetryReason) -> Next {
        Next::Retry { after: Duration::from_millis(after_ms), reason }
    }

    #[test]
    fn the_table() {
        use Cause::*;
        use Next::{GiveUp, GoOn};
        use RetryReason as Why;
        const LONG: u64 = 600_000;
        let table = [
            // attempt, cause, retry-after in s, ms left, what follows
            (1, Unreachable, None, LONG, retry(200, Why::Connect)),
            (2, Unreachable, None, LONG, retry(400, Why::Connect)),
            (3, Unreachable, None, LONG, GoOn),
            (1, ConnectTimeout, None, LONG, retry(200, Why::Connect)),
            (1, Disconnected, None, LONG, retry(0, Why::Disconnected)),
            (2, Disconnected, None, LONG, retry(0, Why::Disconnected)),
            (3, Disconnected, None, LONG, GoOn),
            (1, ProviderFailed, None, LONG, retry(200, Why::ServerError)),
            (1, Overloaded, None, LONG, retry(200, Why::ServerError)),
            (1, Overloaded, Some(3), LONG, retry(3000, Why::ServerError)),
            (1, Overloaded, Some(6), LONG, GoOn),
            (1, RateLimited, Some(0), LONG, retry(200, Why::RateLimited)),
            (2, RateLimited, Some(5), LONG, retry(5200, Why::RateLimited)),
            (3, RateLimited, Some(1), LONG, GoOn),
            (1, RateLimited, Some(6), LONG, GoOn),
            (1, RateLimited, None, LONG, GoOn),
            // No pause that outlasts the time that is left.
            (1, Overloaded, None, 200, GoOn),
            (1, Overloaded, None, 201, retry(200, Why::ServerError)),
            (1, RateLimited, Some(5), 5000, GoOn),
            (1, Disconnected, None, 0, GoOn),
            // Slow, or billed, or bound to fail again.
            (1, Timeout, None, LONG, GoOn),
            (1, Interrupted, None, LONG, GoOn),
            (1, InvalidResponse, None, LONG, GoOn),
            (1, ProviderAccount, None, LONG, GoOn),
            (1, ProviderNotFound, None, LONG, GoOn),
            (1, CircuitOpen, Some(1), LONG, GoOn),
            (1, QueueFull, Some(1), LONG, GoOn),
            // The request is wrong, or the end is near.
            (1, InvalidRequest, None, LONG, GiveUp),
            (1, ContextOverflow, None, LONG, GiveUp),
            (1, Moderated, None, LONG, GiveUp),
            (1, BodyTooLarge, None, LONG, GiveUp),
            (1, Closing, Some(1), LONG, GiveUp),
            (1, NoRoute, None, LONG, GiveUp),
            (1, Internal, None, LONG, GiveUp),
        ];
        for (number, cause, retry_after, left, expected) in table {
            assert_eq!(
                after(number, cause, retry_after, left),
                expected,
                "attempt {number}, {cause:?}, {left} ms left"
            );
        }
    }

    #[test]
    fn a_second_connection_that_closes_is_no_accident() {
        let attempt = Attempt { number: 2, cause: Cause::Disconnected, disconnected_before: true, ..FIRST };
        assert_eq!(next(&RULES, attempt), Next::GoOn);
    }

    #[test]
    fn a_pause_is_drawn_between_nothing_and_a_bound_that_doubles_up_to_the_longest() {
        let rules = Retry { max_attempts: u32::MAX, ..RULES };
        let pause = |number, chance| match next(&rules, Attempt { number, chance, ..FIRST }) {
            Next::Retry { after, .. } => after.as_millis(),
            other => panic!("{other:?}"),
        };
        assert_eq!([1, 2, 3, 4, 99, u32::MAX - 1].map(|number| pause(number, 1.0)), [200, 400, 500, 500, 500, 500]);
        assert_eq!([0.0, 0.25, 0.5].map(|chance| pause(2, chance)), [0, 100, 200]);
    }
}
