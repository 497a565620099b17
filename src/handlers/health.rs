//! `GET /`, `GET /healthz`, `GET /readyz`: for people, for container health checks, for deploys. No key needed.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::{App, reply};
use crate::catalog::ProviderId;
use crate::config::OWN_NAME;
use crate::dispatch::Dispatcher;
use crate::providers::circuit::{Reading, State};

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
    /// Those that are not closed: models that are left alone because they keep failing.
    circuits: Vec<Circuit<'a>>,
}

#[derive(Serialize)]
struct Circuit<'a> {
    provider: &'a str,
    model: String,
    state: &'static str,
}

/// The process can serve: it is not about to stop, and at least one provider has its key. A provider that fails is
/// shown, but a new process would not cure it.
pub async fn ready(app: web::Data<App>) -> HttpResponse {
    let catalog = &app.dispatcher.catalog;
    let (status, mut response) = match (app.is_draining(), catalog.any_usable()) {
        (true, _) => ("draining", HttpResponse::ServiceUnavailable()),
        (false, false) => ("no provider has its key", HttpResponse::ServiceUnavailable()),
        (false, true) => ("ready", HttpResponse::Ok()),
    };
    let state = |id| if catalog.is_usable(id) { "ready" } else { "no key" };
    let providers = (0u16..).map(ProviderId).zip(catalog.providers()).map(|(id, name)| (name, state(id)));
    response.json(Readiness { status, providers: providers.collect(), circuits: circuits(&app.dispatcher) })
}

fn circuits(dispatcher: &Dispatcher) -> Vec<Circuit<'_>> {
    let mut readings = dispatcher.providers.circuits().readings();
    readings.retain(|reading| reading.state != State::Closed);
    readings.sort_by_key(|reading| (reading.provider.0, reading.model.0));
    let circuit = |reading: Reading| Circuit {
        provider: dispatcher.catalog.provider_name(reading.provider),
        model: dispatcher.catalog.label(reading.model),
        state: reading.state.as_str(),
    };
    readings.into_iter().map(circuit).collect()
}
