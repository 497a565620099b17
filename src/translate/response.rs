//! The second verb: a completion to a message.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use super::error;
use super::reasoning::{Details, Signer, TextDigest};
use super::stop_reason::{self, Finish};
use super::tools::{ToolNames, is_tool_id, own_tool_id};
use super::usage::{Tally, usage};
use crate::error::{Cause, GatewayError};
use crate::tokens;
use crate::wire::anthropic::message::{
    AssistantRole, ContentBlock, Message, MessageType, RefusalType, StopDetails, StopReason, Usage,
};
use crate::wire::json;
use crate::wire::openai::completion::{Arguments, Completion, Delta, ReasoningDetail, ToolCallPart};
use crate::wire::text::decode_lossy;

/// What the answer needs to know of the request.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// `msg_...`
    pub message_id: &'a str,
    /// The model as the client asked for it.
    pub model: &'a str,
    pub names: &'a ToolNames,
    pub signer: &'a Signer,
    /// For providers that do not count.
    pub input_estimate: InputEstimate<'a>,
    /// The client wants thinking blocks without their text.
    pub omit_thinking: bool,
}

/// Our estimate of the input, in tokens. Most providers count by themselves, so that it is seldom asked for where
/// nobody else needs it.
#[derive(Clone, Copy)]
pub enum InputEstimate<'a> {
    Counted(u64),
    /// Counts the request, which must still be there.
    Counts(&'a (dyn Fn() -> u64 + Sync)),
}

impl InputEstimate<'_> {
    pub(super) fn tokens(self) -> u64 {
        match self {
            InputEstimate::Counted(tokens) => tokens,
            InputEstimate::Counts(count) => count(),
        }
    }
}

impl fmt::Debug for InputEstimate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tokens().fmt(f)
    }
}

/// A message, written, with its bill.
#[derive(Debug)]
pub struct Translated {
    pub body: Vec<u8>,
    pub tally: Tally,
    pub stop_reason: StopReason,
}

/// Translates the body of a provider's 200.
pub fn response(body: &[u8], context: &Context<'_>) -> Result<Translated, GatewayError> {
    let invalid = || GatewayError::new(Cause::InvalidResponse, "The provider's answer is not a chat completion");
    let completion: Completion<'_> = json::from_slice(body).map_err(|_| invalid())?;
    if let Some(error) = error::inside(&completion, body) {
        return Err(error);
    }
    let choice = completion.choices.first().ok_or_else(invalid)?;
    let delta = choice.said().ok_or_else(invalid)?;
    let mut finish = stop_reason::finish(choice).unwrap_or_else(Finish::unsaid);

    let (thinking, mut details) = reasoning(delta);
    let text = delta.content.as_ref().map(|words| decode_lossy(&words.0.0)).unwrap_or_default();
    let refusal = delta.refusal.as_ref().map(|words| decode_lossy(&words.0.0)).filter(|text| !text.is_empty());
    let calls = tool_calls(&delta.tool_calls, refusal.is_some() || finish.is_cut_off(), context)?;
    finish.settle(!calls.is_empty(), refusal.map(|text| text.into_owned()));

    let (shown, hidden) = if context.omit_thinking { ("", thinking.clone()) } else { (&thinking[..], String::new()) };
    // Reasoning may be there without a text: encrypted, or a signature alone (T50).
    let signature = (!thinking.is_empty() || !details.is_empty())
        .then(|| context.signer.sign(TextDigest::of(shown), hidden, details.take()));
    let mut content = Vec::with_capacity(2 + calls.len());
    if let Some(signature) = &signature {
        content.push(ContentBlock::Thinking { thinking: shown, signature });
    }
    if !text.is_empty() {
        content.push(ContentBlock::Text { text: &text });
    }
    for call in &calls {
        content.push(ContentBlock::ToolUse { id: &call.id, name: &call.name, input: &call.input });
    }

    let reported = completion.usage.as_ref();
    let tally = match reported.and_then(usage) {
        Some(usage) => Tally { usage, estimated: false, cost: reported.and_then(|usage| usage.cost) },
        None => {
            let called = calls.iter().map(|call| tokens::estimate(call.input.get()));
            let output = tokens::estimate(&text) + tokens::estimate(&thinking) + called.sum::<u64>();
            let usage =
                Usage { input_tokens: context.input_estimate.tokens(), output_tokens: output, ..Usage::default() };
            Tally { usage, estimated: true, cost: None }
        }
    };
    let message = Message {
        id: context.message_id,
        kind: MessageType::Message,
        role: AssistantRole::Assistant,
        model: context.model,
        content,
        stop_reason: Some(finish.reason),
        stop_sequence: finish.sequence.as_deref(),
        stop_details: stop_details(&finish),
        usage: tally.usage,
    };
    let body = serde_json::to_vec(&message)
        .map_err(|_| GatewayError::new(Cause::Internal, "The answer could not be written"))?;
    Ok(Translated { body, tally, stop_reason: finish.reason })
}

/// Present for a refusal only.
pub(super) fn stop_details(finish: &Finish) -> Option<StopDetails<'_>> {
    (finish.reason == StopReason::Refusal).then_some(StopDetails {
        kind: RefusalType::Refusal,
        category: None,
        explanation: finish.refusal.as_deref(),
    })
}

/// The reasoning text, and the details to replay.
fn reasoning(delta: &Delta<'_>) -> (String, Details) {
    let mut details = Details::default();
    delta.reasoning_details.iter().for_each(|raw| details.push(raw));
    (decode_lossy(&reasoning_fragment(delta)).into_owned(), details)
}

/// What a delta adds to the reasoning. Providers send it in up to three spellings at once: the first that
/// says anything counts, so that nothing is doubled (T47).
pub(super) fn reasoning_fragment<'a>(delta: &'a Delta<'_>) -> Cow<'a, [u8]> {
    let plain = [&delta.reasoning_content, &delta.reasoning];
    if let Some(words) = plain.into_iter().flatten().find(|words| !words.0.is_empty()) {
        return Cow::Borrowed(&words.0.0);
    }
    let mut joined = Vec::new();
    for raw in &delta.reasoning_details {
        if let Ok(ReasoningDetail { text, summary }) = json::from_str(raw.get()) {
            joined.extend_from_slice(&text.or(summary).unwrap_or_default().0);
        }
    }
    Cow::Owned(joined)
}

struct Call {
    id: String,
    name: String,
    input: Box<RawValue>,
}

fn tool_calls(parts: &[ToolCallPart<'_>], cut_off: bool, context: &Context<'_>) -> Result<Vec<Call>, GatewayError> {
    let mut calls: Vec<Call> = Vec::with_capacity(parts.len());
    for (place, part) in parts.iter().enumerate() {
        let Some(function) = &part.function else { continue };
        let name = function.name.as_deref().filter(|name| !name.is_empty());
        let name =
            name.ok_or_else(|| GatewayError::new(Cause::InvalidResponse, "The model called a tool without a name"))?;
        let text = match &function.arguments {
            None => String::new(),
            Some(Arguments::Json(fragment)) => decode_lossy(&fragment.0).into_owned(),
            Some(Arguments::Object(raw)) => raw.get().to_owned(),
        };
        let input = match tool_input(&text) {
            // Cut off in mid-argument or before: the call is not whole, the reason says why (T30).
            Ok(_) if cut_off && text.trim().is_empty() && place + 1 == parts.len() => continue,
            Err(_) if cut_off => continue,
            Ok(input) => input,
            Err(error) => return Err(error),
        };
        let id = part.id.as_deref().filter(|id| is_tool_id(id) && calls.iter().all(|call| call.id != *id));
        let id = id.map_or_else(|| own_tool_id(context.message_id, place), str::to_owned);
        calls.push(Call { id, name: context.names.original(name).to_owned(), input });
    }
    Ok(calls)
}

/// Arguments as an object: absent, empty and null are `{}` (T21); anything but an object is an error, for a
/// tool must never run with wrong arguments.
pub(super) fn tool_input(text: &str) -> Result<Box<RawValue>, GatewayError> {
    let text = match text.trim() {
        "" | "null" => "{}",
        text => text,
    };
    let object = text.starts_with('{').then(|| RawValue::from_string(text.to_owned()).ok()).flatten();
    object.ok_or_else(not_an_object)
}

pub(super) fn not_an_object() -> GatewayError {
    GatewayError::new(Cause::InvalidResponse, "The model called a tool with arguments that are not a JSON object")
}
