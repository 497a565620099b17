//! An answer that is not streamed.

use std::time::Instant;

use bytes::Bytes;

use super::relay::{Head, Outbox, Served};
use super::scope::Scope;
use super::{Asked, Dispatcher, failure, next_route, prepare};
use crate::catalog::Route;
use crate::error::GatewayError;
use crate::metrics::observation::CallOutcome;
use crate::providers::protocol::{Answer, Call};
use crate::translate::response::{Translated, response};

pub(super) async fn answer(
    dispatcher: &Dispatcher,
    asked: &Asked<'_>,
    mut scope: Scope<'_>,
    outbox: &Outbox,
) -> Result<(), GatewayError> {
    let mut routes = asked.resolved.routes.iter();
    let Some(mut route) = routes.next().cloned() else { return Ok(()) };
    loop {
        match attempt(dispatcher, asked, &route, &mut scope).await {
            Ok((translated, served)) => {
                scope.tally(translated.tally);
                scope.succeed();
                outbox.settle(Head::Message { body: translated.body, served });
                return Ok(());
            }
            Err(error) => {
                route = next_route(dispatcher, &mut routes, &route, error).map_err(|error| scope.fail(error))?;
            }
        }
    }
}

async fn attempt(
    dispatcher: &Dispatcher,
    asked: &Asked<'_>,
    route: &Route,
    scope: &mut Scope<'_>,
) -> Result<(Translated, Served), GatewayError> {
    let prepared = prepare(dispatcher, asked, route)?;
    scope.attempt(route.provider);
    let asked_at = Instant::now();
    let exchanged = tokio::select! {
        biased;
        closing = dispatcher.closing.reached() => Err(closing),
        exchanged = exchange(dispatcher, route, prepared.call) => exchanged,
    };
    scope.waited(asked_at.elapsed());
    let (mut answer, body) = exchanged?;
    let translated = body.and_then(|body| response(&body, &asked.context));
    match translated {
        Ok(translated) => {
            answer.body.settle(CallOutcome::Success);
            Ok((translated, served(dispatcher, route, &prepared.dropped)))
        }
        Err(error) => {
            answer.body.settle(CallOutcome::of(error.cause));
            Err(error)
        }
    }
}

/// A success, and its body as far as it could be read.
async fn exchange(
    dispatcher: &Dispatcher,
    route: &Route,
    call: Call,
) -> Result<(Answer, Result<Bytes, GatewayError>), GatewayError> {
    let mut answer = dispatcher.providers.call(route.provider, call).await?;
    if answer.status != 200 {
        return Err(failure(answer).await);
    }
    let body = answer.body.read_all().await;
    Ok((answer, body))
}

/// For the headers of the answer.
pub(super) fn served(dispatcher: &Dispatcher, route: &Route, dropped: &crate::translate::dropped::Dropped) -> Served {
    Served {
        provider: dispatcher.catalog.provider_name(route.provider).to_owned(),
        dropped: dropped.iter().collect::<Vec<_>>().join(","),
    }
}
