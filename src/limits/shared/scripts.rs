//! What Redis is asked, in its own words: the scripts, their arguments and their answers.
//!
//! All of a key stands under one hash tag: `gatewayz:{name}:buckets`, `:leases`, `:holds`, `:usage:2026-11-23`,
//! `:usage:2026-11`, and `:batch:` with the name of each replica that has written within a day.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{RedisResult, Script, ScriptInvocation};

use super::keeper::Anew;
use super::open::Open;
use super::{LEASE, LeaseId};
use crate::catalog::Catalog;
use crate::config::KeyLimits;
use crate::limits::budget::{billionths, dollars};
use crate::limits::ledger::Used;
use crate::limits::refusal::Refusal;
use crate::limits::shared::messages::Reserve;
use crate::limits::shared::unwritten::Batch;
use crate::limits::state::Told;

/// See the module.
pub(super) struct Scripts {
    /// This process.
    replica: String,
    reserve: Script,
    settle: Script,
    renew: Script,
}

/// What [`Scripts::reserve`] is answered; read by [`read`].
pub(super) type Answer = (u8, f64, f64, f64, f64, f64, f64, f64);

impl Scripts {
    pub(super) fn of(replica: String) -> Scripts {
        let with_clock =
            |script: &str| Script::new(&[include_str!("clock.lua"), include_str!("holds.lua"), script].concat());
        Scripts {
            replica,
            reserve: with_clock(include_str!("reserve.lua")),
            settle: with_clock(include_str!("settle.lua")),
            renew: with_clock(include_str!("renew.lua")),
        }
    }

    /// Makes Redis know them, so that the first request does not pay for it.
    pub(super) async fn load(&self, connection: &mut (impl ConnectionLike + Send)) -> RedisResult<()> {
        for script in [&self.reserve, &self.settle, &self.renew] {
            script.prepare_invoke().load_async(connection).await?;
        }
        Ok(())
    }

    /// `ended` are leases that are given back on the way.
    pub(super) fn reserve(
        &self,
        Reserve { key, limits, input_tokens, held, lease }: &Reserve,
        ended: &[LeaseId],
    ) -> ScriptInvocation<'_> {
        let mut call = self.reserve.prepare_invoke();
        call.key(of_key(key, "buckets")).key(of_key(key, "leases")).key(of_key(key, "usage:"));
        call.key(of_key(key, "holds"));
        call.arg(input_tokens);
        sizes(&mut call, limits);
        optional(&mut call, limits.concurrent_requests);
        optional(&mut call, limits.usd_per_day.map(billionths));
        optional(&mut call, limits.usd_per_month.map(billionths));
        call.arg(self.name(*lease)).arg(LEASE.as_secs()).arg(&self.replica).arg(held);
        self.leases(&mut call, ended);
        call
    }

    pub(super) fn settle(&self, batch: &Batch, catalog: &Catalog) -> ScriptInvocation<'_> {
        let (key, unwritten) = (&batch.key, &batch.unwritten);
        let mut call = self.settle.prepare_invoke();
        call.key(of_key(key, "buckets")).key(of_key(key, "leases")).key(of_key(key, "usage:"));
        call.key(of_key(key, "batch:") + &self.replica).key(of_key(key, "holds"));
        call.arg(&self.replica).arg(batch.number);
        sizes(&mut call, unwritten.limits());
        for amount in unwritten.takes_at(std::time::Instant::now()) {
            call.arg(amount);
        }
        call.arg(unwritten.held).arg(batch.open_hold).arg(LEASE.as_secs());
        call.arg(unwritten.ended.len());
        self.leases(&mut call, &unwritten.ended);
        for ((day, model), used) in &unwritten.usage {
            call.arg(day).arg(catalog.label(*model)).arg(used.requests).arg(used.errors);
            call.arg(used.input_tokens).arg(used.cache_read_tokens).arg(used.cache_write_tokens);
            call.arg(used.output_tokens).arg(billionths(used.cost));
        }
        call
    }

    pub(super) fn renew(&self, open: &Open, anew: Anew) -> ScriptInvocation<'_> {
        let mut call = self.renew.prepare_invoke();
        call.key(of_key(&open.key, "leases")).key(of_key(&open.key, "holds"));
        call.arg(LEASE.as_secs()).arg(&self.replica).arg(open.held).arg(u8::from(anew == Anew::Yes));
        self.leases(&mut call, &open.leases);
        call
    }

    fn name(&self, LeaseId(number): LeaseId) -> String {
        format!("{}-{number}", self.replica)
    }

    fn leases(&self, call: &mut ScriptInvocation<'_>, leases: &[LeaseId]) {
        for lease in leases {
            call.arg(self.name(*lease));
        }
    }
}

fn of_key(key: &str, what: &str) -> String {
    format!("gatewayz:{{{key}}}:{what}")
}

/// Where the usage of a key in a day or a month stands.
pub(super) fn usage_key(key: &str, period: &str) -> String {
    of_key(key, "usage:") + period
}

fn sizes(call: &mut ScriptInvocation<'_>, limits: &KeyLimits) {
    limits.per_minute().into_iter().for_each(|size| optional(call, size));
}

/// What is absent is empty.
fn optional(call: &mut ScriptInvocation<'_>, value: Option<u64>) {
    match value {
        Some(value) => call.arg(value),
        None => call.arg(""),
    };
}

/// What an answer means.
pub(super) fn read((limit, wait, at, requests, input, output, today, month): Answer) -> (Option<Refusal>, Told) {
    let wait = Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX);
    let refusal = match limit {
        0 => None,
        1 => Some(Refusal::DaySpent),
        2 => Some(Refusal::MonthSpent),
        3 => Some(Refusal::Concurrent),
        4 => Some(Refusal::Requests(wait)),
        5 => Some(Refusal::InputTokens(wait)),
        6 => Some(Refusal::OutputTokens(wait)),
        7 => Some(Refusal::DayHeld),
        _ => Some(Refusal::MonthHeld),
    };
    let missing = [requests, input, output];
    let told = Told { at, missing, spent_today: dollars(today), spent_this_month: dollars(month) };
    (refusal, told)
}

/// The usage of a day or a month by model, as it stands in its hash.
pub(super) fn read_usage(hash: HashMap<String, i64>) -> BTreeMap<String, Used> {
    let mut models = BTreeMap::<String, Used>::new();
    for (field, value) in hash {
        let Some((kind, model)) = field.split_once(':') else { continue };
        let used = models.entry(model.to_owned()).or_default();
        let count = u64::try_from(value).unwrap_or_default();
        match kind {
            "requests" => used.requests = count,
            "errors" => used.errors = count,
            "input_tokens" => used.input_tokens = count,
            "cache_read_tokens" => used.cache_read_tokens = count,
            "cache_write_tokens" => used.cache_write_tokens = count,
            "output_tokens" => used.output_tokens = count,
            "cost" => used.cost = dollars(count as f64),
            _ => {}
        }
    }
    models
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_by_model() {
        let fields =
            [("requests:a", 2), ("cost:a", 2_600_000_000), ("output_tokens:b:free", 7), ("spent", 2_600_000_000)];
        let models = read_usage(fields.map(|(field, value)| (field.to_owned(), value)).into());
        assert_eq!(models.len(), 2, "what is spent in all is no model: {models:?}");
        assert_eq!((models["a"].requests, models["a"].cost), (2, 2.6));
        assert_eq!(models["b:free"].output_tokens, 7);
    }
}
