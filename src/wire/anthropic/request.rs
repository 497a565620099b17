//! What a client sends. Shapes only: what must hold between fields is checked in `translate::validate`.
//!
//! What is sent on stays unread: text as [`Prose`], tool schemas and inputs as [`RawValue`]. Names are borrowed. Unknown fields are
//! accepted everywhere; the top-level ones that we do not send on are listed, so that they can be said.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::wire::cache::CacheControl;
use crate::wire::depth::is_deeper;
use crate::wire::json::AS_IT_STANDS;
use crate::wire::prose::{Prose, Unread};
use crate::wire::text::{Text, decode_lossy};

/// The body of `POST /v1/messages`.
#[derive(Debug, Default)]
pub struct MessagesRequest<'a> {
    pub model: Text<'a>,
    /// Absent only in the body of `count_tokens`.
    pub max_tokens: Option<u64>,
    pub messages: Vec<InputMessage<'a>>,
    pub system: Option<Content<'a>>,
    pub stream: bool,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u64>,
    pub stop_sequences: Vec<Text<'a>>,
    pub tools: Vec<Tool<'a>>,
    pub tool_choice: Option<ToolChoice<'a>>,
    pub thinking: Option<Thinking<'a>>,
    pub output_config: Option<OutputConfig<'a>>,
    pub metadata: Option<Metadata<'a>>,
    pub cache_control: Option<CacheControl<'a>>,
    /// The older spelling of `output_config.format`.
    pub output_format: Option<&'a RawValue>,
    /// Server-held conversation state, which a gateway cannot hold.
    pub thread: bool,
    /// Top-level fields with a value that are not among those above, as the client spelt them.
    pub others: Vec<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for MessagesRequest<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RequestVisitor)
    }
}

struct RequestVisitor;

impl<'de> Visitor<'de> for RequestVisitor {
    type Value = MessagesRequest<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut request = MessagesRequest::default();
        let (mut model, mut messages) = (None, None);
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "model" => model = Some(map.next_value()?),
                "messages" => messages = Some(map.next_value()?),
                "max_tokens" => request.max_tokens = Some(map.next_value()?),
                "system" => request.system = map.next_value()?,
                "stream" => request.stream = map.next_value::<Option<_>>()?.unwrap_or_default(),
                "temperature" => request.temperature = map.next_value()?,
                "top_p" => request.top_p = map.next_value()?,
                "top_k" => request.top_k = map.next_value()?,
                "stop_sequences" => request.stop_sequences = map.next_value::<Option<_>>()?.unwrap_or_default(),
                "tools" => request.tools = map.next_value::<Option<_>>()?.unwrap_or_default(),
                "tool_choice" => request.tool_choice = map.next_value()?,
                "thinking" => request.thinking = map.next_value()?,
                "output_config" => request.output_config = map.next_value()?,
                "metadata" => request.metadata = map.next_value()?,
                "cache_control" => request.cache_control = map.next_value()?,
                "output_format" => request.output_format = map.next_value()?,
                "thread" => request.thread = map.next_value::<Option<IgnoredAny>>()?.is_some(),
                _ => {
                    if map.next_value::<Option<IgnoredAny>>()?.is_some() {
                        request.others.push(Text(key));
                    }
                }
            }
        }
        request.model = model.ok_or_else(|| de::Error::missing_field("model"))?;
        request.messages = messages.ok_or_else(|| de::Error::missing_field("messages"))?;
        Ok(request)
    }
}

/// A field's name. Read as a string, not as bytes like [`Text`], because only so the path of a mistake is known.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Key(v.into()))
            }

            fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Key(v.to_owned().into()))
            }
        }

        deserializer.deserialize_str(KeyVisitor)
    }
}

/// One turn of the conversation.
#[derive(Debug, serde::Deserialize)]
pub struct InputMessage<'a> {
    pub role: Role,
    #[serde(borrow)]
    pub content: Content<'a>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    User,
    Assistant,
    /// Instructions in the middle of a conversation.
    System,
}

/// A string, or a list of content blocks.
#[derive(Debug)]
pub enum Content<'a> {
    Text(Prose<'a>),
    Blocks(Vec<Block<'a>>),
    /// An object, as the results of server tools have it. Nothing in it is ours to read.
    Opaque,
}

impl<'a> Content<'a> {
    /// The blocks, none for a plain string.
    pub fn blocks(&self) -> &[Block<'a>] {
        match self {
            Content::Blocks(blocks) => blocks,
            Content::Text(_) | Content::Opaque => &[],
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(AS_IT_STANDS, ContentVisitor)
    }
}

/// Levels: a document in the result of a tool, with whatever its own fields hold, is far from it.
const MAX_CONTENT_DEPTH: usize = 32;

/// The content of a block, which may be an object too.
struct OfBlock<'a>(Content<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for OfBlock<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(AS_IT_STANDS, OfBlockVisitor)
    }
}

fn content_or_object<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Content<'a>>, D::Error> {
    Ok(Option::<OfBlock<'a>>::deserialize(deserializer)?.map(|OfBlock(content)| content))
}

struct OfBlockVisitor;

impl<'de> Visitor<'de> for OfBlockVisitor {
    type Value = OfBlock<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ContentVisitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(OfBlock(match Unread::of(map)? {
            Unread::Prose(text) => Content::Text(text),
            Unread::Object => Content::Opaque,
        }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        ContentVisitor.visit_seq(seq).map(OfBlock)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('{') {
            return Ok(OfBlock(Content::Opaque));
        }
        // It is read by a reader of its own, which counts from 0: without this bound blocks in blocks would fill the
        // stack.
        if is_deeper(raw.get(), MAX_CONTENT_DEPTH) {
            return Err(de::Error::custom(format!("nested more than {MAX_CONTENT_DEPTH} levels deep")));
        }
        serde_json::from_str(raw.get()).map(OfBlock).map_err(de::Error::custom)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of content blocks")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        match Unread::of(map)? {
            Unread::Prose(text) => Ok(Content::Text(text)),
            Unread::Object => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
        }
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        // As bytes, which serde_json also takes a list for: only so it reads a lone surrogate.
        deserializer.deserialize_bytes(self)
    }

    fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<Self::Value, E> {
        Ok(Content::Text(Prose::from(&*decode_lossy(v))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut blocks = Vec::new();
        while let Some(block) = seq.next_element()? {
            blocks.push(block);
        }
        Ok(Content::Blocks(blocks))
    }
}

/// A content block of any type, flat: which fields must be there is decided by `kind`.
///
/// Flat because an internally tagged enum makes serde copy every block before it reads it, and loses
/// where in the block a mistake is.
#[derive(Debug, serde::Deserialize)]
pub struct Block<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub text: Option<Prose<'a>>,
    #[serde(borrow)]
    pub source: Option<Source<'a>>,
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub tool_use_id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "content_or_object")]
    pub content: Option<Content<'a>>,
    pub is_error: Option<bool>,
    #[serde(borrow)]
    pub thinking: Option<Text<'a>>,
    #[serde(borrow)]
    pub signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub data: Option<Text<'a>>,
    #[serde(borrow)]
    pub title: Option<Text<'a>>,
    #[serde(borrow)]
    pub context: Option<Text<'a>>,
    #[serde(borrow)]
    pub tool_name: Option<Text<'a>>,
    /// In a text block the citations made, in a document or search result whether they are wished for.
    #[serde(borrow)]
    pub citations: Option<&'a RawValue>,
    #[serde(borrow)]
    pub cache_control: Option<CacheControl<'a>>,
}

/// Where an image or a document comes from. For a `search_result` it is a plain string.
#[derive(Debug)]
pub enum Source<'a> {
    Name(Text<'a>),
    Object(SourceObject<'a>),
}

/// `{"type": "base64" | "url" | "text" | "content" | "file", ...}`
#[derive(Debug, serde::Deserialize)]
pub struct SourceObject<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub media_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub data: Option<Text<'a>>,
    #[serde(borrow)]
    pub url: Option<Text<'a>>,
    #[serde(borrow)]
    pub content: Option<Content<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Source<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SourceVisitor;

        impl<'de> Visitor<'de> for SourceVisitor {
            type Value = Source<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Source::Name(v.into()))
            }

            fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Source::Name(Text(v.to_owned().into())))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                SourceObject::deserialize(de::value::MapAccessDeserializer::new(map)).map(Source::Object)
            }
        }

        deserializer.deserialize_any(SourceVisitor)
    }
}

/// A tool on offer. With `input_schema` it is the client's own; without, `type` says which of Anthropic's.
#[derive(Debug, serde::Deserialize)]
pub struct Tool<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    #[serde(borrow)]
    pub description: Option<Prose<'a>>,
    #[serde(borrow)]
    pub input_schema: Option<&'a RawValue>,
    pub strict: Option<bool>,
    #[serde(borrow)]
    pub cache_control: Option<CacheControl<'a>>,
    /// Who may call the tool, where that is not the model itself.
    #[serde(borrow)]
    pub allowed_callers: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub input_examples: Option<&'a RawValue>,
    /// Of a web search, as are the fields below.
    #[serde(borrow)]
    pub allowed_domains: Option<&'a RawValue>,
    #[serde(borrow)]
    pub blocked_domains: Option<&'a RawValue>,
    #[serde(borrow)]
    pub max_uses: Option<&'a RawValue>,
    #[serde(borrow)]
    pub user_location: Option<&'a RawValue>,
}

/// How the model should use the tools.
#[derive(Debug, serde::Deserialize)]
pub struct ToolChoice<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    pub disable_parallel_tool_use: Option<bool>,
}

/// Whether and how the model should think before it answers.
#[derive(Debug, serde::Deserialize)]
pub struct Thinking<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Text<'a>,
    /// Tokens.
    pub budget_tokens: Option<u64>,
    #[serde(borrow)]
    pub display: Option<Text<'a>>,
}

/// Effort and form of the answer.
#[derive(Debug, serde::Deserialize)]
pub struct OutputConfig<'a> {
    #[serde(borrow)]
    pub effort: Option<Text<'a>>,
    #[serde(borrow)]
    pub format: Option<&'a RawValue>,
    #[serde(borrow)]
    pub task_budget: Option<&'a RawValue>,
}

/// About the request, not for the model.
#[derive(Debug, serde::Deserialize)]
pub struct Metadata<'a> {
    #[serde(borrow)]
    pub user_id: Option<Text<'a>>,
}
