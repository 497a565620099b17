//! Tools on offer, the choice among them, and their names both ways.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::dialect::Dialect;
use super::dropped::Dropped;
use super::invalid::Invalid;
use crate::wire::anthropic::request::{MessagesRequest, Tool, ToolChoice};
use crate::wire::openai::request as openai;

/// The longest function name that OpenAI-compatible providers take.
const MAX_NAME: usize = 64;

/// Names that had to be changed for the provider, so that its calls can be answered under the client's name.
#[derive(Debug, Default, Clone)]
pub struct ToolNames {
    mapped: Vec<(String, String)>,
}

impl ToolNames {
    /// Collects the names of all tools on offer.
    pub fn of(tools: &[Tool<'_>]) -> ToolNames {
        let names = tools.iter().filter_map(|tool| tool.name.as_deref());
        let mapped =
            names.filter(|name| !is_wire_name(name)).map(|name| (wire_name(name).into_owned(), name.to_owned()));
        ToolNames { mapped: mapped.collect() }
    }

    /// The client's name for what the provider calls.
    pub fn original<'a>(&'a self, wire: &'a str) -> &'a str {
        self.mapped.iter().find(|(mapped, _)| mapped == wire).map_or(wire, |(_, original)| original)
    }
}

/// The name under which the provider knows a tool: the same everywhere, so that history and choice agree.
pub fn wire_name(name: &str) -> Cow<'_, str> {
    if is_wire_name(name) {
        return Cow::Borrowed(name);
    }
    let digest = Sha256::digest(name.as_bytes());
    let hash: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let prefix: String =
        name.chars().map(|c| if allowed(c) { c } else { '_' }).take(MAX_NAME - 1 - hash.len()).collect();
    Cow::Owned(format!("{prefix}_{hash}"))
}

fn is_wire_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// The tools as functions; server tools that the dialect has no word for are dropped and said.
pub fn definitions<'a>(
    request: &'a MessagesRequest<'a>,
    dialect: &Dialect,
    dropped: &mut Dropped,
) -> Result<(Vec<openai::ToolDefinition<'a>>, Vec<openai::Plugin>), Invalid> {
    let (mut functions, mut plugins) = (Vec::new(), Vec::new());
    for (index, tool) in request.tools.iter().enumerate() {
        if let Some(schema) = tool.input_schema {
            functions.push(definition(
                tool,
                Cow::Owned(complete_schema(schema, index)?),
                tool.description.as_deref(),
                dialect,
                dropped,
            ));
        } else if let Some(typed) = ClientTool::of(tool) {
            let schema = RawValue::from_string(typed.schema.to_owned()).expect("built-in schemas are JSON");
            functions.push(definition(tool, Cow::Owned(schema), Some(typed.description), dialect, dropped));
        } else if dialect.web_plugin && tool.kind.as_deref().is_some_and(|kind| kind.starts_with("web_search_")) {
            plugins.push(openai::Plugin { id: "web" });
        } else {
            dropped.note("tools");
        }
    }
    Ok((functions, plugins))
}

fn definition<'a>(
    tool: &'a Tool<'a>,
    parameters: Cow<'a, RawValue>,
    description: Option<&'a str>,
    dialect: &Dialect,
    dropped: &mut Dropped,
) -> openai::ToolDefinition<'a> {
    if tool.cache_control.is_some() && !dialect.cache_control {
        dropped.note("cache_control");
    }
    openai::ToolDefinition {
        kind: openai::FunctionType::Function,
        function: openai::FunctionDefinition {
            name: wire_name(tool.name.as_deref().unwrap_or_default()),
            description,
            parameters,
            strict: tool.strict,
        },
        cache_control: tool.cache_control.filter(|_| dialect.cache_control),
    }
}

/// The schema as it came, with `type: object` and `properties` added where they are absent (T38).
fn complete_schema(schema: &RawValue, index: usize) -> Result<Box<RawValue>, Invalid> {
    #[derive(serde::Deserialize)]
    struct Probe<'a> {
        #[serde(rename = "type", borrow)]
        kind: Option<&'a RawValue>,
        #[serde(borrow)]
        properties: Option<&'a RawValue>,
    }
    let path = || format!("tools.{index}.custom.input_schema");
    let probe: Probe<'_> =
        serde_json::from_str(schema.get()).map_err(|_| Invalid::new(path(), "Input should be a valid dictionary"))?;
    if probe.kind.is_some() && probe.properties.is_some() {
        return Ok(schema.to_owned());
    }
    let mut added = String::from("{");
    if probe.kind.is_none() {
        added.push_str(r#""type":"object","#);
    }
    if probe.properties.is_none() {
        added.push_str(r#""properties":{},"#);
    }
    let rest = schema.get().trim_start().trim_start_matches('{').trim_start();
    match rest.strip_prefix('}') {
        Some(_) => {
            added.pop();
            added.push('}');
        }
        None => added.push_str(rest),
    }
    RawValue::from_string(added).map_err(|_| Invalid::new(path(), "Input should be a valid dictionary"))
}

/// One of Anthropic's tools that the client runs by itself, so that any model can use it.
struct ClientTool {
    prefix: &'static str,
    description: &'static str,
    schema: &'static str,
}

/// Input as documented for each tool's type.
const CLIENT_TOOLS: [ClientTool; 3] = [
    ClientTool {
        prefix: "bash_",
        description: "Runs a command in a persistent bash session and returns its output.",
        schema: r#"{"type":"object","properties":{"command":{"type":"string","description":"The command to run. Required unless restart is set."},"restart":{"type":"boolean","description":"Set to true to restart the session."}}}"#,
    },
    ClientTool {
        prefix: "text_editor_",
        description: "Views, creates and edits text files.",
        schema: r#"{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert"],"description":"What to do."},"path":{"type":"string","description":"Absolute path of the file or directory."},"file_text":{"type":"string","description":"For create: the content of the new file."},"old_str":{"type":"string","description":"For str_replace: the text to replace, which must occur exactly once."},"new_str":{"type":"string","description":"For str_replace: the replacement. For insert: the text to insert."},"insert_line":{"type":"integer","description":"For insert: the line after which the text goes; 0 for the beginning."},"insert_text":{"type":"string","description":"For insert: the text to insert."},"view_range":{"type":"array","items":{"type":"integer"},"description":"For view: first and last line, -1 for the end."}},"required":["command","path"]}"#,
    },
    ClientTool {
        prefix: "memory_",
        description: "Stores and retrieves notes in files below /memories that outlive the conversation.",
        schema: r#"{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert","delete","rename"],"description":"What to do."},"path":{"type":"string","description":"Path below /memories."},"file_text":{"type":"string","description":"For create: the content."},"old_str":{"type":"string","description":"For str_replace: the text to replace."},"new_str":{"type":"string","description":"For str_replace: the replacement."},"insert_line":{"type":"integer","description":"For insert: the line after which the text goes."},"insert_text":{"type":"string","description":"For insert: the text."},"old_path":{"type":"string","description":"For rename: the path now."},"new_path":{"type":"string","description":"For rename: the path then."},"view_range":{"type":"array","items":{"type":"integer"},"description":"For view: first and last line."}},"required":["command"]}"#,
    },
];

impl ClientTool {
    fn of(tool: &Tool<'_>) -> Option<&'static ClientTool> {
        let kind = tool.kind.as_deref()?;
        CLIENT_TOOLS.iter().find(|typed| kind.starts_with(typed.prefix))
    }
}

/// The choice, left out when there is nothing to choose from.
pub fn choice<'a>(
    request: &'a MessagesRequest<'a>,
    any_function: bool,
    dropped: &mut Dropped,
) -> (Option<openai::ToolChoice<'a>>, Option<bool>) {
    let Some(ToolChoice { kind, name, disable_parallel_tool_use }) = &request.tool_choice else {
        return (None, None);
    };
    if !any_function {
        if kind.as_str() != "none" && kind.as_str() != "auto" {
            dropped.note("tool_choice");
        }
        return (None, None);
    }
    let choice = match kind.as_str() {
        "any" => openai::ToolChoice::Mode("required"),
        "none" => openai::ToolChoice::Mode("none"),
        "tool" => openai::ToolChoice::Named {
            kind: openai::FunctionType::Function,
            function: openai::NamedFunction { name: wire_name(name.as_deref().unwrap_or_default()) },
        },
        _ => openai::ToolChoice::Mode("auto"),
    };
    (Some(choice), (*disable_parallel_tool_use == Some(true)).then_some(false))
}

/// An id of our own for a call whose provider gave none that fits: the same for the same message and place.
pub fn own_tool_id(message_id: &str, place: usize) -> String {
    const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let digest = Sha256::new().chain_update(message_id).chain_update(place.to_le_bytes()).finalize();
    let text: String = digest.iter().take(24).map(|byte| char::from(BASE62[usize::from(*byte) % 62])).collect();
    format!("toolu_{text}")
}

/// Whether a provider's id may stand in a `tool_use` block: Anthropic checks it when it comes back.
pub fn is_tool_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_foreign_names_are_mapped_stably_and_differ() {
        let long = "mcp__a_server_with_a_long_name__a_tool_with_an_even_longer_name_indeed";
        let mapped = wire_name(long);
        assert!(is_wire_name(&mapped), "{mapped}");
        assert_eq!(mapped, wire_name(long));
        assert_ne!(wire_name(&format!("{long}1")), wire_name(&format!("{long}2")));
        assert!(is_wire_name(&wire_name("grüße.senden")));
        assert_eq!(wire_name("get_weather"), "get_weather");
    }

    #[test]
    fn a_schema_is_completed_and_otherwise_left_alone() {
        let complete = |text: &str| {
            complete_schema(&RawValue::from_string(text.into()).unwrap(), 0).map(|raw| raw.get().to_owned())
        };
        assert_eq!(complete("{ }").unwrap(), r#"{"type":"object","properties":{}}"#);
        assert_eq!(complete(r#"{"$schema":"x"}"#).unwrap(), r#"{"type":"object","properties":{},"$schema":"x"}"#);
        let whole = r#"{"type":"object", "properties":{"a":{"format":"odd"}}}"#;
        assert_eq!(complete(whole).unwrap(), whole);
        assert!(complete("[]").is_err());
    }
}
