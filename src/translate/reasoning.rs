//! Thinking, both ways: what a provider reasoned becomes a signed block, and a signed block that comes
//! back becomes what that provider needs.
//!
//! Anthropic's clients return thinking blocks untouched and judge them by their signature. Ours carries
//! the provider's own reasoning details and is authenticated, so that nothing a client makes up is ever
//! sent as a model's reasoning.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Marks a signature as ours, and its version.
const PREFIX: &str = "gwz1.";

/// Signs thinking blocks and recognises them when they return.
pub struct Signer {
    key: [u8; 32],
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

/// What a signature carries.
#[derive(Serialize, Deserialize)]
struct Payload {
    /// SHA-256 of the thinking text as the client has it, hex.
    digest: String,
    details: Vec<Box<RawValue>>,
    /// The thinking text, where the client was not shown it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    hidden: String,
}

/// A block of ours that came back unaltered.
#[derive(Debug)]
pub struct Opened {
    pub text: String,
    /// The provider's reasoning details, as they came.
    details: Vec<Box<RawValue>>,
}

impl Opened {
    /// The provider's reasoning details; where it gave none, its text as one.
    pub fn into_details(self) -> Vec<Box<RawValue>> {
        if self.details.is_empty() && !self.text.is_empty() {
            let detail = serde_json::json!({"type": "reasoning.text", "text": self.text});
            return serde_json::value::to_raw_value(&detail).into_iter().collect();
        }
        self.details
    }
}

impl Signer {
    /// `secret` may have any length.
    pub fn new(secret: &[u8]) -> Signer {
        Signer { key: Sha256::digest(secret).into() }
    }

    /// The signature of a block whose text has this digest. `hidden` is the text that the client did not want.
    pub fn sign(&self, text: TextDigest, hidden: String, details: Vec<Box<RawValue>>) -> String {
        let payload = Payload { digest: text.hex(), details, hidden };
        let payload = serde_json::to_vec(&payload).expect("strings and raw JSON serialize");
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let mac = URL_SAFE_NO_PAD.encode(self.mac(&payload).finalize().into_bytes());
        format!("{PREFIX}{payload}.{mac}")
    }

    /// What the block holds, if its signature is ours and belongs to this text.
    pub fn open(&self, signature: &str, thinking: &str) -> Option<Opened> {
        let (payload, mac) = signature.strip_prefix(PREFIX)?.rsplit_once('.')?;
        self.mac(payload).verify_slice(&URL_SAFE_NO_PAD.decode(mac).ok()?).ok()?;
        let payload: Payload = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        let text = if payload.hidden.is_empty() { thinking.to_owned() } else { payload.hidden };
        (payload.digest == TextDigest::of(thinking).hex()).then_some(Opened { text, details: payload.details })
    }

    fn mac(&self, payload: &str) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.key).expect("HMAC takes keys of any length").chain_update(payload)
    }
}

/// The digest of a thinking text, which a stream hands over piece by piece.
#[derive(Debug, Clone, Default)]
pub struct TextDigest(Sha256);

impl TextDigest {
    pub fn of(text: &str) -> TextDigest {
        let mut digest = TextDigest::default();
        digest.push(text);
        digest
    }

    /// Takes in the next piece.
    pub fn push(&mut self, text: &str) {
        self.0.update(text.as_bytes());
    }

    fn hex(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Puts streamed reasoning details together again: fragments with one index and type are one detail.
#[derive(Debug, Default)]
pub struct Details {
    parts: Vec<Map<String, Value>>,
    /// Bytes taken in, for the caller's bound.
    size: usize,
    /// Whether any fragment says something: some providers send empty ones with every chunk.
    says_something: bool,
}

/// The fields whose fragments are appended; in all others the last value wins.
const APPENDED: [&str; 3] = ["text", "summary", "data"];

impl Details {
    /// Takes in one detail or fragment of one. What is no object is ignored: it cannot be replayed.
    pub fn push(&mut self, raw: &RawValue) {
        let Ok(fragment) = serde_json::from_str::<Map<String, Value>>(raw.get()) else { return };
        self.size += raw.get().len();
        let says = |field: &str| fragment.get(field).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        self.says_something |= ["text", "summary", "data", "signature"].into_iter().any(says);
        let same = |part: &&mut Map<String, Value>| {
            part.get("index") == fragment.get("index") && part.get("type") == fragment.get("type")
        };
        let Some(part) = self.parts.last_mut().filter(|part| fragment.contains_key("index") && same(part)) else {
            self.parts.push(fragment);
            return;
        };
        for (key, value) in fragment {
            match (APPENDED.contains(&key.as_str()), part.get_mut(&key), value) {
                (true, Some(Value::String(text)), Value::String(more)) => text.push_str(&more),
                (_, _, Value::Null) => {}
                (_, _, value) => {
                    part.insert(key, value);
                }
            }
        }
    }

    /// Bytes of JSON taken in since the last [`Details::take`].
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether there is nothing in them that a provider could want back.
    pub fn is_empty(&self) -> bool {
        !self.says_something
    }

    /// The details so far, leaving none.
    pub fn take(&mut self) -> Vec<Box<RawValue>> {
        self.size = 0;
        self.says_something = false;
        let parts = std::mem::take(&mut self.parts);
        parts.iter().filter_map(|part| serde_json::value::to_raw_value(part).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_comes_back_with_its_details() {
        let signer = Signer::new(b"secret");
        let mut details = Details::default();
        for fragment in [
            r#"{"type":"reasoning.text","index":0,"text":"a"}"#,
            r#"{"type":"reasoning.text","index":0,"text":"b","signature":"s"}"#,
        ] {
            details.push(&RawValue::from_string(fragment.into()).unwrap());
        }
        let opened = signer.open(&signer.sign(TextDigest::of("ab"), String::new(), details.take()), "ab").unwrap();
        let detail: Value = serde_json::from_str(opened.details[0].get()).unwrap();
        assert_eq!(detail, serde_json::json!({"type": "reasoning.text", "index": 0, "text": "ab", "signature": "s"}));
        assert_eq!(opened.details.len(), 1);
    }

    #[test]
    fn foreign_and_altered_signatures_are_not_opened() {
        let signer = Signer::new(b"secret");
        let signature = signer.sign(TextDigest::of("thought"), String::new(), Vec::new());
        assert!(signer.open(&signature, "thought").is_some());
        assert!(signer.open(&signature, "another thought").is_none());
        assert!(Signer::new(b"other").open(&signature, "thought").is_none());
        assert!(signer.open("EqQBCgIYAhIM", "thought").is_none());
        assert!(signer.open(&signature[..signature.len() - 2], "thought").is_none());
        assert!(signer.open(&signature.replace("gwz1.", "gwz1.A"), "thought").is_none());
    }
}
