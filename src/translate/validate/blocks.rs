//! What each block of content must have.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Checked, Invalid, required, shallow, wrong_tag};
use crate::wire::anthropic::request::{Block, Role, Source};

const IMAGE_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Checks a block that this role may send. `path` leads to it, with its type.
pub(super) fn block(block: &Block<'_>, role: Role, path: &dyn Fn() -> String) -> Checked {
    let field = |name: &str| format!("{}.{name}", path());
    match (block.kind.as_str(), role) {
        ("text", _) => required(&block.text, || field("text")),
        ("image", Role::User) => image(block, path),
        ("document", Role::User) => document(block, path),
        ("search_result", Role::User) => {
            required(&block.title, || field("title"))?;
            required(&block.content, || field("content"))?;
            match &block.source {
                Some(Source::Name(_)) => Ok(()),
                Some(Source::Object(_)) => Err(Invalid::new(field("source"), "Input should be a valid string")),
                None => Err(Invalid::new(field("source"), "Field required")),
            }
        }
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
                Some(input) => shallow(Some(input), || field("input")),
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
        ("tool_addition" | "tool_removal", Role::System) => Ok(()),
        (other, Role::System) => Err(wrong_tag(parent(&path()), other, "'text'")),
    }
}

/// Blocks that belong to tools which run on Anthropic's side.
pub fn is_server_block(kind: &str) -> bool {
    kind == "server_tool_use"
        || kind == "mcp_tool_use"
        || kind == "container_upload"
        || kind == "mcp_tool_listing"
        || kind == "compaction"
        || kind == "fallback"
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
        "base64" => {
            if source.media_type.as_deref().is_some_and(|media_type| media_type != "application/pdf") {
                let path = format!("{}.source.base64.media_type", path());
                return Err(Invalid::new(path, "Input should be 'application/pdf'"));
            }
            base64(source.data.as_deref(), format!("{}.source.base64.data", path()))
        }
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

/// The path of a block without its type.
fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(parent, _)| parent)
}
