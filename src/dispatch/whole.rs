//! An answer that is not streamed.

use std::future::Future;
use std::time::Instant;

use bytes::Bytes;

use super::attempts::Attempts;
use super::relay::{Head, Outbox, Served};
use super::scope::Scope;
use super::{Asked, Dispatcher, failure};
use crate::catalog::ProviderId;
use crate::error::GatewayError;
use crate::metrics::observation::CallOutcome;
use crate::providers::protocol::Answer;
use crate::translate::dropped::Dropped;
use crate::translate::response::{Translated, response};
use crate::wire::pieces::Pieces;

pub(super) async fn answer(
    dispatcher: &Dispatcher,
    asked: &Asked<'_, '_>,
    mut attempts: Attempts,
    mut scope: Scope<'_>,
    outbox: &Outbox,
) -> Result<(), GatewayError> {
    loop {
        let error = match attempt(dispatcher, asked, &mut attempts, &mut scope).await {
            Ok((translated, served)) => {
                scope.tally(translated.tally);
                scope.succeed();
                outbox.settle(Head::Message { body: translated.body, served });
                return Ok(());
            }
            Err(error) => error,
        };
        let pause = attempts.after(dispatcher, error).map_err(|error| scope.fail(error))?;
        wait(dispatcher, &mut scope, tokio::time::sleep(pause)).await.map_err(|error| scope.fail(error))?;
    }
}

async fn attempt(
    dispatcher: &Dispatcher,
    asked: &Asked<'_, '_>,
    attempts: &mut Attempts,
    scope: &mut Scope<'_>,
) -> Result<(Translated, Served), GatewayError> {
    let prepared = attempts.prepared(dispatcher, asked)?;
    let body = prepared.body.clone();
    let served = served(dispatcher, prepared.provider, &prepared.dropped);
    scope.attempt(attempts.route().provider);
    let (mut answer, body) = wait(dispatcher, scope, exchange(dispatcher, attempts, body)).await??;
    let translated = body.and_then(|body| response(&body, &asked.context));
    match translated {
        Ok(translated) => {
            answer.body.settle(CallOutcome::Success);
            Ok((translated, served))
        }
        Err(error) => {
            answer.body.settle(CallOutcome::of(error.cause));
            Err(error)
        }
    }
}

/// Waits for the provider. Fails when the gateway closes.
async fn wait<T>(
    dispatcher: &Dispatcher,
    scope: &mut Scope<'_>,
    work: impl Future<Output = T>,
) -> Result<T, GatewayError> {
    let begun = Instant::now();
    let result = tokio::select! {
        biased;
        closing = dispatcher.closing.reached() => Err(closing),
        result = work => Ok(result),
    };
    scope.waited(begun.elapsed());
    result
}

/// A success, and its body as far as it could be read.
async fn exchange(
    dispatcher: &Dispatcher,
    attempts: &Attempts,
    body: Pieces,
) -> Result<(Answer, Result<Bytes, GatewayError>), GatewayError> {
    let ask = attempts.ask(dispatcher, body, false);
    let mut answer = dispatcher.providers.call(attempts.route(), ask).await?;
    if answer.status != 200 {
        return Err(failure(answer).await);
    }
    answer.body.answers();
    let body = answer.body.read_all().await;
    Ok((answer, body))
}

/// For the headers of the answer.
pub(super) fn served(dispatcher: &Dispatcher, provider: ProviderId, dropped: &Dropped) -> Served {
    Served {
        provider: dispatcher.catalog.provider_name(provider).to_owned(),
        dropped: dropped.iter().collect::<Vec<_>>().join(","),
    }
}
