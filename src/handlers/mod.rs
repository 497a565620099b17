//! HTTP on the client's side: parse, ask, answer.
//!
//! Does not know OpenAI's types, awc, prometheus or the keys of providers.

mod body;
pub mod connection;
pub mod count_tokens;
pub mod health;
pub mod limits;
pub mod messages;
pub mod methods;
pub mod metrics;
pub mod models;
pub mod reply;
pub mod request_id;
pub mod until_end;
pub mod usage;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::Addr;
use actix_web::body::MessageBody;
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::until_end::UntilEnd;
use crate::auth::{Key, KeyRing, MetricsToken};
use crate::dispatch::Dispatcher;
use crate::error::{Cause, GatewayError};
use crate::limits::meter::Meters;
use crate::metrics::actor::Metrics;
use crate::metrics::observation::{Observation, Rejection};

/// What the handlers of one worker share.
pub struct App {
    pub dispatcher: Rc<Dispatcher>,
    pub keys: Arc<KeyRing>,
    pub meters: Arc<Meters>,
    pub metrics_token: Arc<MetricsToken>,
    pub metrics: Addr<Metrics>,
    /// For how many token counts there is room at once, over all workers: they must leave cores to the streams.
    pub counting: Arc<Semaphore>,
    /// For how many requests and open streams there is room at once, over all workers.
    pub inflight: Arc<Semaphore>,
    /// Set at the first signal to stop.
    pub draining: Arc<AtomicBool>,
    /// Bytes.
    pub max_body: usize,
    /// For a body as a whole, so that one in drips holds nothing for long.
    pub body_timeout: Duration,
}

impl App {
    /// Whether the gateway is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Lets a request pass that bears a client key.
    fn authenticate(&self, request: &HttpRequest) -> Result<Arc<Key>, GatewayError> {
        let key = self.keys.client(request).inspect_err(|error| match error.cause {
            Cause::Forbidden => self.reject(Rejection::Permission),
            _ => self.reject(Rejection::Auth),
        })?;
        connection::keep(request);
        limits::tell_with(request, &key);
        Ok(key)
    }

    /// Whether the request may see what only operators see.
    fn is_operator(&self, request: &HttpRequest) -> bool {
        let known = self.metrics_token.admit(request) || self.keys.is_admin(request);
        if known {
            connection::keep(request);
        }
        known
    }

    /// Lets new work in: with a client key, unless the gateway is full or about to stop.
    fn admit(&self, request: &HttpRequest) -> Result<Admission, GatewayError> {
        let client = self.authenticate(request)?;
        let turn_away = |reason, cause, message: &str| {
            self.reject(reason);
            Err(GatewayError::new(cause, message).retry_after(Some(1)))
        };
        if self.is_draining() {
            let message = "This gateway is shutting down; send the request again";
            return turn_away(Rejection::ShuttingDown, Cause::Draining, message);
        }
        match self.inflight.clone().try_acquire_owned() {
            Ok(room) => Ok(Admission { client, room }),
            Err(_) => {
                let message = "This gateway has too many requests open; send the request again";
                turn_away(Rejection::RateLimit, Cause::Full, message)
            }
        }
    }

    fn reject(&self, reason: Rejection) {
        self.dispatcher.emitter.record(Observation::Rejected(reason));
    }
}

/// The room that a request takes until its answer has ended.
struct Admission {
    client: Arc<Key>,
    room: OwnedSemaphorePermit,
}

impl Admission {
    /// Gives the room back when the last bytes of the answer have gone out, or its client has.
    fn until_end(self, response: HttpResponse) -> HttpResponse {
        response.map_body(|_, body| UntilEnd::new(body, self.room).boxed())
    }
}
