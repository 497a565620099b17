//! What is counted and logged of one request: exactly once, however it ends.

use std::time::{Duration, Instant};

use super::Dispatcher;
use crate::auth::Key;
use crate::catalog::{Catalog, ModelLabel, ProviderId, Resolved};
use crate::config::Price;
use crate::error::{Cause, GatewayError};
use crate::limits::meter::{Bounds, Estimate, Reservation, Used};
use crate::metrics::emitter::Emitter;
use crate::metrics::observation::{Bill, Observation, Outcome, RequestEnded};
use crate::translate::usage::Tally;
use crate::wire::anthropic::message::Usage;

/// More than any answer costs, in US dollars: a figure beyond it is nonsense, which would stay in the sums.
const MAX_COST: f64 = 10_000.0;

/// More than any answer holds, of any kind of token. Beside the sense of the figure itself: counters in Redis have 63 bits
/// and fail when one more would be too many, and some ninety billion answers of this size fit into one.
const MAX_TOKENS: u64 = 100_000_000;

/// A request for a known model, from its beginning to its end. Dropped before its end, it was cancelled.
pub(super) struct Scope<'a> {
    emitter: &'a Emitter,
    catalog: &'a Catalog,
    label: ModelLabel,
    price: Option<Price>,
    /// The client named a model that only a wildcard takes.
    is_guess: bool,
    /// The client's.
    key: &'a Key,
    request_id: &'a str,
    received: Instant,
    streamed: bool,
    reservation: Option<Reservation>,
    provider: Option<ProviderId>,
    attempts: u32,
    tally: Option<Tally>,
    waited: Duration,
    first_content: Option<Instant>,
    last_content: Option<Instant>,
    ended: bool,
}

impl<'a> Scope<'a> {
    pub(super) fn begin(
        dispatcher: &'a Dispatcher,
        resolved: &Resolved,
        key: &'a Key,
        request_id: &'a str,
        received: Instant,
        streamed: bool,
    ) -> Self {
        dispatcher.emitter.record(Observation::RequestStarted { model: resolved.label });
        Scope {
            emitter: &dispatcher.emitter,
            catalog: &dispatcher.catalog,
            label: resolved.label,
            price: resolved.price,
            is_guess: resolved.is_guess,
            key,
            request_id,
            received,
            streamed,
            reservation: None,
            provider: None,
            attempts: 0,
            tally: None,
            waited: Duration::ZERO,
            first_content: None,
            last_content: None,
            ended: false,
        }
    }

    /// What it will take of the limits of its key: so much input, and so much output at most.
    pub(super) fn estimate(&self, resolved: &Resolved, input_tokens: u64, output_tokens: u64) -> Estimate {
        let cost = match self.price {
            Some(price) => {
                let input = Usage { input_tokens, ..Usage::default() };
                Some(Bounds { input: priced(price, &input), most: priced(price, &Usage { output_tokens, ..input }) })
            }
            // What it costs will be told, and nobody knows yet.
            None if resolved.routes.iter().any(|route| route.dialect.tells_cost) => None,
            None => Some(Bounds { input: 0.0, most: 0.0 }),
        };
        Estimate { model: self.label, input_tokens, cost }
    }

    /// What was reserved for it within the limits of its key, to be settled at its end.
    pub(super) fn reserve(&mut self, reservation: Reservation) {
        self.reservation = Some(reservation);
    }

    /// An attempt with this provider begins; what an earlier one took is forgotten, since it gave nothing.
    pub(super) fn attempt(&mut self, provider: ProviderId) {
        self.provider = Some(provider);
        self.attempts += 1;
        self.tally = None;
    }

    /// Time that passed while the provider had its turn.
    pub(super) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// Tokens so far.
    pub(super) fn tally(&mut self, tally: Tally) {
        self.tally = Some(tally);
    }

    /// Content has just been written for the client.
    pub(super) fn content(&mut self) {
        let now = Instant::now();
        self.first_content.get_or_insert(now);
        self.last_content = Some(now);
    }

    /// The answer is whole.
    pub(super) fn succeed(&mut self) {
        self.end(Outcome::Success, 200);
    }

    /// The request failed; gives the error back, for the client.
    pub(super) fn fail(&mut self, mut error: GatewayError) -> GatewayError {
        // A model that a client made up is no failure of anybody else.
        let made_up = self.is_guess && error.cause == Cause::ProviderNotFound;
        let outcome = if made_up { Outcome::Refused } else { Outcome::of(error.cause) };
        self.end(outcome, error.cause.answer().0);
        error.provider = self.provider.map(|id| self.catalog.provider_name(id).to_owned());
        error
    }

    fn end(&mut self, outcome: Outcome, status: u16) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let latency = self.received.elapsed();
        let bill = match (self.provider, self.tally) {
            (Some(provider), Some(tally)) => Some(Bill { provider, tally, cost: self.cost(&tally) }),
            _ => None,
        };
        if let Some(mut reservation) = self.reservation.take() {
            let used = self.used(outcome);
            if outcome == Outcome::Success {
                reservation.succeed();
            }
            // A provider bills the input of a call whose client hung up before it said what that was. No cost is made
            // of it: what the provider read, or found in its cache, nobody knows.
            match outcome == Outcome::Cancelled && self.attempts > 0 && self.tally.is_none() {
                true => reservation.settle_by_estimate(self.label, used),
                false => reservation.settle(self.label, used),
            }
        }
        let first_token = self.first_content.map(|at| at - self.received).filter(|_| self.streamed);
        let generation = self.first_content.zip(self.last_content).map(|(first, last)| last - first);
        self.emitter.record(Observation::RequestEnded(RequestEnded {
            model: self.label,
            key: self.key.meter.label,
            outcome,
            latency,
            bill,
            first_token,
            generation: generation.filter(|_| self.streamed),
            overhead: (outcome == Outcome::Success).then(|| latency.saturating_sub(self.waited)),
        }));
        self.log(outcome, status, latency, first_token);
    }

    fn used(&self, outcome: Outcome) -> Used {
        let usage = self.tally.map(|tally| tally.usage).unwrap_or_default();
        Used {
            requests: 1,
            errors: u64::from(matches!(outcome, Outcome::Failed(_))),
            input_tokens: usage.input_tokens.min(MAX_TOKENS),
            cache_read_tokens: usage.cache_read_input_tokens.min(MAX_TOKENS),
            cache_write_tokens: usage.cache_creation_input_tokens.min(MAX_TOKENS),
            output_tokens: usage.output_tokens.min(MAX_TOKENS),
            cost: self.tally.and_then(|tally| self.cost(&tally)).filter(|cost| cost.is_finite()).unwrap_or_default(),
        }
    }

    fn cost(&self, tally: &Tally) -> Option<f64> {
        let told = tally.cost.filter(|cost| (0.0..=MAX_COST).contains(cost));
        told.or_else(|| self.price.map(|price| priced(price, &tally.usage)))
    }

    fn log(&self, outcome: Outcome, status: u16, latency: Duration, first_token: Option<Duration>) {
        if !log::log_enabled!(target: "gatewayz::request", log::Level::Info) {
            return;
        }
        let usage = self.tally.map(|tally| tally.usage).unwrap_or_default();
        let outcome = match outcome {
            Outcome::Success => "success",
            Outcome::Refused => "refused",
            Outcome::Failed(label) => label.as_str(),
            Outcome::Cancelled => "cancelled",
        };
        log::info!(
            target: "gatewayz::request",
            request_id = self.request_id,
            key = self.key.name.as_str(),
            model = self.catalog.label(self.label).as_str(),
            provider = self.provider.map_or("-", |id| self.catalog.provider_name(id)),
            status,
            outcome,
            attempts = self.attempts,
            stream = self.streamed,
            input_tokens = usage.input_tokens,
            cache_read_tokens = usage.cache_read_input_tokens,
            cache_write_tokens = usage.cache_creation_input_tokens,
            output_tokens = usage.output_tokens,
            cost_usd = self.tally.and_then(|tally| self.cost(&tally)).unwrap_or_default(),
            first_token_ms = first_token.map(|time| time.as_millis() as u64).unwrap_or(0),
            latency_ms = latency.as_millis() as u64;
            "request"
        );
    }
}

/// US dollars.
fn priced(price: Price, usage: &Usage) -> f64 {
    let dollars = usage.input_tokens as f64 * price.input
        + usage.output_tokens as f64 * price.output
        + usage.cache_read_input_tokens as f64 * price.cache_read
        + usage.cache_creation_input_tokens as f64 * price.cache_write;
    (dollars / 1e6).min(MAX_COST)
}

/// The line in the log for a request that never reached a model.
pub fn log_turned_away(request_id: &str, error: &GatewayError) {
    let (status, kind, _) = error.cause.answer();
    log::info!(target: "gatewayz::request", request_id, model = "-", provider = "-", status, outcome = kind.as_str(); "request");
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        match std::thread::panicking() {
            true => self.end(Outcome::of(Cause::Internal), 500),
            // 499 is what nginx logs when a client hangs up.
            false => self.end(Outcome::Cancelled, 499),
        }
    }
}
