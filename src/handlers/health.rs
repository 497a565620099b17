//! `GET /`, `GET /healthz`, `GET /readyz`: for people, for container health checks, for deploys. No key needed.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::{App, reply};
use crate::catalog::ProviderId;
use crate::config::OWN_NAME;

#[derive(Serialize)]
struct About {
    name: &'static str,
    version: &'static str,
    endpoints: &'static [&'static str],
}

/// What this is.
pub async fn root() -> HttpResponse {
    reply::json(&About {
        name: OWN_NAME,
        version: env!("CARGO_PKG_VERSION"),
        endpoints: &[
            "POST /v1/messages",
            "POST /v1/messages/count_tokens",
            "GET /v1/models",
            "GET /v1/models/{id}",
            "GET /healthz",
            "GET /readyz",
            "GET /metrics",
        ],
    })
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// The process is alive.
pub async fn alive() -> HttpResponse {
    reply::json(&Health { status: "ok" })
}

#[derive(Serialize)]
struct Readiness<'a> {
    status: &'static str,
    providers: BTreeMap<&'a str, &'static str>,
}

/// The process can serve: it is not about to stop, and at least one provider has its key.
pub async fn ready(app: web::Data<App>) -> HttpResponse {
    let catalog = &app.dispatcher.catalog;
    let (status, mut response) = match (app.is_draining(), catalog.any_usable()) {
        (true, _) => ("draining", HttpResponse::ServiceUnavailable()),
        (false, false) => ("no provider has its key", HttpResponse::ServiceUnavailable()),
        (false, true) => ("ready", HttpResponse::Ok()),
    };
    let state = |id| if catalog.is_usable(id) { "ready" } else { "no key" };
    let providers = (0u16..).map(ProviderId).zip(catalog.providers()).map(|(id, name)| (name.as_str(), state(id)));
    response.json(Readiness { status, providers: providers.collect() })
}
