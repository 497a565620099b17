//! What must hold among settings that are right one by one: names that exist, addresses that can be called.

use std::collections::BTreeSet;

use super::{OWN_NAME, Provider, Settings};

type Mistake = (String, String);

/// All that does not hold, as key and problem.
pub fn mistakes(settings: &Settings) -> Vec<Mistake> {
    let mut found = Vec::new();
    let mut say = |key: String, problem: String| found.push((key, problem));
    if settings.server.host.parse::<std::net::IpAddr>().is_err() {
        say("server.host".into(), format!("{:?} is no IP address", settings.server.host));
    }
    for (at, digest) in settings.auth.key_sha256.iter().enumerate() {
        if !is_digest(digest) {
            say(format!("auth.key_sha256[{at}]"), NO_DIGEST.into());
        }
    }
    key_mistakes(settings, &mut say);
    if let Some(url) = &settings.limits.redis_url {
        // Not repeated: it may hold a password all the same.
        match redis::parse_redis_url(url) {
            Some(url) if url.password().is_none() => {}
            Some(_) => say("limits.redis_url".into(), "must hold no password; set the variable REDIS_URL".into()),
            None => say("limits.redis_url".into(), "is no redis:// or rediss:// URL".into()),
        }
    }
    for (name, most) in
        [("max_connections", settings.server.max_connections), ("max_inflight", settings.server.max_inflight)]
    {
        if most == 0 {
            say(format!("server.{name}"), "must be at least 1".into());
        }
    }
    for (name, duration) in [
        ("client_header_timeout", settings.server.client_header_timeout),
        ("client_body_timeout", settings.server.client_body_timeout),
        ("client_write_timeout", settings.server.client_write_timeout),
    ] {
        // The kernel counts milliseconds, and takes 0 for its own default.
        if duration.as_millis() == 0 {
            say(format!("server.{name}"), "must be at least 1ms".into());
        }
    }
    for (name, duration) in
        [("ping_interval", settings.stream.ping_interval), ("commit_after", settings.stream.commit_after)]
    {
        if duration.is_zero() {
            say(format!("stream.{name}"), "must be longer than 0".into());
        }
    }
    if settings.retry.max_attempts == 0 {
        say("retry.max_attempts".into(), "must be at least 1, which is no retry".into());
    }
    let mut names = BTreeSet::new();
    for (at, provider) in settings.providers.iter().enumerate() {
        let key = |field: &str| format!("providers[{at}].{field}");
        if !is_name(&provider.name) {
            say(key("name"), format!("{:?} {NO_NAME}", provider.name));
        } else if provider.name == OWN_NAME {
            say(key("name"), format!("{OWN_NAME:?} means the gateway itself"));
        } else if !names.insert(provider.name.as_str()) {
            say(key("name"), format!("{:?} is the name of another provider too", provider.name));
        }
        provider_mistakes(provider, &key, &mut say);
    }
    let mut ids = BTreeSet::new();
    for (at, model) in settings.models.iter().enumerate() {
        let key = |field: &str| format!("models[{at}].{field}");
        if model.id.is_empty() || model.id.trim_end_matches('*').contains('*') || model.id.ends_with("**") {
            say(key("id"), format!("{:?}: a * may stand at the end only, once", model.id));
        }
        if !ids.insert(model.id.as_str()) {
            say(key("id"), format!("{:?} is the id of another model too", model.id));
        }
        if model.routes.is_empty() {
            say(key("routes"), "a model needs at least one route".into());
        }
        if model.max_tokens == Some(0) {
            say(key("max_tokens"), "must be at least 1".into());
        }
        for (place, route) in model.routes.iter().enumerate() {
            match settings.providers.iter().find(|provider| provider.name == route.provider) {
                Some(provider) => {
                    let own = provider.resolved_dialect().is_ok().then(|| model.resolved_dialect(provider));
                    for (field, problem) in own.and_then(Result::err).into_iter().flatten() {
                        say(key(&field), problem);
                    }
                }
                None => {
                    let known: Vec<&str> = settings.providers.iter().map(|provider| provider.name.as_str()).collect();
                    say(
                        key(&format!("routes[{place}].provider")),
                        format!("no provider is called {:?}; there is {}", route.provider, known.join(", ")),
                    );
                }
            }
            if route.model.is_empty() {
                say(key(&format!("routes[{place}].model")), "must not be empty".into());
            }
        }
        if let Some(created_at) = &model.created_at
            && humantime::parse_rfc3339(created_at).is_err()
        {
            say(key("created_at"), format!("{created_at:?} is no RFC 3339 time in UTC, like 2025-09-29T00:00:00Z"));
        }
    }
    found
}

const NO_DIGEST: &str = "not a SHA-256 in 64 hex digits (see `gatewayz keygen`)";

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// No value is repeated: it may be the key itself, in the wrong place.
fn key_mistakes(settings: &Settings, say: &mut impl FnMut(String, String)) {
    let mut names = BTreeSet::new();
    let mut digests: BTreeSet<String> = settings.auth.key_sha256.iter().map(|hex| hex.to_lowercase()).collect();
    for (at, named) in settings.auth.keys.iter().enumerate() {
        let key = |field: &str| format!("auth.keys[{at}].{field}");
        if !is_name(&named.name) {
            say(key("name"), NO_NAME.into());
        } else if !names.insert(named.name.as_str()) {
            say(key("name"), "is the name of another key too".into());
        }
        if !is_digest(&named.sha256) {
            say(key("sha256"), NO_DIGEST.into());
        } else if !digests.insert(named.sha256.to_lowercase()) {
            say(key("sha256"), "is the hash of another key too".into());
        }
        for (place, pattern) in named.models.iter().enumerate() {
            if pattern.is_empty() || pattern.strip_suffix('*').unwrap_or(pattern).contains('*') {
                say(key(&format!("models[{place}]")), "a * may stand at the end only, once".into());
            }
        }
        if named.expires_at.as_ref().is_some_and(|at| humantime::parse_rfc3339(at).is_err()) {
            say(key("expires_at"), "is no RFC 3339 time in UTC, like 2027-01-01T00:00:00Z".into());
        }
        let limits = &named.limits;
        for (name, limit) in [
            ("requests_per_minute", limits.requests_per_minute),
            ("input_tokens_per_minute", limits.input_tokens_per_minute),
            ("output_tokens_per_minute", limits.output_tokens_per_minute),
            ("concurrent_requests", limits.concurrent_requests),
        ] {
            if limit == Some(0) {
                say(key(&format!("limits.{name}")), "must be at least 1; `disabled = true` turns a key off".into());
            }
        }
        for (name, budget) in [("usd_per_day", limits.usd_per_day), ("usd_per_month", limits.usd_per_month)] {
            if budget.is_some_and(|budget| budget.is_nan() || budget < 0.0) {
                say(key(&format!("limits.{name}")), "must not be below 0".into());
            }
        }
    }
}

fn provider_mistakes(provider: &Provider, key: &dyn Fn(&str) -> String, say: &mut impl FnMut(String, String)) {
    for (field, problem) in provider.resolved_dialect().err().into_iter().flatten() {
        say(key(&field), problem);
    }
    let is_variable = |name: &String| {
        name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
            && name.starts_with(|first: char| first.is_ascii_uppercase() || first == '_')
    };
    if provider.api_key_env.as_ref().is_some_and(|name| !is_variable(name)) {
        // Not repeated: it may be the key itself.
        say(key("api_key_env"), "is no name of a variable (A-Z, 0-9, _); the key itself goes into the variable".into());
    }
    match provider.base_url.parse::<awc::http::Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some() => {
            if uri.query().is_some() {
                say(key("base_url"), "must have no query".into());
            }
            if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
                say(key("base_url"), "must hold no user or password; use api_key_env".into());
            }
        }
        _ => say(key("base_url"), "is no http or https URL".into()),
    }
    for (name, timeout) in [
        ("connect_timeout", provider.connect_timeout),
        ("first_byte_timeout", provider.first_byte_timeout),
        ("idle_timeout", provider.idle_timeout),
        ("total_timeout", provider.total_timeout),
        ("queue_timeout", provider.queue_timeout),
        ("breaker.window", provider.breaker.window),
        ("breaker.open_for", provider.breaker.open_for),
    ] {
        if timeout.is_zero() {
            say(key(name), "must be longer than 0".into());
        }
    }
    if provider.breaker.min_requests == 0 {
        say(key("breaker.min_requests"), "must be at least 1".into());
    }
    if !(provider.breaker.error_ratio > 0.0 && provider.breaker.error_ratio <= 1.0) {
        say(key("breaker.error_ratio"), "must be more than 0 and at most 1".into());
    }
    for (name, value) in &provider.extra_headers {
        let fits = name.parse::<awc::http::header::HeaderName>().is_ok()
            && value.parse::<awc::http::header::HeaderValue>().is_ok();
        if !fits {
            say(key(&format!("extra_headers.{name}")), "is no HTTP header".into());
        } else if OF_THE_EXCHANGE.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            say(key(&format!("extra_headers.{name}")), "belongs to the connection, and is set by the gateway".into());
        }
    }
}

/// Headers that say how a request is framed and what becomes of its connection.
const OF_THE_EXCHANGE: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What is wrong with a text that is no name.
pub const NO_NAME: &str = "is no name: letters, digits, - and _ only";

/// Whether keys and providers may be called so.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
