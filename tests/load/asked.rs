//! What is asked, and what the answer must be: written into the prompt by the client, read there by the providers, so
//! that both know it and no answer can be taken for another one's.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

/// So many words are said at a time.
pub const WORDS_A_TIME: usize = 10;

/// When a client goes away on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    Never,
    /// When a provider has the request.
    BeforeHead,
    /// When it has seen content.
    AfterContent,
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// No other request has it.
    pub number: u64,
    /// Length of the answer.
    pub words: u64,
    pub tool: bool,
    pub stream: bool,
    pub hold: Hold,
    /// Between ten words of the answer, in milliseconds.
    pub pace: u64,
    /// Bytes of the prompt that say nothing.
    pub ballast: usize,
}

impl Asked {
    /// The request of this number, always the same for the same seed.
    pub fn of(seed: u64, number: u64, may_hang_up: bool) -> Asked {
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(number));
        let stream = random.random_bool(0.6);
        let hold = match random.random_range(0..100) {
            0..4 if may_hang_up => Hold::BeforeHead,
            4..8 if may_hang_up && stream => Hold::AfterContent,
            _ => Hold::Never,
        };
        let ballast = if random.random_bool(0.1) { random.random_range(0..60_000) } else { 0 };
        let (words, tool) = (random.random_range(1..60), random.random_bool(0.2));
        Asked { number, words, tool, stream, hold, pace: 5, ballast }
    }

    /// How long the provider takes for it.
    pub fn time(&self) -> Duration {
        Duration::from_millis(self.pace * self.words.div_ceil(WORDS_A_TIME as u64))
    }

    /// The body of the request.
    pub fn body(&self, model: &str) -> Value {
        let hold = match self.hold {
            Hold::Never => 0,
            Hold::BeforeHead => 1,
            Hold::AfterContent => 2,
        };
        let fields = [self.number, self.words, u64::from(self.tool), hold, self.pace].map(|field| field.to_string());
        let prompt = format!("{} {}", fields.join(" "), "x".repeat(self.ballast));
        let schema = json!({"type": "object", "properties": {"number": {"type": "integer"}}});
        json!({
            "model": model, "max_tokens": 1000, "stream": self.stream,
            "messages": [{"role": "user", "content": prompt}],
            "tools": [{"name": "get", "description": "Gets it", "input_schema": schema}],
        })
    }

    /// Reads what a provider got.
    pub fn read(body: &Value) -> Asked {
        let prompt = body["messages"][0]["content"].as_str().expect("a prompt");
        let mut fields = prompt.splitn(6, ' ');
        let mut field = || fields.next().expect("a field");
        let mut number = || field().parse::<u64>().expect("a number");
        let (number, words, tool, hold, pace) = (number(), number(), number() == 1, number(), number());
        let hold = [Hold::Never, Hold::BeforeHead, Hold::AfterContent][hold as usize];
        Asked { number, words, tool, stream: body["stream"] == true, hold, pace, ballast: field().len() }
    }

    /// The words of the answer.
    pub fn pieces(&self) -> impl Iterator<Item = String> + use<> {
        let number = self.number;
        (0..self.words).map(move |word| format!("{number}.{word} "))
    }

    pub fn text(&self) -> String {
        self.pieces().collect()
    }

    /// What the tool is called with, where it is called.
    pub fn arguments(&self) -> String {
        format!("{{\"number\":{}}}", self.number)
    }

    /// Tokens of the request and of the answer, as the provider counts them.
    pub fn usage(&self) -> (u64, u64) {
        (1000 + self.number, self.words)
    }
}
