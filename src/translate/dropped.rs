//! What the provider could not take: said to the client and counted, or refused.

use std::collections::BTreeSet;

use super::invalid::Invalid;

/// What to do with a field that the provider cannot take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unsupported {
    /// Leave it out, and say so.
    #[default]
    Drop,
    /// Answer 400, naming the field.
    Reject,
}

/// The fields that are named in full, in the header and in the metric. Others are called `other`, since
/// their names are the client's text.
pub const KNOWN_FIELDS: [&str; 22] = [
    "betas",
    "cache_control",
    "citations",
    "compaction",
    "container",
    "context_management",
    "diagnostics",
    "fallbacks",
    "inference_geo",
    "mcp_servers",
    "metadata",
    "output_config.effort",
    "redacted_thinking",
    "server_tool_use",
    "service_tier",
    "speed",
    "stop_sequences",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "user_profile_id",
];

/// The name that every field outside [`KNOWN_FIELDS`] goes by.
pub const OTHER: &str = "other";

/// Fields of one request that are not sent on.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Dropped(BTreeSet<&'static str>);

impl Dropped {
    /// Notes a field by its path in the request.
    pub fn note(&mut self, field: &str) {
        let known = KNOWN_FIELDS.iter().find(|known| **known == field);
        self.0.insert(known.copied().unwrap_or(OTHER));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().copied()
    }

    /// Accepts the loss, or refuses the request because of it.
    pub fn settle(self, unsupported: Unsupported) -> Result<Dropped, Invalid> {
        match (unsupported, self.0.first()) {
            (Unsupported::Reject, Some(field)) => {
                Err(Invalid::new(*field, "not supported by the provider of this model"))
            }
            _ => Ok(self),
        }
    }
}
