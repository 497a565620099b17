//! Why the model stopped, in Anthropic's words.

use crate::wire::anthropic::message::StopReason;
use crate::wire::openai::completion::{Choice, StringOrOther};

/// The end of an answer, as far as the provider tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    pub reason: StopReason,
    /// The stop sequence that matched, when the provider says which.
    pub sequence: Option<String>,
    pub refusal: Option<String>,
}

/// Whether the choice says that the answer has ended, and how.
pub fn finish(choice: &Choice<'_>) -> Option<Finish> {
    let word = choice.finish_reason.as_deref().filter(|word| !word.is_empty())?;
    let matched = [&choice.stop_reason, &choice.matched_stop].into_iter().flatten().find_map(|value| match value {
        StringOrOther::String(text) => Some(text.as_str().to_owned()),
        StringOrOther::Other => None,
    });
    let reason = match word {
        "length" | "max_tokens" => StopReason::MaxTokens,
        "tool_calls" | "function_call" | "tool_use" => StopReason::ToolUse,
        "content_filter" | "refusal" => StopReason::Refusal,
        "model_context_window_exceeded" | "context_length_exceeded" => StopReason::ModelContextWindowExceeded,
        _ if matched.is_some() => StopReason::StopSequence,
        _ => StopReason::EndTurn,
    };
    Some(Finish { reason, sequence: matched.filter(|_| reason == StopReason::StopSequence), refusal: None })
}

impl Finish {
    /// The ending of an answer whose provider did not say how it ended.
    pub fn unsaid() -> Finish {
        Finish { reason: StopReason::EndTurn, sequence: None, refusal: None }
    }

    /// Whether the answer ended before the model had said all: what is unfinished then is no mistake.
    pub fn is_cut_off(&self) -> bool {
        matches!(self.reason, StopReason::MaxTokens | StopReason::Refusal | StopReason::ModelContextWindowExceeded)
    }

    /// What the content tells against the provider's word: a call means `tool_use` (T29), a call without
    /// any tool block does not, and a refusal text is a refusal.
    pub fn settle(&mut self, any_tool: bool, refusal: Option<String>) {
        if refusal.is_some() {
            self.reason = StopReason::Refusal;
            self.refusal = refusal;
        }
        self.reason = match (self.reason, any_tool) {
            (StopReason::EndTurn | StopReason::StopSequence, true) => StopReason::ToolUse,
            (StopReason::ToolUse, false) => StopReason::EndTurn,
            (reason, _) => reason,
        };
        if self.reason != StopReason::StopSequence {
            self.sequence = None;
        }
    }
}
