//! The metrics actor: owns every family, applies observations, renders.
//!
//! Lives on its own arbiter, so that a render never stalls a worker.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join_all;
use prometheus::{Encoder, Histogram, IntCounter, IntGauge, Registry, TextEncoder};

use super::by_key::ByKey;
use super::emitter::Flush;
use super::families::{Families, LimitsBackend};
use super::observation::{CallOutcome, ErrorLabel, Observation, Outcome, Rejection, RequestEnded, RetryReason};
use crate::catalog::{Catalog, ModelLabel, ProviderId};
use crate::limits::meter::Meters;
use crate::limits::shared::Reading as LimitsReading;
use crate::providers::circuit::{Reading, State};
use crate::translate::dropped::{KNOWN_FIELDS, OTHER};

/// How long a scrape waits for a worker that does not answer; what it holds is then missing from this scrape.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// What `gateway_build_info` says.
#[derive(Debug, Clone, Default)]
pub struct Build {
    pub version: String,
    pub revision: String,
    pub replica: String,
}

/// See the module.
pub struct Metrics {
    registry: Registry,
    families: Families,
    catalog: Arc<Catalog>,
    /// By [`ModelLabel`].
    models: Vec<Option<ModelSeries>>,
    emitters: Vec<Recipient<Flush>>,
    circuits: Circuits,
    by_key: Option<ByKey>,
    limits_backend: Option<(LimitsBackend, LimitsReadings)>,
}

/// Tells how all circuits stand.
pub type Circuits = Box<dyn Fn() -> Vec<Reading> + Send>;

/// Tells how the place is doing where limits over all replicas are kept.
pub type LimitsReadings = Box<dyn Fn() -> LimitsReading + Send>;

/// The series of one model, looked up once.
struct ModelSeries {
    name: String,
    requests: IntCounter,
    errors: IntCounter,
    latency_ms: Histogram,
    tokens_used: IntCounter,
    first_token: Histogram,
    per_output_token: Histogram,
    inflight: IntGauge,
    cancelled: IntCounter,
    input: IntCounter,
    output: IntCounter,
    cache_read: IntCounter,
    cache_write: IntCounter,
    reasoning: IntCounter,
}

impl Metrics {
    /// Registers all families, with every series of the catalog at 0: a series that is born with its first
    /// increment loses it to `rate()`, and a model without errors would be missing from the error panels.
    pub fn new(
        registry: Registry,
        catalog: Arc<Catalog>,
        circuits: Circuits,
        build: &Build,
    ) -> prometheus::Result<Metrics> {
        let families = Families::register(&registry)?;
        let mut metrics = Metrics {
            registry,
            families,
            catalog,
            models: Vec::new(),
            emitters: Vec::new(),
            circuits,
            by_key: None,
            limits_backend: None,
        };
        metrics.add_catalog();
        let families = &metrics.families;
        for provider in metrics.catalog.providers() {
            for outcome in CallOutcome::ALL {
                families.provider_requests.with_label_values(&[provider, outcome.as_str()]);
            }
            for reason in RetryReason::ALL {
                families.retries.with_label_values(&[provider, reason.as_str()]);
            }
            families.provider_latency.with_label_values(&[provider]);
            families.provider_queue_wait.with_label_values(&[provider]);
            families.provider_account_refusals.with_label_values(&[provider]);
            families.provider_inflight.with_label_values(&[provider]);
        }
        for reason in Rejection::ALL {
            families.rejected_requests.with_label_values(&[reason.as_str()]);
        }
        for source in ["provider", "estimated"] {
            families.token_counts.with_label_values(&[source]);
        }
        for field in KNOWN_FIELDS.iter().chain([&OTHER]) {
            families.translation_dropped.with_label_values(&[*field]);
        }
        families.build_info.with_label_values(&[&build.version, &build.revision, &build.replica]).set(1);
        Ok(metrics)
    }

    /// Shows the requests of these keys by key too. Fails when a name is taken.
    pub fn by_key(mut self, keys: Arc<Meters>) -> prometheus::Result<Metrics> {
        self.by_key = Some(ByKey::new(&self.registry, keys)?);
        Ok(self)
    }

    /// Shows whether Redis answers. Fails when a name is taken.
    pub fn limits_backend(mut self, readings: LimitsReadings) -> prometheus::Result<Metrics> {
        self.limits_backend = Some((LimitsBackend::register(&self.registry)?, readings));
        Ok(self)
    }

    /// The series of all models of the catalog, at 0 unless they are there.
    fn add_catalog(&mut self) {
        for (label, name) in self.catalog.fixed_labels() {
            if self.models.get(label.0 as usize).is_none_or(Option::is_none) {
                self.add_model(label, name);
            }
        }
        for model in self.catalog.listed() {
            let providers: Vec<&str> = model.routes.iter().map(|route| route.provider.as_str()).collect();
            for provider in &providers {
                self.families.cost_usd.with_label_values(&[model.id.as_str(), *provider]);
            }
            for next in providers.windows(2) {
                self.families.fallbacks.with_label_values(next);
            }
        }
    }

    fn add_model(&mut self, label: ModelLabel, name: String) {
        let place = label.0 as usize;
        if self.models.len() <= place {
            self.models.resize_with(place + 1, || None);
        }
        let families = &self.families;
        let model = &[name.as_str()];
        for kind in ErrorLabel::ALL {
            families.errors.with_label_values(&[name.as_str(), kind.as_str()]);
        }
        let tokens = |kind| families.tokens.with_label_values(&[name.as_str(), kind]);
        self.models[place] = Some(ModelSeries {
            requests: families.model_requests.with_label_values(model),
            errors: families.model_errors.with_label_values(model),
            latency_ms: families.model_latency_ms.with_label_values(model),
            tokens_used: families.model_tokens_used.with_label_values(model),
            first_token: families.time_to_first_token.with_label_values(model),
            per_output_token: families.time_per_output_token.with_label_values(model),
            inflight: families.inflight_requests.with_label_values(model),
            cancelled: families.cancelled_requests.with_label_values(model),
            input: tokens("input"),
            output: tokens("output"),
            cache_read: tokens("cache_read"),
            cache_write: tokens("cache_write"),
            reasoning: families.reasoning_tokens.with_label_values(model),
            name,
        });
    }

    /// Makes sure that a model has its series.
    fn know_model(&mut self, label: ModelLabel) {
        if self.models.get(label.0 as usize).is_none_or(Option::is_none) {
            self.add_model(label, self.catalog.label(label));
        }
    }

    fn model(&self, label: ModelLabel) -> Option<&ModelSeries> {
        self.models.get(label.0 as usize)?.as_ref()
    }

    fn apply(&mut self, observation: Observation) {
        match observation {
            Observation::RequestStarted { model } => {
                self.know_model(model);
                if let Some(series) = self.model(model) {
                    series.inflight.inc();
                }
            }
            Observation::RequestEnded(ended) => self.request_ended(&ended),
            Observation::Rejected(reason) => {
                self.families.rejected_requests.with_label_values(&[reason.as_str()]).inc();
            }
            Observation::CallStarted { provider } => self.inflight(provider).inc(),
            Observation::CallEnded { provider, outcome } => {
                self.inflight(provider).dec();
                let name = self.catalog.provider_name(provider);
                self.families.provider_requests.with_label_values(&[name, outcome.as_str()]).inc();
            }
            Observation::CallHead { provider, after } => {
                let name = self.catalog.provider_name(provider);
                self.families.provider_latency.with_label_values(&[name]).observe(after.as_secs_f64());
            }
            Observation::Fallback { from, to } => {
                let names = [self.catalog.provider_name(from), self.catalog.provider_name(to)];
                self.families.fallbacks.with_label_values(&names).inc();
            }
            Observation::Retry { provider, reason } => {
                let name = self.catalog.provider_name(provider);
                self.families.retries.with_label_values(&[name, reason.as_str()]).inc();
            }
            Observation::AccountRefused { provider } => {
                let name = self.catalog.provider_name(provider);
                self.families.provider_account_refusals.with_label_values(&[name]).inc();
            }
            Observation::QueueWait { provider, waited } => {
                let name = self.catalog.provider_name(provider);
                self.families.provider_queue_wait.with_label_values(&[name]).observe(waited.as_secs_f64());
            }
            Observation::Dropped { field } => self.families.translation_dropped.with_label_values(&[field]).inc(),
            Observation::OutOfOrder => self.families.streams_out_of_order.inc(),
            Observation::RateLimitRemaining { provider, kind, remaining } => {
                let name = self.catalog.provider_name(provider);
                self.families.ratelimit_remaining.with_label_values(&[name, kind.as_str()]).set(remaining);
            }
        }
    }

    fn inflight(&self, provider: ProviderId) -> IntGauge {
        self.families.provider_inflight.with_label_values(&[self.catalog.provider_name(provider)])
    }

    fn request_ended(&mut self, ended: &RequestEnded) {
        if let Some(by_key) = &mut self.by_key {
            by_key.request_ended(ended);
        }
        self.know_model(ended.model);
        let (families, catalog) = (&self.families, &self.catalog);
        let Some(series) = self.model(ended.model) else { return };
        series.inflight.dec();
        series.requests.inc();
        match ended.outcome {
            Outcome::Success => {
                series.latency_ms.observe(ended.latency.as_secs_f64() * 1000.0);
                if let Some(overhead) = ended.overhead {
                    families.overhead.observe(overhead.as_secs_f64());
                }
            }
            Outcome::Refused => {}
            Outcome::Failed(label) => {
                series.errors.inc();
                families.errors.with_label_values(&[series.name.as_str(), label.as_str()]).inc();
            }
            Outcome::Cancelled => series.cancelled.inc(),
        }
        if let Some(first_token) = ended.first_token {
            series.first_token.observe(first_token.as_secs_f64());
        }
        let Some(bill) = ended.bill else { return };
        let usage = bill.tally.usage;
        if let (Some(generation), Outcome::Success, 2..) = (ended.generation, ended.outcome, usage.output_tokens) {
            series.per_output_token.observe(generation.as_secs_f64() / (usage.output_tokens - 1) as f64);
        }
        series.tokens_used.inc_by(usage.total());
        series.input.inc_by(usage.input_tokens);
        series.output.inc_by(usage.output_tokens);
        series.cache_read.inc_by(usage.cache_read_input_tokens);
        series.cache_write.inc_by(usage.cache_creation_input_tokens);
        series.reasoning.inc_by(usage.thinking_tokens());
        let source = if bill.tally.estimated { "estimated" } else { "provider" };
        families.token_counts.with_label_values(&[source]).inc();
        if let Some(cost) = bill.known_cost() {
            let provider = catalog.provider_name(bill.provider);
            families.cost_usd.with_label_values(&[series.name.as_str(), provider]).inc_by(cost);
        }
    }

    fn render(&self) -> Vec<u8> {
        // Models that are gone are shown no more.
        self.families.circuit_state.reset();
        for Reading { provider, model, state } in (self.circuits)() {
            let names = [self.catalog.provider_name(provider), &self.catalog.label(model)];
            self.families.circuit_state.with_label_values(&names).set(match state {
                State::Closed => 0,
                State::HalfOpen => 1,
                State::Open => 2,
            });
        }
        if let Some((backend, readings)) = &self.limits_backend {
            let reading = readings();
            backend.up.set(reading.up.into());
            backend.failures.inc_by(reading.failures.saturating_sub(backend.failures.get()));
        }
        let mut text = Vec::with_capacity(64 * 1024);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            log::error!("the metrics could not be rendered: {error}");
        }
        text
    }
}

impl Actor for Metrics {
    type Context = Context<Self>;
}

/// Observations of one worker, in order.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Batch(pub Vec<Observation>);

impl Handler<Batch> for Metrics {
    type Result = ();

    fn handle(&mut self, Batch(observations): Batch, _: &mut Self::Context) {
        observations.into_iter().for_each(|observation| self.apply(observation));
    }
}

/// Makes a worker's emitter known.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Register(pub Recipient<Flush>);

impl Handler<Register> for Metrics {
    type Result = ();

    fn handle(&mut self, Register(emitter): Register, _: &mut Self::Context) {
        self.emitters.push(emitter);
    }
}

/// Takes in what all workers hold. To be sent before [`Render`]: batches that are on their way arrive in between.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Collect;

impl Handler<Collect> for Metrics {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Collect, _: &mut Self::Context) -> Self::Result {
        let emitters = self.emitters.clone();
        let asked = async move {
            let answers = emitters.iter().map(|emitter| tokio::time::timeout(FLUSH_TIMEOUT, emitter.send(Flush)));
            join_all(answers).await
        };
        AtomicResponse::new(Box::pin(asked.into_actor(self).map(|answers, metrics, _| {
            for answer in answers {
                match answer {
                    Ok(Ok(observations)) => observations.into_iter().for_each(|observation| metrics.apply(observation)),
                    Ok(Err(_)) => {}
                    Err(_) => log::warn!("a worker did not hand over its observations in time; this scrape lacks them"),
                }
            }
        })))
    }
}

/// The exposition format, version 0.0.4.
#[derive(Message)]
#[rtype(result = "Vec<u8>")]
pub struct Render;

impl Handler<Render> for Metrics {
    type Result = Vec<u8>;

    fn handle(&mut self, _: Render, _: &mut Self::Context) -> Self::Result {
        self.render()
    }
}

/// There are other models and keys now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Reloaded;

impl Handler<Reloaded> for Metrics {
    type Result = ();

    fn handle(&mut self, _: Reloaded, _: &mut Self::Context) {
        self.add_catalog();
        if let Some(by_key) = &mut self.by_key {
            by_key.add_keys();
        }
    }
}

/// Writes the totals into the log: nobody can scrape a gateway that has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Conclude;

impl Handler<Conclude> for Metrics {
    type Result = ();

    fn handle(&mut self, _: Conclude, _: &mut Self::Context) {
        let sum = |of: fn(&ModelSeries) -> u64| self.models.iter().flatten().map(of).sum::<u64>();
        log::info!(
            "ended after {} requests: {} errors, {} cancelled, {} tokens",
            sum(|model| model.requests.get()),
            sum(|model| model.errors.get()),
            sum(|model| model.cancelled.get()),
            sum(|model| model.tokens_used.get())
        );
    }
}
