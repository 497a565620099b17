//! `GET /metrics`: the exposition format, behind the bearer guard.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use super::{App, reply};
use crate::error::{Cause, GatewayError};
use crate::metrics::actor::{Collect, Render};

/// What Prometheus wants to see, to the letter: version 3 refuses a scrape without it.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that has been observed until now.
pub async fn scrape(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    if !app.is_operator(&request) {
        let message = "metrics need the bearer token that is set by METRICS_TOKEN, or a key with role admin";
        return reply::operators_only(&request, message);
    }
    let rendered = match app.metrics.send(Collect).await {
        Ok(()) => app.metrics.send(Render).await,
        Err(error) => Err(error),
    };
    match rendered {
        Ok(text) => HttpResponse::Ok().insert_header((header::CONTENT_TYPE, CONTENT_TYPE)).body(text),
        Err(_) => reply::error(&request, &GatewayError::new(Cause::Internal, "the metrics actor does not answer")),
    }
}
