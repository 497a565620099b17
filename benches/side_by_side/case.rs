//! What is measured: one request and one answer, over and over, on so many connections.

use super::inputs::Size;

/// What the provider answers, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 600 B of JSON.
    Text,
    /// JSON that calls a tool.
    ToolCall,
    /// A hundred events as fast as they go.
    Stream,
    /// The same, one each millisecond.
    Paced,
    /// One event, and then silence.
    Held,
}

impl Answer {
    pub const ALL: [Answer; 5] = [Answer::Text, Answer::ToolCall, Answer::Stream, Answer::Paced, Answer::Held];

    /// The model that answers so, and the first segment of the path at the provider.
    pub fn model(self) -> &'static str {
        match self {
            Answer::Text => "bench-text",
            Answer::ToolCall => "bench-tool",
            Answer::Stream => "bench-stream",
            Answer::Paced => "bench-paced",
            Answer::Held => "bench-held",
        }
    }

    pub fn is_stream(self) -> bool {
        matches!(self, Answer::Stream | Answer::Paced | Answer::Held)
    }
}

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// For `--cases`.
    pub name: &'static str,
    pub about: &'static str,
    pub size: Size,
    pub answer: Answer,
    pub connections: usize,
    /// The provider is behind TLS.
    pub tls: bool,
    /// The client's key has limits of every kind, none of which is reached.
    pub limits: bool,
}

const SMALL: Case = Case {
    name: "small",
    about: "1 KB asked, 600 B answered",
    size: Size::Question,
    answer: Answer::Text,
    connections: 64,
    tls: false,
    limits: false,
};

/// All cases but that of the idle streams.
pub const CASES: [Case; 10] = [
    Case { name: "small-1", connections: 1, ..SMALL },
    SMALL,
    Case { name: "small-256", connections: 256, ..SMALL },
    Case { name: "limits", about: "the same, by a key with limits", limits: true, ..SMALL },
    Case { name: "tls", about: "the same, TLS to the provider", tls: true, ..SMALL },
    Case { name: "tool", about: "1 KB asked, a tool call answered", answer: Answer::ToolCall, ..SMALL },
    Case { name: "talk", about: "32 KB asked, 600 B answered", size: Size::Talk, ..SMALL },
    Case {
        name: "agent",
        about: "300 KB asked: 30 tools, 40 turns; 600 B answered",
        size: Size::Agent,
        connections: 16,
        ..SMALL
    },
    Case { name: "stream", about: "a stream of 100 chunks, unpaced", answer: Answer::Stream, ..SMALL },
    Case {
        name: "paced",
        about: "a stream of 100 chunks, one each ms",
        answer: Answer::Paced,
        connections: 16,
        ..SMALL
    },
];

/// The name of the case in which streams are open and silent.
pub const IDLE: &str = "idle";

impl Case {
    /// What costs are given for: a request, or a chunk of a stream.
    pub fn unit(&self) -> &'static str {
        if self.answer.is_stream() { "chunk" } else { "request" }
    }
}
