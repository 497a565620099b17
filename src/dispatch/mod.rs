//! One request over its routes: parse, find the model, ask its providers in order, answer.
//!
//! A request is one future, polled by the client's connection: when the client goes, the future is dropped and
//! with it the call to the provider. What it writes goes through a [`relay`]; when the status of a stream is
//! settled, and what is said in silence, is the `session`'s business; what is counted, the `scope`'s.

pub mod closing;
pub mod relay;
mod scope;
mod session;
mod stream;
mod whole;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::Rng;
use rand::distr::Alphanumeric;

use self::closing::Closing;
use self::relay::{Head, Outbox, Relay};
use self::scope::Scope;
pub use self::scope::log_turned_away;
use crate::catalog::{Catalog, Resolved, Route};
use crate::error::{Cause, GatewayError};
use crate::metrics::emitter::Emitter;
use crate::metrics::observation::{CallOutcome, Observation, Rejection};
use crate::providers::Providers;
use crate::providers::protocol::{Answer, Call};
use crate::tokens;
use crate::translate::dropped::{Dropped, Unsupported};
use crate::translate::reasoning::Signer;
use crate::translate::request::{Target, request};
use crate::translate::response::Context;
use crate::translate::stream::Bounds;
use crate::translate::tools::ToolNames;
use crate::translate::{error, parse, validate};
use crate::wire::anthropic::request::MessagesRequest;

/// How streams are treated.
#[derive(Debug, Clone, Copy)]
pub struct StreamRules {
    pub ping_interval: Duration,
    pub commit_after: Duration,
    /// Bytes of one line of a provider's stream.
    pub max_line: usize,
    pub bounds: Bounds,
}

/// What a worker needs to answer requests.
pub struct Dispatcher {
    pub catalog: Arc<Catalog>,
    pub providers: Providers,
    pub emitter: Emitter,
    pub signer: Arc<Signer>,
    pub unsupported: Unsupported,
    pub stream: StreamRules,
    pub closing: Closing,
}

/// A request whose body has been read.
#[derive(Debug)]
pub struct Inbound {
    pub body: Bytes,
    pub request_id: String,
    pub received: Instant,
}

/// Begins a request. The relay gives the head of the answer first, then the bytes of a stream.
pub fn begin(dispatcher: Rc<Dispatcher>, inbound: Inbound) -> Relay {
    Relay::new(|outbox| async move {
        if let Err(error) = run(&dispatcher, &inbound, &outbox).await {
            outbox.settle(Head::Failed(error));
        }
    })
}

/// The request as the rest of this module sees it.
struct Asked<'a> {
    request: &'a MessagesRequest<'a>,
    resolved: &'a Resolved<'a>,
    context: Context<'a>,
    request_id: &'a str,
}

/// An error that is returned comes before anything was sent, and becomes an HTTP status.
async fn run(dispatcher: &Dispatcher, inbound: &Inbound, outbox: &Outbox) -> Result<(), GatewayError> {
    let reject = |reason| dispatcher.emitter.record(Observation::Rejected(reason));
    let turned_away = |reason, error: GatewayError| {
        reject(reason);
        log_turned_away(&inbound.request_id, &error);
        error
    };
    let request =
        parse::request(&inbound.body).map_err(|invalid| turned_away(Rejection::Validation, invalid.into()))?;
    let valid = validate::messages(&request);
    let Some(resolved) = dispatcher.catalog.resolve(&request.model) else {
        // Under no model's name: a wrong request is told what is wrong with it, as Anthropic's API does.
        return Err(match valid {
            Err(invalid) => turned_away(Rejection::Validation, invalid.into()),
            Ok(()) => turned_away(Rejection::UnknownModel, unknown_model(&request.model)),
        });
    };
    let mut scope = Scope::begin(dispatcher, &resolved, inbound, request.stream);
    if let Err(invalid) = valid {
        reject(Rejection::Validation);
        return Err(scope.fail(invalid.into()));
    }
    if resolved.routes.is_empty() {
        log::warn!(
            "model {} has no usable route: no provider of it has its key",
            dispatcher.catalog.label(resolved.label)
        );
        let message = "No provider of this model can be used: the gateway has no key for it";
        return Err(scope.fail(GatewayError::new(Cause::NoRoute, message)));
    }
    let message_id = random_id("msg_");
    let names = ToolNames::of(&request.tools);
    let context = Context {
        message_id: &message_id,
        model: &request.model,
        names: &names,
        signer: &dispatcher.signer,
        input_estimate: tokens::estimate_request(&request),
        omit_thinking: request.thinking.as_ref().and_then(|thinking| thinking.display.as_deref()) == Some("omitted"),
    };
    let asked = Asked { request: &request, resolved: &resolved, context, request_id: &inbound.request_id };
    match request.stream {
        true => stream::answer(dispatcher, &asked, scope, outbox).await,
        false => whole::answer(dispatcher, &asked, scope, outbox).await,
    }
}

/// The answer for a model that no entry of the catalog takes.
pub fn unknown_model(asked: &str) -> GatewayError {
    let name: String = asked.chars().take(200).collect();
    GatewayError::new(Cause::UnknownModel, format!("model: {name}"))
}

/// The prefix and 24 characters of base62.
pub fn random_id(prefix: &str) -> String {
    let mut id = String::with_capacity(prefix.len() + 24);
    id.push_str(prefix);
    id.extend(rand::rng().sample_iter(Alphanumeric).take(24).map(char::from));
    id
}

/// Notes that one route failed and the next is tried; the error when there is no next, or it would not help.
fn next_route(
    dispatcher: &Dispatcher,
    routes: &mut std::slice::Iter<'_, Route>,
    failed: &Route,
    error: GatewayError,
) -> Result<Route, GatewayError> {
    let next = if error.cause.next_route_may_help() { routes.next() } else { None };
    let Some(next) = next else { return Err(error) };
    // The cause only: a provider's own words may repeat the prompt.
    log::warn!(
        "provider {} failed ({:?}), going on with {}",
        dispatcher.catalog.provider_name(failed.provider),
        error.cause,
        dispatcher.catalog.provider_name(next.provider)
    );
    dispatcher.emitter.record(Observation::Fallback { from: failed.provider, to: next.provider });
    Ok(next.clone())
}

/// A translated request, ready for its provider.
struct Prepared {
    call: Call,
    dropped: Dropped,
}

fn prepare(dispatcher: &Dispatcher, asked: &Asked<'_>, route: &Route) -> Result<Prepared, GatewayError> {
    let provider = dispatcher.providers.get(route.provider)?;
    let target = Target {
        dialect: &route.dialect,
        model: &route.model,
        max_tokens_cap: asked.resolved.max_tokens,
        extra_body: &provider.extra_body,
        unsupported: dispatcher.unsupported,
        signer: &dispatcher.signer,
    };
    let translated = request(asked.request, &target)
        .inspect_err(|_| dispatcher.emitter.record(Observation::Rejected(Rejection::Validation)))?;
    for field in translated.dropped.iter() {
        dispatcher.emitter.record(Observation::Dropped { field });
    }
    let call = Call { body: translated.body.into(), stream: asked.request.stream };
    Ok(Prepared { call, dropped: translated.dropped })
}

/// The failure that an answer other than 200 says.
async fn failure(mut answer: Answer) -> GatewayError {
    let body = answer.body.read_error().await;
    let error = error::answer(answer.status, answer.retry_after, &body);
    answer.body.settle(CallOutcome::of(error.cause));
    answer.body.release();
    error
}
