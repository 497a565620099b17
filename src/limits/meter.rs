//! The meter of one key, shared by all workers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

pub use super::bucket::Level;
pub use super::budget::Bounds;
pub use super::ledger::{Ledger, Period, Used};
use super::shared::{Away, LeaseId, Reserve, Settled, Shared};
pub use super::state::Standing;
use super::state::State;
use crate::catalog::ModelLabel;
use crate::config::{KeyLimits, OnBackendFailure};
use crate::error::{Cause, GatewayError};

/// A key's place in [`Meters::names`]: what metrics carry instead of text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyLabel(pub u32);

/// The meters of all keys by their names.
#[derive(Debug, Default)]
pub struct Meters {
    meters: Mutex<HashMap<Arc<str>, Arc<Meter>>>,
    shared: Option<Arc<Shared>>,
}

impl Meters {
    /// Meters whose limits hold over all replicas that share the same Redis.
    pub fn over(shared: Arc<Shared>) -> Meters {
        Meters { meters: Mutex::default(), shared: Some(shared) }
    }

    /// Gives a key these limits from now on, and its meter. What has been used stays used.
    pub fn configure(&self, key: &str, limits: KeyLimits) -> Arc<Meter> {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let meter = match meters.get(key) {
            Some(meter) => meter.clone(),
            None => {
                let name: Arc<str> = key.into();
                let label = KeyLabel(meters.len() as u32);
                let state = Mutex::default();
                let meter = Arc::new(Meter { name: name.clone(), label, state, shared: self.shared.clone() });
                meters.insert(name, meter.clone());
                meter
            }
        };
        meter.with(|state| state.limit(limits, Instant::now()));
        meter
    }

    /// The names of all keys that have been configured since the start; none is ever taken out.
    pub fn names(&self) -> Vec<String> {
        let mut meters = self.all();
        meters.sort_by_key(|meter| meter.label.0);
        meters.into_iter().map(|meter| meter.name.to_string()).collect()
    }

    /// All keys and what they have used of this process until now, by name.
    pub fn ledgers(&self) -> Vec<(String, Ledger)> {
        let mut ledgers: Vec<_> =
            self.all().into_iter().map(|meter| (meter.name.to_string(), meter.ledger())).collect();
        ledgers.sort_by(|one, other| one.0.cmp(&other.0));
        ledgers
    }

    /// Where the limits over all replicas are kept.
    pub fn shared(&self) -> Option<&Arc<Shared>> {
        self.shared.as_ref()
    }

    fn all(&self) -> Vec<Arc<Meter>> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Meter {
    name: Arc<str>,
    /// Its number, for as long as the process lives.
    pub label: KeyLabel,
    state: Mutex<State>,
    shared: Option<Arc<Shared>>,
}

/// What a request will take, as far as that can be told before it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Estimate {
    pub model: ModelLabel,
    pub input_tokens: u64,
    /// None where its provider will tell what it cost, and there is no price.
    pub cost: Option<Bounds>,
}

impl Meter {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether its key has any limit. Without one, nothing is made of an estimate.
    pub fn is_limited(&self) -> bool {
        self.with(|state| state.limits != KeyLimits::default())
    }

    /// Lets a request in, or says which limit it would break. Nothing is taken from who is refused. The input is
    /// reserved as estimated; output is paid when it is known, so that a generous `max_tokens` costs nothing. A budget
    /// holds what it is expected to cost by what the key has paid this month, or the most that it may cost.
    ///
    /// Waits for nothing unless limits are shared and this key has some: then for Redis, some milliseconds at most.
    pub async fn admit(self: &Arc<Self>, estimate: Estimate) -> Result<Reservation, GatewayError> {
        let Some(shared) = &self.shared else { return self.admit_here(estimate, None) };
        let limits = self.with(|state| state.limits);
        if limits == KeyLimits::default() {
            return self.admit_here(estimate, Some(InRedis { limits, reserved: true, lease: None }));
        }
        self.admit_everywhere(shared, limits, estimate).await
    }

    /// As this process knows the limits.
    fn admit_here(
        self: &Arc<Self>,
        estimate: Estimate,
        in_redis: Option<InRedis>,
    ) -> Result<Reservation, GatewayError> {
        let now = Instant::now();
        let held = self.with(|state| {
            state.ledger.turn_to(SystemTime::now());
            if let Some(refusal) = state.refusal(estimate.input_tokens, now) {
                return Err(refusal.error(&state.limits));
            }
            state.take([1.0, estimate.input_tokens as f64, 0.0], now);
            let held = state.expected(estimate.model, estimate.cost);
            state.begin(held);
            Ok(held)
        })?;
        Ok(Reservation::of(self, estimate, held, in_redis))
    }

    async fn admit_everywhere(
        self: &Arc<Self>,
        shared: &Shared,
        limits: KeyLimits,
        estimate: Estimate,
    ) -> Result<Reservation, GatewayError> {
        let lease = shared.new_lease();
        let held = self.with(|state| {
            state.ledger.turn_to(SystemTime::now());
            let held = state.expected(estimate.model, estimate.cost);
            state.begin(held);
            held
        });
        // Dropped while Redis is asked, it gives back what Redis may have given.
        let in_redis = Some(InRedis { limits, reserved: true, lease: Some(lease) });
        let mut reservation = Reservation::of(self, estimate, held, in_redis);
        let key = self.name.clone();
        let reserve = Reserve { key, limits, input_tokens: estimate.input_tokens, held, lease };
        let away = match shared.reserve(reserve).await {
            Ok((refusal, told)) => {
                self.with(|state| state.learn(&told, Instant::now(), SystemTime::now()));
                return match refusal {
                    None => Ok(reservation),
                    Some(refusal) => {
                        // Nothing was taken.
                        reservation.in_redis = None;
                        Err(refusal.error(&limits))
                    }
                };
            }
            Err(away) => away,
        };
        match shared.on_failure() {
            OnBackendFailure::Deny => {
                let message = "This gateway cannot tell whether this key is within its limits; send the request again";
                Err(GatewayError::new(Cause::LimitsUnknown, message).retry_after(Some(1)))
            }
            OnBackendFailure::Allow => {
                reservation.in_redis = None;
                drop(reservation);
                // What was not answered in time is counted by Redis or, when it turns out otherwise, by the keeper.
                let in_redis = InRedis { limits, reserved: away == Away::Late, lease: Some(lease) };
                let admitted = self.admit_here(estimate, Some(in_redis));
                match &admitted {
                    Ok(reservation) => shared.open(&self.name, limits, reservation.held, lease),
                    Err(_) => shared.release(&self.name, lease),
                }
                admitted
            }
        }
    }

    /// How its limits stand, as far as this process knows.
    pub fn standing(&self) -> Standing {
        self.with(|state| state.standing(Instant::now()))
    }

    fn ledger(&self) -> Ledger {
        self.with(|state| {
            state.ledger.turn_to(SystemTime::now());
            state.ledger.clone()
        })
    }
}

/// What Redis has to be told at the end.
#[derive(Debug)]
struct InRedis {
    /// As of the admission.
    limits: KeyLimits,
    /// Whether Redis has taken the request and the estimate of its input.
    reserved: bool,
    lease: Option<LeaseId>,
}

/// What was taken for a request that is open. Dropped before it is settled, only its place and its part of the budget come
/// back.
#[derive(Debug)]
pub struct Reservation {
    meter: Arc<Meter>,
    estimate: Estimate,
    /// Of the budget, in billionths of a dollar.
    held: u64,
    /// None where limits are not shared.
    in_redis: Option<InRedis>,
    is_whole: bool,
    settled: bool,
}

impl Reservation {
    fn of(meter: &Arc<Meter>, estimate: Estimate, held: u64, in_redis: Option<InRedis>) -> Reservation {
        Reservation { meter: meter.clone(), estimate, held, in_redis, is_whole: false, settled: false }
    }

    /// The answer is whole: when it has cost nothing, its model is free.
    pub fn succeed(&mut self) {
        self.is_whole = true;
    }

    /// Replaces the estimate by what was used.
    pub fn settle(&mut self, model: ModelLabel, used: Used) {
        // As with Anthropic's limits, what is read from a cache is free.
        self.end(model, used, used.input_tokens + used.cache_write_tokens);
    }

    /// Leaves the estimate of the input as it is: a provider was asked and nobody knows what it has counted, so that
    /// hanging up early is no way around a limit. What is used and spent is left at what is known.
    pub fn settle_by_estimate(&mut self, model: ModelLabel, used: Used) {
        self.end(model, used, self.estimate.input_tokens);
    }

    fn end(&mut self, model: ModelLabel, used: Used, input_tokens: u64) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let input = input_tokens as f64;
        let output = used.output_tokens as f64;
        let estimate = self.estimate.input_tokens as f64;
        let most = self.estimate.cost.map_or(0.0, |bounds| bounds.most);
        let day = self.meter.with(|state| {
            state.take([0.0, input - estimate, output], Instant::now());
            state.end(self.held);
            state.record(model, used, SystemTime::now());
            state.ledger.learn(model, used.cost, most, self.is_whole);
            self.in_redis.is_some().then(|| state.ledger.day.name.clone())
        });
        if let (Some(shared), Some(in_redis), Some(day)) = (&self.meter.shared, self.in_redis.take(), day) {
            let takes = if in_redis.reserved { [0.0, input - estimate, output] } else { [1.0, input, output] };
            let (key, limits, lease) = (self.meter.name.clone(), in_redis.limits, in_redis.lease);
            shared.settle(Settled { key, limits, takes, lease, day, model, used });
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        self.meter.with(|state| state.end(self.held));
        let lease = self.in_redis.as_ref().and_then(|in_redis| in_redis.lease);
        if let (Some(shared), Some(lease)) = (&self.meter.shared, lease) {
            shared.release(&self.meter.name, lease);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn meter(limits: KeyLimits) -> Arc<Meter> {
        Meters::default().configure("key", limits)
    }

    /// Without Redis nothing is waited for.
    fn admit(meter: &Arc<Meter>, input_tokens: u64) -> Result<Reservation, GatewayError> {
        let estimate = Estimate { model: ModelLabel(0), input_tokens, cost: Some(Bounds { input: 0.0, most: 0.4 }) };
        meter.admit(estimate).now_or_never().expect("an answer at once")
    }

    fn used(input_tokens: u64, output_tokens: u64, cost: f64) -> Used {
        Used { requests: 1, input_tokens, output_tokens, cost, ..Used::default() }
    }

    #[test]
    fn estimates_are_reserved_and_settled() {
        let meter = meter(KeyLimits { input_tokens_per_minute: Some(6_000_000), ..KeyLimits::default() });
        let remaining = || meter.standing().input_tokens.unwrap().remaining;
        let mut open = admit(&meter, 1_000_000).unwrap();
        assert!((5_000_000..5_100_000).contains(&remaining()), "{}", remaining());
        open.settle(ModelLabel(0), used(3_000_000, 5, 0.0));
        assert!((3_000_000..3_200_000).contains(&remaining()), "{}", remaining());
        let refused = admit(&meter, 4_000_000).unwrap_err();
        assert_eq!(refused.cause, Cause::KeyLimit);
        assert!((8..=10).contains(&refused.retry_after.unwrap()), "{refused:?}");
        admit(&meter, 1_000).unwrap().settle(ModelLabel(0), used(0, 0, 0.0));
        assert!((3_000_000..3_200_000).contains(&remaining()), "{}", remaining());
        admit(&meter, 1_000_000).unwrap().settle_by_estimate(ModelLabel(0), used(0, 0, 0.0));
        assert!((2_000_000..2_300_000).contains(&remaining()), "{}", remaining());
    }

    #[test]
    fn output_is_paid_afterwards() {
        let meter = meter(KeyLimits { output_tokens_per_minute: Some(60), ..KeyLimits::default() });
        admit(&meter, 0).unwrap().settle(ModelLabel(0), used(0, 90, 0.0));
        let refused = admit(&meter, 0).unwrap_err();
        assert_eq!((refused.cause, refused.retry_after), (Cause::KeyLimit, Some(31)), "30 overdrawn, and one");
    }

    #[test]
    fn open_requests_are_bounded_however_they_end() {
        let meter = meter(KeyLimits { concurrent_requests: Some(2), ..KeyLimits::default() });
        let mut first = admit(&meter, 0).unwrap();
        let second = admit(&meter, 0).unwrap();
        assert_eq!(admit(&meter, 0).unwrap_err().cause, Cause::KeyLimit);
        first.settle(ModelLabel(0), Used::default());
        drop(first);
        let third = admit(&meter, 0).unwrap();
        assert!(admit(&meter, 0).is_err(), "settled and dropped is one end");
        drop(second);
        admit(&meter, 0).unwrap();
        drop(third);
    }

    #[test]
    fn a_budget_that_is_spent_is_no_matter_of_waiting() {
        let meter = meter(KeyLimits { usd_per_day: Some(0.5), ..KeyLimits::default() });
        admit(&meter, 0).unwrap().settle(ModelLabel(0), used(1, 1, 0.3));
        admit(&meter, 0).unwrap().settle(ModelLabel(1), used(1, 1, 0.3));
        let refused = admit(&meter, 0).unwrap_err();
        assert_eq!((refused.cause, refused.retry_after), (Cause::BudgetSpent, None));
        let ledger = meter.ledger();
        assert_eq!(ledger.day.models.len(), 2);
    }

    #[test]
    fn a_budget_holds_what_requests_in_flight_are_expected_to_cost() {
        let meter = meter(KeyLimits { usd_per_month: Some(1.0), ..KeyLimits::default() });
        // The most that each may cost is 0.4, as long as nothing better is known.
        let open = [admit(&meter, 0).unwrap(), admit(&meter, 0).unwrap(), admit(&meter, 0).unwrap()];
        let refused = admit(&meter, 0).unwrap_err();
        assert_eq!((refused.cause, refused.retry_after), (Cause::KeyLimit, Some(1)));
        assert!(refused.message.contains("held by requests in flight"), "{}", refused.message);
        for mut open in open {
            open.settle(ModelLabel(0), used(1, 1, 0.1));
        }
        // Then each is expected to cost 0.1, like those before.
        let mut open: Vec<_> = (0..7).map(|_| admit(&meter, 0).unwrap()).collect();
        assert_eq!(admit(&meter, 0).unwrap_err().cause, Cause::KeyLimit);
        drop(open.pop());
        open.push(admit(&meter, 0).unwrap());
        open.iter_mut().for_each(|open| open.settle(ModelLabel(0), used(1, 1, 0.0999)));
        // Something is left, and nothing in flight: whatever it may cost.
        let _last = admit(&meter, 0).unwrap();
        assert_eq!(admit(&meter, 0).unwrap_err().cause, Cause::KeyLimit);
    }
}
