//! Settings: what can be configured, with meaning and units. How they are read is [`load`]'s business, what
//! must hold among them `rules`'s.
//!
//! The values of every section come from `config/default.toml`, so that a default stands in one place.
//! Secrets come from the environment only and are never part of [`Settings`].

pub mod load;
mod rules;
pub mod secrets;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::translate::dialect::Dialect;
use crate::translate::dropped::Unsupported;

/// Stands in `x-gatewayz-provider` for answers that no provider gave. No provider may be called so.
pub const OWN_NAME: &str = "gatewayz";

/// Everything that can be set, secrets apart.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub server: Server,
    pub auth: Auth,
    pub limits: Limits,
    pub metrics: Metrics,
    pub stream: Stream,
    pub translation: Translation,
    pub retry: Retry,
    #[serde(default)]
    pub providers: Vec<Provider>,
    #[serde(default)]
    pub models: Vec<Model>,
}

/// The HTTP server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The address to listen on; `::` takes IPv4 too.
    pub host: String,
    pub port: u16,
    /// Threads; 0 for one per available core.
    pub workers: usize,
    /// The largest request body.
    pub max_body: ByteSize,
    /// The most connections, over all workers.
    pub max_connections: usize,
    /// The most requests and open streams at once, over all workers; more are told to come again.
    pub max_inflight: usize,
    /// How long a client may take to send the first head on a connection. Later ones have no time of their own, which is
    /// why only clients with a key keep a connection.
    #[serde(with = "humantime_serde")]
    pub client_header_timeout: Duration,
    /// How long a client may take to send the body of its request, in all.
    #[serde(with = "humantime_serde")]
    pub client_body_timeout: Duration,
    /// A client that takes nothing of its answer for so long loses its connection.
    #[serde(with = "humantime_serde")]
    pub client_write_timeout: Duration,
    /// After SIGTERM: how long the listener stays open while new requests are turned away.
    #[serde(with = "humantime_serde")]
    pub drain_notice: Duration,
    /// How long open requests may then go on.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
}

/// Who may call. Plain keys come from `GATEWAYZ_API_KEYS`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// SHA-256 of client keys, hex, as `gatewayz keygen` prints them.
    pub key_sha256: Vec<String>,
    /// Keys that are told apart.
    #[serde(default)]
    pub keys: Vec<NamedKey>,
}

/// A key with a name of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedKey {
    /// Its name in usage, metrics and logs.
    pub name: String,
    /// SHA-256 of the key, hex, as `gatewayz keygen` prints it.
    pub sha256: String,
    #[serde(default)]
    pub role: Role,
    /// Ids that it may ask for; `gpt-*` and `*` as in the catalog.
    #[serde(default = "defaults::all_models")]
    pub models: Vec<String>,
    /// It is known and refused.
    #[serde(default)]
    pub disabled: bool,
    /// RFC 3339; refused from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    #[serde(default)]
    pub limits: KeyLimits,
}

/// What a key opens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The Messages API.
    #[default]
    Client,
    /// `/metrics` and `/admin/usage`.
    Admin,
}

/// What a key may use. What is absent has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Cache reads are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens_per_minute: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens_per_minute: Option<u64>,
    /// Requests and open streams at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_requests: Option<u64>,
    /// US dollars; days are UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_per_day: Option<f64>,
    /// US dollars; months are UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_per_month: Option<f64>,
}

/// Where the limits and the usage of keys are kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub backend: Backend,
    pub on_backend_failure: OnBackendFailure,
    /// Without a password: `REDIS_URL` is the place for one, and wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis_url: Option<String>,
}

// An address tells where to attack.
impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits { backend, on_backend_failure, redis_url: _ } = self;
        f.debug_struct("Limits")
            .field("backend", backend)
            .field("on_backend_failure", on_backend_failure)
            .finish_non_exhaustive()
    }
}

/// See [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Each process for itself, and anew at each start.
    Memory,
    /// Over all replicas that share a Redis.
    Redis,
}

/// What becomes of a request whose key has limits while Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBackendFailure {
    /// The limits hold in each process for itself.
    Allow,
    /// It is refused.
    Deny,
}

/// What is shown to Prometheus. The bearer token comes from `METRICS_TOKEN`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// The most models reached by a wildcard that get a label of their own; the rest shares `other`.
    pub max_dynamic_models: usize,
    /// Whether requests, errors, tokens and cost are shown by key too, under the names of the configuration.
    pub per_key: bool,
}

/// Streamed answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// The longest silence towards the client.
    #[serde(with = "humantime_serde")]
    pub ping_interval: Duration,
    /// How long the status of a stream stays open while the provider has sent no content.
    #[serde(with = "humantime_serde")]
    pub commit_after: Duration,
    /// The longest line of a provider's stream.
    pub max_line: ByteSize,
    /// The most that is held of one message's tool calls.
    pub max_tool_buffer: ByteSize,
}

/// Fields that a provider cannot take.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Translation {
    pub unsupported: Unsupported,
}

/// When an attempt that failed is made again with the same provider.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// For each route, the first one included; 1 for no retry.
    pub max_attempts: u32,
    /// The longest pause before the second attempt; it doubles with each one.
    #[serde(with = "humantime_serde")]
    pub base_delay: Duration,
    /// The longest pause.
    #[serde(with = "humantime_serde")]
    pub max_delay: Duration,
    /// A provider that asks for more patience than this is not waited for.
    #[serde(with = "humantime_serde")]
    pub honour_retry_after_up_to: Duration,
}

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
    let in_overrides = |(field, problem)| (format!("dialect_overrides.{field}"), problem);
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

    pub fn all_models() -> Vec<String> {
        vec!["*".to_owned()]
    }

    pub fn max_queue() -> usize {
        100
    }

    pub fn queue_timeout() -> Duration {
        Duration::from_secs(10)
    }
}
