//! What must be set before the gateway serves, and what is missing though it can.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use super::Options;
use crate::catalog::{Catalog, ProviderId};
use crate::config::secrets::Secrets;
use crate::config::{Backend, Role, Settings};

/// Whether there is no key that opens the API.
pub(super) fn no_keys(settings: &Settings, secrets: &Secrets) -> bool {
    let auth = &settings.auth;
    let named = auth.keys.iter().any(|key| key.role == Role::Client);
    secrets.client_keys.is_empty() && auth.key_sha256.is_empty() && !named
}

/// Fails when anybody could call, or see the metrics, unless that is wanted.
pub(super) fn refuse_to_be_open(settings: &Settings, secrets: &Secrets, options: Options) -> io::Result<()> {
    let mut missing = Vec::new();
    if no_keys(settings, secrets) {
        missing.push("no client key: set GATEWAYZ_API_KEYS to one or more keys (`gatewayz keygen` makes one), auth.key_sha256 or [[auth.keys]]");
    }
    if secrets.metrics_token.is_none() {
        missing.push("no metrics token: set METRICS_TOKEN to a long random text");
    }
    let loopback = settings.server.host.parse::<IpAddr>().is_ok_and(|host| host.is_loopback());
    match (missing.is_empty(), options.insecure, loopback) {
        (true, _, _) | (false, true, true) => Ok(()),
        (false, true, false) => Err(io::Error::other(format!(
            "--insecure serves on loopback only, and server.host is {:?}: set GATEWAYZ__SERVER__HOST=127.0.0.1, or give keys:\n  {}",
            settings.server.host,
            missing.join("\n  ")
        ))),
        (false, false, _) => Err(io::Error::other(format!(
            "refusing to serve unguarded:\n  {}\n(for trying it out: `gatewayz demo`, or --insecure on loopback)",
            missing.join("\n  ")
        ))),
    }
}

/// Says what these settings do not do, though they can be served: providers that are off, budgets that do not last.
pub fn report(settings: &Settings, catalog: &Catalog) {
    report_missing_keys(settings, catalog);
    report_forgetful_budgets(settings);
    report_blind_budgets(settings, catalog);
}

/// Says that budgets do not last, where they do not.
fn report_forgetful_budgets(settings: &Settings) {
    let keys = settings.auth.keys.iter().filter(|key| key.limits.has_budget()).count();
    if keys > 0 && settings.limits.backend == Backend::Memory {
        log::warn!(
            "the budgets of {keys} key(s) are kept in memory: they begin anew at each start and hold for this process alone; limits.backend = \"redis\" keeps them"
        );
    }
}

/// Names the budgets that some models do not count against, since nobody tells what they cost.
fn report_blind_budgets(settings: &Settings, catalog: &Catalog) {
    let (mut keys, mut models) = (Vec::new(), BTreeSet::new());
    for key in settings.auth.keys.iter().filter(|key| key.limits.has_budget() && !key.disabled) {
        let unknown = catalog.of_unknown_cost(&key.models);
        if !unknown.is_empty() {
            keys.push(key.name.as_str());
            models.extend(unknown);
        }
    }
    if !keys.is_empty() {
        let models: Vec<String> = models.into_iter().collect();
        log::warn!(
            "the budgets of {} do not hold for models of unknown cost, which have no price and a provider that does not tell it: {}",
            keys.join(", "),
            models.join(", ")
        );
    }
}

/// Names providers and models that cannot be used.
fn report_missing_keys(settings: &Settings, catalog: &Catalog) {
    for (id, provider) in (0u16..).map(ProviderId).zip(&settings.providers) {
        if let (false, Some(variable)) = (catalog.is_usable(id), &provider.api_key_env) {
            log::warn!("provider {} is off: set {variable} to its key", provider.name);
        }
    }
    let dead = catalog.without_route();
    if !dead.is_empty() {
        log::warn!("{} model(s) have no usable route and will answer 529: {}", dead.len(), dead.join(", "));
    }
}
