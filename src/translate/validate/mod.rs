//! What must hold in a request before anything is sent, with Anthropic's paths and wording.
//!
//! Types are checked when the body is read; here it is ranges, required parts of blocks, and what must
//! hold between turns.

mod blocks;
mod turns;

use serde_json::value::RawValue;

pub use self::blocks::is_server_block;
use self::turns::conversation;
use super::client_tools::ClientTool;
use super::invalid::Invalid;
use crate::wire::anthropic::message::ErrorDetails;
use crate::wire::anthropic::request::{Content, MessagesRequest, Tool};
use crate::wire::depth::is_deeper;

/// Levels: as deep as what is read here may nest, JSON may nest that is passed on unread. Who reads it then must be
/// able to follow.
const MAX_DEPTH: usize = 128;

/// Tokens: the least budget for thinking.
const MIN_THINKING_BUDGET: u64 = 1024;

type Checked = Result<(), Invalid>;

/// Checks the body of `POST /v1/messages`.
pub fn messages(request: &MessagesRequest<'_>) -> Checked {
    match request.max_tokens {
        None => return Err(Invalid::new("max_tokens", "Field required")),
        Some(0) => return Err(Invalid::new("max_tokens", "Input should be greater than or equal to 1")),
        Some(_) => {}
    }
    count_tokens(request)
}

/// Checks the body of `POST /v1/messages/count_tokens`: the same without `max_tokens`.
pub fn count_tokens(request: &MessagesRequest<'_>) -> Checked {
    if request.thread {
        let mut invalid = Invalid::new("thread", "this gateway keeps no conversations; send all messages");
        invalid.details = Some(ErrorDetails::ThreadUnsupportedRequest { unsupported: [] });
        return Err(invalid);
    }
    if request.model.is_empty() {
        return Err(Invalid::new("model", "String should have at least 1 character"));
    }
    fraction("temperature", request.temperature)?;
    fraction("top_p", request.top_p)?;
    for (index, sequence) in request.stop_sequences.iter().enumerate() {
        if sequence.trim().is_empty() {
            return Err(Invalid::new(
                format!("stop_sequences.{index}"),
                "each stop sequence must contain non-whitespace",
            ));
        }
    }
    thinking(request)?;
    let format = request.output_config.as_ref().and_then(|config| config.format);
    shallow(format, || "output_config.format".into())?;
    shallow(request.output_format, || "output_format".into())?;
    tools(&request.tools)?;
    tool_choice(request)?;
    if let Some(Content::Blocks(blocks)) = &request.system {
        for (index, block) in blocks.iter().enumerate() {
            if block.kind.as_str() != "text" {
                return Err(Invalid::new(format!("system.{index}.type"), "Input should be 'text'"));
            }
            required(&block.text, || format!("system.{index}.text"))?;
        }
    }
    conversation(&request.messages)
}

fn fraction(name: &str, value: Option<f64>) -> Checked {
    match value {
        Some(value) if value < 0.0 => Err(Invalid::new(name, "Input should be greater than or equal to 0")),
        Some(value) if value > 1.0 => Err(Invalid::new(name, "Input should be less than or equal to 1")),
        _ => Ok(()),
    }
}

fn thinking(request: &MessagesRequest<'_>) -> Checked {
    let Some(thinking) = &request.thinking else { return Ok(()) };
    match (thinking.kind.as_str(), thinking.budget_tokens) {
        ("adaptive" | "between_tools" | "disabled", _) => Ok(()),
        ("enabled", None) => Err(Invalid::new("thinking.enabled.budget_tokens", "Field required")),
        ("enabled", Some(budget)) if budget < MIN_THINKING_BUDGET => {
            Err(Invalid::new("thinking.enabled.budget_tokens", "Input should be greater than or equal to 1024"))
        }
        ("enabled", Some(budget)) if request.max_tokens.is_some_and(|max| budget >= max) => {
            Err(Invalid::new("max_tokens", "must be greater than `thinking.budget_tokens`"))
        }
        ("enabled", Some(_)) => Ok(()),
        (other, _) => Err(wrong_tag("thinking", other, "'adaptive', 'between_tools', 'disabled', 'enabled'")),
    }
}

fn tools(tools: &[Tool<'_>]) -> Checked {
    let mut names = std::collections::HashSet::with_capacity(tools.len());
    for (index, tool) in tools.iter().enumerate() {
        let custom = tool.kind.as_deref().is_none_or(|kind| kind == "custom");
        if custom {
            required(&tool.name, || format!("tools.{index}.custom.name"))?;
            required(&tool.input_schema, || format!("tools.{index}.custom.input_schema"))?;
        } else if ClientTool::of(tool).is_some() {
            let kind = tool.kind.as_deref().unwrap_or_default();
            required(&tool.name, || format!("tools.{index}.{kind}.name"))?;
        }
        for (name, value) in [
            ("input_schema", tool.input_schema),
            ("allowed_domains", tool.allowed_domains),
            ("blocked_domains", tool.blocked_domains),
            ("user_location", tool.user_location),
        ] {
            let kind = tool.kind.as_deref().unwrap_or("custom");
            shallow(value, || format!("tools.{index}.{kind}.{name}"))?;
        }
        if let Some(name) = &tool.name {
            if name.is_empty() {
                return Err(Invalid::new(
                    format!("tools.{index}.custom.name"),
                    "String should have at least 1 character",
                ));
            }
            if !names.insert(name.as_str()) {
                return Err(Invalid::new("tools", format!("Tool names must be unique: {name:?} stands twice")));
            }
        }
    }
    Ok(())
}

fn tool_choice(request: &MessagesRequest<'_>) -> Checked {
    let Some(choice) = &request.tool_choice else { return Ok(()) };
    match choice.kind.as_str() {
        "auto" | "any" | "none" => Ok(()),
        "tool" => {
            required(&choice.name, || "tool_choice.tool.name".into())?;
            let offered = request.tools.iter().any(|tool| tool.name == choice.name);
            match offered {
                true => Ok(()),
                false => Err(Invalid::new("tool_choice.tool.name", "Tool not found in provided tools")),
            }
        }
        other => Err(wrong_tag("tool_choice", other, "'any', 'auto', 'none', 'tool'")),
    }
}

fn required<T>(value: &Option<T>, path: impl FnOnce() -> String) -> Checked {
    match value {
        Some(_) => Ok(()),
        None => Err(Invalid::new(path(), "Field required")),
    }
}

fn shallow(json: Option<&RawValue>, path: impl FnOnce() -> String) -> Checked {
    match json {
        Some(json) if is_deeper(json.get(), MAX_DEPTH) => {
            Err(Invalid::new(path(), format!("nested more than {MAX_DEPTH} levels deep")))
        }
        _ => Ok(()),
    }
}

fn wrong_tag(path: &str, found: &str, expected: &str) -> Invalid {
    let found: String = found.chars().take(64).collect();
    Invalid::new(
        path,
        format!("Input tag '{found}' found using 'type' does not match any of the expected tags: {expected}"),
    )
}
