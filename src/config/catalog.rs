//! Who answers, and the models that clients can ask for: the entries of lists, which bring their defaults with them.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::mistake::without_value;
use crate::translate::dialect::Dialect;

/// A service that answers chat completions.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its name in routes, metrics and logs.
    pub name: String,
    /// `openrouter`, `featherless`, `openai` or `generic`.
    pub dialect: String,
    /// Fields of the dialect that are different for this provider.
    #[serde(default)]
    pub dialect_overrides: Map<String, Value>,
    /// What stands before `/chat/completions`.
    pub base_url: String,
    /// The environment variable that holds the key. Absent: no key is sent.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// For name resolution and connection, and once more for TLS.
    #[serde(with = "humantime_serde", default = "defaults::connect_timeout")]
    pub connect_timeout: Duration,
    /// Until the head of the answer.
    #[serde(with = "humantime_serde", default = "defaults::provider_timeout")]
    pub first_byte_timeout: Duration,
    /// The longest silence in an answer.
    #[serde(with = "humantime_serde", default = "defaults::provider_timeout")]
    pub idle_timeout: Duration,
    /// For one request with this provider: all its attempts, their answers to the end, and the pauses between.
    #[serde(with = "humantime_serde", default = "defaults::total_timeout")]
    pub total_timeout: Duration,
    /// The most calls at once, over all workers; 0 for no bound.
    #[serde(default)]
    pub max_concurrent: usize,
    /// The most requests that wait for one of these calls to end.
    #[serde(default = "defaults::max_queue")]
    pub max_queue: usize,
    /// How long they wait.
    #[serde(with = "humantime_serde", default = "defaults::queue_timeout")]
    pub queue_timeout: Duration,
    /// When a model of this provider that keeps failing is left alone for a while.
    #[serde(default)]
    pub breaker: Breaker,
    /// PEM file with roots to trust besides Mozilla's, for private providers.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Sent with every request.
    #[serde(default)]
    pub extra_headers: BTreeMap<String, String>,
    /// Added to every request body; its keys win.
    #[serde(default)]
    pub extra_body: Map<String, Value>,
}

// Extra headers and fields may hold keys.
impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("name", &self.name).field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// A circuit breaker, for each model of a provider.
///
/// It opens when so many of the calls of the last `window` failed, or as many as `min_requests` one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// Fewer calls than this prove nothing.
    pub min_requests: u32,
    /// The share of failures, more than 0 and at most 1.
    pub error_ratio: f64,
    /// For so long nothing is sent; then one call at a time, until one succeeds.
    #[serde(with = "humantime_serde")]
    pub open_for: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker {
            window: Duration::from_secs(30),
            min_requests: 10,
            error_ratio: 0.5,
            open_for: Duration::from_secs(15),
        }
    }
}

impl Provider {
    /// Its dialect, overrides applied. The error names keys and problems.
    pub fn resolved_dialect(&self) -> Result<Dialect, Vec<(String, String)>> {
        let named = Dialect::named(&self.dialect).ok_or_else(|| {
            vec![("dialect".to_owned(), format!("{:?} is none of {}", self.dialect, Dialect::NAMES.join(", ")))]
        })?;
        in_overrides(named.overridden(&self.dialect_overrides))
    }
}

impl Model {
    /// The dialect of one of its providers, with the model's own overrides applied. The error names keys and problems.
    pub fn resolved_dialect(&self, provider: &Provider) -> Result<Dialect, Vec<(String, String)>> {
        in_overrides(provider.resolved_dialect()?.overridden(&self.dialect_overrides))
    }
}

fn in_overrides(dialect: Result<Dialect, Vec<(String, String)>>) -> Result<Dialect, Vec<(String, String)>> {
    let in_overrides =
        |(field, problem): (String, String)| (format!("dialect_overrides.{field}"), without_value(&problem));
    dialect.map_err(|problems| problems.into_iter().map(in_overrides).collect())
}

/// A model that clients can ask for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What clients ask for, and the metric label. `gpt-*` and `*` take ids that no entry names.
    pub id: String,
    #[serde(default)]
    pub display_name: Option<String>,
    /// RFC 3339; the epoch when absent.
    #[serde(default)]
    pub created_at: Option<String>,
    /// Context, in tokens.
    #[serde(default)]
    pub max_input_tokens: Option<u64>,
    /// Output, in tokens: shown to clients, and the cap of what is asked of the provider.
    #[serde(default)]
    pub max_tokens: Option<u64>,
    /// In the order in which they are tried; see [`Route::weight`].
    pub routes: Vec<Route>,
    /// Fields of the provider's dialect that are different for this model.
    #[serde(default)]
    pub dialect_overrides: Map<String, Value>,
    #[serde(default)]
    pub price: Option<Price>,
}

/// A provider, and what it calls the model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub provider: String,
    /// The provider's id; `*` is the id as asked.
    pub model: String,
    /// Routes with a weight that stand next to each other share a place: which of them is asked first is drawn by
    /// weight. A route without one has its place for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<NonZeroU32>,
}

/// US dollars per million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub input: f64,
    pub output: f64,
    #[serde(default)]
    pub cache_read: f64,
    #[serde(default)]
    pub cache_write: f64,
}

/// Of the settings of a list's entries, which no section of the default file can hold.
mod defaults {
    use std::time::Duration;

    pub fn connect_timeout() -> Duration {
        Duration::from_secs(5)
    }

    pub fn provider_timeout() -> Duration {
        Duration::from_secs(120)
    }

    pub fn total_timeout() -> Duration {
        Duration::from_secs(600)
    }

    pub fn max_queue() -> usize {
        100
    }

    pub fn queue_timeout() -> Duration {
        Duration::from_secs(10)
    }
}
