//! Whether a JSON schema already meets the rules of OpenAI's strict mode, which refuses all others.

use serde_json::{Map, Value};

/// The keywords that strict mode knows. A schema with any other is sent without the claim to be strict.
const KEYWORDS: [&str; 22] = [
    "$defs",
    "$ref",
    "$schema",
    "additionalProperties",
    "anyOf",
    "const",
    "definitions",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maximum",
    "minItems",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "required",
    "title",
];

/// Objects nested deeper than this are refused.
const MAX_DEPTH: usize = 10;

/// The root must be an object; every object must be closed and must require all of its properties.
pub fn is_strict(schema: &str) -> bool {
    match serde_json::from_str::<Value>(schema) {
        Ok(Value::Object(root)) => {
            root.get("type") == Some(&Value::from("object")) && !root.contains_key("anyOf") && holds(&root, 1)
        }
        _ => false,
    }
}

fn holds(schema: &Map<String, Value>, depth: usize) -> bool {
    let known = |key: &String| key == "type" || KEYWORDS.contains(&key.as_str());
    depth <= MAX_DEPTH && schema.keys().all(known) && is_closed(schema) && children(schema, depth)
}

fn is_closed(schema: &Map<String, Value>) -> bool {
    let is_object = match schema.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.contains(&Value::from("object")),
        _ => schema.contains_key("properties"),
    };
    if !is_object {
        return true;
    }
    let names = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array);
    let requires = |name: &String| required.is_some_and(|required| required.iter().any(|one| one == name));
    schema.get("additionalProperties") == Some(&Value::Bool(false))
        && names.is_some_and(|names| names.keys().all(requires))
}

fn children(schema: &Map<String, Value>, depth: usize) -> bool {
    let one = |value: &Value, depth| value.as_object().is_some_and(|schema| holds(schema, depth));
    let named = |key: &str, depth| match schema.get(key) {
        Some(Value::Object(schemas)) => schemas.values().all(|schema| one(schema, depth)),
        Some(_) => false,
        None => true,
    };
    let any_of = match schema.get("anyOf") {
        Some(Value::Array(schemas)) => schemas.iter().all(|schema| one(schema, depth)),
        Some(_) => false,
        None => true,
    };
    any_of
        && named("properties", depth + 1)
        && named("$defs", depth)
        && named("definitions", depth)
        && schema.get("items").is_none_or(|items| one(items, depth + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_objects_that_require_everything_are_strict() {
        assert!(is_strict(
            r##"{"type":"object","properties":{"a":{"type":["string","null"]},"b":{"type":"array","items":{"$ref":"#/$defs/c"}}},
            "required":["b","a"],"additionalProperties":false,
            "$defs":{"c":{"type":"object","properties":{},"required":[],"additionalProperties":false}}}"##
        ));
    }

    #[test]
    fn objects_nested_too_deep_are_not_strict() {
        let nested = |depth: usize| {
            let end = r#"{"type":"object","properties":{},"required":[],"additionalProperties":false}"#.to_owned();
            (1..depth).fold(end, |inner, _| {
                format!(
                    r#"{{"type":"object","properties":{{"a":{inner}}},"required":["a"],"additionalProperties":false}}"#
                )
            })
        };
        assert!(is_strict(&nested(MAX_DEPTH)));
        assert!(!is_strict(&nested(MAX_DEPTH + 1)));
    }

    #[test]
    fn what_strict_mode_refuses_is_not_strict() {
        for schema in [
            r#"{"type":"object","properties":{"a":{}},"required":["a"]}"#,
            r#"{"type":"object","properties":{"a":{}},"required":[],"additionalProperties":false}"#,
            r#"{"type":"object","properties":{"a":{"default":1}},"required":["a"],"additionalProperties":false}"#,
            r#"{"type":"object","properties":{"a":{"type":"object"}},"required":["a"],"additionalProperties":false}"#,
            r#"{"type":"array","items":{}}"#,
            r#"{"anyOf":[]}"#,
            "true",
        ] {
            assert!(!is_strict(schema), "{schema}");
        }
    }
}
