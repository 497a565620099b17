//! The meter of one key, shared by all workers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::bucket::Bucket;
pub use super::bucket::Level;
pub use super::ledger::{Ledger, Period, Used};
use crate::catalog::ModelLabel;
use crate::config::KeyLimits;
use crate::error::{Cause, GatewayError};

/// A key's place in [`Meters::names`]: what metrics carry instead of text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyLabel(pub u32);

/// The meters of all keys by their names.
#[derive(Debug, Default)]
pub struct Meters(Mutex<HashMap<String, Arc<Meter>>>);

impl Meters {
    /// The meter of a key, with these limits from now on. What has been used stays used.
    pub fn of(&self, key: &str, limits: KeyLimits) -> Arc<Meter> {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let label = KeyLabel(meters.len() as u32);
        let meter = meters.entry(key.to_owned()).or_insert_with(|| Arc::new(Meter::new(label))).clone();
        meter.limit(limits, Instant::now());
        meter
    }

    /// The names of all keys that have been configured since the start; none is ever taken out.
    pub fn names(&self) -> Vec<String> {
        let meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = meters.iter().map(|(name, meter)| (meter.label.0, name.clone())).collect();
        names.sort();
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// All keys and what they have used until now, by name.
    pub fn ledgers(&self) -> Vec<(String, Ledger)> {
        let meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ledgers: Vec<_> = meters.iter().map(|(name, meter)| (name.clone(), meter.ledger())).collect();
        ledgers.sort_by(|one, other| one.0.cmp(&other.0));
        ledgers
    }
}

/// See the module.
#[derive(Debug)]
pub struct Meter {
    /// Its number, for as long as the process lives.
    pub label: KeyLabel,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    limits: KeyLimits,
    requests: Option<Bucket>,
    input_tokens: Option<Bucket>,
    output_tokens: Option<Bucket>,
    open: u64,
    ledger: Ledger,
}

impl State {
    fn refusal(&mut self, input_tokens: u64, now: Instant) -> Option<GatewayError> {
        let spent = |period: &str, budget: f64| {
            let message = format!("The budget of this key for the {period} is spent ({budget} US dollars)");
            GatewayError::new(Cause::BudgetSpent, message)
        };
        let limits = self.limits;
        if let Some(budget) = limits.usd_per_day.filter(|budget| self.ledger.day.cost() >= *budget) {
            return Some(spent("day", budget));
        }
        if let Some(budget) = limits.usd_per_month.filter(|budget| self.ledger.month.cost() >= *budget) {
            return Some(spent("month", budget));
        }
        let limited = |limit: u64, of: &str, wait: Duration| {
            let message = format!("This request would exceed the limit of this key of {limit} {of}");
            let seconds = (wait.as_secs_f64().ceil() as u64).max(1);
            GatewayError::new(Cause::KeyLimit, message).retry_after(Some(seconds))
        };
        if let Some(limit) = limits.concurrent_requests.filter(|limit| self.open >= *limit) {
            return Some(limited(limit, "concurrent requests", Duration::ZERO));
        }
        [
            (&mut self.requests, 1.0, "requests per minute"),
            (&mut self.input_tokens, input_tokens as f64, "input tokens per minute"),
            // One, so that what was overdrawn must have been made good.
            (&mut self.output_tokens, 1.0, "output tokens per minute"),
        ]
        .into_iter()
        .find_map(|(bucket, amount, of)| {
            let bucket = bucket.as_mut()?;
            let wait = bucket.wait_for(amount, now);
            (!wait.is_zero()).then(|| limited(bucket.level(now).limit, of, wait))
        })
    }
}

/// How the limits of a key stand; none where there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Standing {
    pub requests: Option<Level>,
    pub input_tokens: Option<Level>,
    pub output_tokens: Option<Level>,
}

impl Meter {
    fn new(label: KeyLabel) -> Meter {
        Meter { label, state: Mutex::default() }
    }

    fn limit(&self, limits: KeyLimits, now: Instant) {
        let resize = |bucket: &mut Option<Bucket>, before: Option<u64>, per_minute: Option<u64>| {
            if before != per_minute {
                *bucket = per_minute.map(|per_minute| Bucket::full(per_minute, now));
            }
        };
        self.with(|state| {
            let before = std::mem::replace(&mut state.limits, limits);
            resize(&mut state.requests, before.requests_per_minute, limits.requests_per_minute);
            resize(&mut state.input_tokens, before.input_tokens_per_minute, limits.input_tokens_per_minute);
            resize(&mut state.output_tokens, before.output_tokens_per_minute, limits.output_tokens_per_minute);
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets a request in, or says which limit it would break. Nothing is taken from who is refused. `input_tokens` is
    /// an estimate, which is reserved; output is paid when it is known, so that a generous `max_tokens` costs nothing.
    pub fn admit(self: &Arc<Self>, input_tokens: u64) -> Result<Reservation, GatewayError> {
        let now = Instant::now();
        self.with(|state| {
            state.ledger.turn_to(SystemTime::now());
            if let Some(refused) = state.refusal(input_tokens, now) {
                return Err(refused);
            }
            let take = |bucket: &mut Option<Bucket>, amount| {
                if let Some(bucket) = bucket {
                    bucket.take(amount, now);
                }
            };
            take(&mut state.requests, 1.0);
            take(&mut state.input_tokens, input_tokens as f64);
            state.open += 1;
            Ok(())
        })?;
        Ok(Reservation { meter: self.clone(), input_tokens, settled: false })
    }

    /// How its limits stand.
    pub fn standing(&self) -> Standing {
        let now = Instant::now();
        let level = |bucket: &mut Option<Bucket>| bucket.as_mut().map(|bucket| bucket.level(now));
        self.with(|state| Standing {
            requests: level(&mut state.requests),
            input_tokens: level(&mut state.input_tokens),
            output_tokens: level(&mut state.output_tokens),
        })
    }

    fn ledger(&self) -> Ledger {
        self.with(|state| {
            state.ledger.turn_to(SystemTime::now());
            state.ledger.clone()
        })
    }
}

/// What was taken for a request that is open. Dropped before it is settled, only the request counts.
#[derive(Debug)]
pub struct Reservation {
    meter: Arc<Meter>,
    input_tokens: u64,
    settled: bool,
}

impl Reservation {
    /// Replaces the estimate by what was used.
    pub fn settle(&mut self, model: ModelLabel, used: Used) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let now = Instant::now();
        // As with Anthropic's limits, what is read from a cache is free.
        let input = (used.input_tokens + used.cache_write_tokens) as f64 - self.input_tokens as f64;
        self.meter.with(|state| {
            if let Some(bucket) = &mut state.input_tokens {
                match input > 0.0 {
                    true => bucket.take(input, now),
                    false => bucket.give_back(-input, now),
                }
            }
            if let Some(bucket) = &mut state.output_tokens {
                bucket.take(used.output_tokens as f64, now);
            }
            state.open = state.open.saturating_sub(1);
            state.ledger.turn_to(SystemTime::now());
            state.ledger.add(model, used);
        });
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.settled {
            self.meter.with(|state| state.open = state.open.saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(limits: KeyLimits) -> Arc<Meter> {
        Meters::default().of("key", limits)
    }

    fn used(input_tokens: u64, output_tokens: u64, cost: f64) -> Used {
        Used { requests: 1, input_tokens, output_tokens, cost, ..Used::default() }
    }

    #[test]
    fn estimates_are_reserved_and_settled() {
        let meter = meter(KeyLimits { input_tokens_per_minute: Some(6_000_000), ..KeyLimits::default() });
        let remaining = || meter.standing().input_tokens.unwrap().remaining;
        let mut open = meter.admit(1_000_000).unwrap();
        assert!((5_000_000..5_100_000).contains(&remaining()), "{}", remaining());
        open.settle(ModelLabel(0), used(3_000_000, 5, 0.0));
        assert!((3_000_000..3_200_000).contains(&remaining()), "{}", remaining());
        let refused = meter.admit(4_000_000).unwrap_err();
        assert_eq!(refused.cause, Cause::KeyLimit);
        assert!((8..=10).contains(&refused.retry_after.unwrap()), "{refused:?}");
        meter.admit(1_000).unwrap().settle(ModelLabel(0), used(0, 0, 0.0));
    }

    #[test]
    fn output_is_paid_afterwards() {
        let meter = meter(KeyLimits { output_tokens_per_minute: Some(60), ..KeyLimits::default() });
        meter.admit(0).unwrap().settle(ModelLabel(0), used(0, 90, 0.0));
        let refused = meter.admit(0).unwrap_err();
        assert_eq!((refused.cause, refused.retry_after), (Cause::KeyLimit, Some(31)), "30 overdrawn, and one");
    }

    #[test]
    fn open_requests_are_bounded_however_they_end() {
        let meter = meter(KeyLimits { concurrent_requests: Some(2), ..KeyLimits::default() });
        let mut first = meter.admit(0).unwrap();
        let second = meter.admit(0).unwrap();
        assert_eq!(meter.admit(0).unwrap_err().cause, Cause::KeyLimit);
        first.settle(ModelLabel(0), Used::default());
        drop(first);
        let third = meter.admit(0).unwrap();
        assert!(meter.admit(0).is_err(), "settled and dropped is one end");
        drop(second);
        meter.admit(0).unwrap();
        drop(third);
    }

    #[test]
    fn a_budget_that_is_spent_is_no_matter_of_waiting() {
        let meter = meter(KeyLimits { usd_per_day: Some(0.5), ..KeyLimits::default() });
        meter.admit(0).unwrap().settle(ModelLabel(0), used(1, 1, 0.3));
        meter.admit(0).unwrap().settle(ModelLabel(1), used(1, 1, 0.3));
        let refused = meter.admit(0).unwrap_err();
        assert_eq!((refused.cause, refused.retry_after), (Cause::BudgetSpent, None));
        let ledger = meter.ledger();
        assert_eq!(ledger.day.models.len(), 2);
    }
}
