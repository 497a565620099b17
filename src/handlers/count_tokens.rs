//! `POST /v1/messages/count_tokens`: counted here, no provider is asked.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::{App, reply};
use crate::dispatch::unknown_model;
use crate::error::GatewayError;
use crate::metrics::observation::Rejection;
use crate::tokens;
use crate::translate::{parse, validate};

#[derive(Serialize)]
struct TokenCount {
    input_tokens: u64,
}

/// Estimates the input tokens of a request.
pub async fn count(request: HttpRequest, payload: web::Payload, app: web::Data<App>) -> HttpResponse {
    match answer(&request, payload, &app).await {
        Ok(input_tokens) => reply::json(&TokenCount { input_tokens }),
        Err(error) => reply::error(&request, &error),
    }
}

async fn answer(request: &HttpRequest, payload: web::Payload, app: &App) -> Result<u64, GatewayError> {
    app.authenticate(request)?;
    app.accept_work()?;
    let body = app.read_body(request, payload).await?;
    let invalid = |_: &_| app.reject(Rejection::Validation);
    let parsed = parse::request(&body).inspect_err(invalid)?;
    if app.dispatcher.catalog.resolve(&parsed.model).is_none() {
        app.reject(Rejection::UnknownModel);
        return Err(unknown_model(&parsed.model));
    }
    validate::count_tokens(&parsed).inspect_err(invalid)?;
    Ok(tokens::estimate_request(&parsed))
}
