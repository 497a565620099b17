//! An answer as the chunks of a stream.

use serde_json::{Map, Value, json};

use super::answer::{Answer, CallTokens};
use super::envelope::{Envelope, written};

/// What a frame carries, for the moods that leave some out or stop between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Opening,
    /// One token.
    Piece,
    Finish,
    Usage,
    Done,
}

/// One `data:` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: Kind,
    pub data: String,
}

/// The whole stream, in order. It holds as many pieces as the answer has tokens.
pub fn frames(answer: &Answer, envelope: &Envelope) -> Vec<Frame> {
    let piece = |delta: Value| Frame { kind: Kind::Piece, data: written(&chunk(envelope, delta, None)) };
    let mut all = Vec::with_capacity(answer.tokens() + 4);
    let opening = json!({"role": "assistant", "content": ""});
    all.push(Frame { kind: Kind::Opening, data: written(&chunk(envelope, opening, None)) });
    for text in &answer.reasoning {
        let fields: Map<String, Value> =
            envelope.reasoning(text).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        all.push(piece(Value::Object(fields)));
    }
    all.extend(answer.content.iter().map(|text| piece(json!({"content": text}))));
    all.extend(answer.refusal.iter().map(|text| piece(json!({"refusal": text}))));
    all.extend(call_deltas(&answer.calls, envelope).into_iter().map(|part| piece(json!({"tool_calls": [part]}))));

    let mut finish = chunk(envelope, json!({}), Some(answer.finish.as_str()));
    if let Some(stop) = &answer.stopped_by {
        finish["choices"][0]["stop_reason"] = json!(stop);
    }
    all.push(Frame { kind: Kind::Finish, data: written(&finish) });
    if envelope.include_usage {
        let mut usage = chunk(envelope, json!({}), None);
        usage["choices"] = json!([]);
        usage["usage"] = envelope.usage(answer);
        all.push(Frame { kind: Kind::Usage, data: written(&usage) });
    }
    all.push(done());
    all
}

/// The end of a stream.
pub fn done() -> Frame {
    Frame { kind: Kind::Done, data: "[DONE]".into() }
}

/// One chunk with this delta.
pub fn chunk(envelope: &Envelope, delta: Value, finish: Option<&str>) -> Value {
    let mut chunk = json!({
        "id": envelope.id(),
        "object": "chat.completion.chunk",
        "created": envelope.created,
        "model": envelope.model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    });
    if envelope.include_usage {
        chunk["usage"] = Value::Null;
    }
    chunk
}

/// The fragments of all calls: one call after the other, or in turns.
fn call_deltas(calls: &[CallTokens], envelope: &Envelope) -> Vec<Value> {
    let mut queues: Vec<_> = calls
        .iter()
        .enumerate()
        .map(|(index, call)| {
            let name = json!({
                "index": index,
                "id": envelope.call_id(index),
                "type": "function",
                "function": {"name": call.name, "arguments": ""},
            });
            let fragment = move |text: &String| json!({"index": index, "function": {"arguments": text}});
            std::iter::once(name).chain(call.arguments.iter().map(fragment))
        })
        .collect();
    if !envelope.interleaved {
        return queues.into_iter().flatten().collect();
    }
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(queues.iter_mut().filter_map(Iterator::next));
        if all.len() == before {
            return all;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::ThinkingStyle;
    use super::super::tools::Call;
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            serial: 1,
            created: 0,
            model: "m".into(),
            style: ThinkingStyle::Details,
            prompt_tokens: 3,
            cached_tokens: 0,
            include_usage: true,
            interleaved: false,
        }
    }

    fn two_calls() -> Answer {
        let call = || Call { name: "f".into(), arguments: r#"{"a":1234}"#.into() };
        Answer::calls(vec![call(), call()])
    }

    fn indices(envelope: &Envelope) -> Vec<i64> {
        call_deltas(&two_calls().calls, envelope).iter().filter_map(|part| part["index"].as_i64()).collect()
    }

    #[test]
    fn a_stream_has_a_piece_for_each_token() {
        let mut answer = Answer::words("one two three", &["three".into()]);
        answer.reasoning = vec!["hm".into()];
        let frames = frames(&answer, &envelope());
        assert_eq!(frames.iter().filter(|frame| frame.kind == Kind::Piece).count(), answer.tokens());
        let kinds: Vec<Kind> = frames.iter().rev().take(3).map(|frame| frame.kind).collect();
        assert_eq!(kinds, [Kind::Done, Kind::Usage, Kind::Finish]);
        assert!(frames.iter().any(|frame| frame.data.contains(r#""stop_reason":"three""#)));
        assert!(frames.iter().any(|frame| frame.data.contains(r#""reasoning_details":[{"#)));
    }

    #[test]
    fn fragments_of_calls_come_in_order_or_in_turns() {
        assert_eq!(indices(&envelope()), [0, 0, 0, 1, 1, 1]);
        assert_eq!(indices(&Envelope { interleaved: true, ..envelope() }), [0, 1, 0, 1, 0, 1]);
    }
}
