//! A stream towards its client: when its status is settled, and what is said while the provider is silent.
//!
//! Until [`StreamRules::commit_after`] has passed or content has come, nothing is sent, so that a failure can
//! still become a real status. After that, a silence is filled with pings.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use futures_util::FutureExt;
use futures_util::future::{Fuse, LocalBoxFuture};

use super::relay::{Head, Outbox, Served};
use super::scope::Scope;
use super::{Dispatcher, StreamRules};
use crate::alarm::Alarm;
use crate::error::GatewayError;
use crate::metrics::emitter::Emitter;
use crate::metrics::observation::Observation;
use crate::translate::response::Context;
use crate::translate::stream::sink;
use crate::wire::anthropic::order::Order;

pub(super) struct Session<'a> {
    outbox: &'a Outbox,
    emitter: &'a Emitter,
    rules: StreamRules,
    context: Context<'a>,
    order: Order,
    /// Ends with the gateway.
    closing: Fuse<LocalBoxFuture<'a, GatewayError>>,
    /// Time that the client took to take what was sent.
    sending: Duration,
    /// Whether the head and `message_start` have been sent.
    committed: bool,
    /// Who is being asked.
    pub(super) served: Served,
    commit_at: Instant,
    ping_at: Instant,
    alarm: Alarm,
}

impl<'a> Session<'a> {
    pub(super) fn new(outbox: &'a Outbox, dispatcher: &'a Dispatcher, context: Context<'a>) -> Self {
        let (now, rules) = (Instant::now(), dispatcher.stream);
        Session {
            outbox,
            emitter: &dispatcher.emitter,
            rules,
            context,
            order: Order::default(),
            closing: dispatcher.closing.reached().boxed_local().fuse(),
            sending: Duration::ZERO,
            committed: false,
            served: Served::default(),
            commit_at: now + rules.commit_after,
            ping_at: now + rules.ping_interval,
            alarm: Alarm::default(),
        }
    }

    /// Whether `message_start` has been sent.
    pub(super) fn is_committed(&self) -> bool {
        self.committed
    }

    /// Waits for the provider; the client hears pings meanwhile. Fails when the gateway closes.
    ///
    /// Pinned by its caller: a future that is handed over takes its room twice, in each stream that is open.
    pub(super) async fn wait<T>(
        &mut self,
        scope: &mut Scope<'_>,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, GatewayError> {
        let begun = Instant::now();
        let result = loop {
            let speak_at = if self.committed { self.ping_at } else { self.commit_at };
            if speak_at <= Instant::now() {
                // Before the work, which may always have something that is nothing for the client.
                self.break_silence().await;
                continue;
            }
            let closing = &mut self.closing;
            let either = poll_fn(|context| match closing.poll_unpin(context) {
                Poll::Ready(error) => Poll::Ready(Err(error)),
                Poll::Pending => work.as_mut().poll(context).map(Ok),
            });
            match self.alarm.before(speak_at, either).await {
                Some(result) => break result,
                None => self.break_silence().await,
            }
        };
        scope.waited(begun.elapsed() + std::mem::take(&mut self.sending));
        result
    }

    async fn break_silence(&mut self) {
        let mut out = BytesMut::new();
        match self.committed {
            true => sink::ping(&mut out),
            false => sink::message_start(&mut out, &self.context),
        }
        self.send(out).await;
    }

    /// Sends what there is, settling the head first if that has not been done.
    pub(super) async fn send(&mut self, out: BytesMut) {
        if !self.committed {
            self.committed = true;
            self.outbox.settle(Head::Stream { served: self.served.clone() });
        }
        if let Err(violation) = self.order.observe(&out) {
            self.emitter.record(Observation::OutOfOrder);
            log::error!("a stream has {} where it must not be; this is a bug of the gateway", violation.event);
            debug_assert!(false, "{} out of order", violation.event);
        }
        let begun = Instant::now();
        self.outbox.send(out.freeze()).await;
        let taken = Instant::now();
        self.sending += taken - begun;
        self.ping_at = taken + self.rules.ping_interval;
    }
}
