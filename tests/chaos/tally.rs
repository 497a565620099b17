//! What the clients have counted, and whether the gateway counted the same.

use std::collections::BTreeMap;

use crate::harness::exposition::Exposition;
use crate::load::ask::End;
use crate::load::asked::Asked;

/// Of one model.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub requests: u64,
    pub well: u64,
    pub cancelled: u64,
    /// Before content, by status and type.
    pub refused: BTreeMap<(u16, String), u64>,
    /// Of streams, by type.
    pub broken: BTreeMap<String, u64>,
    /// Of the answers that were whole.
    pub input_tokens: u64,
    pub output_tokens: u64,
}

impl Tally {
    pub fn count(&mut self, asked: &Asked, end: &End) {
        self.requests += 1;
        match end {
            End::Well => {
                let (input, output) = asked.usage();
                self.well += 1;
                self.input_tokens += input;
                self.output_tokens += output;
            }
            End::Refused(refusal) => *self.refused.entry((refusal.status, refusal.kind.clone())).or_default() += 1,
            End::Broken { kind, .. } => *self.broken.entry(kind.clone()).or_default() += 1,
            End::Cancelled => self.cancelled += 1,
        }
    }

    /// Failures by type; what the caller did wrong is none.
    fn errors(&self) -> BTreeMap<&str, u64> {
        let mut errors: BTreeMap<&str, u64> = BTreeMap::new();
        let refused = self.refused.iter().map(|((_, kind), count)| (kind, count));
        for (kind, count) in refused.chain(&self.broken).filter(|(kind, _)| *kind != "invalid_request_error") {
            *errors.entry(kind).or_default() += count;
        }
        errors
    }

    /// Everything in which the gateway's count of this model differs. `exact`: no tokens had to be estimated.
    pub fn differences(&self, model: &str, metrics: &Exposition, exact: bool) -> Vec<String> {
        let of_model = |family: &str| metrics.value(&format!("{family}{{model=\"{model}\"}}")) as u64;
        let tokens =
            |kind: &str| metrics.value(&format!("gateway_tokens_total{{kind=\"{kind}\",model=\"{model}\"}}")) as u64;
        let of_type =
            |kind: &str| metrics.value(&format!("gateway_errors_total{{model=\"{model}\",type=\"{kind}\"}}")) as u64;
        let errors = self.errors();
        let mut pairs = vec![
            ("model_requests_total".to_owned(), self.requests, of_model("model_requests_total")),
            ("model_errors_total".to_owned(), errors.values().sum(), of_model("model_errors_total")),
            ("model_latency_ms_count".to_owned(), self.well, of_model("model_latency_ms_count")),
            (
                "gateway_cancelled_requests_total".to_owned(),
                self.cancelled,
                of_model("gateway_cancelled_requests_total"),
            ),
            ("gateway_inflight_requests".to_owned(), 0, of_model("gateway_inflight_requests")),
        ];
        for kind in ["api_error", "overloaded_error", "rate_limit_error", "timeout_error", "not_found_error"] {
            // A client cannot tell what broke off from what made no sense.
            let broken_off = if kind == "api_error" { of_type("stream_interrupted") } else { 0 };
            pairs.push((format!("errors {kind}"), errors.get(kind).copied().unwrap_or(0), of_type(kind) + broken_off));
        }
        let mut found: Vec<String> = pairs
            .into_iter()
            .filter(|(_, seen, counted)| seen != counted)
            .map(|(what, seen, counted)| {
                format!("{model}: {what}: the clients saw {seen}, the gateway counted {counted}")
            })
            .collect();
        for (kind, seen) in [("input", self.input_tokens), ("output", self.output_tokens)] {
            let counted = tokens(kind);
            if counted < seen || exact && counted != seen {
                found.push(format!("{model}: {kind} tokens: the clients saw {seen}, the gateway counted {counted}"));
            }
        }
        found
    }

    /// In one line.
    pub fn summary(&self) -> String {
        let refused: u64 = self.refused.values().sum();
        let broken: u64 = self.broken.values().sum();
        format!(
            "{:7} requests: {:7} well, {:6} errors, {:5} broken streams, {:5} cancelled",
            self.requests, self.well, refused, broken, self.cancelled
        )
    }
}
