//! Who may call, and what each may use.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who may call. Plain keys come from `GATEWAYZ_API_KEYS`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// SHA-256 of client keys, hex, as `gatewayz keygen` prints them.
    pub key_sha256: Vec<String>,
    /// Keys that are told apart.
    #[serde(default)]
    pub keys: Vec<NamedKey>,
}

// Hashes are no secrets, but they say nothing to whoever reads a log either.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.keys.iter().map(|key| key.name.as_str()).collect();
        f.debug_struct("Auth").field("keys", &names).finish_non_exhaustive()
    }
}

/// A key with a name of its own.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedKey {
    /// Its name in usage, metrics and logs.
    pub name: String,
    /// SHA-256 of the key, hex, as `gatewayz keygen` prints it.
    pub sha256: String,
    #[serde(default)]
    pub role: Role,
    /// Ids that it may ask for; `gpt-*` and `*` as in the catalog.
    #[serde(default = "all_models")]
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

impl fmt::Debug for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedKey").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
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
    /// Counted when an answer has ended, whatever `max_tokens` it asked for: answers in flight may overdraw it, and later
    /// requests wait until that is made good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens_per_minute: Option<u64>,
    /// Requests and open streams at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_requests: Option<u64>,
    /// US dollars; days are UTC. What requests in flight are expected to cost is held meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_per_day: Option<f64>,
    /// US dollars; months are UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_per_month: Option<f64>,
}

impl KeyLimits {
    /// What refills, each for a minute: requests, input tokens, output tokens.
    pub fn per_minute(&self) -> [Option<u64>; 3] {
        [self.requests_per_minute, self.input_tokens_per_minute, self.output_tokens_per_minute]
    }

    /// Whether what it spends is bounded.
    pub fn has_budget(&self) -> bool {
        self.usd_per_day.is_some() || self.usd_per_month.is_some()
    }
}

fn all_models() -> Vec<String> {
    vec!["*".to_owned()]
}
