//! The first verb: a Messages request to the body of a chat completion.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::dialect::{Dialect, ReasoningField};
use super::dropped::{Dropped, Unsupported};
use super::invalid::Invalid;
use super::reasoning::Signer;
use super::{content, tools};
use crate::wire::anthropic::request::{MessagesRequest, Thinking};
use crate::wire::openai::request::{ChatRequest, JsonSchema, Reasoning, ResponseFormat};

/// Where the request goes: what one route and its provider ask for.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub dialect: &'a Dialect,
    /// The provider's id of the model.
    pub model: &'a str,
    /// The most output tokens that the route allows.
    pub max_tokens_cap: Option<u64>,
    /// Added to the body as it is.
    pub extra_body: &'a Map<String, Value>,
    pub unsupported: Unsupported,
    pub signer: &'a Signer,
}

/// A body ready to send.
#[derive(Debug)]
pub struct Translated {
    pub body: Vec<u8>,
    pub dropped: Dropped,
}

/// Translates a request that [`super::validate::messages`] found valid.
pub fn request(request: &MessagesRequest<'_>, target: &Target<'_>) -> Result<Translated, Invalid> {
    let dialect = target.dialect;
    let mut dropped = Dropped::default();
    request.others.iter().for_each(|name| dropped.note(name));

    let messages = content::messages(request, dialect, target.signer, &mut dropped)?;
    let (functions, plugins) = tools::definitions(request, dialect, &mut dropped)?;
    let (tool_choice, parallel_tool_calls) = tools::choice(request, !functions.is_empty(), &mut dropped);
    let top_k = request.top_k.filter(|_| kept(dialect.top_k, "top_k", &mut dropped));
    let cache_control = request.cache_control.filter(|_| kept(dialect.cache_control, "cache_control", &mut dropped));
    let user_id = request.metadata.as_ref().and_then(|metadata| metadata.user_id.as_deref());
    let user = user_id.filter(|_| kept(dialect.user, "metadata", &mut dropped)).map(hashed);
    if request.stop_sequences.len() > dialect.max_stop_sequences {
        dropped.note("stop_sequences");
    }
    let (reasoning, reasoning_effort) = match (effort(request, &mut dropped), dialect.reasoning) {
        (None, _) => (None, None),
        (Some(effort), ReasoningField::ReasoningEffortObject) => (Some(Reasoning { effort }), None),
        (Some(effort), ReasoningField::ReasoningEffort) => (None, Some(effort)),
        (Some("none"), ReasoningField::None) => (None, None),
        (Some(_), ReasoningField::None) => {
            dropped.note("thinking");
            (None, None)
        }
    };
    let max_tokens = request.max_tokens.unwrap_or(1);
    let body = ChatRequest {
        model: target.model,
        messages,
        max_tokens: Some((
            dialect.max_tokens_field.name(),
            target.max_tokens_cap.map_or(max_tokens, |cap| max_tokens.min(cap)),
        )),
        temperature: request.temperature,
        top_p: request.top_p,
        top_k,
        stop: request.stop_sequences.iter().take(dialect.max_stop_sequences).map(|text| text.as_str()).collect(),
        stream: request.stream,
        include_usage: request.stream,
        tools: functions,
        tool_choice,
        parallel_tool_calls,
        reasoning,
        reasoning_effort,
        response_format: response_format(request)?,
        plugins,
        user,
        cache_control,
        continue_final_message: is_continued(request, dialect),
        extra: Some(target.extra_body),
    };
    let body = serde_json::to_vec(&body).map_err(|error| Invalid::new("body", error.to_string()))?;
    Ok(Translated { body, dropped: dropped.settle(target.unsupported)? })
}

/// Whether the dialect takes the field; if not, that is noted.
fn kept(taken: bool, field: &str, dropped: &mut Dropped) -> bool {
    if !taken {
        dropped.note(field);
    }
    taken
}

/// The client's user, not to be recognised by the provider.
fn hashed(user_id: &str) -> String {
    Sha256::digest(user_id.as_bytes())[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How much the model should think: `output_config.effort` wins over the budget.
fn effort(request: &MessagesRequest<'_>, dropped: &mut Dropped) -> Option<&'static str> {
    let wished = request.output_config.as_ref().and_then(|config| config.effort.as_deref());
    let wished = match wished {
        Some("low") => Some("low"),
        Some("medium") => Some("medium"),
        Some("high") => Some("high"),
        Some("xhigh" | "max") => Some("xhigh"),
        Some(_) => {
            dropped.note("output_config.effort");
            None
        }
        None => None,
    };
    match request.thinking.as_ref() {
        Some(Thinking { kind, .. }) if kind.as_str() == "disabled" => Some("none"),
        Some(Thinking { kind, budget_tokens, .. }) => {
            if kind.as_str() == "between_tools" {
                dropped.note("thinking");
            }
            Some(wished.unwrap_or_else(|| budget_tokens.map_or("medium", effort_of_budget)))
        }
        None => wished,
    }
}

/// OpenRouter maps efforts to shares of `max_tokens`; this goes back from common budgets.
fn effort_of_budget(tokens: u64) -> &'static str {
    match tokens {
        0..=2048 => "low",
        2049..=8192 => "medium",
        _ => "high",
    }
}

fn response_format<'a>(request: &MessagesRequest<'a>) -> Result<Option<ResponseFormat<'a>>, Invalid> {
    #[derive(serde::Deserialize)]
    struct Format<'a> {
        #[serde(rename = "type")]
        kind: String,
        #[serde(borrow)]
        schema: Option<&'a serde_json::value::RawValue>,
    }
    let Some(raw) = request.output_config.as_ref().and_then(|config| config.format) else { return Ok(None) };
    let path = "output_config.format";
    let format: Format<'a> =
        serde_json::from_str(raw.get()).map_err(|_| Invalid::new(path, "Input should be a valid dictionary"))?;
    match (format.kind.as_str(), format.schema) {
        ("json_schema", Some(schema)) => {
            Ok(Some(ResponseFormat::JsonSchema { json_schema: JsonSchema { name: "answer", schema, strict: None } }))
        }
        ("json_schema", None) => Err(Invalid::new(format!("{path}.schema"), "Field required")),
        _ => Err(Invalid::new(format!("{path}.type"), "Input should be 'json_schema'")),
    }
}

fn is_continued(request: &MessagesRequest<'_>, dialect: &Dialect) -> bool {
    use crate::wire::anthropic::request::Role;
    let prefilled = request.messages.last().is_some_and(|message| message.role == Role::Assistant);
    prefilled && dialect.prefill == super::dialect::Prefill::ContinueFinalMessage
}
