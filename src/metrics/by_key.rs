//! The series of each key. Keys are few and named by the operator, so that their names may be labels.

use std::sync::Arc;

use prometheus::{Counter, IntCounter, Registry};

use super::families::KeyFamilies;
use super::observation::{Outcome, RequestEnded};
use crate::limits::meter::Meters;

/// See the module.
pub struct ByKey {
    families: KeyFamilies,
    keys: Arc<Meters>,
    /// By [`KeyLabel`](crate::limits::meter::KeyLabel).
    series: Vec<Series>,
}

/// The series of one key, looked up once.
struct Series {
    requests: IntCounter,
    errors: IntCounter,
    input: IntCounter,
    output: IntCounter,
    cache_read: IntCounter,
    cache_write: IntCounter,
    cost_usd: Counter,
}

impl ByKey {
    /// Registers the families, with the series of all keys at 0.
    pub fn new(registry: &Registry, keys: Arc<Meters>) -> prometheus::Result<ByKey> {
        let mut by_key = ByKey { families: KeyFamilies::register(registry)?, keys, series: Vec::new() };
        by_key.add_keys();
        Ok(by_key)
    }

    /// The series of keys that are new, at 0.
    pub(super) fn add_keys(&mut self) {
        let families = &self.families;
        let known = self.series.len();
        self.series.extend(self.keys.names().iter().skip(known).map(|name| {
            let key = &[name.as_str()];
            let tokens = |kind| families.tokens.with_label_values(&[name.as_str(), kind]);
            Series {
                requests: families.requests.with_label_values(key),
                errors: families.errors.with_label_values(key),
                input: tokens("input"),
                output: tokens("output"),
                cache_read: tokens("cache_read"),
                cache_write: tokens("cache_write"),
                cost_usd: families.cost_usd.with_label_values(key),
            }
        }));
    }

    pub(super) fn request_ended(&mut self, ended: &RequestEnded) {
        let place = ended.key.0 as usize;
        if place >= self.series.len() {
            self.add_keys();
        }
        let Some(series) = self.series.get(place) else { return };
        series.requests.inc();
        if matches!(ended.outcome, Outcome::Failed(_)) {
            series.errors.inc();
        }
        let Some(bill) = ended.bill else { return };
        let usage = bill.tally.usage;
        series.input.inc_by(usage.input_tokens);
        series.output.inc_by(usage.output_tokens);
        series.cache_read.inc_by(usage.cache_read_input_tokens);
        series.cache_write.inc_by(usage.cache_creation_input_tokens);
        if let Some(cost) = bill.known_cost() {
            series.cost_usd.inc_by(cost);
        }
    }
}
