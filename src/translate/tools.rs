//! Tools on offer, the choice among them, and their names both ways.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::client_tools::ClientTool;
use super::dialect::Dialect;
use super::dropped::Dropped;
use super::invalid::Invalid;
use crate::wire::anthropic::request::{MessagesRequest, Tool, ToolChoice};
use crate::wire::json;
use crate::wire::openai::request as openai;
use crate::wire::prose::Prose;
use crate::wire::text::Text;

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

/// The tools as functions, and what stands in for web search; other server tools are dropped and said.
pub fn definitions<'a>(
    request: &'a MessagesRequest<'a>,
    dialect: &Dialect,
    dropped: &mut Dropped,
) -> Result<(Vec<openai::ToolDefinition<'a>>, Vec<openai::Plugin<'a>>), Invalid> {
    let (mut functions, mut plugins) = (Vec::new(), Vec::new());
    for (index, tool) in request.tools.iter().enumerate() {
        if let Some(schema) = tool.input_schema {
            let schema = complete_schema(schema, index)?;
            let description = tool.description.as_ref().map(Prose::reborrow);
            functions.push(definition(tool, schema, description, dialect, dropped));
        } else if let Some(typed) = ClientTool::of(tool) {
            let schema = RawValue::from_string(typed.schema.to_owned()).expect("built-in schemas are JSON");
            functions.push(definition(tool, Cow::Owned(schema), Some(typed.description.into()), dialect, dropped));
        } else if dialect.web_plugin && tool.kind.as_deref().is_some_and(|kind| kind.starts_with("web_search_")) {
            plugins.push(openai::Plugin {
                id: "web",
                include_domains: tool.allowed_domains,
                exclude_domains: tool.blocked_domains,
                max_uses: tool.max_uses,
                user_location: tool.user_location,
            });
        } else {
            dropped.note("tools");
        }
    }
    Ok((functions, plugins))
}

fn definition<'a>(
    tool: &'a Tool<'a>,
    parameters: Cow<'a, RawValue>,
    description: Option<Prose<'a>>,
    dialect: &Dialect,
    dropped: &mut Dropped,
) -> openai::ToolDefinition<'a> {
    if tool.cache_control.is_some() && !dialect.cache_control {
        dropped.note("cache_control");
    }
    let direct = tool.allowed_callers.iter().flatten().all(|caller| caller.as_str() == "direct");
    if tool.input_examples.is_some() || !direct {
        dropped.note("tools");
    }
    openai::ToolDefinition {
        kind: openai::FunctionType::Function,
        function: openai::FunctionDefinition {
            name: wire_name(tool.name.as_deref().unwrap_or_default()),
            description,
            parameters,
            strict: tool.strict,
        },
        cache_control: tool.cache_control.as_ref().filter(|_| dialect.cache_control),
    }
}

/// The schema as it came, with `type: object` and `properties` added where they are absent or null (T38).
fn complete_schema(schema: &RawValue, index: usize) -> Result<Cow<'_, RawValue>, Invalid> {
    let invalid = |_| Invalid::new(format!("tools.{index}.custom.input_schema"), "Input should be a valid dictionary");
    let Fields(mut fields) = json::from_str(schema.get()).map_err(invalid)?;
    if let Some((_, kind)) = fields.iter().find(|(key, _)| key.as_str() == "type")
        && !matches!(kind.get(), r#""object""# | "null")
    {
        return Err(Invalid::new(format!("tools.{index}.custom.input_schema.type"), "Input should be 'object'"));
    }
    let is_there = |name: &str| fields.iter().any(|(key, value)| key.as_str() == name && value.get() != "null");
    let (typed, with_properties) = (is_there("type"), is_there("properties"));
    if typed && with_properties {
        return Ok(Cow::Borrowed(schema));
    }
    let constant = |json: &'static str| serde_json::from_str::<&RawValue>(json).expect("a constant");
    if !with_properties {
        fields.retain(|(key, _)| key.as_str() != "properties");
        fields.insert(0, (Text::from("properties"), constant("{}")));
    }
    if !typed {
        fields.retain(|(key, _)| key.as_str() != "type");
        fields.insert(0, (Text::from("type"), constant(r#""object""#)));
    }
    let whole = serde_json::value::to_raw_value(&Fields(fields)).map_err(invalid)?;
    Ok(Cow::Owned(whole))
}

/// An object whose fields keep their order and stay unread.
struct Fields<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// The choice, left out when there is nothing to choose from, or when it names a tool that is not sent.
pub fn choice<'a>(
    request: &'a MessagesRequest<'a>,
    functions: &[openai::ToolDefinition<'_>],
    dropped: &mut Dropped,
) -> (Option<openai::ToolChoice<'a>>, Option<bool>) {
    let Some(ToolChoice { kind, name, disable_parallel_tool_use }) = &request.tool_choice else {
        return (None, None);
    };
    if functions.is_empty() {
        if kind.as_str() != "none" && kind.as_str() != "auto" {
            dropped.note("tool_choice");
        }
        return (None, None);
    }
    let choice = match kind.as_str() {
        "any" => Some(openai::ToolChoice::Mode("required")),
        "none" => Some(openai::ToolChoice::Mode("none")),
        "tool" => {
            let name = wire_name(name.as_deref().unwrap_or_default());
            let is_sent = functions.iter().any(|tool| tool.function.name == name);
            if !is_sent {
                dropped.note("tool_choice");
            }
            is_sent.then_some(openai::ToolChoice::Named {
                kind: openai::FunctionType::Function,
                function: openai::NamedFunction { name },
            })
        }
        _ => Some(openai::ToolChoice::Mode("auto")),
    };
    (choice, (*disable_parallel_tool_use == Some(true)).then_some(false))
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
            let schema = RawValue::from_string(text.into()).unwrap();
            complete_schema(&schema, 0).map(|raw| raw.get().to_owned())
        };
        assert_eq!(complete("{ }").unwrap(), r#"{"type":"object","properties":{}}"#);
        assert_eq!(complete(r#"{"$schema":"x"}"#).unwrap(), r#"{"type":"object","properties":{},"$schema":"x"}"#);
        assert_eq!(complete(r#"{"properties":null,"type":"object"}"#).unwrap(), r#"{"properties":{},"type":"object"}"#);
        let whole = r#"{"type":"object", "properties":{"a":{"format":"odd"}}}"#;
        assert_eq!(complete(whole).unwrap(), whole);
        assert!(complete("[]").is_err());
    }
}
