//! Answers in Anthropic's shapes.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::Serialize;

use super::request_id;
use crate::dispatch::relay::Served;
use crate::error::{Cause, GatewayError};
use crate::wire::anthropic::message::{ErrorEnvelope, ErrorObject, ErrorTag};

/// Seconds: a provider may say anything, and clients take it at its word.
const MAX_RETRY_AFTER: u64 = 24 * 3600;

/// A failure as its status, headers and envelope.
pub fn error(request: &HttpRequest, error: &GatewayError) -> HttpResponse {
    let (status, kind, retry) = error.cause.answer();
    let id = request_id::of(request);
    let mut response = HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    if status == 529 {
        // Anthropic's own status, for which there is no standard phrase.
        response.reason("Overloaded");
    }
    response.insert_header(("x-should-retry", if retry { "true" } else { "false" }));
    if let Some(seconds) = error.retry_after_told() {
        response.insert_header((header::RETRY_AFTER, seconds.min(MAX_RETRY_AFTER)));
    }
    if let Some(provider) = &error.provider {
        response.insert_header((request_id::PROVIDER_HEADER, provider.as_str()));
    }
    // Where the next request would begin is not known after a body that did not come to its end.
    if matches!(error.cause, Cause::Draining | Cause::BodyIncomplete | Cause::BodyTimeout) {
        response.force_close();
    }
    let error = ErrorObject { kind, message: &error.message, details: error.details };
    response.json(ErrorEnvelope { kind: ErrorTag::Error, error, request_id: &id })
}

/// For what only operators may see.
pub fn operators_only(request: &HttpRequest, message: &str) -> HttpResponse {
    let mut response = error(request, &GatewayError::new(Cause::Unauthenticated, message));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// A success in JSON.
pub fn json(value: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().json(value)
}

/// Sets the headers that tell who answered and what was left out.
pub fn name_provider(response: &mut HttpResponseBuilder, served: &Served) {
    if let Ok(provider) = HeaderValue::from_str(&served.provider) {
        response.insert_header((request_id::PROVIDER_HEADER, provider));
    }
    if !served.dropped.is_empty() {
        response.insert_header(("x-gatewayz-dropped", served.dropped.as_str()));
    }
}

/// For a path that exists, with another method than those that are allowed.
pub async fn wrong_method(request: HttpRequest, allowed: &'static str) -> HttpResponse {
    let message = format!("{} is not allowed for {}", request.method(), request.path());
    let mut response = error(&request, &GatewayError::new(Cause::WrongMethod, message));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// For a path that does not exist.
pub async fn unknown_path(request: HttpRequest) -> HttpResponse {
    error(
        &request,
        &GatewayError::new(
            Cause::UnknownPath,
            "Not found: this gateway serves /v1/messages, /v1/messages/count_tokens and /v1/models",
        ),
    )
}
