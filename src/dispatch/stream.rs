//! A streamed answer.

use std::time::Duration;

use bytes::BytesMut;

use super::relay::Outbox;
use super::scope::Scope;
use super::session::Session;
use super::whole::served;
use super::{Asked, Dispatcher, failure, next_route, prepare};
use crate::catalog::Route;
use crate::error::{Cause, GatewayError};
use crate::metrics::observation::CallOutcome;
use crate::providers::protocol::Answer;
use crate::translate::response::response;
use crate::translate::stream::{End, StreamTranslator, sink};
use crate::wire::sse::Decoder;

/// How long after `[DONE]` a missing usage is waited for.
const USAGE_GRACE: Duration = Duration::from_millis(500);

pub(super) async fn answer(
    dispatcher: &Dispatcher,
    asked: &Asked<'_>,
    mut scope: Scope<'_>,
    outbox: &Outbox,
) -> Result<(), GatewayError> {
    let mut session = Session::new(outbox, dispatcher, asked.context);
    let mut routes = asked.resolved.routes.iter();
    let Some(mut route) = routes.next().cloned() else { return Ok(()) };
    loop {
        let failed = match attempt(dispatcher, asked, &route, &mut scope, &mut session).await {
            Ok(last) => {
                // Before the last bytes go out, so that a scrape begun after the answer includes it.
                scope.succeed();
                session.send(last).await;
                return Ok(());
            }
            Err(failed) => failed,
        };
        let next = match failed.after_content {
            true => Err(failed.error),
            false => next_route(dispatcher, &mut routes, &route, failed.error),
        };
        match next {
            Ok(next) => route = next,
            Err(error) if session.is_committed() => {
                let error = scope.fail(error);
                let mut out = BytesMut::new();
                sink::error(&mut out, &error, asked.request_id);
                session.send(out).await;
                return Ok(());
            }
            Err(error) => return Err(scope.fail(error)),
        }
    }
}

/// An attempt that failed.
struct Failed {
    error: GatewayError,
    /// The client has seen content: nobody else can answer now.
    after_content: bool,
}

impl From<GatewayError> for Failed {
    fn from(error: GatewayError) -> Self {
        Failed { error, after_content: false }
    }
}

/// Asks one provider and sends on what it says, but for the last bytes, which are returned.
async fn attempt(
    dispatcher: &Dispatcher,
    asked: &Asked<'_>,
    route: &Route,
    scope: &mut Scope<'_>,
    session: &mut Session<'_>,
) -> Result<BytesMut, Failed> {
    let prepared = prepare(dispatcher, asked, route)?;
    scope.attempt(route.provider);
    session.served = served(dispatcher, route, &prepared.dropped);
    let call = dispatcher.providers.call(route.provider, prepared.call);
    let mut answer = session.wait(scope, None, call).await.unwrap_or_else(|| Err(unreachable_wait()))?;
    if answer.status != 200 {
        let failure = session.wait(scope, None, failure(answer)).await;
        return Err(failure.unwrap_or_else(unreachable_wait).into());
    }
    let mut translator = StreamTranslator::new(asked.context, dispatcher.stream.bounds, session.is_committed());
    let relayed = match answer.is_event_stream {
        true => relay(dispatcher, &mut answer, &mut translator, scope, session).await,
        false => convert(asked, &mut answer, &mut translator, scope, session).await,
    };
    match relayed {
        Ok(last) => {
            answer.body.settle(CallOutcome::Success);
            answer.body.release();
            Ok(last)
        }
        Err(error) => {
            answer.body.settle(CallOutcome::of(error.cause));
            Err(Failed { error, after_content: translator.has_content() })
        }
    }
}

/// A wait without a limit has no end but its result.
fn unreachable_wait() -> GatewayError {
    GatewayError::new(Cause::Internal, "the gateway stopped waiting")
}

async fn relay(
    dispatcher: &Dispatcher,
    answer: &mut Answer,
    translator: &mut StreamTranslator<'_>,
    scope: &mut Scope<'_>,
    session: &mut Session<'_>,
) -> Result<BytesMut, GatewayError> {
    let mut decoder = Decoder::new(dispatcher.stream.max_line);
    loop {
        let limit = translator.is_only_waiting_for_usage().then_some(USAGE_GRACE);
        let next = session.wait(scope, limit, answer.body.next()).await;
        let mut out = BytesMut::new();
        // The session may have sent `message_start` while we waited.
        if session.is_committed() {
            translator.mark_started();
        }
        let mut failed = None;
        let mut feed = |data: &[u8]| {
            if failed.is_none() {
                failed = translator.on_data(data, &mut out).err();
            }
        };
        let read = match next {
            Some(Ok(Some(bytes))) => decoder.feed(&bytes, &mut feed).map(|()| None).map_err(|_| line_too_long()),
            Some(Ok(None)) => decoder.finish(&mut feed).map(|()| Some(End::Eof)).map_err(|_| line_too_long()),
            Some(Err(error)) => Err(error),
            None => Ok(Some(End::AfterDone)),
        };
        let failed = match (failed, read) {
            // What the end of the bytes leaves over is half a chunk.
            (Some(error), Ok(Some(End::Eof))) if error.cause == Cause::InvalidResponse => Some(broke_off()),
            (Some(error), _) | (None, Err(error)) => Some(error),
            (None, Ok(end)) => end.and_then(|end| translator.on_end(end, &mut out).err()),
        };
        scope.tally(translator.tally());
        if !out.is_empty() && translator.has_content() {
            scope.content();
        }
        if let Some(error) = failed {
            // What came before the failure in the same bytes is the client's.
            if !out.is_empty() {
                session.send(out).await;
            }
            return Err(error);
        }
        if translator.is_done() {
            return Ok(out);
        }
        if !out.is_empty() {
            session.send(out).await;
        }
    }
}

fn broke_off() -> GatewayError {
    GatewayError::new(Cause::Interrupted, "The provider broke off in the middle of its answer")
}

fn line_too_long() -> GatewayError {
    GatewayError::new(
        Cause::InvalidResponse,
        "The provider sent a line that is longer than the gateway's bound (stream.max_line)",
    )
}

/// A provider that answers JSON to a streaming request (T5): an error is an error, a completion becomes events.
async fn convert(
    asked: &Asked<'_>,
    answer: &mut Answer,
    translator: &mut StreamTranslator<'_>,
    scope: &mut Scope<'_>,
    session: &mut Session<'_>,
) -> Result<BytesMut, GatewayError> {
    let body = session.wait(scope, None, answer.body.read_all()).await.unwrap_or_else(|| Err(unreachable_wait()))?;
    if session.is_committed() {
        translator.mark_started();
    }
    // What would be no answer to a request without a stream is none here: a chunk may lack more than a completion.
    response(&body, &asked.context)?;
    let mut out = BytesMut::new();
    translator.on_data(&body, &mut out)?;
    // A whole completion has no other end than its own.
    translator.on_end(End::AfterDone, &mut out)?;
    scope.tally(translator.tally());
    scope.content();
    Ok(out)
}
