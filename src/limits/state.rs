//! How one key stands in this process: its buckets, its open requests, its ledger. Pure: the time is handed in.

use std::time::{Duration, Instant, SystemTime};

use super::bucket::{Bucket, Level};
use super::budget::{self, Bounds};
use super::ledger::{Ledger, Used};
use super::refusal::Refusal;
use crate::catalog::ModelLabel;
use crate::config::KeyLimits;

/// How the limits of a key stand; none where there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Standing {
    pub requests: Option<Level>,
    pub input_tokens: Option<Level>,
    pub output_tokens: Option<Level>,
}

/// How a key stands over all replicas, as Redis said.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Told {
    /// Redis' own time, in seconds: answers may arrive in another order.
    pub(super) at: f64,
    /// What is missing in the buckets of requests, input tokens and output tokens.
    pub(super) missing: [f64; 3],
    /// US dollars.
    pub(super) spent_today: f64,
    pub(super) spent_this_month: f64,
}

/// An answer that was overtaken is no older, in seconds: nobody waits so long for one. Beyond that the clock of Redis was
/// set back, or another Redis has taken over.
const OVERTAKEN_BY: f64 = 1.0;

/// What a request takes from the three buckets: requests, input tokens, output tokens. Below 0 is given back.
pub(super) type Takes = [f64; 3];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) limits: KeyLimits,
    /// In the order of [`KeyLimits::per_minute`].
    buckets: [Option<Bucket>; 3],
    open: u64,
    /// What the open requests are expected to cost, in billionths of a dollar.
    held: u64,
    pub(super) ledger: Ledger,
    /// When Redis said what was heard of it last, by its own time.
    heard_at: f64,
}

impl State {
    /// These limits hold from now on. What has been used stays used.
    pub(super) fn limit(&mut self, limits: KeyLimits, now: Instant) {
        self.limits = limits;
        for (bucket, size) in self.buckets.iter_mut().zip(limits.per_minute()) {
            match (&mut *bucket, size) {
                (Some(bucket), Some(size)) => bucket.resize(size, now),
                (_, size) => *bucket = size.map(|size| Bucket::full(size, now)),
            }
        }
    }

    /// Which limit a request of so many input tokens would break now: of several that refill, the one that takes longest,
    /// so that whoever waits for it is let in. The ledger must have been turned to now.
    pub(super) fn refusal(&mut self, input_tokens: u64, now: Instant) -> Option<Refusal> {
        if let Some(refusal) = budget::refusal(&self.limits, &self.ledger, self.held) {
            return Some(refusal);
        }
        if self.limits.concurrent_requests.is_some_and(|limit| self.open >= limit) {
            return Some(Refusal::Concurrent);
        }
        let [requests, input, output] = &mut self.buckets;
        let mut longest = (Duration::ZERO, None);
        for (bucket, amount, refusal) in [
            (requests, 1.0, Refusal::Requests as fn(Duration) -> Refusal),
            (input, input_tokens as f64, Refusal::InputTokens),
            // One, so that what was overdrawn must have been made good.
            (output, 1.0, Refusal::OutputTokens),
        ] {
            let wait = bucket.as_mut().map(|bucket| bucket.wait_for(amount, now)).unwrap_or_default();
            if wait > longest.0 {
                longest = (wait, Some(refusal(wait)));
            }
        }
        longest.1
    }

    /// What the budgets of the key hold for a request to this model, in billionths of a dollar: all that there is when
    /// nothing is known of its cost, nothing without a budget. The ledger must have been turned to now.
    pub(super) fn expected(&self, model: ModelLabel, bounds: Option<Bounds>) -> u64 {
        if !self.limits.has_budget() {
            return 0;
        }
        let expected = budget::expected(&self.ledger, model, bounds);
        budget::billionths(expected.unwrap_or_else(|| budget::whole(&self.limits)))
    }

    /// A request begins, for which so much of the budget is held.
    pub(super) fn begin(&mut self, held: u64) {
        self.open += 1;
        self.held = self.held.saturating_add(held);
    }

    pub(super) fn end(&mut self, held: u64) {
        self.open = self.open.saturating_sub(1);
        self.held = self.held.saturating_sub(held);
    }

    pub(super) fn take(&mut self, takes: Takes, now: Instant) {
        for (bucket, amount) in self.buckets.iter_mut().zip(takes) {
            match bucket {
                Some(bucket) if amount > 0.0 => bucket.take(amount, now),
                Some(bucket) => bucket.give_back(-amount, now),
                None => {}
            }
        }
    }

    pub(super) fn record(&mut self, model: ModelLabel, used: Used, now: SystemTime) {
        self.ledger.turn_to(now);
        self.ledger.add(model, used);
    }

    /// What others have used is known from now on.
    pub(super) fn learn(&mut self, told: &Told, now: Instant, today: SystemTime) {
        if told.at < self.heard_at && self.heard_at - told.at < OVERTAKEN_BY {
            return;
        }
        self.heard_at = told.at;
        for (bucket, missing) in self.buckets.iter_mut().zip(told.missing) {
            if let Some(bucket) = bucket {
                bucket.miss(missing, now);
            }
        }
        self.ledger.turn_to(today);
        self.ledger.day.spent = told.spent_today;
        self.ledger.month.spent = told.spent_this_month;
    }

    pub(super) fn standing(&mut self, now: Instant) -> Standing {
        let [requests, input_tokens, output_tokens] =
            self.buckets.each_mut().map(|bucket| bucket.as_mut().map(|bucket| bucket.level(now)));
        Standing { requests, input_tokens, output_tokens }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_limits_the_one_that_takes_longest_is_told() {
        let now = Instant::now();
        let mut state = State::default();
        let limits = KeyLimits {
            requests_per_minute: Some(60),
            input_tokens_per_minute: Some(600),
            output_tokens_per_minute: Some(60),
            ..KeyLimits::default()
        };
        state.limit(limits, now);
        let seconds = |seconds| Duration::from_secs(seconds);
        state.take([60.0, 600.0, 0.0], now);
        assert_eq!(state.refusal(300, now), Some(Refusal::InputTokens(seconds(30))));
        assert_eq!(state.refusal(10, now), Some(Refusal::Requests(seconds(1))), "of equal waits the first");
        state.take([0.0, 0.0, 119.0], now);
        assert_eq!(state.refusal(300, now), Some(Refusal::OutputTokens(seconds(60))));
        assert_eq!(state.refusal(300, now + seconds(60)), None, "whoever waited so long is let in");
    }

    #[test]
    fn what_redis_said_last_holds_while_it_is_away() {
        let (now, today) = (Instant::now(), SystemTime::now());
        let mut state = State::default();
        let limits = KeyLimits { requests_per_minute: Some(60), usd_per_day: Some(2.0), ..KeyLimits::default() };
        state.limit(limits, now);
        let told =
            |at, missing, spent| Told { at, missing: [missing, 0.0, 0.0], spent_today: spent, ..Told::default() };
        state.learn(&told(2.0, 60.0, 1.0), now, today);
        assert!(matches!(state.refusal(0, now), Some(Refusal::Requests(_))));
        state.learn(&told(1.5, 0.0, 0.0), now, today);
        assert!(matches!(state.refusal(0, now), Some(Refusal::Requests(_))), "an answer that was overtaken");
        state.record(ModelLabel(0), Used { cost: 0.5, ..Used::default() }, today);
        state.learn(&told(3.0, 0.0, 1.9), now, today);
        assert_eq!(state.refusal(0, now), None);
        state.record(ModelLabel(0), Used { cost: 0.1, ..Used::default() }, today);
        assert_eq!(state.refusal(0, now), Some(Refusal::DaySpent));
        state.learn(&told(-30.0, 0.0, 0.5), now, today);
        assert_eq!(state.refusal(0, now), None, "its clock was set back");
    }
}
