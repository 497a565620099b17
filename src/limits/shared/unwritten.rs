//! What has been used and does not stand in Redis yet. Pure: the time is handed in.
//!
//! It is summed up by key, so that it stays small however long Redis is away: no more than keys, models and days.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::LeaseId;
use crate::catalog::ModelLabel;
use crate::config::KeyLimits;
use crate::limits::ledger::Used;
use crate::limits::state::Takes;

const MINUTE: f64 = 60.0;
/// Leases that ended beyond this number are not given back: they expire by themselves.
const MAX_ENDED: usize = 10_000;

/// By key.
#[derive(Debug, Default)]
pub(super) struct Unwritten(HashMap<Arc<str>, OfKey>);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct OfKey {
    limits: KeyLimits,
    takes: Takes,
    at: Option<Instant>,
    /// By how much more, or less, this replica holds of the budgets, in billionths of a dollar.
    pub(super) held: i64,
    pub(super) ended: Vec<LeaseId>,
    /// By UTC day and model.
    pub(super) usage: HashMap<(String, ModelLabel), Used>,
}

/// What is written at once. It may be sent again until its receipt is known: Redis remembers the number.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) key: Arc<str>,
    pub(super) number: u64,
    pub(super) unwritten: OfKey,
    /// What the requests of the key that are open are expected to cost, in billionths of a dollar.
    pub(super) open_hold: u64,
}

/// For the log.
impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sum = Used::default();
        self.unwritten.usage.values().for_each(|used| sum += *used);
        let Used { requests, input_tokens, output_tokens, cost, .. } = sum;
        let key = &self.key;
        write!(
            f,
            "key {key}, {requests} requests, {input_tokens} input tokens, {output_tokens} output tokens, {cost} USD"
        )
    }
}

impl Unwritten {
    pub(super) fn of(&mut self, key: &Arc<str>) -> &mut OfKey {
        self.0.entry(key.clone()).or_default()
    }

    /// The leases of a key that have ended.
    pub(super) fn take_ended(&mut self, key: &str) -> Vec<LeaseId> {
        self.0.get_mut(key).map(|of_key| std::mem::take(&mut of_key.ended)).unwrap_or_default()
    }

    /// All that there is, numbered on from `number`.
    pub(super) fn take(&mut self, number: &mut u64) -> Vec<Batch> {
        let batch = |(key, unwritten)| {
            *number += 1;
            Batch { key, number: *number, unwritten, open_hold: 0 }
        };
        self.0.drain().filter(|(_, of_key)| !of_key.is_empty()).map(batch).collect()
    }

    pub(super) fn requests(&self) -> u64 {
        self.0.values().map(OfKey::requests).sum()
    }

    /// What a key has used in a day, or a month, beyond what Redis knows.
    pub(super) fn usage<'a>(&'a self, key: &str, period: &'a str) -> impl Iterator<Item = (ModelLabel, Used)> + 'a {
        let of_key = self.0.get(key).into_iter().flat_map(|of_key| &of_key.usage);
        of_key.filter(move |((day, _), _)| day.starts_with(period)).map(|((_, model), used)| (*model, *used))
    }
}

impl OfKey {
    /// Adds a request that has ended under these limits.
    pub(super) fn add(&mut self, limits: KeyLimits, takes: Takes, now: Instant) {
        self.takes = self.takes_at(now);
        self.at = Some(now);
        self.limits = limits;
        for (sum, more) in self.takes.iter_mut().zip(takes) {
            *sum += more;
        }
    }

    pub(super) fn record(&mut self, day: String, model: ModelLabel, used: Used) {
        *self.usage.entry((day, model)).or_default() += used;
    }

    /// Holds so much more of the budgets, in billionths of a dollar.
    pub(super) fn hold(&mut self, amount: u64) {
        self.held = self.held.saturating_add_unsigned(amount);
    }

    pub(super) fn release(&mut self, amount: u64) {
        self.held = self.held.saturating_sub_unsigned(amount);
    }

    fn is_empty(&self) -> bool {
        self.at.is_none() && self.held == 0 && self.ended.is_empty()
    }

    pub(super) fn end(&mut self, lease: LeaseId) {
        if self.ended.len() < MAX_ENDED {
            self.ended.push(lease);
        }
    }

    pub(super) fn limits(&self) -> &KeyLimits {
        &self.limits
    }

    /// What is still to be taken from the buckets: they have been refilling all the time.
    pub(super) fn takes_at(&self, now: Instant) -> Takes {
        let passed = self.at.map(|at| now.saturating_duration_since(at).as_secs_f64()).unwrap_or_default();
        let mut takes = self.takes;
        for (amount, size) in takes.iter_mut().zip(self.limits.per_minute()) {
            if *amount > 0.0 {
                *amount = (*amount - passed * size.unwrap_or_default() as f64 / MINUTE).max(0.0);
            }
        }
        takes
    }

    pub(super) fn requests(&self) -> u64 {
        self.usage.values().map(|used| used.requests).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_taken_long_ago_has_been_refilled() {
        let mut unwritten = Unwritten::default();
        let (key, now) = (Arc::from("key"), Instant::now());
        let limits = KeyLimits { requests_per_minute: Some(60), ..KeyLimits::default() };
        for _ in 0..10 {
            unwritten.of(&key).add(limits, [1.0, -5.0, 0.0], now);
        }
        assert_eq!(unwritten.of(&key).takes_at(now), [10.0, -50.0, 0.0]);
        assert_eq!(unwritten.of(&key).takes_at(now + Duration::from_secs(4)), [6.0, -50.0, 0.0]);
        unwritten.of(&key).add(limits, [1.0, 0.0, 0.0], now + Duration::from_secs(60));
        assert_eq!(unwritten.of(&key).takes_at(now + Duration::from_secs(60)), [1.0, -50.0, 0.0]);
    }

    #[test]
    fn it_is_summed_up_and_taken_once() {
        let mut unwritten = Unwritten::default();
        let (key, now) = (Arc::from("key"), Instant::now());
        for day in ["2026-11-22", "2026-11-23", "2026-11-23"] {
            unwritten.of(&key).add(KeyLimits::default(), [0.0; 3], now);
            unwritten.of(&key).record(day.to_owned(), ModelLabel(1), Used { requests: 1, ..Used::default() });
        }
        let requests = |period| unwritten.usage("key", period).map(|(_, used)| used.requests).sum::<u64>();
        assert_eq!((requests("2026-11-22"), requests("2026-11-23"), requests("2026-11")), (1, 2, 3));
        let mut number = 7;
        let batches = unwritten.take(&mut number);
        assert_eq!((batches.len(), batches[0].number, number), (1, 8, 8));
        assert_eq!((batches[0].unwritten.requests(), batches[0].unwritten.usage.len()), (3, 2));
        assert!(unwritten.take(&mut number).is_empty());
    }
}
