//! A streamed answer, in two parts: until there is content another provider can still be asked, so the request is
//! kept; after that, it is not needed any more.

use std::pin::pin;
use std::time::Duration;

use bytes::BytesMut;

use super::attempts::Attempts;
use super::scope::Scope;
use super::session::Session;
use super::whole::served;
use super::{Asked, Dispatcher, StreamRules, failure};
use crate::error::GatewayError;
use crate::metrics::observation::CallOutcome;
use crate::providers::protocol::Answer;
use crate::translate::stream::reader::Reader;
use crate::translate::stream::{End, sink};

/// How long after `[DONE]` a missing usage is waited for.
const USAGE_GRACE: Duration = Duration::from_millis(500);
/// How long after the finish the usage, `[DONE]` or the end is waited for: a whole answer must not fail because its
/// provider does not close the connection.
const END_GRACE: Duration = Duration::from_secs(10);

/// What is set aside for what one piece of a provider's stream becomes, in bytes.
const LEAST_OUT: usize = 256;

/// Asks one provider after the other until one sends content. `None` when all have failed and the client has been told
/// in its stream; an error when it can still be told by a status.
pub(super) async fn open<'a>(
    dispatcher: &'a Dispatcher,
    asked: &Asked<'_, 'a>,
    mut attempts: Attempts,
    scope: &mut Scope<'_>,
    session: &mut Session<'a>,
) -> Result<Option<Box<Opened<'a>>>, GatewayError> {
    loop {
        let error = match attempt(dispatcher, asked, &mut attempts, scope, session).await {
            Ok(opened) => return Ok(Some(Box::new(opened))),
            Err(error) => error,
        };
        let paused = match attempts.after(dispatcher, error) {
            Ok(pause) => session.wait(scope, pin!(tokio::time::sleep(pause))).await,
            Err(error) => Err(error),
        };
        match paused {
            Ok(()) => {}
            Err(error) if session.is_committed() => {
                tell_failure(error, asked.request_id, scope, session).await;
                return Ok(None);
            }
            Err(error) => return Err(scope.fail(error)),
        }
    }
}

/// Sends on what the provider goes on to say, to the end.
pub(super) async fn relay(
    mut opened: Box<Opened<'_>>,
    request_id: &str,
    scope: &mut Scope<'_>,
    session: &mut Session<'_>,
) {
    loop {
        match std::mem::take(&mut opened.reading) {
            Reading { out, failed: None } if opened.reader.translator.is_done() => {
                opened.answer.body.settle(CallOutcome::Success);
                opened.answer.body.release();
                // Before the last bytes go out, so that a scrape begun after the answer includes it.
                scope.succeed();
                return session.send(out).await;
            }
            Reading { out, failed } => {
                if !out.is_empty() {
                    session.send(out).await;
                }
                if let Some(error) = failed {
                    opened.answer.body.settle(CallOutcome::of(error.cause));
                    return tell_failure(error, request_id, scope, session).await;
                }
            }
        }
        let Opened { answer, reader, reading } = &mut *opened;
        *reading = read(answer, reader, scope, session).await;
    }
}

async fn tell_failure(error: GatewayError, request_id: &str, scope: &mut Scope<'_>, session: &mut Session<'_>) {
    let mut out = BytesMut::new();
    sink::error(&mut out, &scope.fail(error), request_id);
    session.send(out).await;
}

/// A provider's stream that has content.
pub(super) struct Opened<'a> {
    answer: Answer,
    reader: Reader<'a>,
    /// With the first content, not sent yet.
    reading: Reading,
}

/// What came of the next bytes of a provider: something for the client, and then perhaps a failure.
#[derive(Default)]
struct Reading {
    out: BytesMut,
    failed: Option<GatewayError>,
}

async fn attempt<'a>(
    dispatcher: &'a Dispatcher,
    asked: &Asked<'_, 'a>,
    attempts: &mut Attempts,
    scope: &mut Scope<'_>,
    session: &mut Session<'a>,
) -> Result<Opened<'a>, GatewayError> {
    let prepared = attempts.prepared(dispatcher, asked)?;
    let body = prepared.body.clone();
    session.served = served(dispatcher, prepared.provider, &prepared.dropped);
    scope.attempt(attempts.route().provider);
    let call = dispatcher.providers.call(attempts.route(), attempts.ask(dispatcher, body, true));
    let mut answer = session.wait(scope, pin!(call)).await??;
    if answer.status != 200 {
        return Err(session.wait(scope, pin!(failure(answer))).await?);
    }
    let StreamRules { bounds, max_line, .. } = dispatcher.stream;
    let mut reader = Reader::new(asked.context, bounds, max_line, session.is_committed());
    loop {
        let reading = match answer.is_event_stream {
            true => read(&mut answer, &mut reader, scope, session).await,
            false => convert(&mut answer, &mut reader, scope, session).await,
        };
        if reader.translator.has_content() || (reading.failed.is_none() && reader.translator.is_done()) {
            answer.body.answers();
            return Ok(Opened { answer, reader, reading });
        }
        if let Some(error) = reading.failed {
            answer.body.settle(CallOutcome::of(error.cause));
            return Err(error);
        }
    }
}

async fn read(
    answer: &mut Answer,
    reader: &mut Reader<'_>,
    scope: &mut Scope<'_>,
    session: &mut Session<'_>,
) -> Reading {
    let next = answer.body.next();
    let next = match (reader.translator.is_only_waiting_for_usage(), reader.translator.has_finished()) {
        (true, _) => session.wait(scope, pin!(tokio::time::timeout(USAGE_GRACE, next))).await,
        (false, true) => session.wait(scope, pin!(tokio::time::timeout(END_GRACE, next))).await,
        (false, false) => session.wait(scope, pin!(next)).await.map(Ok),
    };
    // The session may have sent `message_start` while we waited.
    if session.is_committed() {
        reader.translator.mark_started();
    }
    let mut out = BytesMut::new();
    let read = match next {
        Ok(Ok(Ok(Some(bytes)))) => {
            // A client's event is about as long as the provider's.
            out.reserve(bytes.len().max(LEAST_OUT));
            reader.bytes(&bytes, &mut out)
        }
        Ok(Ok(Ok(None))) => reader.end(End::Eof, &mut out),
        Ok(Ok(Err(error))) | Err(error) => Err(error),
        // Nothing more came in the time of grace.
        Ok(Err(_)) => reader.end(End::AfterDone, &mut out),
    };
    scope.tally(reader.translator.tally());
    if !out.is_empty() && reader.translator.has_content() {
        scope.content();
    }
    Reading { out, failed: read.err() }
}

/// Reads a provider that answers JSON to a stream.
async fn convert(
    answer: &mut Answer,
    reader: &mut Reader<'_>,
    scope: &mut Scope<'_>,
    session: &mut Session<'_>,
) -> Reading {
    let body = session.wait(scope, pin!(answer.body.read_all())).await;
    if session.is_committed() {
        reader.translator.mark_started();
    }
    let mut out = BytesMut::new();
    let read = body.and_then(|body| body).and_then(|body| reader.json(&body, &mut out));
    if read.is_ok() {
        scope.tally(reader.translator.tally());
        scope.content();
    }
    Reading { out, failed: read.err() }
}
