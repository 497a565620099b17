//! The actor of one provider on one worker: takes calls, holds the pool of connections, tells the metrics how
//! calls went.
//!
//! `handle` only starts a future: a panic in there would end the actor, and the mailbox would bound nothing
//! anyway.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Instant, SystemTime};

use actix::dev::{MessageResponse, OneshotSender};
use actix::prelude::*;
use actix_http::RequestHead;
use awc::error::{ConnectError, SendRequestError};
use awc::http::header::{self, HeaderMap};
use futures_util::future::LocalBoxFuture;
use send_wrapper::SendWrapper;

use super::body::{AnswerBody, CallGuard};
use super::exchange::exchange;
use super::pool::Pool;
use super::protocol::{Answer, Call};
use super::{Provider, client};
use crate::alarm::Alarm;
use crate::error::{Cause, GatewayError};
use crate::metrics::emitter::Emitter;
use crate::metrics::observation::{CallOutcome, LimitKind, Observation};

/// See the module.
pub struct ProviderActor {
    provider: Arc<Provider>,
    pool: Rc<Pool>,
    /// Of requests for a whole answer, and for a stream.
    heads: [Rc<RequestHead>; 2],
    emitter: Emitter,
}

impl ProviderActor {
    pub(super) fn new(provider: Arc<Provider>, emitter: Emitter) -> ProviderActor {
        let pool = Rc::new(Pool::new(client::dial(&provider)));
        pool.keep_swept();
        let heads = ["application/json", "text/event-stream"].map(|accept| client::head(&provider, accept));
        ProviderActor { provider, pool, heads, emitter }
    }
}

impl Actor for ProviderActor {
    type Context = Context<Self>;
}

impl Handler<Call> for ProviderActor {
    type Result = Cancellable<Result<SendWrapper<Answer>, GatewayError>>;

    fn handle(&mut self, call: Call, _: &mut Self::Context) -> Self::Result {
        let Call { ask, leave } = call;
        let deadline = Instant::now() + ask.time_left;
        let head = self.heads[usize::from(ask.stream)].clone();
        let (provider, emitter, pool) = (self.provider.clone(), self.emitter.clone(), self.pool.clone());
        Cancellable(Box::pin(async move {
            let begun = Instant::now();
            let mut guard = CallGuard::new(provider.id, emitter.clone(), leave);
            let mut alarm = Alarm::default();
            let patience = deadline.min(begun + provider.first_byte_timeout);
            let answer = alarm.before(patience, pin!(exchange(&pool, &head, ask.body))).await;
            let (head, payload) = match answer.unwrap_or(Err(SendRequestError::Timeout)) {
                Ok(answer) => answer,
                Err(error) => {
                    let ours = is_own_shortage(&error);
                    let error = send_error(&provider.name, &error);
                    let disconnected = error.cause == Cause::Disconnected;
                    if disconnected {
                        // Where one connection of the pool has gone stale, the others may have too.
                        pool.renew();
                    }
                    if ours || (disconnected && !ask.disconnected_before) {
                        guard.say_nothing();
                    }
                    guard.settle(CallOutcome::of(error.cause));
                    return Err(error);
                }
            };
            emitter.record(Observation::CallHead { provider: provider.id, after: begun.elapsed() });
            let headers = head.headers();
            if head.status == awc::http::StatusCode::OK && is_compressed(headers) {
                guard.settle(CallOutcome::InvalidResponse);
                let message = "The provider compressed its answer, though the gateway asked for it plain";
                return Err(GatewayError::new(Cause::InvalidResponse, message));
            }
            record_limits(&emitter, &provider, headers);
            let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
            let content_length = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
            let status = head.status.as_u16();
            let retry_after = text(header::RETRY_AFTER).and_then(|value| retry_after(value.trim()));
            let is_event_stream = text(header::CONTENT_TYPE).is_some_and(is_event_stream);
            let body = AnswerBody::new(payload, alarm, content_length, deadline, &provider, guard);
            Ok(SendWrapper::new(Answer { status, retry_after, is_event_stream, body }))
        }))
    }
}

/// Nothing is unpacked here: what comes out of it would have no bound.
fn is_compressed(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING);
    encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn is_event_stream(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("text/event-stream")
}

/// Seconds: as they stand there, or until the date that stands there.
fn retry_after(value: &str) -> Option<u64> {
    let seconds = match (value.parse::<f64>(), value.parse::<header::HttpDate>()) {
        (Ok(seconds), _) => seconds,
        (_, Ok(date)) => SystemTime::from(date).duration_since(SystemTime::now()).unwrap_or_default().as_secs_f64(),
        _ => return None,
    };
    seconds.is_finite().then(|| seconds.max(0.0).ceil() as u64)
}

/// What OpenAI, OpenRouter and most others put into their answers.
fn record_limits(emitter: &Emitter, provider: &Provider, headers: &HeaderMap) {
    for (name, kind) in [
        ("x-ratelimit-remaining-requests", LimitKind::Requests),
        ("x-ratelimit-remaining", LimitKind::Requests),
        ("x-ratelimit-remaining-tokens", LimitKind::Tokens),
    ] {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse().ok());
        if let Some(remaining) = value.filter(|remaining: &f64| remaining.is_finite()) {
            emitter.record(Observation::RateLimitRemaining { provider: provider.id, kind, remaining });
        }
    }
}

/// Whether this process has no more files to open: EMFILE, or ENFILE of the whole machine.
fn is_own_shortage(error: &SendRequestError) -> bool {
    matches!(error, SendRequestError::Connect(ConnectError::Io(error)) if matches!(error.raw_os_error(), Some(23 | 24)))
}

fn disconnected() -> GatewayError {
    GatewayError::new(Cause::Disconnected, "The provider closed the connection without an answer")
}

fn send_error(provider: &str, error: &SendRequestError) -> GatewayError {
    match error {
        SendRequestError::Timeout => GatewayError::new(Cause::Timeout, "The provider did not begin to answer in time"),
        SendRequestError::Connect(ConnectError::Timeout) => {
            GatewayError::new(Cause::ConnectTimeout, "The provider could not be reached in time")
        }
        SendRequestError::Connect(ConnectError::Disconnected) | SendRequestError::Send(_) => disconnected(),
        SendRequestError::Connect(error) => {
            log::warn!("no connection to provider {provider}: {error}");
            GatewayError::new(Cause::Unreachable, "The provider cannot be reached")
        }
        SendRequestError::Response(_) => GatewayError::new(Cause::InvalidResponse, "The provider's answer is not HTTP"),
        _ => GatewayError::new(Cause::Internal, "The request to the provider could not be made"),
    }
}

/// The reply of a handler whose work stops when the asker goes: actix's own `ResponseFuture` runs on, and with
/// it the call that the provider bills.
pub struct Cancellable<T>(LocalBoxFuture<'static, T>);

impl<A, M> MessageResponse<A, M> for Cancellable<M::Result>
where
    A: Actor,
    M: Message,
    M::Result: 'static,
{
    fn handle(self, _: &mut A::Context, asker: Option<OneshotSender<M::Result>>) {
        let Some(asker) = asker else { return };
        actix_rt::spawn(UntilAbandoned { work: self.0, asker: Some(asker) });
    }
}

struct UntilAbandoned<T> {
    work: LocalBoxFuture<'static, T>,
    asker: Option<OneshotSender<T>>,
}

impl<T> Future for UntilAbandoned<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(asker) = this.asker.as_mut() else { return Poll::Ready(()) };
        if asker.poll_closed(context).is_ready() {
            return Poll::Ready(());
        }
        let Poll::Ready(result) = this.work.as_mut().poll(context) else { return Poll::Pending };
        if let Some(asker) = this.asker.take() {
            // The asker may have gone between the two polls; then the answer is dropped, which closes it.
            let _ = asker.send(result);
        }
        Poll::Ready(())
    }
}
