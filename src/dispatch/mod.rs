//! One request over its routes: parse, find the model, ask its providers in order, answer.
//!
//! Which provider is asked when is the business of `attempts`, by the `rules`. A request is one future, polled by
//! the client's connection: when the client goes, the future is dropped and with it the call to the provider. What it
//! writes goes through a [`relay`]; when the status of a stream is settled, and what is said in silence, is the
//! `session`'s business; what is counted, the `scope`'s.

mod attempts;
pub mod closing;
pub mod relay;
mod rules;
mod scope;
mod session;
mod stream;
mod whole;

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::Rng;
use rand::distr::Alphanumeric;

use self::attempts::Attempts;
use self::closing::Closing;
use self::relay::{Head, Outbox, Relay};
use self::scope::Scope;
pub use self::scope::log_turned_away;
use self::session::Session;
use self::stream::Opened;
use crate::auth::Key;
use crate::catalog::{Catalog, ProviderId, Resolved, Route};
use crate::config::Retry;
use crate::error::{Cause, GatewayError};
use crate::metrics::emitter::Emitter;
use crate::metrics::observation::{CallOutcome, Observation, Rejection};
use crate::providers::Providers;
use crate::providers::protocol::Answer;
use crate::tokens;
use crate::translate::dropped::{Dropped, Unsupported};
use crate::translate::reasoning::Signer;
use crate::translate::request::{Target, request};
use crate::translate::response::{Context, InputEstimate};
use crate::translate::stream::Bounds;
use crate::translate::tools::ToolNames;
use crate::translate::{error, parse, validate};
use crate::wire::anthropic::request::MessagesRequest;
use crate::wire::pieces::{Pieces, PiecesWriter};

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
    pub retry: Retry,
    pub closing: Closing,
}

/// A request whose body has been read.
#[derive(Debug)]
pub struct Inbound {
    pub body: Bytes,
    pub client: Arc<Key>,
    pub request_id: String,
    pub received: Instant,
}

/// Begins a request. The relay gives the head of the answer first, then the bytes of a stream.
pub fn begin(dispatcher: Rc<Dispatcher>, inbound: Inbound) -> Relay {
    Relay::new(|outbox| async move {
        if let Err(error) = run(&dispatcher, inbound, &outbox).await {
            outbox.settle(Head::Failed(error));
        }
    })
}

/// Who asks.
struct Asker<'a> {
    client: &'a Key,
    request_id: &'a str,
    received: Instant,
}

/// What an answer needs of its request, in a copy that outlives it.
struct Echo {
    message_id: String,
    model: String,
    names: ToolNames,
    omit_thinking: bool,
}

impl Echo {
    fn of(request: &MessagesRequest<'_>) -> Echo {
        let display = request.thinking.as_ref().and_then(|thinking| thinking.display.as_deref());
        Echo {
            message_id: random_id("msg_"),
            model: request.model.to_string(),
            names: ToolNames::of(&request.tools),
            omit_thinking: display == Some("omitted"),
        }
    }

    fn context<'a>(&'a self, signer: &'a Signer, input_estimate: InputEstimate<'a>) -> Context<'a> {
        let Echo { message_id, model, names, omit_thinking } = self;
        Context { message_id, model, names, signer, input_estimate, omit_thinking: *omit_thinking }
    }
}

/// The request as the rest of this module sees it while a provider is looked for.
struct Asked<'r, 'a> {
    request: &'r MessagesRequest<'r>,
    /// What the request was read from.
    body: &'r Bytes,
    resolved: &'r Resolved,
    context: Context<'a>,
    request_id: &'r str,
}

/// An error that is returned comes before anything was sent, and becomes an HTTP status.
async fn run(dispatcher: &Dispatcher, inbound: Inbound, outbox: &Outbox) -> Result<(), GatewayError> {
    let Inbound { body, client, request_id, received } = inbound;
    let asker = Asker { client: &client, request_id: &request_id, received };
    let echo = OnceCell::new();
    // In a box of its own, for a stream may go on for minutes, and what was needed to open it is much.
    let opened = Box::pin(answer(dispatcher, &body, asker, &echo, outbox)).await?;
    drop(body);
    if let Some((opened, mut scope, mut session)) = opened {
        stream::relay(opened, &request_id, &mut scope, &mut session).await;
    }
    Ok(())
}

/// Answers a request; a stream only as far as its first content.
async fn answer<'a>(
    dispatcher: &'a Dispatcher,
    body: &Bytes,
    Asker { client, request_id, received }: Asker<'a>,
    echo: &'a OnceCell<Echo>,
    outbox: &'a Outbox,
) -> Result<Option<(Box<Opened<'a>>, Scope<'a>, Session<'a>)>, GatewayError> {
    let reject = |reason| dispatcher.emitter.record(Observation::Rejected(reason));
    let turned_away = |reason, error: GatewayError| {
        reject(reason);
        log_turned_away(request_id, &error);
        error
    };
    let request = parse::request(body).map_err(|invalid| turned_away(Rejection::Validation, invalid.into()))?;
    let valid = validate::messages(&request);
    let Some(resolved) = dispatcher.catalog.resolve(&request.model) else {
        // Under no model's name: a wrong request is told what is wrong with it, as Anthropic's API does.
        return Err(match valid {
            Err(invalid) => turned_away(Rejection::Validation, invalid.into()),
            Ok(()) => turned_away(Rejection::UnknownModel, unknown_model(&request.model)),
        });
    };
    let mut scope = Scope::begin(dispatcher, &resolved, client, request_id, received, request.stream);
    if !client.may_use(&request.model) {
        reject(Rejection::Permission);
        return Err(scope.fail(forbidden_model(&request.model)));
    }
    if let Err(invalid) = valid {
        reject(Rejection::Validation);
        return Err(scope.fail(invalid.into()));
    }
    let Some(attempts) = Attempts::over(&resolved.routes) else {
        return Err(scope.fail(no_route(dispatcher.catalog.label(resolved.label).as_str())));
    };
    let count = || tokens::estimate_request(&request);
    // A stream says it first; a whole answer needs it only where its provider does not count.
    let counted = (request.stream || client.meter.is_limited()).then(count);
    let output = request.max_tokens.unwrap_or_default().min(resolved.max_tokens.unwrap_or(u64::MAX));
    match client.meter.admit(scope.estimate(&resolved, counted.unwrap_or_default(), output)).await {
        Ok(reservation) => scope.reserve(reservation),
        Err(error) => {
            match error.cause {
                Cause::BudgetSpent => reject(Rejection::Budget),
                Cause::KeyLimit => reject(Rejection::RateLimit),
                // A failure of ours, which is counted as such.
                _ => {}
            }
            return Err(scope.fail(error));
        }
    }
    let echo = echo.get_or_init(|| Echo::of(&request));
    if !request.stream {
        let estimate = counted.map_or(InputEstimate::Counts(&count), InputEstimate::Counted);
        let context = echo.context(&dispatcher.signer, estimate);
        let asked = Asked { request: &request, body, resolved: &resolved, context, request_id };
        whole::answer(dispatcher, &asked, attempts, scope, outbox).await?;
        return Ok(None);
    }
    let context = echo.context(&dispatcher.signer, InputEstimate::Counted(counted.unwrap_or_default()));
    let asked = Asked { request: &request, body, resolved: &resolved, context, request_id };
    let mut session = Session::new(outbox, dispatcher, context);
    let opened = stream::open(dispatcher, &asked, attempts, &mut scope, &mut session).await?;
    Ok(opened.map(|opened| (opened, scope, session)))
}

fn no_route(model: &str) -> GatewayError {
    log::warn!("model {model} has no usable route: no provider of it has its key");
    GatewayError::new(Cause::NoRoute, "No provider of this model can be used: the gateway has no key for it")
}

/// The answer for a model that no entry of the catalog takes.
pub fn unknown_model(asked: &str) -> GatewayError {
    GatewayError::new(Cause::UnknownModel, format!("model: {}", shown(asked)))
}

/// The answer for a model that the client's key may not ask for.
pub fn forbidden_model(asked: &str) -> GatewayError {
    GatewayError::new(Cause::Forbidden, format!("this key may not use the model {}", shown(asked)))
}

/// As much of a client's text as an error repeats.
fn shown(asked: &str) -> String {
    asked.chars().take(200).collect()
}

/// The prefix and 24 characters of base62.
pub fn random_id(prefix: &str) -> String {
    let mut id = String::with_capacity(prefix.len() + 24);
    id.push_str(prefix);
    id.extend(rand::rng().sample_iter(Alphanumeric).take(24).map(char::from));
    id
}

/// A translated request, ready for its provider.
struct Prepared {
    provider: ProviderId,
    body: Pieces,
    dropped: Dropped,
}

fn prepare(dispatcher: &Dispatcher, asked: &Asked<'_, '_>, route: &Route) -> Result<Prepared, GatewayError> {
    let provider = dispatcher.providers.get(route.provider)?;
    let target = Target {
        dialect: &route.dialect,
        model: &route.model,
        max_tokens_cap: asked.resolved.max_tokens,
        extra_body: &provider.extra_body,
        unsupported: dispatcher.unsupported,
        signer: &dispatcher.signer,
    };
    let mut out = PiecesWriter::new(asked.body.clone());
    let dropped = request(asked.request, &target, &mut out)?;
    for field in dropped.iter() {
        dispatcher.emitter.record(Observation::Dropped { field });
    }
    Ok(Prepared { provider: route.provider, body: out.finish(), dropped })
}

/// The failure that an answer other than 200 says.
async fn failure(mut answer: Answer) -> GatewayError {
    let body = answer.body.read_error().await;
    let error = error::answer(answer.status, answer.retry_after, &body);
    answer.body.settle(CallOutcome::of(error.cause));
    answer.body.release();
    error
}
