//! The circuits of all models of all providers, shared by all workers; one circuit is a `breaker`.

mod breaker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

pub use self::breaker::State;
use self::breaker::{Admission, Breaker, Verdict};
use crate::catalog::{Catalog, ModelLabel, ProviderId, Route, Upstream};
use crate::config::{Breaker as Rules, Settings};
use crate::error::{Cause, GatewayError};
use crate::metrics::observation::CallOutcome;

/// See the module.
pub struct Circuits {
    /// By [`ProviderId`].
    rules: Vec<Rules>,
    catalog: Arc<Catalog>,
    /// Of the models that the configuration names, by [`Upstream::Named`].
    named: RwLock<Vec<Arc<Circuit>>>,
    /// Of the models that only a client named; bounded as their labels are.
    guessed: RwLock<HashMap<(ProviderId, ModelLabel), Arc<Circuit>>>,
}

/// The state of one circuit, under a label by which it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub provider: ProviderId,
    pub model: ModelLabel,
    pub state: State,
}

impl Circuits {
    /// All closed.
    pub fn new(settings: &Settings, catalog: Arc<Catalog>) -> Circuits {
        let rules: Vec<Rules> = settings.providers.iter().map(|provider| provider.breaker).collect();
        Circuits { rules, catalog, named: RwLock::default(), guessed: RwLock::default() }
    }

    /// The circuit of this way to a model.
    pub(super) fn of(&self, route: &Route) -> Arc<Circuit> {
        let label = match route.upstream {
            Upstream::Named(at) => return self.named(at, route.provider),
            Upstream::Guessed(label) => label,
        };
        let key = (route.provider, label);
        let known = self.guessed.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        known.unwrap_or_else(|| {
            let mut guessed = self.guessed.write().unwrap_or_else(PoisonError::into_inner);
            guessed.entry(key).or_insert_with(|| self.closed(route.provider)).clone()
        })
    }

    fn closed(&self, provider: ProviderId) -> Arc<Circuit> {
        Arc::new(Circuit::new(self.rules[usize::from(provider.0)]))
    }

    fn named(&self, at: usize, provider: ProviderId) -> Arc<Circuit> {
        if let Some(circuit) = self.named.read().unwrap_or_else(PoisonError::into_inner).get(at) {
            return circuit.clone();
        }
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        for upstream in self.catalog.upstreams().iter().skip(named.len()) {
            named.push(self.closed(upstream.provider));
        }
        named.get(at).cloned().unwrap_or_else(|| self.closed(provider))
    }

    /// How they all stand. A model with several ways through one provider is as its worst.
    pub fn readings(&self) -> Vec<Reading> {
        let mut worst: HashMap<(ProviderId, ModelLabel), State> = HashMap::new();
        let mut note = |provider, model, state| {
            let known = worst.entry((provider, model)).or_insert(state);
            *known = state.max(*known);
        };
        for (at, upstream) in self.catalog.upstreams().iter().enumerate() {
            let state = self.named(at, upstream.provider).state();
            upstream.labels.iter().for_each(|label| note(upstream.provider, *label, state));
        }
        for ((provider, label), circuit) in self.guessed.read().unwrap_or_else(PoisonError::into_inner).iter() {
            note(*provider, *label, circuit.state());
        }
        let reading = |((provider, model), state)| Reading { provider, model, state };
        worst.into_iter().map(reading).collect()
    }
}

/// One circuit.
pub(super) struct Circuit(Mutex<Breaker>);

impl Circuit {
    fn new(rules: Rules) -> Circuit {
        Circuit(Mutex::new(Breaker::new(rules, Instant::now())))
    }

    fn state(&self) -> State {
        self.with(|breaker| breaker.state(Instant::now()))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Breaker) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fails when a call would be refused now.
    pub(super) fn check(&self) -> Result<(), GatewayError> {
        match self.with(|breaker| breaker.refusal(Instant::now())) {
            Some(wait) => Err(open(wait)),
            None => Ok(()),
        }
    }

    /// Asks for a call.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Pass, GatewayError> {
        let is_probe = match self.with(|breaker| breaker.admit(Instant::now())) {
            Admission::Call => false,
            Admission::Probe => true,
            Admission::Refused(wait) => return Err(open(wait)),
        };
        Ok(Pass { circuit: self.clone(), is_probe, told: false })
    }
}

fn open(wait: std::time::Duration) -> GatewayError {
    let message = "The provider keeps failing for this model and is left alone for a while";
    let seconds = (wait.as_secs_f64().ceil() as u64).max(1);
    GatewayError::new(Cause::CircuitOpen, message).retry_after(Some(seconds))
}

/// The leave for one call, which tells its circuit how it went. Dropped without that, it says nothing.
pub struct Pass {
    circuit: Arc<Circuit>,
    is_probe: bool,
    told: bool,
}

impl Pass {
    /// The answer has begun well: a probe need not wait for the end of a long stream.
    pub(super) fn answers(&mut self) {
        if std::mem::take(&mut self.is_probe) {
            self.circuit.with(|breaker| breaker.record(Verdict::Healthy, true, Instant::now()));
        }
    }

    /// The call has ended.
    pub(super) fn settle(&mut self, outcome: CallOutcome) {
        self.tell(match outcome {
            // A provider that finds something wrong with a request is there.
            CallOutcome::Success | CallOutcome::ClientError => Verdict::Healthy,
            CallOutcome::ServerError | CallOutcome::Timeout | CallOutcome::Connect | CallOutcome::InvalidResponse => {
                Verdict::Failing
            }
            CallOutcome::RateLimited | CallOutcome::Cancelled => Verdict::Unknown,
        });
    }

    fn tell(&mut self, verdict: Verdict) {
        if !std::mem::replace(&mut self.told, true) {
            self.circuit.with(|breaker| breaker.record(verdict, self.is_probe, Instant::now()));
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.tell(Verdict::Unknown);
    }
}
