//! `GET /admin/usage`: what each key has used today and this month.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::{App, reply};
use crate::catalog::Catalog;
use crate::limits::meter::{Period, Used};

#[derive(Serialize)]
struct Usage {
    keys: Vec<OfKey>,
}

#[derive(Serialize)]
struct OfKey {
    key: String,
    day: OfPeriod,
    month: OfPeriod,
}

#[derive(Serialize)]
struct OfPeriod {
    /// UTC, as in RFC 3339.
    period: String,
    total: Counts,
    models: BTreeMap<String, Counts>,
}

#[derive(Serialize)]
struct Counts {
    requests: u64,
    errors: u64,
    input_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
    output_tokens: u64,
    cost_usd: f64,
}

impl From<Used> for Counts {
    fn from(used: Used) -> Self {
        Counts {
            requests: used.requests,
            errors: used.errors,
            input_tokens: used.input_tokens,
            cache_read_tokens: used.cache_read_tokens,
            cache_write_tokens: used.cache_write_tokens,
            output_tokens: used.output_tokens,
            cost_usd: used.cost,
        }
    }
}

/// For operators.
pub async fn show(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    if !app.is_operator(&request) {
        return reply::operators_only(&request, "usage needs a key with role admin, or the bearer token METRICS_TOKEN");
    }
    let catalog = &app.dispatcher.catalog;
    let ledgers = app.meters.ledgers().into_iter();
    let keys = ledgers.map(|(key, ledger)| OfKey {
        key,
        day: of_period(catalog, ledger.day),
        month: of_period(catalog, ledger.month),
    });
    reply::json(&Usage { keys: keys.collect() })
}

fn of_period(catalog: &Catalog, period: Period) -> OfPeriod {
    let mut total = Used::default();
    period.models.values().for_each(|used| total += *used);
    let models = period.models.into_iter().map(|(label, used)| (catalog.label(label), Counts::from(used)));
    OfPeriod { period: period.name, total: total.into(), models: models.collect() }
}
