//! An answer as one JSON completion.

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::envelope::Envelope;

/// The whole answer, as it is sent when no stream was asked for.
pub fn completion(answer: &Answer, envelope: &Envelope) -> Value {
    let mut choice = json!({
        "index": 0,
        "message": message(answer, envelope),
        "logprobs": null,
        "finish_reason": answer.finish.as_str(),
    });
    if let Some(stop) = &answer.stopped_by {
        choice["stop_reason"] = json!(stop);
    }
    json!({
        "id": envelope.id(),
        "object": "chat.completion",
        "created": envelope.created,
        "model": envelope.model,
        "choices": [choice],
        "usage": envelope.usage(answer),
    })
}

fn message(answer: &Answer, envelope: &Envelope) -> Value {
    let mut fields = Map::new();
    fields.insert("role".into(), json!("assistant"));
    let wordless = answer.content.is_empty() && !(answer.calls.is_empty() && answer.refusal.is_empty());
    let content = if wordless { Value::Null } else { json!(answer.content.concat()) };
    fields.insert("content".into(), content);
    if !answer.reasoning.is_empty() {
        for (name, value) in envelope.reasoning(&answer.reasoning.concat()) {
            fields.insert(name.into(), value);
        }
    }
    if !answer.refusal.is_empty() {
        fields.insert("refusal".into(), json!(answer.refusal.concat()));
    }
    if !answer.calls.is_empty() {
        let call = |(index, call): (usize, &super::answer::CallTokens)| {
            json!({
                "id": envelope.call_id(index),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments.concat()},
            })
        };
        fields.insert("tool_calls".into(), answer.calls.iter().enumerate().map(call).collect());
    }
    Value::Object(fields)
}
