//! The actor that talks to Redis, on its own thread.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::future::{join_all, try_join_all};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, RedisResult};

use super::health::Health;
use super::late::{Amends, Late};
use super::messages::Reserve;
use super::scripts::Scripts;
use super::unwritten::{Batch, Unwritten};
use super::{DEADLINE, LEASE, LeaseId, PATIENCE};
use crate::catalog::Catalog;

/// How often it is looked at what has to be done.
const TICK: Duration = Duration::from_millis(100);
/// How often Redis is asked whether it is there, so that not a request finds out.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Keeper {
    client: Client,
    pub(super) scripts: Arc<Scripts>,
    pub(super) health: Arc<Health>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) connection: Option<ConnectionManager>,
    /// The leases of open requests, by key.
    pub(super) open: HashMap<Arc<str>, HashSet<LeaseId>>,
    pub(super) unwritten: Unwritten,
    pub(super) late: Late,
    /// What was sent and has no receipt: it is sent again before anything else.
    pub(super) unconfirmed: Vec<Batch>,
    /// Requests in the batches that are on their way.
    pub(super) on_their_way: u64,
    batches: u64,
    /// Something is being written, or Redis is being tried.
    busy: bool,
    /// Told after the first try.
    tried: Option<mpsc::Sender<()>>,
}

impl Keeper {
    pub(super) fn new(
        client: Client,
        scripts: Scripts,
        health: Arc<Health>,
        catalog: Arc<Catalog>,
        tried: mpsc::Sender<()>,
    ) -> Keeper {
        Keeper {
            client,
            scripts: Arc::new(scripts),
            health,
            catalog,
            connection: None,
            open: HashMap::new(),
            unwritten: Unwritten::default(),
            late: Late::default(),
            unconfirmed: Vec::new(),
            on_their_way: 0,
            batches: 0,
            busy: false,
            tried: Some(tried),
        }
    }

    fn tick(&mut self, context: &mut Context<Self>) {
        match self.health.is_up() {
            true => self.write(context),
            false => self.try_again(context),
        }
    }

    /// What is to be written now.
    fn take_batches(&mut self) -> Vec<Batch> {
        let mut batches = std::mem::take(&mut self.unconfirmed);
        if batches.is_empty() {
            batches = self.unwritten.take(&mut self.batches);
        }
        self.on_their_way = batches.iter().map(|batch| batch.unwritten.requests()).sum();
        batches
    }

    /// Writes what there is. One write at a time: meanwhile the next one gathers.
    pub(super) fn write(&mut self, context: &mut Context<Self>) {
        let Some(connection) = self.connection.clone().filter(|_| !self.busy) else { return };
        let batches = self.take_batches();
        if batches.is_empty() {
            return;
        }
        self.busy = true;
        let written = write(connection, self.scripts.clone(), self.catalog.clone(), batches);
        context.spawn(written.into_actor(self).map(|(rest, failure), keeper, context| {
            keeper.written(rest);
            match failure {
                Some(why) => keeper.health.failed(&why),
                None => keeper.write(context),
            }
        }));
    }

    fn written(&mut self, rest: Vec<Batch>) {
        self.busy = false;
        self.on_their_way = 0;
        self.unconfirmed = rest;
    }

    /// Tries whether Redis is back. It is when it knows the scripts, the open leases and what was not written, and
    /// answers in time.
    fn try_again(&mut self, context: &mut Context<Self>) {
        if self.busy {
            return;
        }
        // A manager of its own for each try: one whose handshake was refused stays so.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let mut connection = match ConnectionManager::new_lazy_with_config(self.client.clone(), config) {
            Ok(connection) => connection,
            Err(error) => return self.first_try_failed(&words(&error)),
        };
        self.busy = true;
        let (scripts, catalog, batches) = (self.scripts.clone(), self.catalog.clone(), self.take_batches());
        let open = self.open_leases();
        let tried = async move {
            if let Err(error) = prepare(&mut connection, &scripts, open).await {
                return (batches, Err(words(&error)));
            }
            let (rest, failure) = write(connection.clone(), scripts, catalog, batches).await;
            if let Some(why) = failure {
                return (rest, Err(why));
            }
            let ping = redis::cmd("PING");
            match tokio::time::timeout(DEADLINE, ping.exec_async(&mut connection)).await {
                Ok(Ok(())) => (rest, Ok(connection)),
                Ok(Err(error)) => (rest, Err(words(&error))),
                Err(_) => (rest, Err("no answer in time".to_owned())),
            }
        };
        context.spawn(tried.into_actor(self).map(|(rest, result), keeper, context| {
            keeper.written(rest);
            match result {
                Ok(connection) => {
                    keeper.connection = Some(connection);
                    keeper.health.go_up();
                    keeper.tried = None;
                    keeper.write(context);
                }
                Err(why) => keeper.first_try_failed(&why),
            }
        }));
    }

    fn first_try_failed(&mut self, why: &str) {
        if self.tried.take().is_some() {
            self.health.say_away(why);
        }
    }

    fn open_leases(&self) -> Vec<(Arc<str>, Vec<LeaseId>)> {
        self.open.iter().map(|(key, open)| (key.clone(), open.iter().copied().collect())).collect()
    }

    /// Gives the leases of all open requests another time.
    fn renew_all(&mut self, context: &mut Context<Self>) {
        self.renew(self.open_leases(), context);
    }

    fn renew(&mut self, open: Vec<(Arc<str>, Vec<LeaseId>)>, context: &mut Context<Self>) {
        let Some(mut connection) = self.connection.clone().filter(|_| self.health.is_up()) else { return };
        let (scripts, health) = (self.scripts.clone(), self.health.clone());
        let renewed = async move {
            if let Err(error) = renew(&mut connection, &scripts, open).await {
                health.failed(&words(&error));
            }
        };
        context.spawn(renewed.into_actor(self));
    }

    fn listen(&mut self, context: &mut Context<Self>) {
        let Some(mut connection) = self.connection.clone().filter(|_| self.health.is_up()) else { return };
        let health = self.health.clone();
        let asked = async move {
            if let Err(error) = redis::cmd("PING").exec_async(&mut connection).await {
                health.failed(&words(&error));
            }
        };
        context.spawn(asked.into_actor(self));
    }

    /// A request is no longer open.
    pub(super) fn end(&mut self, key: &Arc<str>, lease: LeaseId) {
        let Some(open) = self.open.get_mut(key) else { return };
        if open.remove(&lease) {
            self.unwritten.of(key).end(lease);
        }
        if open.is_empty() {
            self.open.remove(key);
        }
    }

    /// Puts right what Redis said too late.
    pub(super) fn make(&mut self, amends: Option<Amends>, context: &mut Context<Self>) {
        match amends {
            None => {}
            Some(Amends::Count(Reserve { key, limits, input_tokens, lease })) => {
                self.unwritten.of(&key).add(limits, [1.0, input_tokens as f64, 0.0], Instant::now());
                // It may have ended meanwhile.
                if self.open.get(&key).is_some_and(|open| open.contains(&lease)) {
                    self.renew(vec![(key, vec![lease])], context);
                }
            }
            Some(Amends::GiveBack(Reserve { key, limits, input_tokens, .. })) => {
                self.unwritten.of(&key).add(limits, [-1.0, -(input_tokens as f64), 0.0], Instant::now());
            }
        }
    }
}

impl Actor for Keeper {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.try_again(context);
        context.run_interval(TICK, Keeper::tick);
        context.run_interval(HEARTBEAT, Keeper::listen);
        context.run_interval(LEASE / 3, Keeper::renew_all);
    }
}

/// Everything that a new connection has to know.
async fn prepare(
    connection: &mut ConnectionManager,
    scripts: &Scripts,
    open: Vec<(Arc<str>, Vec<LeaseId>)>,
) -> RedisResult<()> {
    scripts.load(connection).await?;
    renew(connection, scripts, open).await
}

async fn renew(
    connection: &mut ConnectionManager,
    scripts: &Scripts,
    open: Vec<(Arc<str>, Vec<LeaseId>)>,
) -> RedisResult<()> {
    // All in one turn: one that waited for the others could bring back the lease of a request that has ended meanwhile.
    let one = |(key, leases): &(Arc<str>, Vec<LeaseId>)| {
        let (mut connection, call) = (connection.clone(), scripts.renew(key, leases));
        async move { call.invoke_async::<()>(&mut connection).await }
    };
    try_join_all(open.iter().map(one)).await.map(drop)
}

/// Writes the batches; gives back those that have no receipt, and why.
async fn write(
    connection: ConnectionManager,
    scripts: Arc<Scripts>,
    catalog: Arc<Catalog>,
    batches: Vec<Batch>,
) -> (Vec<Batch>, Option<String>) {
    let one = |batch: Batch| {
        let (mut connection, call) = (connection.clone(), scripts.settle(&batch, &catalog));
        async move { (call.invoke_async::<()>(&mut connection).await, batch) }
    };
    let (mut rest, mut failure) = (Vec::new(), None);
    for (result, batch) in join_all(batches.into_iter().map(one)).await {
        if let Err(error) = result {
            failure = Some(words(&error));
            rest.push(batch);
        }
    }
    (rest, failure)
}

/// What went wrong, in words that name neither address nor password.
pub(super) fn words(error: &RedisError) -> String {
    match (error.code(), error.is_timeout(), error.is_connection_refusal()) {
        (Some(code), _, _) => format!("it says {code}"),
        (None, true, _) => "no answer in time".to_owned(),
        (None, _, true) => "connection refused".to_owned(),
        (None, false, false) => error.category().to_owned(),
    }
}
