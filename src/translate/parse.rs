//! Reading a request body, and saying where a mistake is as Anthropic does.
//!
//! The good case is read once, without looking for paths; only a body that fails is read again to find the place.

use serde::Deserialize;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::invalid::Invalid;
use crate::wire::anthropic::request::{Content, MessagesRequest};
use crate::wire::json;

/// Reads the body of a Messages request.
pub fn request(body: &[u8]) -> Result<MessagesRequest<'_>, Invalid> {
    let Ok(text) = simdutf8::basic::from_utf8(body) else {
        return Err(Invalid::new("body", "the request body is not valid UTF-8"));
    };
    json::from_str(text).map_err(|_| named_mistake(body))
}

fn named_mistake(body: &[u8]) -> Invalid {
    let whole: Value = match serde_json::from_slice(body) {
        Ok(whole) => whole,
        Err(error) => return Invalid::new("body", format!("the request body is not valid JSON: {error}")),
    };
    match first_mistake::<MessagesRequest<'_>>(body, &whole) {
        None => Invalid::new("body", "the request body is not valid JSON: trailing characters"),
        Some(mut place) => {
            // The content of a block is read apart from what surrounds it, so its own places are not known yet.
            let inside = place.at.filter(|value| value.is_array()).map(|value| (value.to_string(), value));
            if let Some((text, value)) = &inside
                && let Some(inner) = first_mistake::<Content<'_>>(text.as_bytes(), value)
            {
                place.names.extend(inner.names);
                place.problem = inner.problem;
            }
            place.names.extend(missing_field(&place.problem).map(str::to_owned));
            let path = if place.names.is_empty() { "body".to_owned() } else { place.names.join(".") };
            Invalid::new(path, worded(&place.problem))
        }
    }
}

/// Where a body cannot be read, and why.
struct Place<'v> {
    /// Dotted, `messages.0.content.1.text.text`: indices as fields, and a block's type after its index.
    names: Vec<String>,
    problem: String,
    /// What stands there.
    at: Option<&'v Value>,
}

/// The first place where `json` is not a `T`. `whole` is the same JSON, read.
fn first_mistake<'a, 'v, T: Deserialize<'a>>(json: &'a [u8], whole: &'v Value) -> Option<Place<'v>> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let error = serde_path_to_error::deserialize::<_, T>(&mut reader).err()?;
    let mut names: Vec<String> = Vec::new();
    let mut at = Some(whole);
    for segment in error.path().iter() {
        match segment {
            Segment::Seq { index } => {
                names.push(index.to_string());
                at = at.and_then(|value| value.get(index));
                // A tool without a type is a custom one, and its path says nothing of it.
                names.extend(at.and_then(|value| value.get("type")).and_then(Value::as_str).map(str::to_owned));
            }
            Segment::Map { key } | Segment::Enum { variant: key } => {
                at = at.and_then(|value| value.get(key));
                names.push(key.clone());
            }
            Segment::Unknown => {}
        }
    }
    Some(Place { names, problem: error.inner().to_string(), at })
}

fn missing_field(problem: &str) -> Option<&str> {
    problem.strip_prefix("missing field `")?.split('`').next()
}

/// serde's words in Anthropic's.
fn worded(problem: &str) -> String {
    if problem.starts_with("missing field") {
        return "Field required".to_owned();
    }
    let expected = problem.split_once("expected ").map_or("", |(_, expected)| expected);
    let expected = expected.split(" at line ").next().unwrap_or_default();
    match expected {
        "a string" => "Input should be a valid string".to_owned(),
        "a boolean" => "Input should be a valid boolean".to_owned(),
        "u64" | "u32" if problem.contains("integer `-") => "Input should be greater than or equal to 0".to_owned(),
        "u64" | "u32" => "Input should be a valid integer".to_owned(),
        "f64" => "Input should be a valid number".to_owned(),
        "a sequence" => "Input should be a valid list".to_owned(),
        "a string or a list of content blocks" => "Input should be a valid string or list".to_owned(),
        _ if expected.starts_with("struct ") || expected == "an object" => {
            "Input should be a valid dictionary".to_owned()
        }
        _ if problem.starts_with("unknown variant") => {
            format!("Input should be {}", expected.replace('`', "'").replace("one of ", ""))
        }
        _ => problem.split(" at line ").next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> String {
        let invalid = request(body.as_bytes()).unwrap_err();
        format!("{}: {}", invalid.path, invalid.problem)
    }

    #[test]
    fn mistakes_are_named_by_path_and_in_anthropics_words() {
        assert_eq!(said(r#"{"messages":[]}"#), "model: Field required");
        assert_eq!(said(r#"{"model":"m"}"#), "messages: Field required");
        assert_eq!(said(r#"{"model":5,"messages":[]}"#), "model: Input should be a valid string");
        assert_eq!(said(r#"{"model":"m","messages":{}}"#), "messages: Input should be a valid list");
        assert_eq!(
            said(r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":5}]}]}"#),
            "messages.0.content.0.text.text: Input should be a valid string"
        );
        assert_eq!(said(r#"{"model":"m","messages":[{"role":"user"}]}"#), "messages.0.content: Field required");
        assert_eq!(
            said(r#"{"model":"m","messages":[{"role":"robot","content":"x"}]}"#),
            "messages.0.role: Input should be 'user', 'assistant', 'system'"
        );
        assert_eq!(
            said(r#"{"model":"m","messages":[],"max_tokens":-1}"#),
            "max_tokens: Input should be greater than or equal to 0"
        );
        assert_eq!(said(r#"{"model":"m","messages":[],"stream":"yes"}"#), "stream: Input should be a valid boolean");
        assert!(said("{").starts_with("body: the request body is not valid JSON"));
        assert!(said("[]").starts_with("body: Input should be a valid dictionary"));
        assert!(
            said(&format!("{}{}", "[".repeat(5000), "]".repeat(5000)))
                .starts_with("body: the request body is not valid JSON")
        );
    }
}
