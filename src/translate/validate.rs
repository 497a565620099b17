//! What must hold in a request before anything is sent, with Anthropic's paths and wording.
//!
//! Types are checked when the body is read; here it is ranges, required parts of blocks, and what must
//! hold between turns.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::invalid::Invalid;
use crate::wire::anthropic::message::ErrorDetails;
use crate::wire::anthropic::request::{Block, Content, InputMessage, MessagesRequest, Role, Source, Tool};

/// Anthropic's bound for one request.
const MAX_MESSAGES: usize = 100_000;
/// Tokens: the least budget for thinking.
const MIN_THINKING_BUDGET: u64 = 1024;
const IMAGE_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

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

fn conversation(messages: &[InputMessage<'_>]) -> Checked {
    if messages.is_empty() {
        return Err(Invalid::new("messages", "at least one message is required"));
    }
    if messages.len() > MAX_MESSAGES {
        return Err(Invalid::new("messages", format!("at most {MAX_MESSAGES} messages are allowed")));
    }
    // Calls of the last assistant turn that have no result yet, and the message where they stand.
    let mut open: Vec<&str> = Vec::new();
    let mut open_at = 0;
    let mut speaker = Role::User;
    for (index, message) in messages.iter().enumerate() {
        let is_last = index + 1 == messages.len();
        filled(message, index, is_last)?;
        if message.role == Role::Assistant && speaker == Role::User {
            all_answered(&open, open_at)?;
        }
        for (at, part) in message.content.blocks().iter().enumerate() {
            let path = || format!("messages.{index}.content.{at}.{}", part.kind.as_str());
            block(part, message.role, &path)?;
            match (part.kind.as_str(), message.role) {
                ("tool_use", Role::Assistant) => {
                    open.push(part.id.as_deref().unwrap_or_default());
                    open_at = index;
                }
                ("tool_result", Role::User) => {
                    let id = part.tool_use_id.as_deref().unwrap_or_default();
                    let place = open.iter().position(|open| *open == id).ok_or_else(|| unexpected_result(id, &path))?;
                    open.remove(place);
                }
                _ => {}
            }
        }
        if message.role != Role::System {
            speaker = message.role;
        }
    }
    all_answered(&open, open_at)
}

fn all_answered(open: &[&str], at: usize) -> Checked {
    match open {
        [] => Ok(()),
        ids => Err(Invalid::new(
            format!("messages.{at}"),
            format!(
                "`tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
                ids.join(", ")
            ),
        )),
    }
}

fn unexpected_result(id: &str, path: &dyn Fn() -> String) -> Invalid {
    Invalid::new(
        path(),
        format!(
            "unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
        ),
    )
}

/// A message must say something; only a final assistant turn may be empty.
fn filled(message: &InputMessage<'_>, index: usize, is_last: bool) -> Checked {
    let empty = match &message.content {
        Content::Text(text) => text.is_empty(),
        Content::Blocks(blocks) => {
            blocks.iter().all(|block| block.kind.as_str() == "text" && block.text.as_deref() == Some(""))
        }
        Content::Opaque => {
            return Err(Invalid::new(format!("messages.{index}.content"), "Input should be a valid string or list"));
        }
    };
    match empty && !(is_last && message.role == Role::Assistant) {
        true => Err(Invalid::new(
            format!("messages.{index}"),
            "all messages must have non-empty content except for the optional final assistant message",
        )),
        false => Ok(()),
    }
}

fn block(block: &Block<'_>, role: Role, path: &dyn Fn() -> String) -> Checked {
    let field = |name: &str| format!("{}.{name}", path());
    match (block.kind.as_str(), role) {
        ("text", _) => required(&block.text, || field("text")),
        ("image", Role::User) => image(block, path),
        ("document", Role::User) => document(block, path),
        ("search_result", Role::User) => required(&block.content, || field("content")),
        ("tool_result", Role::User) => {
            required(&block.tool_use_id, || field("tool_use_id"))?;
            for (at, inner) in block.content.iter().flat_map(|content| content.blocks()).enumerate() {
                let path = || format!("{}.content.{at}.{}", path(), inner.kind.as_str());
                match inner.kind.as_str() {
                    "text" | "image" | "document" | "search_result" => self::block(inner, Role::User, &path)?,
                    "tool_reference" => required(&inner.tool_name, || format!("{}.tool_name", path()))?,
                    "browser_state" => {}
                    other => {
                        let expected = "'document', 'image', 'search_result', 'text', 'tool_reference'";
                        return Err(wrong_tag(parent(&path()), other, expected));
                    }
                }
            }
            Ok(())
        }
        ("tool_use", Role::Assistant) => {
            required(&block.id, || field("id"))?;
            required(&block.name, || field("name"))?;
            match block.input {
                None => Err(Invalid::new(field("input"), "Field required")),
                Some(input) if !input.get().trim_start().starts_with('{') => {
                    Err(Invalid::new(field("input"), "Input should be a valid dictionary"))
                }
                Some(_) => Ok(()),
            }
        }
        ("thinking", Role::Assistant) => {
            required(&block.thinking, || field("thinking"))?;
            required(&block.signature, || field("signature"))
        }
        ("redacted_thinking", Role::Assistant) => required(&block.data, || field("data")),
        // What Anthropic's own servers ran in an earlier turn. It is left out and said.
        (kind, _) if is_server_block(kind) => Ok(()),
        (other, Role::User) => {
            Err(wrong_tag(parent(&path()), other, "'document', 'image', 'search_result', 'text', 'tool_result'"))
        }
        (other, Role::Assistant) => {
            Err(wrong_tag(parent(&path()), other, "'redacted_thinking', 'text', 'thinking', 'tool_use'"))
        }
        (other, Role::System) => Err(wrong_tag(parent(&path()), other, "'text'")),
    }
}

/// Blocks that belong to tools which run on Anthropic's side.
pub fn is_server_block(kind: &str) -> bool {
    kind == "server_tool_use"
        || kind == "mcp_tool_use"
        || kind == "container_upload"
        || kind == "compaction"
        || (kind.ends_with("_tool_result") && kind != "tool_result")
}

fn image(block: &Block<'_>, path: &dyn Fn() -> String) -> Checked {
    let Some(Source::Object(source)) = &block.source else {
        return Err(Invalid::new(format!("{}.source", path()), "Field required"));
    };
    match source.kind.as_str() {
        "base64" => {
            let field = |name: &str| format!("{}.source.base64.{name}", path());
            required(&source.media_type, || field("media_type"))?;
            if !IMAGE_TYPES.contains(&source.media_type.as_deref().unwrap_or_default()) {
                return Err(Invalid::new(
                    field("media_type"),
                    "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
                ));
            }
            base64(source.data.as_deref(), field("data"))
        }
        "url" => url(source.url.as_deref(), format!("{}.source.url.url", path())),
        "file" => {
            Err(Invalid::new(format!("{}.source", path()), "files are not held by this gateway; send base64 or a URL"))
        }
        other => Err(wrong_tag(&format!("{}.source", path()), other, "'base64', 'url'")),
    }
}

fn document(block: &Block<'_>, path: &dyn Fn() -> String) -> Checked {
    let Some(Source::Object(source)) = &block.source else {
        return Err(Invalid::new(format!("{}.source", path()), "Field required"));
    };
    match source.kind.as_str() {
        "text" => required(&source.data, || format!("{}.source.text.data", path())),
        "content" => required(&source.content, || format!("{}.source.content.content", path())),
        "base64" => base64(source.data.as_deref(), format!("{}.source.base64.data", path())),
        "url" => url(source.url.as_deref(), format!("{}.source.url.url", path())),
        "file" => {
            Err(Invalid::new(format!("{}.source", path()), "files are not held by this gateway; send base64 or text"))
        }
        other => Err(wrong_tag(&format!("{}.source", path()), other, "'base64', 'content', 'text', 'url'")),
    }
}

fn base64(data: Option<&str>, path: String) -> Checked {
    match data {
        None => Err(Invalid::new(path, "Field required")),
        Some(data) if data.is_empty() || STANDARD.decode(data).is_err() => {
            Err(Invalid::new(path, "invalid base64 data"))
        }
        Some(_) => Ok(()),
    }
}

fn url(url: Option<&str>, path: String) -> Checked {
    match url {
        None => Err(Invalid::new(path, "Field required")),
        Some(url) if url.starts_with("https://") || url.starts_with("http://") => Ok(()),
        Some(_) => Err(Invalid::new(path, "Only http and https URLs are supported")),
    }
}

fn required<T>(value: &Option<T>, path: impl FnOnce() -> String) -> Checked {
    match value {
        Some(_) => Ok(()),
        None => Err(Invalid::new(path(), "Field required")),
    }
}

fn wrong_tag(path: &str, found: &str, expected: &str) -> Invalid {
    let found: String = found.chars().take(64).collect();
    Invalid::new(
        path,
        format!("Input tag '{found}' found using 'type' does not match any of the expected tags: {expected}"),
    )
}

/// The path of a block without its type.
fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(parent, _)| parent)
}
