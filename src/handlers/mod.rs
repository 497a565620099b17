//! HTTP on the client's side: parse, ask, answer.
//!
//! Does not know OpenAI's types, awc, prometheus or the keys of providers.

pub mod count_tokens;
pub mod health;
pub mod messages;
pub mod methods;
pub mod metrics;
pub mod models;
pub mod reply;
pub mod request_id;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::Addr;
use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use tokio::sync::Semaphore;

use crate::auth::{ClientKeys, MetricsToken};
use crate::dispatch::Dispatcher;
use crate::error::{Cause, GatewayError};
use crate::metrics::actor::Metrics;
use crate::metrics::observation::{Observation, Rejection};

/// What is set aside for a body before any of it has come, in bytes: an announcement costs nothing.
const FIRST_BODY_BUFFER: usize = 64 * 1024;

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

    /// Reads a JSON body within the bound.
    async fn read_body(&self, request: &HttpRequest, mut payload: Payload) -> Result<Bytes, GatewayError> {
        self.readable(request).inspect_err(|_| self.reject(Rejection::Validation))?;
        let announced =
            request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let too_large = announced.is_some_and(|length: usize| length > self.max_body);
        let mut body = BytesMut::with_capacity(announced.unwrap_or(0).min(FIRST_BODY_BUFFER));
        let mut read = 0usize;
        while let Some(bytes) = payload.next().await {
            let bytes = bytes.map_err(|_| GatewayError::new(Cause::BodyIncomplete, "the request body broke off"))?;
            read = read.saturating_add(bytes.len());
            if !too_large && read <= self.max_body {
                body.extend_from_slice(&bytes);
            } else if read > 2 * self.max_body {
                break;
            }
        }
        // What is too large is read on for a while all the same: clients that are still sending when the answer
        // comes report a broken connection instead of the answer.
        if too_large || read > self.max_body {
            self.reject(Rejection::TooLarge);
            let message = format!("Request exceeds the maximum size of {} bytes", self.max_body);
            return Err(GatewayError::new(Cause::BodyTooLarge, message));
        }
        Ok(body.freeze())
    }

    fn readable(&self, request: &HttpRequest) -> Result<(), GatewayError> {
        let text = |name| request.headers().get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
        let media_type = text(header::CONTENT_TYPE).and_then(|kind| kind.split(';').next()).map(str::trim);
        if media_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("application/json")) {
            return Err(GatewayError::new(Cause::UnsupportedMedia, "content-type must be application/json"));
        }
        if text(header::CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            return Err(GatewayError::new(
                Cause::UnsupportedMedia,
                "compressed request bodies are not supported; send it plain",
            ));
        }
        Ok(())
    }
}
