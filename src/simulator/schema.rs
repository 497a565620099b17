//! A value that fits a JSON Schema.

use std::cell::Cell;

use serde_json::{Map, Number, Value, json};

use super::hints::Hints;

/// How deep a schema is followed; a recursive one has no bottom.
const DEEPEST: usize = 12;
const MOST_ITEMS: u64 = 16;
/// Values made for one schema; without a bound, nested arrays multiply.
const MOST_VALUES: u32 = 10_000;
/// The longest string that a `minLength` can ask for, in characters.
const LONGEST: usize = 10_000;

/// A value that fits the schema, with strings from the hints. The same input gives the same value.
pub fn fill(schema: &Value, hints: &Hints<'_>) -> Value {
    Filler { root: schema, hints, left: Cell::new(MOST_VALUES) }.value(schema, "", 0)
}

struct Filler<'a> {
    root: &'a Value,
    hints: &'a Hints<'a>,
    left: Cell<u32>,
}

impl Filler<'_> {
    fn value(&self, schema: &Value, name: &str, depth: usize) -> Value {
        if depth > DEEPEST || self.left.get() == 0 {
            return Value::Null;
        }
        self.left.set(self.left.get() - 1);
        if let Some(fixed) = schema.get("const") {
            return fixed.clone();
        }
        if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
            return first.clone();
        }
        if let Some(path) = schema["$ref"].as_str() {
            let target = path.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return target.map_or(Value::Null, |target| self.value(target, name, depth + 1));
        }
        for keyword in ["anyOf", "oneOf"] {
            let choices = schema[keyword].as_array().into_iter().flatten();
            if let Some(choice) = choices.into_iter().find(|choice| choice["type"] != "null") {
                return self.value(choice, name, depth + 1);
            }
        }
        if let Some(parts) = schema["allOf"].as_array() {
            return self.all_of(schema, parts, name, depth);
        }
        match type_of(schema) {
            "object" => Value::Object(self.object(schema, depth)),
            "array" => self.array(schema, name, depth),
            "integer" | "number" => number(schema),
            "boolean" => Value::Bool(true),
            "null" => Value::Null,
            _ => Value::String(self.string(schema, name)),
        }
    }

    /// The required properties; all of them where the schema requires none, for an empty object shows little.
    fn object(&self, schema: &Value, depth: usize) -> Map<String, Value> {
        let none = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&none);
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let names: Vec<&str> =
            if required.is_empty() { properties.keys().map(String::as_str).collect() } else { required };
        let value = |name: &str| self.value(properties.get(name).unwrap_or(&Value::Null), name, depth + 1);
        names.into_iter().map(|name| (name.to_owned(), value(name))).collect()
    }

    fn all_of(&self, schema: &Value, parts: &[Value], name: &str, depth: usize) -> Value {
        let mut whole = self.object(schema, depth);
        for part in parts {
            match self.value(part, name, depth + 1) {
                Value::Object(fields) => whole.extend(fields),
                other => return other,
            }
        }
        Value::Object(whole)
    }

    fn array(&self, schema: &Value, name: &str, depth: usize) -> Value {
        if let Some(items) = schema["prefixItems"].as_array() {
            return items.iter().map(|item| self.value(item, name, depth + 1)).collect();
        }
        let least = schema["minItems"].as_u64().unwrap_or(1);
        let most = schema["maxItems"].as_u64().unwrap_or(MOST_ITEMS).min(MOST_ITEMS);
        // At the bottom of a recursive schema an empty array is the only way out.
        let count = if depth == DEEPEST { 0 } else { least.max(1).min(most) };
        (0..count).map(|_| self.value(&schema["items"], name, depth + 1)).collect()
    }

    fn string(&self, schema: &Value, name: &str) -> String {
        let mut text = match schema["format"].as_str() {
            Some("date") => "2026-01-01".to_owned(),
            Some("date-time") => "2026-01-01T12:00:00Z".to_owned(),
            Some("time") => "12:00:00Z".to_owned(),
            Some("email") => "someone@example.com".to_owned(),
            Some("uri" | "url") => self.hints.word_for("url"),
            Some("uuid") => "00000000-0000-4000-8000-000000000000".to_owned(),
            _ => self.hints.word_for(name),
        };
        let limit = |keyword: &str| schema[keyword].as_u64().and_then(|count| usize::try_from(count).ok());
        if let Some(most) = limit("maxLength") {
            text = text.chars().take(most).collect();
        }
        let missing = limit("minLength").unwrap_or(0).min(LONGEST).saturating_sub(text.chars().count());
        text.extend(std::iter::repeat_n('x', missing));
        text
    }
}

fn type_of(schema: &Value) -> &str {
    let stated = match &schema["type"] {
        Value::String(one) => Some(one.as_str()),
        Value::Array(several) => several.iter().filter_map(Value::as_str).find(|one| *one != "null"),
        _ => None,
    };
    match stated {
        Some(stated) => stated,
        None if schema.get("properties").is_some() => "object",
        None if schema.get("items").is_some() => "array",
        None => "string",
    }
}

/// 1, or the nearest number that the bounds allow.
fn number(schema: &Value) -> Value {
    let bound = |keyword: &str| schema[keyword].as_f64();
    let least = bound("minimum").or_else(|| bound("exclusiveMinimum").map(|limit| limit + 1.0));
    let most = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|limit| limit - 1.0));
    let number = least.map_or(1.0, |least| least.max(1.0));
    let number = most.map_or(number, |most| number.min(most));
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return json!(number as i64);
    }
    Number::from_f64(number).map_or(json!(1), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(schema: Value) -> Value {
        fill(&schema, &Hints::new("weather in Paris"))
    }

    #[test]
    fn each_type_has_a_value() {
        let schema = json!({"type": "object", "required": ["city", "days", "metric", "unit", "tags", "deep"],
            "properties": {
                "city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}, "metric": {"type": "boolean"},
                "unit": {"enum": ["c", "f"]}, "tags": {"type": "array", "items": {"type": ["null", "number"]}},
                "deep": {"type": "object", "properties": {"x": {"anyOf": [{"type": "null"}, {"const": 5}]}}},
                "unasked": {"type": "string"}}});
        assert_eq!(
            filled(schema),
            json!({"city": "Paris", "days": 3, "metric": true, "unit": "c", "tags": [1], "deep": {"x": 5}})
        );
    }

    #[test]
    fn references_are_followed_and_recursion_ends() {
        let list = json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "required": ["v", "next"],
            "properties": {"v": {"type": "integer"}, "next": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}}});
        assert_eq!(filled(list)["next"][0]["v"], json!(1));
    }

    #[test]
    fn lengths_and_odd_schemas_are_respected() {
        assert_eq!(filled(json!({"type": "string", "maxLength": 3})), json!("Par"));
        assert_eq!(filled(json!({"type": "string", "minLength": 7})), json!("Parisxx"));
        assert_eq!(filled(json!({"type": "array", "minItems": 2, "items": {"type": "null"}})), json!([null, null]));
        assert_eq!(filled(json!(true)), json!("Paris"));
        assert_eq!(filled(json!({"allOf": [{"properties": {"a": {"type": "integer"}}}]})), json!({"a": 1}));
    }
}
