//! What a provider gets: `POST {base_url}/chat/completions`.
//!
//! An allow-list: what has no field here is never sent, save what the configuration adds by `extra`.

use std::borrow::Cow;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::wire::cache::CacheControl;
use crate::wire::prose::Prose;

/// The request. Fields that are `None` or empty are left out.
#[derive(Debug, Default)]
pub struct ChatRequest<'a> {
    pub model: &'a str,
    pub messages: Vec<ChatMessage<'a>>,
    /// The name of the field differs: `max_tokens` or `max_completion_tokens`.
    pub max_tokens: Option<(&'static str, u64)>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u64>,
    pub stop: Vec<&'a str>,
    pub stream: bool,
    pub include_usage: bool,
    pub tools: Vec<ToolDefinition<'a>>,
    pub tool_choice: Option<ToolChoice<'a>>,
    pub parallel_tool_calls: Option<bool>,
    pub reasoning: Option<Reasoning>,
    pub reasoning_effort: Option<&'static str>,
    pub response_format: Option<ResponseFormat<'a>>,
    pub plugins: Vec<Plugin<'a>>,
    pub user: Option<String>,
    pub cache_control: Option<&'a CacheControl<'a>>,
    /// vLLM: continue the last assistant message instead of starting a new one.
    pub continue_final_message: bool,
    /// From the provider's configuration. Its keys win over ours.
    pub extra: Option<&'a Map<String, Value>>,
}

impl Serialize for ChatRequest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = Body { map: serializer.serialize_map(None)?, extra: self.extra };
        body.put("model", Some(self.model))?;
        body.put("messages", Some(&self.messages))?;
        if let Some((name, value)) = self.max_tokens {
            body.put(name, Some(value))?;
        }
        body.put("temperature", self.temperature)?;
        body.put("top_p", self.top_p)?;
        body.put("top_k", self.top_k)?;
        body.put("stop", non_empty(&self.stop))?;
        body.put("stream", self.stream.then_some(true))?;
        body.put("stream_options", self.include_usage.then_some(StreamOptions { include_usage: true }))?;
        body.put("tools", non_empty(&self.tools))?;
        body.put("tool_choice", self.tool_choice.as_ref())?;
        body.put("parallel_tool_calls", self.parallel_tool_calls)?;
        body.put("reasoning", self.reasoning.as_ref())?;
        body.put("reasoning_effort", self.reasoning_effort)?;
        body.put("response_format", self.response_format.as_ref())?;
        body.put("plugins", non_empty(&self.plugins))?;
        body.put("user", self.user.as_ref())?;
        body.put("cache_control", self.cache_control)?;
        if self.continue_final_message {
            body.put("continue_final_message", Some(true))?;
            body.put("add_generation_prompt", Some(false))?;
        }
        body.end()
    }
}

fn non_empty<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

/// Writes each key once: one that the configuration sets is left to it.
struct Body<'a, M> {
    map: M,
    extra: Option<&'a Map<String, Value>>,
}

impl<M: SerializeMap> Body<'_, M> {
    fn put(&mut self, key: &str, value: Option<impl Serialize>) -> Result<(), M::Error> {
        match value {
            Some(value) if !self.extra.is_some_and(|extra| extra.contains_key(key)) => {
                self.map.serialize_entry(key, &value)
            }
            _ => Ok(()),
        }
    }

    fn end(mut self) -> Result<M::Ok, M::Error> {
        for (key, value) in self.extra.into_iter().flatten() {
            self.map.serialize_entry(key, value)?;
        }
        self.map.end()
    }
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// One message of the conversation.
#[derive(Debug, Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum ChatMessage<'a> {
    System {
        content: ChatContent<'a>,
    },
    User {
        content: ChatContent<'a>,
    },
    Assistant {
        /// Null when there is only a call.
        content: Option<ChatContent<'a>>,
        #[serde(skip_serializing_if = "String::is_empty")]
        reasoning_content: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        reasoning_details: Vec<Box<RawValue>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: ChatContent<'a>,
    },
}

/// A string, or parts where a string cannot say it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ChatContent<'a> {
    Text(Prose<'a>),
    Parts(Vec<Part<'a>>),
}

/// A part of a message's content.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part<'a> {
    Text {
        text: Prose<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a CacheControl<'a>>,
    },
    ImageUrl {
        image_url: ImageUrl<'a>,
    },
    File {
        file: File<'a>,
    },
}

/// An image by URL or data URI.
#[derive(Debug, Serialize)]
pub struct ImageUrl<'a> {
    pub url: Cow<'a, str>,
}

/// A document by URL or data URI.
#[derive(Debug, Serialize)]
pub struct File<'a> {
    pub filename: Cow<'a, str>,
    pub file_data: Cow<'a, str>,
}

/// A call that the model made in an earlier turn.
#[derive(Debug, Serialize)]
pub struct ToolCall<'a> {
    pub id: &'a str,
    #[serde(rename = "type")]
    pub kind: FunctionType,
    pub function: FunctionCall<'a>,
}

/// Always `function`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FunctionType {
    #[default]
    Function,
}

/// Name and arguments, the arguments as JSON in a string.
#[derive(Debug, Serialize)]
pub struct FunctionCall<'a> {
    pub name: Cow<'a, str>,
    pub arguments: Prose<'a>,
}

/// A function on offer.
#[derive(Debug, Serialize)]
pub struct ToolDefinition<'a> {
    #[serde(rename = "type")]
    pub kind: FunctionType,
    pub function: FunctionDefinition<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<&'a CacheControl<'a>>,
}

/// The function's name, purpose and parameters.
#[derive(Debug, Serialize)]
pub struct FunctionDefinition<'a> {
    pub name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Prose<'a>>,
    pub parameters: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// Whether the model may, must or must not call.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ToolChoice<'a> {
    /// `auto`, `required` or `none`.
    Mode(&'static str),
    Named {
        #[serde(rename = "type")]
        kind: FunctionType,
        function: NamedFunction<'a>,
    },
}

/// The one function that must be called.
#[derive(Debug, Serialize)]
pub struct NamedFunction<'a> {
    pub name: Cow<'a, str>,
}

/// OpenRouter's way to ask for reasoning: by one of the two.
#[derive(Debug, Default, Serialize)]
pub struct Reasoning {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
}

/// The form that the answer must have.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponseFormat<'a> {
    JsonSchema { json_schema: JsonSchema<'a> },
}

/// A schema and its name, which OpenAI requires.
#[derive(Debug, Serialize)]
pub struct JsonSchema<'a> {
    pub name: &'static str,
    pub schema: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// An OpenRouter plugin: the web search.
#[derive(Debug, Serialize)]
pub struct Plugin<'a> {
    pub id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_domains: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_domains: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_location: Option<&'a RawValue>,
}
