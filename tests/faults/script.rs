//! What a provider does with a request, as data.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::provider::{completion, delta, usage};

/// One step of a provider on one connection.
#[derive(Clone)]
pub enum Act {
    /// Takes the request in. A script without it answers, or does not, before it has read anything.
    Read,
    Send(Vec<u8>),
    /// Sends every byte for itself.
    SendBytewise(Vec<u8>),
    /// Says nothing for so long.
    Pause(Duration),
    /// Sends the same again and again, as often as this, until the gateway closes the connection.
    Drip(Vec<u8>, Duration),
    /// Waits until the client has seen content.
    UntilContentIsSeen,
    /// Closes the connection as programs do when they have nothing more to say.
    Close,
    /// Resets the connection, as a process that is killed does.
    Reset,
    /// Says no more, and waits for the gateway to close the connection.
    Hold,
}

/// How a provider listens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Port {
    Open,
    /// Nobody listens there.
    Refused,
    /// Somebody listens, but takes no connections: packets are lost without a word.
    Full,
}

/// What happens on each call, and how the provider listens. A script whose last act leaves the connection open
/// serves the next request on it.
#[derive(Clone)]
pub struct Script {
    pub port: Port,
    pub acts: Vec<Act>,
    /// The calls before this one are answered well.
    pub from_call: usize,
    /// So is this one, and all that follow.
    pub until_call: usize,
}

/// The head of an error or a completion.
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

impl Script {
    fn new(port: Port, acts: Vec<Act>) -> Script {
        Script { port, acts, from_call: 0, until_call: usize::MAX }
    }

    /// Nobody listens.
    pub fn refused() -> Script {
        Script::new(Port::Refused, Vec::new())
    }

    /// No connection comes about.
    pub fn full() -> Script {
        Script::new(Port::Full, Vec::new())
    }

    /// A connection, and the request still unread.
    pub fn connected() -> Script {
        Script::new(Port::Open, Vec::new())
    }

    /// The request has been read.
    pub fn asked() -> Script {
        Script::new(Port::Open, vec![Act::Read])
    }

    /// The first call alone goes wrong.
    pub fn once(mut self) -> Script {
        self.until_call = 1;
        self
    }

    /// The second call alone goes wrong.
    pub fn second_call(mut self) -> Script {
        (self.from_call, self.until_call) = (1, 2);
        self
    }

    pub fn act(mut self, act: Act) -> Script {
        self.acts.push(act);
        self
    }

    /// Bytes as they are. What is said without a pause goes out in one piece.
    pub fn raw(mut self, bytes: impl AsRef<[u8]>) -> Script {
        if let Some(Act::Send(before)) = self.acts.last_mut() {
            before.extend_from_slice(bytes.as_ref());
            return self;
        }
        self.act(Act::Send(bytes.as_ref().to_vec()))
    }

    pub fn close(self) -> Script {
        self.act(Act::Close)
    }

    pub fn reset(self) -> Script {
        self.act(Act::Reset)
    }

    pub fn hold(self) -> Script {
        self.act(Act::Hold)
    }

    pub fn until_content_is_seen(self) -> Script {
        self.act(Act::UntilContentIsSeen)
    }

    pub fn pause(self, time: Duration) -> Script {
        self.act(Act::Pause(time))
    }

    pub fn drip(self, bytes: impl AsRef<[u8]>, every: Duration) -> Script {
        self.act(Act::Drip(bytes.as_ref().to_vec(), every))
    }

    /// All that was said so far is sent byte by byte.
    pub fn bytewise(mut self) -> Script {
        for act in &mut self.acts {
            if let Act::Send(bytes) = act {
                *act = Act::SendBytewise(std::mem::take(bytes));
            }
        }
        self
    }

    // --- Whole answers ---

    /// Status, headers, and a body of this length.
    pub fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Script {
        let length = body.as_ref().len().to_string();
        Script::asked().head(status, headers, &[("content-length", &length)]).raw(body)
    }

    /// The head alone.
    pub fn head(self, status: u16, headers: &[(&str, &str)], framing: &[(&str, &str)]) -> Script {
        let line = |(name, value): &(&str, &str)| format!("{name}: {value}\r\n");
        let headers: String = headers.iter().chain(framing).map(line).collect();
        self.raw(format!("HTTP/1.1 {status} Scripted\r\n{headers}\r\n"))
    }

    /// A 200 with this as JSON.
    pub fn body(body: impl AsRef<[u8]>) -> Script {
        Script::answer(200, JSON, body)
    }

    /// An error in OpenAI's shape.
    pub fn status(status: u16) -> Script {
        Script::fails(status, &[], "scripted failure")
    }

    /// An error in these words, with more headers.
    pub fn fails(status: u16, headers: &[(&str, &str)], message: &str) -> Script {
        let body = json!({"error": {"message": message, "type": "x", "param": null, "code": null}});
        Script::answer(status, &[JSON, headers].concat(), body.to_string())
    }

    /// The beginning of a body that is announced as longer than it is.
    pub fn half_a_body() -> Script {
        let whole = completion("Hello").to_string();
        let length = whole.len().to_string();
        Script::asked().head(200, JSON, &[("content-length", &length)]).raw(&whole[..whole.len() / 2])
    }

    // --- Streams ---

    /// The head of a stream.
    pub fn stream() -> Script {
        let headers = [("content-type", "text/event-stream")];
        Script::asked().head(200, &headers, &[("transfer-encoding", "chunked")])
    }

    /// These bytes as one chunk of HTTP.
    pub fn chunk(self, bytes: impl AsRef<[u8]>) -> Script {
        let size = bytes.as_ref().len();
        self.raw(format!("{size:x}\r\n")).raw(bytes).raw("\r\n")
    }

    /// One event.
    pub fn data(self, data: &Value) -> Script {
        self.chunk(format!("data: {data}\n\n"))
    }

    /// The first chunk, which says only who speaks.
    pub fn role(self) -> Script {
        self.data(&delta(json!({"role": "assistant", "content": ""}), None))
    }

    pub fn text(self, text: &str) -> Script {
        self.data(&delta(json!({"content": text}), None))
    }

    pub fn thinking(self, text: &str) -> Script {
        self.data(&delta(json!({"reasoning_content": text}), None))
    }

    /// A piece of the call of a tool.
    pub fn call(self, index: usize, name: Option<&str>, arguments: &str) -> Script {
        let id = name.map(|_| format!("call_{index}"));
        let call = json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}});
        self.data(&delta(json!({"tool_calls": [call]}), None))
    }

    pub fn finish(self, reason: &str) -> Script {
        self.data(&delta(json!({}), Some(reason)))
    }

    pub fn usage(self) -> Script {
        self.data(&json!({"object": "chat.completion.chunk", "choices": [], "usage": usage()}))
    }

    pub fn done(self) -> Script {
        self.chunk("data: [DONE]\n\n")
    }

    /// The end of the body as HTTP marks it.
    pub fn end(self) -> Script {
        self.raw("0\r\n\r\n")
    }

    /// Finish, usage, `[DONE]` and the end.
    pub fn ends_well(self) -> Script {
        self.finish("stop").usage().done().end()
    }
}

/// A completion with other fields in its choice.
pub fn choice(fields: Value) -> String {
    let mut body = completion("Hello");
    for (name, value) in fields.as_object().into_iter().flatten() {
        body["choices"][0][name] = value.clone();
    }
    body.to_string()
}

/// A completion that calls a tool with these arguments.
pub fn calling(arguments: &str, finish: &str) -> String {
    let call = json!({"id": "call_0", "type": "function", "function": {"name": "get", "arguments": arguments}});
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    choice(json!({"message": message, "finish_reason": finish}))
}

/// The same field of a completion set to another value, or taken away.
pub fn completion_with(field: &str, value: Option<Value>) -> String {
    let mut body = completion("Hello");
    match value {
        Some(value) => body[field] = value,
        None => {
            body.as_object_mut().map(|fields| fields.remove(field));
        }
    }
    body.to_string()
}
