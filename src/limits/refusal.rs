//! Which limit a request would break, and what its client is told.

use std::time::Duration;

use crate::config::KeyLimits;
use crate::error::{Cause, GatewayError};

/// See the module. A limit that refills comes with the time until it would let the request in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Refusal {
    DaySpent,
    MonthSpent,
    /// The rest of the budget may be spent by requests in flight.
    DayHeld,
    MonthHeld,
    Concurrent,
    Requests(Duration),
    InputTokens(Duration),
    OutputTokens(Duration),
}

impl Refusal {
    /// `limits` are those of the key.
    pub(super) fn error(self, limits: &KeyLimits) -> GatewayError {
        let spent = |period: &str, budget: Option<f64>| {
            let budget = budget.unwrap_or_default();
            let message = format!("The budget of this key for the {period} is spent ({budget} US dollars)");
            GatewayError::new(Cause::BudgetSpent, message)
        };
        let held = |period: &str, budget: Option<f64>| {
            let budget = budget.unwrap_or_default();
            let message = format!(
                "The rest of the budget of this key for the {period} ({budget} US dollars) is held by requests in flight; \
                 send the request again"
            );
            GatewayError::new(Cause::KeyLimit, message).retry_after(Some(1))
        };
        let limited = |limit: Option<u64>, of: &str, wait: Duration| {
            let limit = limit.unwrap_or_default();
            let message = format!("This request would exceed the limit of this key of {limit} {of}");
            let seconds = (wait.as_secs_f64().ceil() as u64).max(1);
            GatewayError::new(Cause::KeyLimit, message).retry_after(Some(seconds))
        };
        match self {
            Refusal::DaySpent => spent("day", limits.usd_per_day),
            Refusal::MonthSpent => spent("month", limits.usd_per_month),
            Refusal::DayHeld => held("day", limits.usd_per_day),
            Refusal::MonthHeld => held("month", limits.usd_per_month),
            Refusal::Concurrent => limited(limits.concurrent_requests, "concurrent requests", Duration::ZERO),
            Refusal::Requests(wait) => limited(limits.requests_per_minute, "requests per minute", wait),
            Refusal::InputTokens(wait) => limited(limits.input_tokens_per_minute, "input tokens per minute", wait),
            Refusal::OutputTokens(wait) => limited(limits.output_tokens_per_minute, "output tokens per minute", wait),
        }
    }
}
