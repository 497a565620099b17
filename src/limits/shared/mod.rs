//! Limits and usage over several replicas, kept in Redis.
//!
//! A request asks once, in one script, whether it may go on; what it used is written behind its back, by the one
//! `Keeper` of the process, which also gives leases of concurrent requests their time and finds out when Redis is
//! back. Nobody waits for Redis longer than 10 ms, and nobody at all while it is known to be away.

mod failure;
mod health;
mod keeper;
mod late;
mod messages;
mod open;
mod scripts;
mod unwritten;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use rand::Rng;
use redis::Client;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::oneshot;

use self::health::Health;
use self::keeper::Keeper;
use self::messages::{Ask, Ended, Opened, ReadUsage, WriteAll};
pub(super) use self::messages::{Reserve, Settled};
use self::scripts::Scripts;
use super::ledger::Used;
use super::refusal::Refusal;
use super::state::Told;
use crate::catalog::Catalog;
use crate::config::{KeyLimits, OnBackendFailure};

/// How long a request waits for Redis. It answers in less than one millisecond when all is well.
const DEADLINE: Duration = Duration::from_millis(10);
/// How long the start waits for Redis, and the end for what is not yet written.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an operator waits for what all replicas have used.
const USAGE_DEADLINE: Duration = Duration::from_millis(100);
/// How long a concurrent request of a replica that died still counts. Those that live are renewed.
const LEASE: Duration = Duration::from_secs(30);

/// An open request of a key with limits, by which it has its place among the concurrent requests and its part of the
/// budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LeaseId(u64);

/// Why Redis was not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Away {
    /// It is known to be away.
    NotAsked,
    Failed,
    /// It may have heard, and answers later or never.
    Late,
}

/// What the metrics show.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    pub up: bool,
    /// Calls that failed or were not answered in time.
    pub failures: u64,
}

/// The usage of a key in a day or a month, by the name of the model.
pub type ByModel = BTreeMap<String, Used>;

/// See the module.
pub struct Shared {
    keeper: Addr<Keeper>,
    health: Arc<Health>,
    on_failure: OnBackendFailure,
    leases: AtomicU64,
    /// The keeper's thread.
    arbiter: Arbiter,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("health", &self.health).finish_non_exhaustive()
    }
}

impl Shared {
    /// Starts the keeper and waits until Redis answers, one second at most: it need not be there yet. Fails when the
    /// URL is none; the error does not repeat it.
    pub fn start(url: &SecretString, on_failure: OnBackendFailure, catalog: Arc<Catalog>) -> Result<Shared, String> {
        let client = Client::open(url.expose_secret()).map_err(|error| error.category().to_owned())?;
        let health = Arc::new(Health::new(on_failure));
        let scripts = Scripts::of(format!("{:016x}", rand::rng().random::<u64>()));
        let (tried, first_try) = mpsc::channel();
        let arbiter = Arbiter::new();
        let keeper = Keeper::new(client, scripts, health.clone(), catalog, tried);
        let keeper = Keeper::start_in_arbiter(&arbiter.handle(), |_| keeper);
        // What became of it is said by the keeper.
        let _ = first_try.recv_timeout(PATIENCE);
        Ok(Shared { keeper, health, on_failure, leases: AtomicU64::default(), arbiter })
    }

    pub(super) fn on_failure(&self) -> OnBackendFailure {
        self.on_failure
    }

    pub(super) fn new_lease(&self) -> LeaseId {
        LeaseId(self.leases.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks Redis to let a request in. Whoever was not answered, or did not wait, must say by [`Shared::open`] or
    /// [`Shared::release`] what became of the request: Redis may have decided otherwise.
    pub(super) async fn reserve(&self, reserve: Reserve) -> Result<(Option<Refusal>, Told), Away> {
        if !self.health.is_up() {
            return Err(Away::NotAsked);
        }
        let (answer, mut heard) = oneshot::channel();
        self.keeper.do_send(Ask { reserve, answer });
        let verdict = match tokio::time::timeout(DEADLINE, &mut heard).await {
            Ok(verdict) => verdict.ok(),
            Err(_) => {
                // Either it has come at the last moment, or the keeper learns that nobody waits.
                heard.close();
                heard.try_recv().ok().or_else(|| {
                    self.health.late();
                    None
                })
            }
        };
        match verdict {
            Some(Some(answer)) => {
                self.health.answered();
                Ok(answer)
            }
            Some(None) => Err(Away::Failed),
            None => Err(Away::Late),
        }
    }

    /// A request that this process let in by itself takes its place as soon as Redis is back.
    pub(super) fn open(&self, key: &Arc<str>, limits: KeyLimits, held: u64, lease: LeaseId) {
        self.keeper.do_send(Opened { key: key.clone(), limits, held, lease });
    }

    /// A request ended before anything was used.
    pub(super) fn release(&self, key: &Arc<str>, lease: LeaseId) {
        self.keeper.do_send(Ended { key: key.clone(), lease });
    }

    /// Has it written what a request used, without waiting for that.
    pub(super) fn settle(&self, settled: Settled) {
        self.keeper.do_send(settled);
    }

    /// What these keys have used over all replicas in a day and in a month; none while Redis is away,
    /// or takes too long.
    pub async fn usage(&self, keys: Vec<String>, day: String, month: String) -> Option<Vec<(ByModel, ByModel)>> {
        if !self.health.is_up() {
            return None;
        }
        let read = tokio::time::timeout(USAGE_DEADLINE, self.keeper.send(ReadUsage { keys, day, month }));
        read.await.ok().and_then(Result::ok).flatten()
    }

    /// How it is now.
    pub fn reading(&self) -> Reading {
        Reading { up: self.health.is_up(), failures: self.health.failures() }
    }

    /// Writes what is not yet written, at the end of the process. Gives up when Redis is away for too long.
    pub async fn conclude(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.keeper.send(WriteAll).await {
                Ok(0) | Err(_) => break,
                Ok(requests) if Instant::now() >= deadline => {
                    log::warn!("the usage of {requests} requests was not written: Redis is away");
                    break;
                }
                Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        self.arbiter.stop();
    }
}
