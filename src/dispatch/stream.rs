//! A streamed answer.

use std::time::Duration;

use bytes::BytesMut;

use super::relay::Outbox;
use super::scope::Scope;
use super::session::Session;
use super::whole::served;
use super::{Asked, Dispatcher, StreamRules, failure, next_route, prepare};
use crate::catalog::Route;
use crate::error::{Cause, GatewayError};
use crate::metrics::observation::CallOutcome;
use crate::providers::protocol::Answer;
use crate::translate::stream::reader::Reader;
use crate::translate::stream::{End, sink};

/// How long after `[DONE]` a missing usage is waited for.
const USAGE_GRACE: Duration = Duration::from_millis(500);
/// How long after the finish the usage, `[DONE]` or the end is waited for: a whole answer must not fail because its
/// provider does not close the connection.
const END_GRACE: Duration = Duration::from_secs(10);

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
    let mut answer = session.wait(scope, None, call).await?.unwrap_or_else(|| Err(unreachable_wait()))?;
    if answer.status != 200 {
        let failure = session.wait(scope, None, failure(answer)).await?;
        return Err(failure.unwrap_or_else(unreachable_wait).into());
    }
    let StreamRules { bounds, max_line, .. } = dispatcher.stream;
    let mut reader = Reader::new(asked.context, bounds, max_line, session.is_committed());
    let relayed = match answer.is_event_stream {
        true => relay(&mut answer, &mut reader, scope, session).await,
        false => convert(&mut answer, &mut reader, scope, session).await,
    };
    match relayed {
        Ok(last) => {
            answer.body.settle(CallOutcome::Success);
            answer.body.release();
            Ok(last)
        }
        Err(error) => {
            answer.body.settle(CallOutcome::of(error.cause));
            Err(Failed { error, after_content: reader.translator.has_content() })
        }
    }
}

/// A wait without a limit has no end but its result.
fn unreachable_wait() -> GatewayError {
    GatewayError::new(Cause::Internal, "the gateway stopped waiting")
}

async fn relay(
    answer: &mut Answer,
    reader: &mut Reader<'_>,
    scope: &mut Scope<'_>,
    session: &mut Session<'_>,
) -> Result<BytesMut, GatewayError> {
    loop {
        let limit = match (reader.translator.is_only_waiting_for_usage(), reader.translator.has_finished()) {
            (true, _) => Some(USAGE_GRACE),
            (false, true) => Some(END_GRACE),
            (false, false) => None,
        };
        let next = session.wait(scope, limit, answer.body.next()).await?;
        // The session may have sent `message_start` while we waited.
        if session.is_committed() {
            reader.translator.mark_started();
        }
        let mut out = BytesMut::new();
        let read = match next {
            Some(Ok(Some(bytes))) => reader.bytes(&bytes, &mut out),
            Some(Ok(None)) => reader.end(End::Eof, &mut out),
            Some(Err(error)) => Err(error),
            None => reader.end(End::AfterDone, &mut out),
        };
        scope.tally(reader.translator.tally());
        if !out.is_empty() && reader.translator.has_content() {
            scope.content();
        }
        if read.is_ok() && reader.translator.is_done() {
            return Ok(out);
        }
        // What came before a failure in the same bytes is the client's.
        if !out.is_empty() {
            session.send(out).await;
        }
        read?;
    }
}

async fn convert(
    answer: &mut Answer,
    reader: &mut Reader<'_>,
    scope: &mut Scope<'_>,
    session: &mut Session<'_>,
) -> Result<BytesMut, GatewayError> {
    let body = session.wait(scope, None, answer.body.read_all()).await?.unwrap_or_else(|| Err(unreachable_wait()))?;
    if session.is_committed() {
        reader.translator.mark_started();
    }
    let mut out = BytesMut::new();
    reader.json(&body, &mut out)?;
    scope.tally(reader.translator.tally());
    scope.content();
    Ok(out)
}
