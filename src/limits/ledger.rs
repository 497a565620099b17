//! What a key has used today and this month, by model. Pure: the time is handed in.

use std::collections::HashMap;
use std::time::SystemTime;

use crate::catalog::ModelLabel;

/// What some requests took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Used {
    pub requests: u64,
    /// The gateway's or a provider's failures.
    pub errors: u64,
    pub input_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_tokens: u64,
    pub output_tokens: u64,
    /// US dollars.
    pub cost: f64,
}

impl std::ops::AddAssign for Used {
    fn add_assign(&mut self, other: Used) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.input_tokens += other.input_tokens;
        self.cache_read_tokens += other.cache_read_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
        self.output_tokens += other.output_tokens;
        self.cost += other.cost;
    }
}

/// A day or a month of a key.
#[derive(Debug, Clone, Default)]
pub struct Period {
    /// As in RFC 3339: `2026-11-23` or `2026-11`. Empty before the first request.
    pub name: String,
    pub models: HashMap<ModelLabel, Used>,
    /// US dollars. More than the models' where other replicas have spent too.
    pub(super) spent: f64,
}

impl Period {
    fn enter(&mut self, name: &str) {
        if self.name != name {
            *self = Period { name: name.to_owned(), ..Period::default() };
        }
    }
}

/// What this process has learned of the cost of a model: requests that cost nothing because they failed, or were hung up
/// on, teach nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Experience {
    /// Requests that cost something.
    pub(super) paid: u64,
    /// US dollars.
    pub(super) cost: f64,
    /// What the paid ones could have cost at most, in US dollars: nothing without a price.
    pub(super) most: f64,
    /// Whole answers that cost nothing.
    pub(super) free: u64,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub day: Period,
    pub month: Period,
    /// Of the month.
    pub(super) experience: HashMap<ModelLabel, Experience>,
}

impl Ledger {
    /// Leaves behind what is over.
    pub(super) fn turn_to(&mut self, now: SystemTime) {
        let today = humantime::format_rfc3339_seconds(now).to_string();
        self.day.enter(&today[..10]);
        if self.month.name != today[..7] {
            self.experience.clear();
        }
        self.month.enter(&today[..7]);
    }

    pub(super) fn add(&mut self, model: ModelLabel, used: Used) {
        for period in [&mut self.day, &mut self.month] {
            *period.models.entry(model).or_default() += used;
            period.spent += used.cost;
        }
    }

    /// A request that could have cost at most so many dollars has cost so many. Only an answer that `is_whole` tells that
    /// a model is free.
    pub(super) fn learn(&mut self, model: ModelLabel, cost: f64, most: f64, is_whole: bool) {
        if cost > 0.0 {
            let experience = self.experience.entry(model).or_default();
            experience.paid += 1;
            experience.cost += cost;
            experience.most += most;
        } else if is_whole {
            self.experience.entry(model).or_default().free += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_are_utc_and_begin_at_nothing() {
        let mut ledger = Ledger::default();
        let at = |text: &str| humantime::parse_rfc3339(text).unwrap();
        let spend = |ledger: &mut Ledger, cost| ledger.add(ModelLabel(1), Used { cost, ..Used::default() });
        ledger.turn_to(at("2026-01-30T23:59:59Z"));
        spend(&mut ledger, 1.0);
        ledger.turn_to(at("2026-01-31T00:00:00Z"));
        assert_eq!((ledger.day.spent, ledger.month.spent), (0.0, 1.0));
        spend(&mut ledger, 2.0);
        assert_eq!((ledger.day.spent, ledger.month.spent), (2.0, 3.0));
        ledger.turn_to(at("2026-02-01T00:00:00Z"));
        assert_eq!((ledger.day.spent, ledger.month.spent), (0.0, 0.0));
        assert_eq!((ledger.day.name.as_str(), ledger.month.name.as_str()), ("2026-02-01", "2026-02"));
    }
}
