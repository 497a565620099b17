//! The actor that talks to Redis, on its own thread.

use std::collections::HashSet;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::future::{join_all, try_join_all};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, RedisResult};

use super::failure::{is_of_content, words};
use super::health::Health;
use super::late::{Amends, Late};
use super::messages::Reserve;
use super::open::{Open, OpenRequests, Place};
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
    pub(super) open: OpenRequests,
    pub(super) unwritten: Unwritten,
    pub(super) late: Late,
    /// Keys of which Redis cannot tell how they stand, though it is well.
    unreadable: HashSet<Arc<str>>,
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

/// Whether Redis is to forget what it knew of this replica's holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anew {
    Yes,
    /// What it knows is kept, but for what is surely not held any more.
    No,
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
            open: OpenRequests::default(),
            unwritten: Unwritten::default(),
            late: Late::default(),
            unreadable: HashSet::new(),
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
        for batch in &mut batches {
            batch.open_hold = self.open.held(&batch.key);
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
        let open = self.open.all();
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
                    keeper.hold_anew(context);
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

    /// Gives the leases and holds of all open requests another time.
    fn renew_all(&mut self, context: &mut Context<Self>) {
        self.renew(self.open.all(), Anew::No, context);
    }

    /// Tells Redis what is held in all: from here on changes are told one by one.
    fn hold_anew(&mut self, context: &mut Context<Self>) {
        let open = self.open.all();
        open.iter().for_each(|open| self.unwritten.of(&open.key).held = 0);
        self.renew(open, Anew::Yes, context);
    }

    fn renew(&mut self, open: Vec<Open>, anew: Anew, context: &mut Context<Self>) {
        let Some(mut connection) = self.connection.clone().filter(|_| self.health.is_up()) else { return };
        let (scripts, health) = (self.scripts.clone(), self.health.clone());
        let renewed = async move {
            if let Err(error) = renew(&mut connection, &scripts, open, anew).await {
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

    /// A request is no longer open: what it held is released.
    pub(super) fn end(&mut self, key: &Arc<str>, lease: LeaseId) {
        if let Some(place) = self.forget(key, lease) {
            self.unwritten.of(key).release(place.held);
        }
    }

    /// A request is not open, and Redis holds nothing for it.
    pub(super) fn forget(&mut self, key: &Arc<str>, lease: LeaseId) -> Option<Place> {
        let place = self.open.remove(key, lease);
        // Refused ones too: their leases may just have been renewed.
        if place.is_some_and(|place| place.is_counted) {
            self.unwritten.of(key).end(lease);
        }
        place
    }

    /// Redis has decided on a request of this key.
    pub(super) fn could_read(&mut self, key: &str) {
        self.unreadable.remove(key);
    }

    /// It could not decide: because it is away, or because of what is stored there for this key. Says so once.
    pub(super) fn could_not_read(&mut self, key: &Arc<str>, error: &RedisError) {
        let why = words(error);
        if !is_of_content(error) {
            return self.health.failed(&why);
        }
        self.health.refused();
        if self.unreadable.insert(key.clone()) {
            log::error!(
                "Redis cannot tell how the key {key} stands ({why}), though it is well: see what is stored there"
            );
        }
    }

    /// Puts right what Redis said too late.
    pub(super) fn make(&mut self, amends: Option<Amends>, context: &mut Context<Self>) {
        match amends {
            None => {}
            Some(Amends::Count(Reserve { key, limits, input_tokens, lease, .. })) => {
                self.unwritten.of(&key).add(limits, [1.0, input_tokens as f64, 0.0], Instant::now());
                // It may have ended meanwhile.
                let open = self.open.one(&key, lease);
                self.renew(open.into_iter().collect(), Anew::No, context);
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
async fn prepare(connection: &mut ConnectionManager, scripts: &Scripts, open: Vec<Open>) -> RedisResult<()> {
    scripts.load(connection).await?;
    renew(connection, scripts, open, Anew::No).await
}

async fn renew(connection: &mut ConnectionManager, scripts: &Scripts, open: Vec<Open>, anew: Anew) -> RedisResult<()> {
    // All in one turn: one that waited for the others could bring back the lease of a request that has ended meanwhile.
    let one = |open: &Open| {
        let (mut connection, call, key) = (connection.clone(), scripts.renew(open, anew), open.key.clone());
        async move {
            match call.invoke_async::<()>(&mut connection).await {
                Err(error) if is_of_content(&error) => {
                    log::error!("Redis cannot renew the open requests of the key {key} ({})", words(&error));
                    Ok(())
                }
                result => result,
            }
        }
    };
    try_join_all(open.iter().map(one)).await.map(drop)
}

/// Writes the batches; gives back those that have no receipt, and why. What cannot be written at all is given up.
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
        match result {
            Ok(()) => {}
            Err(error) if is_of_content(&error) => {
                let why = words(&error);
                log::error!("Redis cannot take what a key has used ({why}), so it is lost, or a part of it: {batch}");
            }
            Err(error) => {
                failure = Some(words(&error));
                rest.push(batch);
            }
        }
    }
    (rest, failure)
}
