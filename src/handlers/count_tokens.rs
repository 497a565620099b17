//! `POST /v1/messages/count_tokens`: counted here, no provider is asked.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::{App, reply};
use crate::auth::Key;
use crate::catalog::Catalog;
use crate::dispatch::{forbidden_model, unknown_model};
use crate::error::{Cause, GatewayError};
use crate::metrics::observation::Rejection;
use crate::tokens;
use crate::translate::invalid::Invalid;
use crate::translate::{parse, validate};

#[derive(Serialize)]
struct TokenCount {
    input_tokens: u64,
}

/// Counts the input tokens of a request.
pub async fn count(request: HttpRequest, payload: web::Payload, app: web::Data<App>) -> HttpResponse {
    let admission = match app.admit(&request) {
        Ok(admission) => admission,
        Err(error) => return reply::error(&request, &error),
    };
    let response = match answer(&request, payload, &app, admission.client.clone()).await {
        Ok(input_tokens) => reply::json(&TokenCount { input_tokens }),
        Err(error) => reply::error(&request, &error),
    };
    admission.until_end(response)
}

async fn answer(
    request: &HttpRequest,
    payload: web::Payload,
    app: &App,
    client: Arc<Key>,
) -> Result<u64, GatewayError> {
    let body = app.read_body(request, payload).await?;
    let catalog = app.dispatcher.catalog.clone();
    // Away from the worker: streams on this thread must not wait until a long prompt is counted.
    let _room = app.counting.acquire().await;
    let counted = web::block(move || count_body(&body, &catalog, &client)).await;
    let counted = counted.map_err(|_| GatewayError::new(Cause::Internal, "the tokens could not be counted"))?;
    counted.map_err(|(reason, error)| {
        app.reject(reason);
        error
    })
}

fn count_body(body: &[u8], catalog: &Catalog, client: &Key) -> Result<u64, (Rejection, GatewayError)> {
    let invalid = |invalid: Invalid| (Rejection::Validation, invalid.into());
    let parsed = parse::request(body).map_err(invalid)?;
    validate::count_tokens(&parsed).map_err(invalid)?;
    if !catalog.has(&parsed.model) {
        return Err((Rejection::UnknownModel, unknown_model(&parsed.model)));
    }
    if !client.may_use(&parsed.model) {
        return Err((Rejection::Permission, forbidden_model(&parsed.model)));
    }
    Ok(tokens::count_request(&parsed))
}
