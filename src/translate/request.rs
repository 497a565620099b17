//! The first verb: a Messages request to the body of a chat completion.

use std::io::Write;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::dialect::{Dialect, Prefill, ReasoningField};
use super::dropped::{Dropped, Unsupported};
use super::invalid::Invalid;
use super::reasoning::Signer;
use super::strict::is_strict;
use super::{content, tools};
use crate::wire::anthropic::request::MessagesRequest;
use crate::wire::openai::request::{ChatMessage, ChatRequest, JsonSchema, Reasoning, ResponseFormat};

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

/// Writes the translation of a request that [`super::validate::messages`] found valid, and tells what was left out.
pub fn request(request: &MessagesRequest<'_>, target: &Target<'_>, out: impl Write) -> Result<Dropped, Invalid> {
    let dialect = target.dialect;
    let mut dropped = Dropped::default();
    request.others.iter().for_each(|name| dropped.note(name));

    if request.output_config.as_ref().is_some_and(|config| config.task_budget.is_some()) {
        dropped.note("output_config.task_budget");
    }
    let messages = content::messages(request, dialect, target.signer, &mut dropped)?;
    let (functions, plugins) = tools::definitions(request, dialect, &mut dropped)?;
    let (tool_choice, parallel_tool_calls) = tools::choice(request, &functions, &mut dropped);
    let top_k = request.top_k.filter(|_| kept(dialect.top_k, "top_k", &mut dropped));
    let cache_control = request.cache_control.as_ref();
    let cache_control = cache_control.filter(|_| kept(dialect.cache_control, "cache_control", &mut dropped));
    let user_id = request.metadata.as_ref().and_then(|metadata| metadata.user_id.as_deref());
    let user = user_id.filter(|_| kept(dialect.user, "metadata", &mut dropped)).map(hashed);
    if request.stop_sequences.len() > dialect.max_stop_sequences {
        dropped.note("stop_sequences");
    }
    let max_tokens = request.max_tokens.unwrap_or(1);
    let max_tokens = target.max_tokens_cap.map_or(max_tokens, |cap| max_tokens.min(cap));
    let (reasoning, reasoning_effort) = reasoning(request, dialect, max_tokens, &mut dropped);
    let continue_final_message = dialect.prefill == Prefill::ContinueFinalMessage
        && matches!(messages.last(), Some(ChatMessage::Assistant { .. }));
    let body = ChatRequest {
        model: target.model,
        messages,
        max_tokens: Some((dialect.max_tokens_field.name(), max_tokens)),
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
        continue_final_message,
        extra: Some(target.extra_body),
    };
    serde_json::to_writer(out, &body).map_err(|error| Invalid::new("body", error.to_string()))?;
    dropped.settle(target.unsupported)
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

/// How much the model should think, in the dialect's spelling.
fn reasoning(
    request: &MessagesRequest<'_>,
    dialect: &Dialect,
    max_tokens: u64,
    dropped: &mut Dropped,
) -> (Option<Reasoning>, Option<&'static str>) {
    let wished = effort(request, dropped);
    let (effort, budget) = match &request.thinking {
        // Not said where there is no word for it: most models do not think unless they are asked to.
        Some(thinking) if thinking.kind.as_str() == "disabled" => (dialect.effort_none.then_some("none"), None),
        Some(thinking) => {
            if thinking.kind.as_str() == "between_tools" {
                dropped.note("thinking");
            }
            let budget = thinking.budget_tokens.filter(|_| wished.is_none());
            let stands_for = budget.map_or("medium", |tokens| dialect.effort_budgets.effort(tokens));
            (Some(wished.unwrap_or(stands_for)), budget)
        }
        None => (wished, None),
    };
    let Some(effort) = effort else { return (None, None) };
    let by_effort = Reasoning { effort: Some(effort), max_tokens: None };
    match (dialect.reasoning, budget) {
        (ReasoningField::ReasoningEffort, _) => (None, Some(effort)),
        (ReasoningField::ReasoningBudgetObject, Some(tokens)) => {
            // A cap on the answer may have come below the budget.
            let tokens = tokens.min(max_tokens.saturating_sub(1));
            (Some(Reasoning { effort: None, max_tokens: Some(tokens) }), None)
        }
        (ReasoningField::ReasoningEffortObject | ReasoningField::ReasoningBudgetObject, _) => (Some(by_effort), None),
        (ReasoningField::None, _) => {
            dropped.note(if request.thinking.is_some() { "thinking" } else { "output_config.effort" });
            (None, None)
        }
    }
}

/// The effort that the client names. It wins over a budget.
fn effort(request: &MessagesRequest<'_>, dropped: &mut Dropped) -> Option<&'static str> {
    let wished = request.output_config.as_ref().and_then(|config| config.effort.as_deref())?;
    let known = ["low", "medium", "high", "xhigh", "max"].into_iter().find(|known| *known == wished);
    if known.is_none() {
        dropped.note("output_config.effort");
    }
    known
}

/// The form that the answer must have. Strict only where the schema is ready for it: it is never changed.
fn response_format<'a>(request: &MessagesRequest<'a>) -> Result<Option<ResponseFormat<'a>>, Invalid> {
    #[derive(serde::Deserialize)]
    struct Format<'a> {
        #[serde(rename = "type")]
        kind: String,
        #[serde(borrow)]
        schema: Option<&'a RawValue>,
    }
    let newer = request.output_config.as_ref().and_then(|config| config.format);
    let (path, raw) = match (newer, request.output_format) {
        (Some(raw), _) => ("output_config.format", raw),
        (None, Some(raw)) => ("output_format", raw),
        (None, None) => return Ok(None),
    };
    let format: Format<'a> =
        serde_json::from_str(raw.get()).map_err(|_| Invalid::new(path, "Input should be a valid dictionary"))?;
    match (format.kind.as_str(), format.schema) {
        ("json_schema", Some(schema)) if schema.get().starts_with('{') => {
            let strict = is_strict(schema.get()).then_some(true);
            Ok(Some(ResponseFormat::JsonSchema { json_schema: JsonSchema { name: "answer", schema, strict } }))
        }
        ("json_schema", Some(_)) => Err(Invalid::new(format!("{path}.schema"), "Input should be a valid dictionary")),
        ("json_schema", None) => Err(Invalid::new(format!("{path}.schema"), "Field required")),
        _ => Err(Invalid::new(format!("{path}.type"), "Input should be 'json_schema'")),
    }
}
