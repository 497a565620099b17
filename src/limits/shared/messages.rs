//! What the keeper is told and asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use redis::RedisResult;
use tokio::sync::oneshot;

use super::failure::{is_of_content, words};
use super::keeper::Keeper;
use super::late::{Became, Said};
use super::scripts::{self, Answer};
use super::{ByModel, LeaseId};
use crate::catalog::ModelLabel;
use crate::config::KeyLimits;
use crate::limits::ledger::Used;
use crate::limits::refusal::Refusal;
use crate::limits::state::{Takes, Told};

/// A request that wants to be let in.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::limits) struct Reserve {
    pub(in crate::limits) key: Arc<str>,
    pub(in crate::limits) limits: KeyLimits,
    /// An estimate.
    pub(in crate::limits) input_tokens: u64,
    /// What it is expected to cost, in billionths of a dollar.
    pub(in crate::limits) held: u64,
    pub(in crate::limits) lease: LeaseId,
}

/// What Redis says of a request. None when it failed.
pub(super) type Verdict = Option<(Option<Refusal>, Told)>;

/// Asks for a request to be let in.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Ask {
    pub(super) reserve: Reserve,
    /// Closed by whoever waits no longer, who then says by [`Opened`] or [`Ended`] what became of the request.
    pub(super) answer: oneshot::Sender<Verdict>,
}

impl Handler<Ask> for Keeper {
    type Result = ();

    fn handle(&mut self, Ask { reserve, answer }: Ask, context: &mut Self::Context) {
        let Some(mut connection) = self.connection.clone() else {
            // Whoever waits no longer was not counted either.
            let _ = answer.send(None);
            return;
        };
        // Those that ended a moment ago and wait to be written must not stand in the way.
        let ended = self.unwritten.take_ended(&reserve.key);
        self.open.insert(&reserve.key, &reserve.limits, reserve.held, reserve.lease);
        self.late.asked(reserve.lease);
        let scripts = self.scripts.clone();
        let asked = async move {
            let call = scripts.reserve(&reserve, &ended);
            let verdict = call.invoke_async::<Answer>(&mut connection).await.map(scripts::read);
            (reserve, ended, verdict)
        };
        context.spawn(asked.into_actor(self).map(move |(reserve, ended, verdict), keeper, context| {
            let said = match &verdict {
                Ok((None, _)) => Said::Counted,
                Ok((Some(_), _)) => Said::Refused,
                Err(_) => Said::Unknown,
            };
            match &verdict {
                Ok(_) => keeper.could_read(&reserve.key),
                Err(error) => {
                    ended.into_iter().for_each(|lease| keeper.unwritten.of(&reserve.key).end(lease));
                    keeper.could_not_read(&reserve.key, error);
                }
            }
            match answer.send(verdict.ok()) {
                Ok(()) => {
                    keeper.late.heard(reserve.lease);
                    if said == Said::Refused {
                        keeper.forget(&reserve.key, reserve.lease);
                    }
                }
                Err(_) => {
                    if said == Said::Refused {
                        // It is held all the same, or was released before this was known.
                        keeper.unwritten.of(&reserve.key).hold(reserve.held);
                    }
                    let amends = keeper.late.answered(reserve, said);
                    keeper.make(amends, context);
                }
            }
        }));
    }
}

/// A request has ended: what it takes from the limits, and what it used on which UTC day.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(in crate::limits) struct Settled {
    pub(in crate::limits) key: Arc<str>,
    pub(in crate::limits) limits: KeyLimits,
    pub(in crate::limits) takes: Takes,
    pub(in crate::limits) lease: Option<LeaseId>,
    pub(in crate::limits) day: String,
    pub(in crate::limits) model: ModelLabel,
    pub(in crate::limits) used: Used,
}

impl Handler<Settled> for Keeper {
    type Result = ();

    fn handle(&mut self, settled: Settled, context: &mut Self::Context) {
        let Settled { key, limits, takes, lease, day, model, used } = settled;
        if let Some(lease) = lease {
            self.end(&key, lease);
        }
        let of_key = self.unwritten.of(&key);
        of_key.add(limits, takes, Instant::now());
        of_key.record(day, model, used);
        if self.health.is_up() {
            self.write(context);
        }
    }
}

/// A request was let in without Redis, or without its answer.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Opened {
    pub(super) key: Arc<str>,
    pub(super) limits: KeyLimits,
    /// In billionths of a dollar.
    pub(super) held: u64,
    pub(super) lease: LeaseId,
}

impl Handler<Opened> for Keeper {
    type Result = ();

    fn handle(&mut self, Opened { key, limits, held, lease }: Opened, context: &mut Self::Context) {
        // Otherwise Redis was asked to hold it.
        if self.open.insert(&key, &limits, held, lease) {
            self.unwritten.of(&key).hold(held);
        }
        let amends = self.late.decided(lease, Became::Admitted);
        self.make(amends, context);
    }
}

/// A request ended without having used anything.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Ended {
    pub(super) key: Arc<str>,
    pub(super) lease: LeaseId,
}

impl Handler<Ended> for Keeper {
    type Result = ();

    fn handle(&mut self, Ended { key, lease }: Ended, context: &mut Self::Context) {
        let amends = self.late.decided(lease, Became::Gone);
        self.make(amends, context);
        self.end(&key, lease);
        if self.health.is_up() {
            self.write(context);
        }
    }
}

/// What keys have used in a day and in a month.
#[derive(Debug, Message)]
#[rtype(result = "Option<Vec<(ByModel, ByModel)>>")]
pub(super) struct ReadUsage {
    pub(super) keys: Vec<String>,
    pub(super) day: String,
    pub(super) month: String,
}

impl Handler<ReadUsage> for Keeper {
    type Result = ResponseFuture<Option<Vec<(ByModel, ByModel)>>>;

    fn handle(&mut self, ReadUsage { keys, day, month }: ReadUsage, context: &mut Self::Context) -> Self::Result {
        // What is on its way arrives before the question; what still waits is added.
        self.write(context);
        let more = |key: &str, period: &str| -> ByModel {
            let mut models = ByModel::new();
            for (model, used) in self.unwritten.usage(key, period) {
                *models.entry(self.catalog.label(model)).or_default() += used;
            }
            models
        };
        let waiting: Vec<_> = keys.iter().flat_map(|key| [more(key, &day), more(key, &month)]).collect();
        let (connection, health) = (self.connection.clone(), self.health.clone());
        Box::pin(async move {
            let mut connection = connection?;
            let mut read = redis::pipe();
            for key in &keys {
                read.hgetall(scripts::usage_key(key, &day)).hgetall(scripts::usage_key(key, &month));
            }
            let hashes: RedisResult<Vec<HashMap<String, i64>>> = read.query_async(&mut connection).await;
            let hashes = hashes.inspect_err(|error| match is_of_content(error) {
                true => health.refused(),
                false => health.failed(&words(error)),
            });
            let hashes = hashes.ok()?;
            let mut periods: Vec<ByModel> = hashes.into_iter().map(scripts::read_usage).collect();
            for (models, more) in periods.iter_mut().zip(waiting) {
                for (model, used) in more {
                    *models.entry(model).or_default() += used;
                }
            }
            Some(periods.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
        })
    }
}

/// Writes everything; tells of how many requests the usage is not yet written.
#[derive(Debug, Message)]
#[rtype(result = "u64")]
pub(super) struct WriteAll;

impl Handler<WriteAll> for Keeper {
    type Result = u64;

    fn handle(&mut self, _: WriteAll, context: &mut Self::Context) -> Self::Result {
        self.write(context);
        let unconfirmed: u64 = self.unconfirmed.iter().map(|batch| batch.unwritten.requests()).sum();
        self.unwritten.requests() + self.on_their_way + unconfirmed
    }
}
