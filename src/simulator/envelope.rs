//! What stands around every answer: its id, its time, the model's name, the usage.

use serde_json::{Value, json};

use super::answer::Answer;
use super::brain::{HIGH_HALF, LOW_HALF};
use super::request::ThinkingStyle;

/// The same for all chunks of one answer.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Counts answers; ids are made of it.
    pub serial: u64,
    /// Unix time in seconds.
    pub created: u64,
    pub model: String,
    pub style: ThinkingStyle,
    pub prompt_tokens: u64,
    pub cached_tokens: u64,
    pub include_usage: bool,
    /// Whether the fragments of several tool calls take turns.
    pub interleaved: bool,
}

impl Envelope {
    pub fn id(&self) -> String {
        format!("chatcmpl-{}", self.serial)
    }

    pub fn call_id(&self, index: usize) -> String {
        format!("call_{}_{index}", self.serial)
    }

    pub fn usage(&self, answer: &Answer) -> Value {
        let completion_tokens = answer.tokens() as u64;
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": answer.reasoning.len()},
        })
    }

    /// The fields that hold a piece of reasoning, in the style that it was asked for.
    pub fn reasoning(&self, text: &str) -> Vec<(&'static str, Value)> {
        match self.style {
            ThinkingStyle::Content => vec![("reasoning_content", json!(text))],
            ThinkingStyle::Details => {
                let detail = json!({"type": "reasoning.text", "text": text, "index": 0, "format": "unknown"});
                vec![("reasoning", json!(text)), ("reasoning_details", json!([detail]))]
            }
        }
    }
}

/// The JSON as it goes out, where the halves of an emoji become its two escapes.
pub fn written(value: &Value) -> String {
    let text = value.to_string();
    if text.contains([HIGH_HALF, LOW_HALF]) {
        return text.replace(HIGH_HALF, "\\ud83d").replace(LOW_HALF, "\\ude00");
    }
    text
}
