//! HTTP on the client's side: parse, ask, answer.
//!
//! Does not know OpenAI's types, awc, prometheus or the keys of providers.

mod body;
pub mod count_tokens;
pub mod health;
pub mod messages;
pub mod methods;
pub mod metrics;
pub mod models;
pub mod reply;
pub mod request_id;
pub mod unread;
pub mod until_end;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::Addr;
use actix_web::HttpRequest;
use tokio::sync::Semaphore;

use crate::auth::{ClientKeys, MetricsToken};
use crate::dispatch::Dispatcher;
use crate::error::{Cause, GatewayError};
use crate::metrics::actor::Metrics;
use crate::metrics::observation::{Observation, Rejection};

/// What the handlers of one worker share.
pub struct App {
    pub dispatcher: Rc<Dispatcher>,
    pub client_keys: Arc<ClientKeys>,
    pub metrics_token: Arc<MetricsToken>,
    pub metrics: Addr<Metrics>,
    /// For how many token counts there is room at once, over all workers: they must leave cores to the streams.
    pub counting: Arc<Semaphore>,
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
    fn authenticate(&self, request: &HttpRequest) -> Result<(), GatewayError> {
        if self.client_keys.admit(request) {
            return Ok(());
        }
        self.reject(Rejection::Auth);
        let message =
            match request.headers().contains_key("x-api-key") || request.headers().contains_key("authorization") {
                true => "invalid x-api-key",
                false => "x-api-key header is required",
            };
        Err(GatewayError::new(Cause::Unauthenticated, message))
    }

    /// Turns new work away while the gateway is about to stop.
    fn accept_work(&self) -> Result<(), GatewayError> {
        if !self.is_draining() {
            return Ok(());
        }
        self.reject(Rejection::ShuttingDown);
        let error = GatewayError::new(Cause::Draining, "This gateway is shutting down; send the request again");
        Err(error.retry_after(Some(1)))
    }

    fn reject(&self, reason: Rejection) {
        self.dispatcher.emitter.record(Observation::Rejected(reason));
    }
}
