//! The mark that asks for a prompt to be cached up to here: the one shape that is the same on both sides.

use serde::{Deserialize, Serialize};

use super::text::Text;

/// `{"type": "ephemeral", "ttl": "5m" | "1h"}`. Whatever else a client puts into it is not sent on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheControl<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Text<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Text<'a>>,
}
