//! One fault, asked for in one way, before one provider or two: what must be seen, and what was.

use std::collections::BTreeMap;
use std::fmt;

use gatewayz::metrics::observation::{CallOutcome, ErrorLabel, RetryReason};

use crate::expect::{Answer, Connection, Expected, Failure, WELL};
use crate::harness::exposition::Exposition;
use crate::list::{Client, Fault};
use crate::script::{Port, Script};

/// A row of the table.
pub struct Row {
    pub name: String,
    pub stream: bool,
    /// Whether there is a second route, to a provider that is well.
    pub second: bool,
    pub client: Client,
    pub script: Script,
    pub expected: Expected,
    /// Lines of the provider in the configuration.
    pub lines: &'static str,
}

impl Row {
    /// The ways in which a fault is met: whole and streamed, and with a second route where that may change
    /// something.
    pub fn of(fault: &Fault) -> Vec<Row> {
        let row = |stream: bool, second: bool| {
            let (script, expected) = if stream { fault.stream.clone()? } else { fault.whole.clone()? };
            if second && matches!(expected.answer, Answer::Message(_) | Answer::TurnedAway(..)) {
                return None;
            }
            let (name, client, lines) = (fault.name.to_owned(), fault.client, fault.lines);
            Some(Row { name, stream, second, client, script, expected, lines })
        };
        [(false, false), (true, false), (false, true), (true, true)]
            .into_iter()
            .filter_map(|(stream, second)| row(stream, second))
            .collect()
    }

    pub fn way(&self) -> &'static str {
        match (self.stream, self.second) {
            (false, false) => "whole",
            (true, false) => "stream",
            (false, true) => "whole, two routes",
            (true, true) => "stream, two routes",
        }
    }

    /// The name of its model, and of its first provider.
    pub fn id(&self) -> String {
        let plain: String = self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        format!("f_{plain}{}{}", if self.stream { "_stream" } else { "_whole" }, if self.second { "_2" } else { "" })
    }

    /// The name of its second provider.
    pub fn second_id(&self) -> String {
        format!("{}_well", self.id())
    }

    /// Requests that are answered well before the fault.
    pub fn before(&self) -> usize {
        self.script.from_call
    }

    /// Everything that must be seen.
    pub fn must(&self) -> View {
        let before = self.before();
        let well = |count: usize| View {
            client: WELL.to_owned(),
            calls: before,
            connection: self.expected.connection,
            requests: before + 1,
            outcomes: counts(&[("success", before + count)]),
            tokens: Tokens::Are(13 * (before + count) as u64),
            ..View::default()
        };
        match &self.expected.answer {
            Answer::Message(message) => {
                View { client: message.clone(), calls: before + 1, tokens: Tokens::of(message), ..well(1) }
            }
            Answer::OnceMore(failure) => {
                let outcomes = counts(&[("success", before + 1), (failure.outcome, 1)]);
                View { calls: before + 2, outcomes, retries: counts(&[(failure.reason(), 1)]), ..well(1) }
            }
            Answer::Failure(failure) if !failure.is_call() => self.without_a_call(failure, well(0)),
            Answer::Failure(failure) => {
                let attempts = failure.handling.attempts();
                let calls = if self.script.port == Port::Open { before + attempts } else { 0 };
                let outcomes = counts(&[("success", before), (failure.outcome, attempts)]);
                let retries = counts(&[(failure.reason(), attempts - 1)]);
                if self.second && failure.handling.next_route() {
                    return View { calls, second: 1, outcomes, retries, ..well(1) };
                }
                let client = told(failure);
                View { client, calls, outcomes, retries, error: failure.label, tokens: Tokens::Any, ..well(0) }
            }
            Answer::Broken(content, failure) => View {
                client: format!("{content} error {}", failure.kind),
                calls: before + 1,
                outcomes: counts(&[("success", before), (failure.outcome, 1)]),
                error: failure.label,
                tokens: Tokens::Some,
                ..well(0)
            },
            Answer::Nothing => {
                // Whoever is gone from the queue had somebody before it.
                let cancelled = if self.client == Client::HangsUpInTheQueue { 2 } else { 1 };
                let (client, outcomes) = ("gone".to_owned(), counts(&[("cancelled", 1)]));
                let calls = before + 1;
                View { client, calls, outcomes, requests: cancelled, cancelled, tokens: Tokens::Any, ..well(0) }
            }
            Answer::TurnedAway(failure, _) => {
                let requests = usize::from(self.client.reaches_a_model());
                View { client: told(failure), requests, tokens: Tokens::Are(0), ..well(0) }
            }
        }
    }

    /// What must be seen when there is no place for a call, or the circuit is open: another request has seen to it.
    fn without_a_call(&self, failure: &Failure, base: View) -> View {
        let (client, tokens) = (told(failure), Tokens::Any);
        let base = View { client, calls: 1, requests: 2, error: failure.label, tokens, ..base };
        let base = match self.client {
            Client::FindsTheCircuitOpen => {
                let (outcomes, retries) = (counts(&[("server_error", 1)]), counts(&[("server_error", 1)]));
                View { outcomes, retries, ..base }
            }
            _ => View { cancelled: 1, outcomes: counts(&[("cancelled", 1)]), ..base },
        };
        match self.second {
            true => View { client: WELL.to_owned(), second: 2 - base.cancelled, error: None, ..base },
            false => base,
        }
    }

    /// What the metrics say of it.
    pub fn counted(&self, metrics: &Exposition, view: &mut View) {
        let id = self.id();
        let value = |series: String| metrics.value(&series) as usize;
        let of_model = |family: &str| value(format!("{family}{{model=\"{id}\"}}"));
        let outcome = |outcome: CallOutcome| {
            let series =
                format!("gateway_provider_requests_total{{outcome=\"{}\",provider=\"{id}\"}}", outcome.as_str());
            let later = if outcome == CallOutcome::Success { view.later } else { 0 };
            (outcome.as_str(), value(series).saturating_sub(later))
        };
        let error = |label: ErrorLabel| {
            let label = label.as_str();
            (label, value(format!("gateway_errors_total{{model=\"{id}\",type=\"{label}\"}}")))
        };
        let retry = |reason: RetryReason| {
            let reason = reason.as_str();
            (reason, value(format!("gateway_retries_total{{provider=\"{id}\",reason=\"{reason}\"}}")))
        };
        view.outcomes = counts(&CallOutcome::ALL.map(outcome));
        view.retries = counts(&RetryReason::ALL.map(retry));
        let errors = ErrorLabel::ALL.map(error);
        view.error = errors.iter().find(|(_, count)| *count > 0).map(|(label, _)| *label);
        view.requests = of_model("model_requests_total").saturating_sub(view.later);
        view.cancelled = of_model("gateway_cancelled_requests_total");
        view.tokens = Tokens::Are(of_model("model_tokens_used_total").saturating_sub(13 * view.later) as u64);

        let failed = of_model("model_errors_total");
        assert_eq!(errors.iter().map(|(_, count)| count).sum::<usize>(), failed, "errors of {id}: {errors:?}");
        let well = of_model("model_latency_ms_count").saturating_sub(view.later);
        let refused = if view.client.starts_with('4') && failed == 0 { view.requests } else { 0 };
        assert_eq!(well + failed + refused + view.cancelled, view.requests, "every request of {id} ended once");
        assert_eq!(of_model("gateway_inflight_requests"), 0, "no request of {id} is open");
        let calls = value(format!("gateway_provider_inflight{{provider=\"{id}\"}}"));
        assert_eq!(calls, 0, "no call of {id} is open");
        let next = value(format!("gateway_fallbacks_total{{from=\"{id}\",to=\"{}\"}}", self.second_id()));
        assert_eq!(next, view.second, "fallbacks of {id}");
        let circuit = value(format!("gateway_circuit_state{{model=\"{id}\",provider=\"{id}\"}}"));
        assert_eq!(circuit == 2, self.client == Client::FindsTheCircuitOpen, "circuit of {id}: {circuit}");
    }
}

/// What a client reads of a failure before content.
fn told(failure: &Failure) -> String {
    let retry = if failure.retry { "retry" } else { "for good" };
    let after = failure.retry_after.map(|seconds| format!(" after {seconds}")).unwrap_or_default();
    format!("{} {} {retry}{after}", failure.status, failure.kind)
}

fn counts(all: &[(&str, usize)]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (name, count) in all.iter().filter(|(_, count)| *count > 0) {
        *counts.entry((*name).to_owned()).or_default() += count;
    }
    counts
}

/// Tokens that were counted for a model.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Tokens {
    #[default]
    Any,
    /// More than none.
    Some,
    Are(u64),
}

impl Tokens {
    /// Of a message, whose words end in `INPUT+OUTPUT`; any where the gateway must estimate.
    fn of(message: &str) -> Tokens {
        let Some((input, output)) = message.rsplit(' ').next().and_then(|usage| usage.split_once('+')) else {
            return Tokens::Some;
        };
        Tokens::Are(input.parse::<u64>().unwrap() + output.parse::<u64>().unwrap())
    }
}

/// What all sides have seen of a row.
#[derive(Clone)]
pub struct View {
    pub client: String,
    /// Of the first provider and of the second.
    pub calls: usize,
    pub second: usize,
    pub connection: Connection,
    /// Requests that came after the fault; they are not counted in what follows.
    pub later: usize,
    pub requests: usize,
    pub cancelled: usize,
    pub error: Option<&'static str>,
    pub outcomes: BTreeMap<String, usize>,
    pub retries: BTreeMap<String, usize>,
    pub tokens: Tokens,
}

impl Default for View {
    fn default() -> View {
        View {
            client: String::new(),
            calls: 0,
            second: 0,
            connection: Connection::Gone,
            later: 0,
            requests: 0,
            cancelled: 0,
            error: None,
            outcomes: BTreeMap::new(),
            retries: BTreeMap::new(),
            tokens: Tokens::Any,
        }
    }
}

impl View {
    /// Whether what was `seen` is what must be.
    pub fn admits(&self, seen: &View) -> bool {
        let tokens = match (self.tokens, seen.tokens) {
            (Tokens::Any, _) => true,
            (Tokens::Some, Tokens::Are(count)) => count > 0,
            (must, seen) => must == seen,
        };
        tokens && View { tokens: self.tokens, ..seen.clone() }.to_string() == self.to_string()
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<String, usize>| {
            counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
        };
        write!(f, "{} | {}+{} calls: {}", self.client, self.calls, self.second, list(&self.outcomes))?;
        if !self.retries.is_empty() {
            write!(f, "; again: {}", list(&self.retries))?;
        }
        write!(f, "; {}", format!("{:?}", self.connection).to_lowercase())?;
        write!(f, " | {} counted", self.requests)?;
        if let Some(error) = self.error {
            write!(f, ", {error}")?;
        }
        if self.cancelled > 0 {
            write!(f, ", {} cancelled", self.cancelled)?;
        }
        match self.tokens {
            Tokens::Any => Ok(()),
            Tokens::Some => write!(f, ", tokens"),
            Tokens::Are(count) => write!(f, ", {count} tokens"),
        }
    }
}
