//! `POST /v1/messages`

use std::time::Instant;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use super::{App, reply, request_id};
use crate::dispatch::relay::Head;
use crate::dispatch::{self, Inbound, log_turned_away};
use crate::error::{Cause, GatewayError};

/// Answers a conversation, whole or as a stream of events.
pub async fn create(request: HttpRequest, payload: web::Payload, app: web::Data<App>) -> HttpResponse {
    let answer = match admit(&request, payload, &app).await {
        Ok(inbound) => answer(&app, inbound).await,
        Err(error) => {
            log_turned_away(&request_id::of(&request), &error);
            Err(error)
        }
    };
    answer.unwrap_or_else(|error| reply::error(&request, &error))
}

async fn admit(request: &HttpRequest, payload: web::Payload, app: &App) -> Result<Inbound, GatewayError> {
    app.authenticate(request)?;
    app.accept_work()?;
    let body = app.read_body(request, payload).await?;
    Ok(Inbound { body, request_id: request_id::of(request), received: Instant::now() })
}

async fn answer(app: &App, inbound: Inbound) -> Result<HttpResponse, GatewayError> {
    let mut relay = dispatch::begin(app.dispatcher.clone(), inbound);
    match relay.head().await {
        Some(Head::Message { body, served }) => {
            let mut response = HttpResponse::Ok();
            reply::name_provider(&mut response, &served);
            Ok(response.content_type("application/json").body(body))
        }
        Some(Head::Stream { served }) => {
            let mut response = HttpResponse::Ok();
            reply::name_provider(&mut response, &served);
            response.insert_header((header::CONTENT_TYPE, "text/event-stream; charset=utf-8"));
            response.insert_header((header::CACHE_CONTROL, "no-cache"));
            // nginx and what is built on it would hold events back.
            response.insert_header(("x-accel-buffering", "no"));
            Ok(response.streaming(relay))
        }
        Some(Head::Failed(error)) => Err(error),
        None => Err(GatewayError::new(Cause::Internal, "the gateway ended the request without an answer")),
    }
}
