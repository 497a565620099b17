//! What is asked and answered in the benchmarks: shaped like what agents and providers send, the same in every run.

use std::fmt;

use serde_json::{Value, json};

/// Chunks with text in a streamed answer.
pub const CHUNKS: usize = 100;

/// How large a request is, and what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// One question, 1 KB.
    Question,
    /// Ten turns, 32 KB.
    Talk,
    /// What an agent sends: 30 tools and 40 turns of calls and their results, 300 KB.
    Agent,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Size::Question => "1 KB",
            Size::Talk => "32 KB",
            Size::Agent => "300 KB",
        })
    }
}

impl Size {
    /// The body of a Messages request.
    pub fn request(self, model: &str, stream: bool) -> String {
        let mut words = Words(7);
        let (system, messages, tools) = match self {
            Size::Question => (json!("Be brief."), vec![user(json!(words.prose(760)))], Vec::new()),
            Size::Talk => (json!(words.prose(2000)), talk(&mut words), Vec::new()),
            Size::Agent => {
                let system = json!([
                    {"type": "text", "text": words.prose(12_000), "cache_control": {"type": "ephemeral"}},
                ]);
                (system, agent_turns(&mut words), (0..30).map(|at| tool(&mut words, at)).collect())
            }
        };
        let mut request = json!({
            "model": model, "max_tokens": 4096, "system": system, "messages": messages, "stream": stream,
        });
        if !tools.is_empty() {
            request["tools"] = tools.into();
        }
        request.to_string()
    }
}

fn user(content: Value) -> Value {
    json!({"role": "user", "content": content})
}

fn talk(words: &mut Words) -> Vec<Value> {
    let turn = |at| match at % 2 {
        0 => user(json!([{"type": "text", "text": words.prose(1800)}])),
        _ => json!({"role": "assistant", "content": words.code(3900)}),
    };
    (0..11).map(turn).collect()
}

fn agent_turns(words: &mut Words) -> Vec<Value> {
    let mut turns = vec![user(json!([{"type": "text", "text": words.prose(1200)}]))];
    for at in 0..20 {
        let id = format!("toolu_{at:024}");
        turns.push(json!({"role": "assistant", "content": [
            {"type": "text", "text": words.prose(300)},
            {"type": "tool_use", "id": id, "name": format!("tool_{at}"),
             "input": {"path": "src/lib.rs", "text": words.code(900), "replace_all": true}},
        ]}));
        turns.push(user(json!([
            {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": words.code(10_000)}]},
        ])));
    }
    turns
}

fn tool(words: &mut Words, at: usize) -> Value {
    let field = |words: &mut Words| json!({"type": "string", "description": words.prose(120)});
    json!({
        "name": format!("tool_{at}"),
        "description": words.prose(700),
        "input_schema": {
            "type": "object",
            "properties": {
                "path": field(words),
                "text": field(words),
                "replace_all": {"type": "boolean", "default": false},
                "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
                "mode": {"type": "string", "enum": ["read", "write", "append"]},
            },
            "required": ["path"],
            "additionalProperties": false,
        },
    })
}

/// A provider's whole answer, 600 B.
pub fn completion() -> String {
    let message = json!({"role": "assistant", "content": Words(3).prose(330)});
    answer(&message, "stop")
}

/// A provider's answer that calls a tool.
pub fn tool_call() -> String {
    let arguments = json!({"path": "src/lib.rs", "text": Words(5).code(400), "replace_all": true}).to_string();
    let call = json!({
        "id": "call_0123456789abcdef", "type": "function", "function": {"name": "tool_7", "arguments": arguments},
    });
    answer(&json!({"role": "assistant", "content": null, "tool_calls": [call]}), "tool_calls")
}

fn answer(message: &Value, finish_reason: &str) -> String {
    json!({
        "id": "chatcmpl-0123456789", "object": "chat.completion", "created": 1_750_000_000, "model": "bench",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": null}],
        "usage": {"prompt_tokens": 210, "completion_tokens": 70, "total_tokens": 280},
    })
    .to_string()
}

/// The events of a provider's streamed answer: [`CHUNKS`] with text, then the finish, the usage and `[DONE]`.
pub fn stream() -> Vec<String> {
    let mut words = Words(11);
    let chunk = |delta: Value, finish: Option<&str>| {
        let chunk = json!({
            "id": "chatcmpl-0123456789", "object": "chat.completion.chunk", "created": 1_750_000_000, "model": "bench",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": null}],
        });
        format!("data: {chunk}\n\n")
    };
    let mut events: Vec<String> = (0..CHUNKS).map(|_| chunk(json!({"content": words.prose(6)}), None)).collect();
    events.push(chunk(json!({}), Some("stop")));
    let usage = json!({"prompt_tokens": 210, "completion_tokens": 200, "total_tokens": 410});
    events.push(format!("data: {}\n\n", json!({"id": "chatcmpl-0123456789", "choices": [], "usage": usage})));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

/// Draws words; the number is where it begins.
struct Words(u64);

impl Words {
    fn next<'a>(&mut self, from: &[&'a str]) -> &'a str {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from[(self.0 >> 33) as usize % from.len()]
    }

    /// Sentences of about so many bytes.
    fn prose(&mut self, bytes: usize) -> String {
        const WORDS: [&str; 16] = [
            "the", "gateway", "reads", "every", "request", "once", "and", "answers", "naïve", "clients", "in", "their",
            "own", "words", "today", "—",
        ];
        self.filled(bytes, &WORDS, " ")
    }

    /// Lines of a program of about so many bytes: with line ends, quotes and backslashes, which JSON escapes.
    fn code(&mut self, bytes: usize) -> String {
        const LINES: [&str; 6] = [
            "    let value = map.get(\"key\").copied().unwrap_or_default();",
            "    for (at, line) in text.lines().enumerate() {",
            "        println!(\"{at}: {line}\\n\");",
            "    }",
            "",
            "    // Whoever comes back finds it as it was left.",
        ];
        self.filled(bytes, &LINES, "\n")
    }

    fn filled(&mut self, bytes: usize, from: &[&str], between: &str) -> String {
        let mut text = String::with_capacity(bytes + 64);
        while text.len() < bytes {
            text.push_str(self.next(from));
            text.push_str(between);
        }
        text
    }
}
