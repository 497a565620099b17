//! The rules for messages: roles, content, and tool calls that are answered at once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::validate::{Verdict, fault, is_name};

/// Refuses messages that a strict provider would refuse.
pub fn check(messages: &Value) -> Verdict {
    let Some(messages) = messages.as_array().filter(|messages| !messages.is_empty()) else {
        return Err(fault("messages", "expected a non-empty array of messages."));
    };
    let mut unanswered: Vec<&str> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let path = format!("messages[{at}]");
        let role = message["role"].as_str().unwrap_or_default();
        if !matches!(role, "system" | "developer" | "user" | "assistant" | "tool") {
            let message = "expected one of 'system', 'developer', 'user', 'assistant', 'tool'.";
            return Err(fault(format!("{path}.role"), message));
        }
        if role == "tool" {
            answer(message, &path, &mut unanswered)?;
        } else {
            all_answered(&unanswered, &path)?;
        }
        let calls = &message["tool_calls"];
        if !calls.is_null() {
            if role != "assistant" {
                return Err(fault(format!("{path}.tool_calls"), "only an assistant calls tools."));
            }
            unanswered = tool_calls(calls, &path)?;
        }
        content(&message["content"], role, !calls.is_null(), &format!("{path}.content"))?;
    }
    all_answered(&unanswered, "messages")
}

fn answer(message: &Value, path: &str, unanswered: &mut Vec<&str>) -> Verdict {
    let id = message["tool_call_id"].as_str().unwrap_or_default();
    let Some(at) = unanswered.iter().position(|call| *call == id) else {
        let message = format!(
            "messages with role 'tool' must be a response to a preceding message with 'tool_calls'; \
             no such call waits for an answer: '{id}'."
        );
        return Err(fault(format!("{path}.tool_call_id"), message));
    };
    unanswered.remove(at);
    Ok(())
}

fn all_answered(unanswered: &[&str], path: &str) -> Verdict {
    if unanswered.is_empty() {
        return Ok(());
    }
    let message = format!(
        "an assistant message with 'tool_calls' must be followed by tool messages responding to each \
         'tool_call_id'. Without a response: {}",
        unanswered.join(", ")
    );
    Err(fault(path, message))
}

fn tool_calls<'a>(calls: &'a Value, path: &str) -> Result<Vec<&'a str>, super::validate::Fault> {
    let Some(calls) = calls.as_array().filter(|calls| !calls.is_empty()) else {
        return Err(fault(format!("{path}.tool_calls"), "expected a non-empty array."));
    };
    let mut ids: Vec<&str> = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        let path = format!("{path}.tool_calls[{at}]");
        let id = call["id"].as_str().unwrap_or_default();
        if id.is_empty() || ids.contains(&id) {
            return Err(fault(format!("{path}.id"), "expected an id that is unique in the message."));
        }
        ids.push(id);
        if call["type"] != "function" {
            return Err(fault(format!("{path}.type"), "expected 'function'."));
        }
        if !call["function"]["name"].as_str().is_some_and(is_name) {
            let message = "expected a string that matches ^[a-zA-Z0-9_-]{1,64}$.";
            return Err(fault(format!("{path}.function.name"), message));
        }
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        if !serde_json::from_str::<Value>(arguments).is_ok_and(|value| value.is_object()) {
            let message = "expected a string that holds a JSON object.";
            return Err(fault(format!("{path}.function.arguments"), message));
        }
    }
    Ok(ids)
}

fn content(content: &Value, role: &str, has_calls: bool, path: &str) -> Verdict {
    match content {
        Value::Null if has_calls => Ok(()),
        Value::Null => Err(fault(path, "expected a string or an array of parts, got null.")),
        Value::String(_) => Ok(()),
        Value::Array(parts) if parts.is_empty() => Err(fault(path, "expected at least one part.")),
        Value::Array(parts) => {
            parts.iter().enumerate().try_for_each(|(at, one)| part(one, role, &format!("{path}[{at}]")))
        }
        _ => Err(fault(path, "expected a string or an array of parts.")),
    }
}

fn part(part: &Value, role: &str, path: &str) -> Verdict {
    match (part["type"].as_str().unwrap_or_default(), role) {
        ("text", _) => match part["text"].as_str() {
            None => Err(fault(format!("{path}.text"), "expected a string.")),
            Some("") => Err(fault(format!("{path}.text"), "a text part must not be empty.")),
            Some(_) => Ok(()),
        },
        ("image_url", "user") => image(&part["image_url"]["url"], &format!("{path}.image_url.url")),
        ("file", "user") if part["file"].is_object() => Ok(()),
        ("input_audio" | "video_url", "user") => Ok(()),
        ("refusal", "assistant") => Ok(()),
        (kind, _) => Err(fault(format!("{path}.type"), format!("a {role} message takes no '{kind}' part."))),
    }
}

fn image(url: &Value, path: &str) -> Verdict {
    let Some(url) = url.as_str() else {
        return Err(fault(path, "expected a string."));
    };
    let good = match url.strip_prefix("data:").map(|data| data.split_once(";base64,")) {
        None => url.starts_with("https://") || url.starts_with("http://"),
        Some(Some((kind, data))) => kind.starts_with("image/") && STANDARD.decode(data).is_ok_and(|it| !it.is_empty()),
        Some(None) => false,
    };
    if good { Ok(()) } else { Err(fault(path, "expected a URL or 'data:image/...;base64,' with valid base64.")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(messages: Value) -> Option<String> {
        check(&messages).err().and_then(|fault| fault.param)
    }

    fn call(id: &str, arguments: &str) -> Value {
        json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}})
    }

    fn calls(calls: Value) -> Value {
        json!({"role": "assistant", "content": null, "tool_calls": calls})
    }

    fn result(id: &str) -> Value {
        json!({"role": "tool", "tool_call_id": id, "content": "ok"})
    }

    #[test]
    fn calls_are_answered_once_each_and_at_once() {
        let user = json!({"role": "user", "content": "go"});
        let two = calls(json!([call("a", "{}"), call("b", "{}")]));
        assert_eq!(refused(json!([user, two, result("b"), result("a"), user])), None);
        assert_eq!(refused(json!([user, two, result("a")])).as_deref(), Some("messages"));
        assert_eq!(refused(json!([user, two, result("a"), user, result("b")])).as_deref(), Some("messages[3]"));
        assert_eq!(refused(json!([user, result("a")])).as_deref(), Some("messages[1].tool_call_id"));
        assert_eq!(refused(json!([user, two, result("a"), result("a")])).as_deref(), Some("messages[3].tool_call_id"));
    }

    #[test]
    fn arguments_are_a_string_that_holds_an_object() {
        for arguments in ["", "null", "[]", "{", "\"x\""] {
            let messages = json!([calls(json!([call("a", arguments)])), result("a")]);
            assert_eq!(refused(messages).as_deref(), Some("messages[0].tool_calls[0].function.arguments"));
        }
    }

    #[test]
    fn content_is_what_the_role_may_send() {
        let one = |role: &str, content: Value| refused(json!([{"role": role, "content": content}]));
        let image = |url: &str| json!([{"type": "image_url", "image_url": {"url": url}}]);
        assert_eq!(one("user", image("data:image/png;base64,AAAA")), None);
        assert_eq!(one("assistant", json!("")), None);
        for (role, content) in [
            ("user", Value::Null),
            ("assistant", Value::Null),
            ("user", json!([])),
            ("user", json!([{"type": "text", "text": ""}])),
            ("user", json!([{"type": "tool_result"}])),
            ("system", image("https://x/y.png")),
            ("user", image("data:image/png;base64,?")),
            ("critic", json!("hm")),
        ] {
            assert!(one(role, content.clone()).is_some(), "{role} {content}");
        }
    }
}
