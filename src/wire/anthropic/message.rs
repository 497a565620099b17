//! What a client gets: a message, the events of a stream, an error.

use serde::Serialize;
use serde_json::value::RawValue;

/// A finished answer.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    pub id: &'a str,
    #[serde(rename = "type")]
    pub kind: MessageType,
    pub role: AssistantRole,
    /// The id that the client asked for, whatever the provider calls it.
    pub model: &'a str,
    pub content: Vec<ContentBlock<'a>>,
    pub stop_reason: Option<StopReason>,
    pub stop_sequence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_details: Option<StopDetails<'a>>,
    pub usage: Usage,
}

/// Always `message`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageType {
    #[default]
    Message,
}

/// Always `assistant`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AssistantRole {
    #[default]
    Assistant,
}

/// A block of an answer.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentBlock<'a> {
    Text { text: &'a str },
    Thinking { thinking: &'a str, signature: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: &'a RawValue },
}

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    EndTurn,
    MaxTokens,
    StopSequence,
    ToolUse,
    Refusal,
    ModelContextWindowExceeded,
}

/// What is known of a refusal.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct StopDetails<'a> {
    #[serde(rename = "type")]
    pub kind: RefusalType,
    pub category: Option<&'static str>,
    pub explanation: Option<&'a str>,
}

/// Always `refusal`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RefusalType {
    #[default]
    Refusal,
}

/// Tokens, as Anthropic counts them: the three input figures do not overlap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Input that was neither read from a cache nor written to one.
    pub input_tokens: u64,
    pub cache_creation_input_tokens: u64,
    pub cache_read_input_tokens: u64,
    /// All output, reasoning included.
    pub output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens_details: Option<OutputTokensDetails>,
}

impl Usage {
    /// Input, cache reads, cache writes and output together.
    pub fn total(&self) -> u64 {
        [self.cache_creation_input_tokens, self.cache_read_input_tokens, self.output_tokens]
            .into_iter()
            .fold(self.input_tokens, u64::saturating_add)
    }

    /// Reasoning, a part of the output; 0 when the provider does not tell.
    pub fn thinking_tokens(&self) -> u64 {
        self.output_tokens_details.map_or(0, |details| details.thinking_tokens)
    }
}

/// Parts of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OutputTokensDetails {
    pub thinking_tokens: u64,
}

/// One event of a stream; its name on the wire is [`Event::name`].
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event<'a> {
    MessageStart { message: Message<'a> },
    Ping,
    ContentBlockStart { index: u32, content_block: StartBlock<'a> },
    ContentBlockDelta { index: u32, delta: Delta<'a> },
    ContentBlockStop { index: u32 },
    MessageDelta { delta: MessageDelta<'a>, usage: Usage },
    MessageStop,
    Error { error: ErrorObject<'a>, request_id: &'a str },
}

impl Event<'_> {
    /// The `event:` field of its frame.
    pub fn name(&self) -> &'static str {
        match self {
            Event::MessageStart { .. } => "message_start",
            Event::Ping => "ping",
            Event::ContentBlockStart { .. } => "content_block_start",
            Event::ContentBlockDelta { .. } => "content_block_delta",
            Event::ContentBlockStop { .. } => "content_block_stop",
            Event::MessageDelta { .. } => "message_delta",
            Event::MessageStop => "message_stop",
            Event::Error { .. } => "error",
        }
    }
}

/// A block as its start event shows it: empty, what is in it follows in deltas.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StartBlock<'a> {
    Text { text: &'static str },
    Thinking { thinking: &'static str, signature: &'static str },
    ToolUse { id: &'a str, name: &'a str, input: EmptyObject },
}

/// `{}`
#[derive(Debug, Clone, Copy, Serialize)]
pub struct EmptyObject {}

/// What is added to the open block.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Delta<'a> {
    TextDelta { text: &'a str },
    ThinkingDelta { thinking: &'a str },
    SignatureDelta { signature: &'a str },
    InputJsonDelta { partial_json: &'a str },
}

/// What is known of the whole message at its end.
#[derive(Debug, Serialize)]
pub struct MessageDelta<'a> {
    pub stop_reason: Option<StopReason>,
    pub stop_sequence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_details: Option<StopDetails<'a>>,
}

/// The body of every answer that is not a success, and of the `error` event.
#[derive(Debug, Serialize)]
pub struct ErrorEnvelope<'a> {
    #[serde(rename = "type")]
    pub kind: ErrorTag,
    pub error: ErrorObject<'a>,
    pub request_id: &'a str,
}

/// Always `error`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorTag {
    #[default]
    Error,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ErrorObject<'a> {
    #[serde(rename = "type")]
    pub kind: ErrorType,
    pub message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<ErrorDetails>,
}

/// The broad category of an error. `request_too_large` is documented by Anthropic, though its SDKs do not list it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorType {
    InvalidRequestError,
    AuthenticationError,
    BillingError,
    PermissionError,
    NotFoundError,
    RequestTooLarge,
    RateLimitError,
    TimeoutError,
    ApiError,
    OverloadedError,
}

impl ErrorType {
    /// As it stands on the wire and in the label `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorType::InvalidRequestError => "invalid_request_error",
            ErrorType::AuthenticationError => "authentication_error",
            ErrorType::BillingError => "billing_error",
            ErrorType::PermissionError => "permission_error",
            ErrorType::NotFoundError => "not_found_error",
            ErrorType::RequestTooLarge => "request_too_large",
            ErrorType::RateLimitError => "rate_limit_error",
            ErrorType::TimeoutError => "timeout_error",
            ErrorType::ApiError => "api_error",
            ErrorType::OverloadedError => "overloaded_error",
        }
    }
}

/// Machine-readable cause, where the SDKs' types name one that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "error_code", rename_all = "snake_case")]
pub enum ErrorDetails {
    /// Makes the SDKs' tool runners send the whole conversation instead of a thread.
    ThreadUnsupportedRequest { unsupported: [&'static str; 0] },
}
