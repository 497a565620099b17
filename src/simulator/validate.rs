//! What a strict provider refuses, so that a gateway that sends it is seen.

use serde_json::Value;

use super::validate_messages;

/// Why a request is refused: a sentence, and the path of the field at fault.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub message: String,
    pub param: Option<String>,
}

/// The outcome of one check.
pub type Verdict = Result<(), Fault>;

/// A fault at a path.
pub fn fault(path: impl Into<String>, message: impl AsRef<str>) -> Fault {
    let path = path.into();
    Fault { message: format!("Invalid '{path}': {}", message.as_ref()), param: Some(path) }
}

/// Fields of the Messages API that mean nothing here: a gateway that forwards them did not translate.
const FOREIGN: &[&str] = &[
    "container",
    "context_management",
    "inference_geo",
    "mcp_servers",
    "output_config",
    "output_format",
    "stop_sequences",
    "system",
    "thread",
];

const MOST_STOPS: usize = 4;
const LONGEST_NAME: usize = 64;

/// Refuses a request that a strict provider would refuse.
pub fn check(body: &Value) -> Verdict {
    let Some(fields) = body.as_object() else {
        return Err(Fault { message: "The request body must be a JSON object.".into(), param: None });
    };
    if let Some(name) = FOREIGN.iter().find(|name| fields.contains_key(**name)) {
        let message = format!("Unrecognized request argument supplied: {name}");
        return Err(Fault { message, param: Some((*name).to_owned()) });
    }
    match body["model"].as_str() {
        None | Some("") => return Err(fault("model", "you must provide a model parameter.")),
        Some(_) => {}
    }
    validate_messages::check(&body["messages"])?;
    tools(body)?;
    tool_choice(body)?;
    stop(&body["stop"])?;
    number(body, "temperature", 0.0, 2.0)?;
    number(body, "top_p", 0.0, 1.0)?;
    at_least_one(body, "max_tokens")?;
    at_least_one(body, "max_completion_tokens")?;
    switch(body, "stream")?;
    switch(body, "parallel_tool_calls")?;
    if !body["stream_options"].is_null() && body["stream"] != Value::Bool(true) {
        return Err(fault("stream_options", "only allowed when 'stream' is enabled."));
    }
    if !(body["reasoning"].is_null() || body["reasoning"].is_object()) {
        return Err(fault("reasoning", "expected an object."));
    }
    if !(body["reasoning_effort"].is_null() || body["reasoning_effort"].is_string()) {
        return Err(fault("reasoning_effort", "expected a string."));
    }
    response_format(&body["response_format"])
}

/// Whether a function may bear this name.
pub fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-'))
}

fn tools(body: &Value) -> Verdict {
    let tools = match &body["tools"] {
        Value::Null if !body["tool_choice"].is_null() => {
            return Err(fault("tool_choice", "only allowed when 'tools' are specified."));
        }
        Value::Null if !body["parallel_tool_calls"].is_null() => {
            return Err(fault("parallel_tool_calls", "only allowed when 'tools' are specified."));
        }
        Value::Null => return Ok(()),
        Value::Array(tools) if !tools.is_empty() => tools,
        _ => return Err(fault("tools", "expected a non-empty array.")),
    };
    for (at, tool) in tools.iter().enumerate() {
        if tool["type"] != "function" {
            return Err(fault(format!("tools[{at}].type"), "expected 'function'."));
        }
        let function = &tool["function"];
        if !function["name"].as_str().is_some_and(is_name) {
            let pattern = "expected a string that matches ^[a-zA-Z0-9_-]{1,64}$.";
            return Err(fault(format!("tools[{at}].function.name"), pattern));
        }
        let parameters = &function["parameters"];
        if !parameters.is_null() && parameters["type"] != "object" {
            let message = "schema must be a JSON Schema of 'type: \"object\"'.";
            return Err(fault(format!("tools[{at}].function.parameters"), message));
        }
    }
    Ok(())
}

fn tool_choice(body: &Value) -> Verdict {
    match &body["tool_choice"] {
        Value::Null => Ok(()),
        Value::String(word) if matches!(word.as_str(), "none" | "auto" | "required") => Ok(()),
        choice @ Value::Object(_) if choice["type"] == "function" => {
            let name = &choice["function"]["name"];
            let offered = body["tools"].as_array().into_iter().flatten();
            if name.is_string() && offered.into_iter().any(|tool| &tool["function"]["name"] == name) {
                return Ok(());
            }
            Err(fault("tool_choice", format!("{name} is not among the 'tools'.")))
        }
        _ => Err(fault("tool_choice", "expected 'none', 'auto', 'required' or a named function.")),
    }
}

fn stop(stop: &Value) -> Verdict {
    let good = match stop {
        Value::Null => true,
        Value::String(one) => !one.is_empty(),
        Value::Array(many) if many.len() > MOST_STOPS => {
            return Err(fault("stop", format!("array too long. Expected at most {MOST_STOPS}, got {}.", many.len())));
        }
        Value::Array(many) => many.iter().all(|one| one.as_str().is_some_and(|one| !one.is_empty())),
        _ => false,
    };
    if good { Ok(()) } else { Err(fault("stop", "expected a non-empty string or an array of them.")) }
}

fn number(body: &Value, name: &str, least: f64, most: f64) -> Verdict {
    match &body[name] {
        Value::Null => Ok(()),
        value if value.as_f64().is_some_and(|number| (least..=most).contains(&number)) => Ok(()),
        value => Err(fault(name, format!("expected a number from {least} to {most}, got {value}."))),
    }
}

fn at_least_one(body: &Value, name: &str) -> Verdict {
    match &body[name] {
        Value::Null => Ok(()),
        value if value.as_u64().is_some_and(|number| number >= 1) => Ok(()),
        value => Err(fault(name, format!("expected an integer of at least 1, got {value}."))),
    }
}

fn switch(body: &Value, name: &str) -> Verdict {
    match &body[name] {
        Value::Null | Value::Bool(_) => Ok(()),
        value => Err(fault(name, format!("expected a boolean, got {value}."))),
    }
}

fn response_format(format: &Value) -> Verdict {
    if format.is_null() {
        return Ok(());
    }
    match format["type"].as_str() {
        Some("text" | "json_object") => Ok(()),
        Some("json_schema") => {
            let wanted = &format["json_schema"];
            if !wanted["name"].as_str().is_some_and(is_name) {
                return Err(fault("response_format.json_schema.name", "expected a name."));
            }
            if !wanted["schema"].is_object() {
                return Err(fault("response_format.json_schema.schema", "expected a JSON Schema."));
            }
            Ok(())
        }
        _ => Err(fault("response_format.type", "expected 'text', 'json_object' or 'json_schema'.")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(extra: Value) -> Option<String> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        for (name, value) in extra.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        check(&body).err().and_then(|fault| fault.param)
    }

    fn tool(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}})
    }

    #[test]
    fn good_requests_pass() {
        let good = json!({"temperature": 2, "top_p": 1, "max_tokens": 1, "stop": ["a"], "stream": true,
            "stream_options": {"include_usage": true}, "tools": [tool("f")], "tool_choice":
            {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": false, "reasoning": {}});
        assert_eq!(refused(good), None);
        assert_eq!(refused(json!({"temperature": null, "stop": null, "tools": null, "top_k": 5})), None);
    }

    #[test]
    fn each_fault_is_named() {
        for (extra, param) in [
            (json!({"model": ""}), "model"),
            (json!({"messages": []}), "messages"),
            (json!({"temperature": 2.1}), "temperature"),
            (json!({"top_p": -0.1}), "top_p"),
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"max_completion_tokens": 1.5}), "max_completion_tokens"),
            (json!({"stop": ["1", "2", "3", "4", "5"]}), "stop"),
            (json!({"stream": "yes"}), "stream"),
            (json!({"stream_options": {}}), "stream_options"),
            (json!({"system": "be good"}), "system"),
            (json!({"tools": []}), "tools"),
            (json!({"tools": [tool("a b")]}), "tools[0].function.name"),
            (json!({"tools": [tool(&"x".repeat(65))]}), "tools[0].function.name"),
            (
                json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}),
                "tools[0].function.parameters",
            ),
            (json!({"tools": [{"name": "f", "input_schema": {}}]}), "tools[0].type"),
            (json!({"tool_choice": "auto"}), "tool_choice"),
            (json!({"tools": [tool("f")], "tool_choice": {"type": "any"}}), "tool_choice"),
            (
                json!({"tools": [tool("f")], "tool_choice": {"type": "function", "function": {"name": "g"}}}),
                "tool_choice",
            ),
            (json!({"response_format": {"type": "xml"}}), "response_format.type"),
            (json!({"reasoning": "high"}), "reasoning"),
        ] {
            assert_eq!(refused(extra.clone()).as_deref(), Some(param), "{extra}");
        }
        assert!(check(&json!([])).is_err());
    }
}
