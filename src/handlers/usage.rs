//! `GET /admin/usage`: what each key has used today and this month.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::{App, reply};
use crate::catalog::Catalog;
use crate::limits::meter::{Ledger, Period, Used};
use crate::limits::shared::ByModel;

#[derive(Serialize)]
struct Usage {
    /// Whether these are the figures of all replicas, or of this process alone.
    shared: bool,
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
    let ledgers = app.meters.ledgers();
    let periods = shared(&app, &ledgers).await;
    let shared = periods.is_some();
    let catalog = &app.dispatcher.catalog;
    let own = |ledger: &Ledger| (by_model(catalog, &ledger.day), by_model(catalog, &ledger.month));
    let periods = periods.unwrap_or_else(|| ledgers.iter().map(|(_, ledger)| own(ledger)).collect());
    let keys = ledgers.into_iter().zip(periods).map(|((key, ledger), (day, month))| OfKey {
        key,
        day: of_period(ledger.day.name, day),
        month: of_period(ledger.month.name, month),
    });
    reply::json(&Usage { shared, keys: keys.collect() })
}

/// What the keys have used over all replicas; none where that is not known.
async fn shared(app: &App, ledgers: &[(String, Ledger)]) -> Option<Vec<(ByModel, ByModel)>> {
    let (_, today) = ledgers.first()?;
    let keys = ledgers.iter().map(|(key, _)| key.clone()).collect();
    app.meters.shared()?.usage(keys, today.day.name.clone(), today.month.name.clone()).await
}

fn by_model(catalog: &Catalog, period: &Period) -> ByModel {
    period.models.iter().map(|(label, used)| (catalog.label(*label), *used)).collect()
}

fn of_period(period: String, models: ByModel) -> OfPeriod {
    let mut total = Used::default();
    models.values().for_each(|used| total += *used);
    let models = models.into_iter().map(|(model, used)| (model, Counts::from(used))).collect();
    OfPeriod { period, total: total.into(), models }
}
