//! Settings: what can be configured, with meaning and units. How they are read is [`load`]'s business, what
//! must hold among them `rules`'s.
//!
//! The values of every section come from `config/default.toml`, so that a default stands in one place.
//! Secrets come from the environment only and are never part of [`Settings`].

mod catalog;
pub mod file;
mod keys;
mod layer;
pub mod load;
mod mistake;
mod reading;
pub mod rules;
pub mod secrets;

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

pub use self::catalog::{Breaker, Model, Price, Provider, Route};
pub use self::keys::{Auth, KeyLimits, NamedKey, Role};
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
