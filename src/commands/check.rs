//! `gatewayz check`

use std::path::Path;

use super::Outcome;
use crate::config::load::load;
use crate::config::secrets::{Environment, Secrets};
use crate::config::{Route, Settings};
use crate::startup::{outfit, report};

/// Shows what was understood; fails when there is a mistake.
pub fn run(config: Option<&Path>, environment: &Environment) -> Outcome {
    let loaded = load(config, environment)?;
    // What is found only on the way to serving: files that cannot be read.
    let (catalog, _) = outfit(&loaded.settings, &loaded.secrets)?;
    report(&loaded.settings, &catalog);
    let layers: Vec<String> = loaded.layers.iter().map(ToString::to_string).collect();
    println!("# read from: {}", layers.join(" < "));
    print!("{}", described(&loaded.settings, &loaded.secrets)?);
    Ok(())
}

/// The settings as they are in force, without anything secret.
fn described(settings: &Settings, secrets: &Secrets) -> Result<String, serde_json::Error> {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    let mut whole = serde_json::to_value(settings)?;
    if let Some(url) = whole["limits"]["redis_url"].as_str() {
        whole["limits"]["redis_url"] = Secrets::masked(&url.into()).into();
    }
    for section in ["server", "auth", "limits", "metrics", "stream", "translation", "retry"] {
        line(format!("\n[{section}]"));
        for (key, value) in whole[section].as_object().into_iter().flatten().filter(|(key, _)| *key != "keys") {
            line(format!("{key} = {value}"));
        }
    }
    for key in whole["auth"]["keys"].as_array().into_iter().flatten() {
        line("\n[[auth.keys]]".into());
        for (field, value) in key.as_object().into_iter().flatten().filter(|(field, _)| *field != "limits") {
            line(format!("{field} = {value}"));
        }
        for (limit, value) in key["limits"].as_object().into_iter().flatten() {
            line(format!("limits.{limit} = {value}"));
        }
    }
    line("\n# secrets".into());
    line(format!("# GATEWAYZ_API_KEYS: {}", listed(secrets.client_keys.iter().map(Secrets::masked))));
    line(format!("# METRICS_TOKEN: {}", listed(secrets.metrics_token.iter().map(Secrets::masked))));
    line(format!("# GATEWAYZ_SIGNATURE_KEY: {}", listed(secrets.signature_key.iter().map(Secrets::masked))));
    line(format!("# REDIS_URL: {}", listed(secrets.redis_url.iter().map(Secrets::masked))));
    for (provider, values) in settings.providers.iter().zip(whole["providers"].as_array().into_iter().flatten()) {
        line("\n[[providers]]".into());
        line(format!("name = {:?}", provider.name));
        line(format!("dialect = {:?}", provider.dialect));
        line(format!("base_url = {:?}", provider.base_url));
        if let Some(variable) = &provider.api_key_env {
            let key = secrets.provider_keys.get(&provider.name);
            let state = key.map_or_else(|| "not set: its routes are off".to_owned(), Secrets::masked);
            line(format!("api_key_env = {variable:?}  # {state}"));
        }
        for key in [
            "connect_timeout",
            "first_byte_timeout",
            "idle_timeout",
            "total_timeout",
            "max_concurrent",
            "max_queue",
            "queue_timeout",
        ] {
            line(format!("{key} = {}", values[key]));
        }
        for (key, value) in values["breaker"].as_object().into_iter().flatten() {
            line(format!("breaker.{key} = {value}"));
        }
        if let Some(path) = &provider.ca_file {
            line(format!("ca_file = {path:?}"));
        }
        for (field, value) in &provider.dialect_overrides {
            line(format!("dialect_overrides.{field} = {value}"));
        }
        let names: Vec<&String> = provider.extra_headers.keys().collect();
        if !names.is_empty() {
            line(format!("# extra_headers: {names:?}"));
        }
        let names: Vec<&String> = provider.extra_body.keys().collect();
        if !names.is_empty() {
            line(format!("# extra_body: {names:?}"));
        }
    }
    line(format!("\n# {} models", settings.models.len()));
    for model in &settings.models {
        let routes: Vec<String> = model.routes.iter().map(route).collect();
        line(format!("# {} -> {}", model.id, routes.join(", ")));
    }
    Ok(out)
}

fn route(route: &Route) -> String {
    let Route { provider, model, weight } = route;
    weight.map_or_else(|| format!("{provider} {model}"), |weight| format!("{provider} {model} (weight {weight})"))
}

fn listed(values: impl Iterator<Item = String>) -> String {
    let values: Vec<String> = values.collect();
    if values.is_empty() { "not set".to_owned() } else { values.join(", ") }
}
