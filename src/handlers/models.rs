//! `GET /v1/models` and `GET /v1/models/{id}`: the configured models in Anthropic's shape.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::{App, reply};
use crate::config::Model;
use crate::dispatch::unknown_model;
use crate::error::{Cause, GatewayError};

/// Anthropic's default and maximum of `limit`.
const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 1000;

#[derive(Debug, Default, Deserialize)]
struct Page {
    limit: Option<String>,
    after_id: Option<String>,
    before_id: Option<String>,
}

#[derive(Serialize)]
struct ModelInfo<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    display_name: &'a str,
    created_at: &'a str,
    lifecycle: &'static str,
    max_input_tokens: Option<u64>,
    /// Of output.
    max_tokens: Option<u64>,
}

impl<'a> From<&'a Model> for ModelInfo<'a> {
    fn from(model: &'a Model) -> Self {
        ModelInfo {
            kind: "model",
            id: &model.id,
            display_name: model.display_name.as_deref().unwrap_or(&model.id),
            created_at: model.created_at.as_deref().unwrap_or("1970-01-01T00:00:00Z"),
            lifecycle: "active",
            max_input_tokens: model.max_input_tokens,
            max_tokens: model.max_tokens,
        }
    }
}

#[derive(Serialize)]
struct ModelList<'a> {
    data: Vec<ModelInfo<'a>>,
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

/// A page of the models that the key may use.
pub async fn list(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    let answer = app.authenticate(&request).and_then(|client| {
        let (page, limit) = page(&request)?;
        let mut models = app.dispatcher.catalog.listed();
        models.retain(|model| client.may_use(&model.id));
        let (from, to, has_more) = bounds(&models, &page, limit)?;
        let data: Vec<ModelInfo<'_>> = models[from..to].iter().map(|model| ModelInfo::from(&**model)).collect();
        let ids = |model: Option<&ModelInfo<'_>>| model.map(|model| model.id.to_owned());
        let (first_id, last_id) = (ids(data.first()), ids(data.last()));
        Ok(reply::json(&ModelList { data, has_more, first_id: first_id.as_deref(), last_id: last_id.as_deref() }))
    });
    answer.unwrap_or_else(|error| reply::error(&request, &error))
}

/// One model.
pub async fn retrieve(request: HttpRequest, id: web::Path<String>, app: web::Data<App>) -> HttpResponse {
    let answer = app.authenticate(&request).and_then(|client| {
        let model = app.dispatcher.catalog.entry(&id).filter(|model| client.may_use(&model.id));
        let model = model.ok_or_else(|| unknown_model(&id))?;
        Ok(reply::json(&ModelInfo::from(&*model)))
    });
    answer.unwrap_or_else(|error| reply::error(&request, &error))
}

fn page(request: &HttpRequest) -> Result<(Page, usize), GatewayError> {
    let invalid = |message: &str| GatewayError::new(Cause::InvalidRequest, message);
    let page = web::Query::<Page>::from_query(request.query_string())
        .map_err(|_| invalid("the query cannot be read"))?
        .into_inner();
    let limit = match page.limit.as_deref().map(str::parse::<usize>) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit @ 1..=MAX_LIMIT)) => limit,
        Some(_) => return Err(invalid("limit: Input should be an integer between 1 and 1000")),
    };
    Ok((page, limit))
}

/// Start and end of the page, and whether there is more in its direction.
fn bounds(models: &[Arc<Model>], page: &Page, limit: usize) -> Result<(usize, usize, bool), GatewayError> {
    let place = |name: &str, id: &str| {
        models.iter().position(|model| model.id == id).ok_or_else(|| {
            let id: String = id.chars().take(200).collect();
            GatewayError::new(Cause::InvalidRequest, format!("{name}: no model is called {id}"))
        })
    };
    match (&page.after_id, &page.before_id) {
        (Some(_), Some(_)) => Err(GatewayError::new(Cause::InvalidRequest, "after_id: not together with before_id")),
        (None, Some(id)) => {
            let to = place("before_id", id)?;
            let from = to.saturating_sub(limit);
            Ok((from, to, from > 0))
        }
        (after, None) => {
            let from = after.as_deref().map(|id| place("after_id", id)).transpose()?.map_or(0, |at| at + 1);
            let to = models.len().min(from + limit);
            Ok((from, to, to < models.len()))
        }
    }
}
