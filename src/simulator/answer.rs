//! An answer before it is written down: tokens, tool calls, and why it ended.

use super::pieces::{FRAGMENT, WORD, pieces};
use super::tools::Call;

/// Everything that the model has to say, cut into tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub reasoning: Vec<String>,
    pub content: Vec<String>,
    pub refusal: Vec<String>,
    pub calls: Vec<CallTokens>,
    pub finish: Finish,
    /// The stop sequence that ended the answer.
    pub stopped_by: Option<String>,
}

/// A tool call whose arguments are cut into tokens; its name is one more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallTokens {
    pub name: String,
    pub arguments: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
    Error,
}

impl Finish {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::ToolCalls => "tool_calls",
            Finish::ContentFilter => "content_filter",
            Finish::Error => "error",
        }
    }
}

impl Answer {
    /// An answer that says nothing.
    pub fn silent() -> Self {
        Answer {
            reasoning: Vec::new(),
            content: Vec::new(),
            refusal: Vec::new(),
            calls: Vec::new(),
            finish: Finish::Stop,
            stopped_by: None,
        }
    }

    /// An answer in words, up to the first of the stop sequences.
    pub fn words(text: &str, stop: &[String]) -> Self {
        let first =
            stop.iter().filter_map(|stop| text.find(stop.as_str()).map(|at| (at, stop))).min_by_key(|(at, _)| *at);
        let said = first.and_then(|(at, _)| text.get(..at)).unwrap_or(text);
        let stopped_by = first.map(|(_, stop)| stop.clone());
        Answer { content: pieces(said, WORD), stopped_by, ..Answer::silent() }
    }

    /// A refusal.
    pub fn refusal(text: &str) -> Self {
        Answer { refusal: pieces(text, WORD), finish: Finish::ContentFilter, ..Answer::silent() }
    }

    /// An answer that calls tools.
    pub fn calls(calls: Vec<Call>) -> Self {
        let cut = |call: Call| CallTokens { name: call.name, arguments: pieces(&call.arguments, FRAGMENT) };
        Answer { calls: calls.into_iter().map(cut).collect(), finish: Finish::ToolCalls, ..Answer::silent() }
    }

    /// The tokens of the whole answer.
    pub fn tokens(&self) -> usize {
        let calls: usize = self.calls.iter().map(|call| 1 + call.arguments.len()).sum();
        self.reasoning.len() + self.content.len() + self.refusal.len() + calls
    }

    /// Ends the answer after so many tokens, for the reason given; one that is no longer than that stays as it is.
    pub fn end_after(&mut self, most: usize, finish: Finish) {
        if self.tokens() <= most {
            return;
        }
        let mut left = most;
        for part in [&mut self.reasoning, &mut self.content, &mut self.refusal] {
            part.truncate(left);
            left -= part.len();
        }
        self.calls.retain_mut(|call| {
            let named = left > 0;
            left = left.saturating_sub(1);
            call.arguments.truncate(left);
            left -= call.arguments.len();
            named
        });
        self.finish = finish;
        self.stopped_by = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stop_sequence_ends_the_answer() {
        let answer = Answer::words("one two three", &["three".into(), "two".into()]);
        assert_eq!(answer.content.concat(), "one ");
        assert_eq!((answer.stopped_by.as_deref(), answer.finish), (Some("two"), Finish::Stop));
    }

    #[test]
    fn an_answer_ends_at_its_last_token() {
        let mut answer = Answer::words("one two three", &[]);
        answer.end_after(3, Finish::Length);
        assert_eq!(answer.finish, Finish::Stop);
        answer.end_after(2, Finish::Length);
        assert_eq!((answer.content.concat().as_str(), answer.finish, answer.tokens()), ("one two", Finish::Length, 2));
    }

    #[test]
    fn a_call_may_be_cut_in_its_arguments() {
        let call = |name: &str| Call { name: name.into(), arguments: r#"{"city":"Paris"}"#.into() };
        let mut answer = Answer::calls(vec![call("a"), call("b")]);
        answer.end_after(3, Finish::Length);
        assert_eq!(
            answer.calls,
            [CallTokens { name: "a".into(), arguments: vec![r#"{"cit"#.into(), r#"y":"P"#.into()] }]
        );
        assert_eq!(answer.tokens(), 3);
    }
}
