//! Checks any stream of Anthropic events, byte for byte, and puts its message together as a client would.
//!
//! Knows nothing of the gateway: what it asks for is what the Messages API promises. Include it with
//! `#[path = "../protocol/mod.rs"] mod protocol;`.

use serde_json::{Map, Value, json};

/// How a stream that keeps the protocol has ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// With `message_stop`; the message as a client has it now.
    Stopped(Value),
    /// With an `error` event; its data.
    Failed(Value),
}

/// Checks a whole stream.
pub fn check(stream: &[u8]) -> Result<Ended, String> {
    let text = std::str::from_utf8(stream).map_err(|error| format!("the stream is not UTF-8: {error}"))?;
    let mut frames: Vec<&str> = text.split("\n\n").collect();
    match frames.pop() {
        Some("") => {}
        rest => return Err(format!("the last frame has no blank line: {rest:?}")),
    }
    let mut checker = Checker::default();
    for (number, frame) in frames.iter().enumerate() {
        checker.frame(frame).map_err(|fault| format!("frame {number}: {fault}\n{frame}"))?;
    }
    checker.ended.ok_or_else(|| "the stream ends without `message_stop` or `error`".to_owned())
}

#[derive(Default)]
struct Checker {
    message: Option<Value>,
    /// Index of the open block.
    open: Option<usize>,
    /// The tool input so far of the open block.
    input: String,
    /// Every input that did not parse: allowed only when the answer was cut off.
    broken_inputs: Vec<String>,
    signed: bool,
    has_delta: bool,
    ended: Option<Ended>,
}

type Checked = Result<(), String>;

fn fault<T>(text: impl Into<String>) -> Result<T, String> {
    Err(text.into())
}

impl Checker {
    fn frame(&mut self, frame: &str) -> Checked {
        if self.ended.is_some() {
            return fault("something follows the end");
        }
        let Some((name, data)) = frame.strip_prefix("event: ").and_then(|rest| rest.split_once("\ndata: ")) else {
            return fault("a frame is `event: NAME`, `data: JSON`");
        };
        if data.contains(['\n', '\r']) {
            return fault("the data stands on one line");
        }
        let event: Value = serde_json::from_str(data).map_err(|error| format!("the data is not JSON: {error}"))?;
        if event["type"] != name {
            return fault("the event's name and the type in its data differ");
        }
        match (name, self.message.is_some()) {
            ("message_start", false) => self.message_start(&event["message"]),
            ("message_start", true) => fault("a second `message_start`"),
            (_, false) => fault("something comes before `message_start`"),
            ("ping", _) => keys(&event, &["type"], &[]),
            ("content_block_start", _) => self.block_start(&event),
            ("content_block_delta", _) => self.block_delta(&event),
            ("content_block_stop", _) => self.block_stop(&event),
            ("message_delta", _) => self.message_delta(&event),
            ("message_stop", _) => self.message_stop(&event),
            ("error", _) => self.error(event),
            _ => fault("no event of this name is known"),
        }
    }

    fn message_start(&mut self, message: &Value) -> Checked {
        let required = ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"];
        keys(message, &required, &["stop_details"])?;
        if message["type"] != "message" || message["role"] != "assistant" || message["content"] != json!([]) {
            return fault("a message starts as an empty one of the assistant");
        }
        if !message["id"].as_str().is_some_and(|id| id.starts_with("msg_")) || !message["model"].is_string() {
            return fault("a message has an id `msg_...` and a model");
        }
        if !message["stop_reason"].is_null() || !message["stop_sequence"].is_null() {
            return fault("a message that starts has not stopped");
        }
        usage(&message["usage"])?;
        self.message = Some(message.clone());
        Ok(())
    }

    fn content(&mut self) -> &mut Vec<Value> {
        let message = self.message.as_mut().expect("asked after `message_start` only");
        message["content"].as_array_mut().expect("checked at `message_start`")
    }

    fn block_start(&mut self, event: &Value) -> Checked {
        keys(event, &["type", "index", "content_block"], &[])?;
        if self.has_delta {
            return fault("a block starts after `message_delta`");
        }
        if let Some(open) = self.open {
            return fault(format!("block {open} is still open"));
        }
        let next = self.content().len();
        if event["index"] != next {
            return fault(format!("the next index is {next}"));
        }
        let block = &event["content_block"];
        match block["type"].as_str() {
            Some("text") => {
                keys(block, &["type", "text"], &[])?;
                require(block["text"] == "", "a text block starts empty")?;
            }
            Some("thinking") => {
                keys(block, &["type", "thinking", "signature"], &[])?;
                require(block["thinking"] == "" && block["signature"] == "", "a thinking block starts empty")?;
            }
            Some("tool_use") => {
                keys(block, &["type", "id", "name", "input"], &[])?;
                require(block["input"] == json!({}), "the input of a tool block starts as `{}`")?;
                let id = block["id"].as_str().unwrap_or_default();
                let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                require(!id.is_empty() && id.chars().all(fits), "a tool's id has letters, digits, _ and - only")?;
                require(block["name"].as_str().is_some_and(|name| !name.is_empty()), "a tool has a name")?;
                let repeated = self.content().iter().any(|other| other["id"] == id);
                require(!repeated, "a tool's id is new in its message")?;
            }
            _ => return fault("a block is text, thinking or tool_use"),
        }
        self.content().push(block.clone());
        self.open = Some(next);
        self.input.clear();
        self.signed = false;
        Ok(())
    }

    fn block_delta(&mut self, event: &Value) -> Checked {
        keys(event, &["type", "index", "delta"], &[])?;
        let Some(open) = self.open else { return fault("no block is open") };
        require(event["index"] == open, "the delta is for another block than the open one")?;
        let delta = &event["delta"];
        let signed = self.signed;
        let block = &mut self.content()[open];
        let (kind, field) = match (delta["type"].as_str(), block["type"].as_str()) {
            (Some("text_delta"), Some("text")) => ("text_delta", "text"),
            (Some("thinking_delta"), Some("thinking")) => ("thinking_delta", "thinking"),
            (Some("signature_delta"), Some("thinking")) => ("signature_delta", "signature"),
            (Some("input_json_delta"), Some("tool_use")) => ("input_json_delta", "partial_json"),
            (delta, block) => return fault(format!("{delta:?} does not fit a block of type {block:?}")),
        };
        keys(delta, &["type", field], &[])?;
        let Some(added) = delta[field].as_str() else { return fault(format!("`{field}` is text")) };
        match kind {
            "input_json_delta" => self.input.push_str(added),
            _ => {
                require(!signed, "something follows the signature of its block")?;
                let before = block[field].as_str().unwrap_or_default();
                block[field] = Value::String(format!("{before}{added}"));
                self.signed = kind == "signature_delta";
            }
        }
        Ok(())
    }

    fn block_stop(&mut self, event: &Value) -> Checked {
        keys(event, &["type", "index"], &[])?;
        let Some(open) = self.open.take() else { return fault("no block is open") };
        require(event["index"] == open, "another block than the open one stops")?;
        let (signed, input) = (self.signed, std::mem::take(&mut self.input));
        let block = &mut self.content()[open];
        match block["type"].as_str() {
            Some("thinking") => require(signed, "a thinking block ends with its signature"),
            Some("text") => require(block["text"] != "", "a text block says something"),
            _ => {
                match serde_json::from_str::<Map<String, Value>>(&input) {
                    Ok(object) => block["input"] = Value::Object(object),
                    Err(_) => self.broken_inputs.push(input),
                }
                Ok(())
            }
        }
    }

    fn message_delta(&mut self, event: &Value) -> Checked {
        keys(event, &["type", "delta", "usage"], &[])?;
        require(self.open.is_none(), "a block is still open")?;
        require(!std::mem::replace(&mut self.has_delta, true), "a second `message_delta`")?;
        let delta = &event["delta"];
        keys(delta, &["stop_reason", "stop_sequence"], &["stop_details"])?;
        let known = [
            "end_turn",
            "max_tokens",
            "stop_sequence",
            "tool_use",
            "pause_turn",
            "refusal",
            "model_context_window_exceeded",
        ];
        let reason = delta["stop_reason"].as_str().unwrap_or_default();
        require(known.contains(&reason), "a known stop reason")?;
        require((reason == "stop_sequence") == delta["stop_sequence"].is_string(), "the sequence that matched")?;
        let cut_off = ["max_tokens", "refusal", "model_context_window_exceeded"].contains(&reason);
        if !cut_off && !self.broken_inputs.is_empty() {
            return fault(format!("tool inputs that are not objects: {:?}", self.broken_inputs));
        }
        if reason == "tool_use" {
            let any = self.content().iter().any(|block| block["type"] == "tool_use");
            require(any, "`tool_use` without a tool block")?;
        }
        usage(&event["usage"])?;
        let message = self.message.as_mut().expect("asked after `message_start` only");
        for field in ["stop_reason", "stop_sequence", "stop_details"] {
            if let Some(value) = delta.get(field) {
                message[field] = value.clone();
            }
        }
        message["usage"] = event["usage"].clone();
        Ok(())
    }

    fn message_stop(&mut self, event: &Value) -> Checked {
        keys(event, &["type"], &[])?;
        require(self.has_delta, "`message_stop` without `message_delta`")?;
        self.ended = self.message.take().map(Ended::Stopped);
        Ok(())
    }

    fn error(&mut self, event: Value) -> Checked {
        keys(&event, &["type", "error", "request_id"], &[])?;
        keys(&event["error"], &["type", "message"], &["details"])?;
        require(event["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "an error says something")?;
        self.ended = Some(Ended::Failed(event["error"].clone()));
        Ok(())
    }
}

fn require(holds: bool, rule: &str) -> Checked {
    if holds { Ok(()) } else { fault(rule) }
}

/// The object has all of `required` and nothing but those and `optional`.
fn keys(value: &Value, required: &[&str], optional: &[&str]) -> Checked {
    let Some(object) = value.as_object() else { return fault(format!("not an object: {value}")) };
    for key in required {
        require(object.contains_key(*key), &format!("`{key}` is missing"))?;
    }
    let unknown = object.keys().find(|key| !required.contains(&key.as_str()) && !optional.contains(&key.as_str()));
    unknown.map_or(Ok(()), |key| fault(format!("`{key}` does not belong here")))
}

fn usage(usage: &Value) -> Checked {
    let counts = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"];
    keys(usage, &counts, &["output_tokens_details"])?;
    require(counts.iter().all(|count| usage[count].is_u64()), "counts are whole numbers, 0 or more")?;
    match usage.get("output_tokens_details") {
        None => Ok(()),
        Some(details) => {
            keys(details, &["thinking_tokens"], &[])?;
            let within = details["thinking_tokens"].as_u64() <= usage["output_tokens"].as_u64();
            require(within, "thinking is a part of the output")
        }
    }
}
