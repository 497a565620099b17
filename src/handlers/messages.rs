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
    let turned_away = |error: GatewayError| {
        log_turned_away(&request_id::of(&request), &error);
        reply::error(&request, &error)
    };
    let admission = match app.admit(&request) {
        Ok(admission) => admission,
        Err(error) => return turned_away(error),
    };
    let response = match app.read_body(&request, payload).await {
        Ok(body) => {
            let client = admission.client.clone();
            let inbound = Inbound { body, client, request_id: request_id::of(&request), received: Instant::now() };
            answer(&app, inbound).await.unwrap_or_else(|error| reply::error(&request, &error))
        }
        Err(error) => turned_away(error),
    };
    admission.until_end(response)
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
