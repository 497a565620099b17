//! What a provider sends: a completion, or a chunk of one.
//!
//! One type for both, since providers mix them up: some answer a streaming request with a whole
//! completion, some put `message` where `delta` belongs. Everything is optional, numbers are lenient,
//! and nothing is refused that can be understood.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::wire::json;
use crate::wire::text::{Fragment, Text};

/// A completion or a chunk.
#[derive(Debug, Default, Deserialize)]
pub struct Completion<'a> {
    #[serde(borrow, default)]
    pub id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub choices: Vec<Choice<'a>>,
    #[serde(default)]
    pub usage: Option<Usage>,
    /// OpenRouter and others: a failure inside a 200.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    /// vLLM: `"error"` marks a failure inside a 200.
    #[serde(borrow, default)]
    pub object: Option<Text<'a>>,
}

/// One alternative. Only the first is ever used.
#[derive(Debug, Default, Deserialize)]
pub struct Choice<'a> {
    #[serde(default)]
    pub index: Option<u32>,
    #[serde(borrow, default)]
    pub delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    pub message: Option<Delta<'a>>,
    #[serde(borrow, default)]
    pub finish_reason: Option<Text<'a>>,
    /// vLLM: the stop sequence that matched; a token id or null otherwise.
    #[serde(borrow, default)]
    pub stop_reason: Option<StringOrOther<'a>>,
    /// SGLang: the same.
    #[serde(borrow, default)]
    pub matched_stop: Option<StringOrOther<'a>>,
    /// OpenRouter: a failure of this choice.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}

impl<'a> Choice<'a> {
    /// What is said, wherever the provider put it. Some send both fields, one of them null.
    pub fn said(&self) -> Option<&Delta<'a>> {
        self.delta.as_ref().or(self.message.as_ref())
    }
}

/// What is said or added.
#[derive(Debug, Default, Deserialize)]
pub struct Delta<'a> {
    #[serde(borrow, default)]
    pub content: Option<Words<'a>>,
    #[serde(borrow, default)]
    pub reasoning: Option<Words<'a>>,
    #[serde(borrow, default)]
    pub reasoning_content: Option<Words<'a>>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub reasoning_details: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    pub refusal: Option<Words<'a>>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub tool_calls: Vec<ToolCallPart<'a>>,
}

/// A call, or a part of one.
#[derive(Debug, Default, Deserialize)]
pub struct ToolCallPart<'a> {
    #[serde(default)]
    pub index: Option<u32>,
    #[serde(borrow, default)]
    pub id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub function: Option<FunctionPart<'a>>,
}

/// The function of a call, or a part of it.
#[derive(Debug, Default, Deserialize)]
pub struct FunctionPart<'a> {
    #[serde(borrow, default)]
    pub name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub arguments: Option<Arguments<'a>>,
}

/// One piece of reasoning in OpenRouter's form.
#[derive(Debug, Default, Deserialize)]
pub struct ReasoningDetail<'a> {
    #[serde(borrow, default)]
    pub text: Option<Fragment<'a>>,
    #[serde(borrow, default)]
    pub summary: Option<Fragment<'a>>,
}

/// Tokens, as OpenAI counts them: `prompt_tokens` includes what came from a cache.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub struct Usage {
    #[serde(default)]
    pub prompt_tokens: Option<Count>,
    #[serde(default)]
    pub completion_tokens: Option<Count>,
    #[serde(default)]
    pub prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    pub completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for cached prompt tokens.
    #[serde(default)]
    pub prompt_cache_hit_tokens: Option<Count>,
    /// OpenRouter: US dollars for this request.
    #[serde(default)]
    pub cost: Option<f64>,
}

/// Parts of the prompt.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub struct PromptDetails {
    #[serde(default)]
    pub cached_tokens: Option<Count>,
    #[serde(default)]
    pub cache_write_tokens: Option<Count>,
}

/// Parts of the output.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub struct CompletionDetails {
    #[serde(default)]
    pub reasoning_tokens: Option<Count>,
}

/// A number of tokens: floats are rounded, negative ones are 0.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u64);

/// More tokens than any request has.
const MAX_COUNT: f64 = 1e12;

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A nonsensical figure must not overflow what is added up over the years.
        f64::deserialize(deserializer).map(|number| Count(number.clamp(0.0, MAX_COUNT).round() as u64))
    }
}

/// Text that is a string, or a list of parts of which the text ones count (Mistral, Gemini).
#[derive(Debug, Default)]
pub struct Words<'a>(pub Fragment<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Words<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By way of the raw value, since serde_json reads bytes leniently (lone surrogates) only where a string
        // is certain.
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        let fragment = match raw.as_bytes().first() {
            Some(b'"') => json::from_str(raw).map_err(de::Error::custom)?,
            Some(b'[') => {
                let parts: Vec<TextPart<'de>> = json::from_str(raw).map_err(de::Error::custom)?;
                let texts = parts.iter().filter_map(|part| part.text.as_ref());
                Fragment(Cow::Owned(texts.flat_map(|text| text.0.iter().copied()).collect()))
            }
            // Whatever it means, to pass it over would make an empty answer of it.
            _ => return Err(de::Error::custom("neither text nor a list of parts")),
        };
        Ok(Words(fragment))
    }
}

#[derive(Deserialize)]
struct TextPart<'a> {
    #[serde(borrow, default)]
    text: Option<Fragment<'a>>,
}

/// Arguments of a call: JSON in a string as specified, or the object itself (Ollama and others).
#[derive(Debug)]
pub enum Arguments<'a> {
    Json(Fragment<'a>),
    Object(&'a RawValue),
}

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('"') {
            json::from_str(raw.get()).map(Arguments::Json).map_err(de::Error::custom)
        } else {
            Ok(Arguments::Object(raw))
        }
    }
}

/// A string where servers also put numbers and lists.
#[derive(Debug)]
pub enum StringOrOther<'a> {
    String(Text<'a>),
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for StringOrOther<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StringOrOtherVisitor)
    }
}

struct StringOrOtherVisitor;

impl<'de> Visitor<'de> for StringOrOtherVisitor {
    type Value = StringOrOther<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
        Ok(StringOrOther::String(v.into()))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
        Ok(StringOrOther::String(Text(v.to_owned().into())))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(StringOrOther::Other)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(StringOrOther::Other)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(StringOrOther::Other)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(StringOrOther::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(StringOrOther::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(StringOrOther::Other)
    }
}

fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_kind_and_null_are_counts() {
        let usage: Usage = serde_json::from_str(
            r#"{"prompt_tokens":12.0,"completion_tokens":-3,"prompt_tokens_details":null,"cost":1e-5}"#,
        )
        .unwrap();
        assert_eq!(usage.prompt_tokens, Some(Count(12)));
        assert_eq!(usage.completion_tokens, Some(Count(0)));
    }

    #[test]
    fn content_in_parts_is_joined() {
        let delta: Delta<'_> = serde_json::from_str(
            r#"{"content":[{"type":"text","text":"a"},{"type":"image"},{"type":"text","text":"b"}]}"#,
        )
        .unwrap();
        assert_eq!(&*delta.content.unwrap().0.0, b"ab");
    }

    #[test]
    fn a_stop_reason_that_is_a_token_id_is_no_sequence() {
        let choice: Choice<'_> = serde_json::from_str(r#"{"stop_reason":128009,"matched_stop":"END"}"#).unwrap();
        assert!(matches!(choice.stop_reason, Some(StringOrOther::Other)));
        assert!(matches!(choice.matched_stop, Some(StringOrOther::String(text)) if text.as_str() == "END"));
    }

    #[test]
    fn null_lists_are_empty() {
        let chunk: Completion<'_> =
            serde_json::from_str(r#"{"choices":[{"delta":{"tool_calls":null,"content":null}}],"error":null}"#).unwrap();
        assert!(chunk.choices[0].delta.as_ref().unwrap().tool_calls.is_empty());
        assert!(chunk.error.is_none());
    }
}
