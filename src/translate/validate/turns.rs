//! What must hold between turns: above all that every call of a tool is answered (T36).

use std::collections::HashMap;

use super::blocks::block;
use super::{Checked, Invalid};
use crate::wire::anthropic::request::{Content, InputMessage, Role};
use crate::wire::prose::Prose;

/// Anthropic's bound for one request.
const MAX_MESSAGES: usize = 100_000;

/// Every message says something, and calls and results of tools stand together.
pub(super) fn conversation(messages: &[InputMessage<'_>]) -> Checked {
    if messages.is_empty() {
        return Err(Invalid::new("messages", "at least one message is required"));
    }
    if messages.len() > MAX_MESSAGES {
        return Err(Invalid::new("messages", format!("at most {MAX_MESSAGES} messages are allowed")));
    }
    let mut open = OpenCalls::default();
    let mut assistant_spoke = false;
    for (index, message) in messages.iter().enumerate() {
        let is_last = index + 1 == messages.len();
        filled(message, index, is_last)?;
        let is_assistant = message.role == Role::Assistant;
        if is_assistant && !assistant_spoke {
            open.must_be_answered()?;
        }
        assistant_spoke = is_assistant;
        for (at, part) in message.content.blocks().iter().enumerate() {
            let path = || format!("messages.{index}.content.{at}.{}", part.kind.as_str());
            block(part, message.role, &path)?;
            match (part.kind.as_str(), message.role) {
                ("tool_use", Role::Assistant) => open.call(part.id.as_deref().unwrap_or_default(), index, &path)?,
                ("tool_result", Role::User) => open.answer(part.tool_use_id.as_deref().unwrap_or_default(), &path)?,
                _ => {}
            }
        }
    }
    open.must_be_answered()
}

/// The calls of the last assistant turn that have no result yet.
#[derive(Default)]
struct OpenCalls<'a> {
    /// By id: the message where they stand.
    calls: HashMap<&'a str, usize>,
}

impl<'a> OpenCalls<'a> {
    fn call(&mut self, id: &'a str, message: usize, path: &dyn Fn() -> String) -> Checked {
        match self.calls.insert(id, message) {
            None => Ok(()),
            Some(_) => Err(Invalid::new(path(), format!("`tool_use` ids must be unique: {id} stands twice"))),
        }
    }

    fn answer(&mut self, id: &str, path: &dyn Fn() -> String) -> Checked {
        self.calls.remove(id).map(|_| ()).ok_or_else(|| unexpected_result(id, path))
    }

    fn must_be_answered(&self) -> Checked {
        let Some(message) = self.calls.values().max() else { return Ok(()) };
        let mut ids: Vec<&str> = self.calls.keys().copied().collect();
        ids.sort_unstable();
        Err(Invalid::new(
            format!("messages.{message}"),
            format!(
                "`tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
                ids.join(", ")
            ),
        ))
    }
}

fn unexpected_result(id: &str, path: &dyn Fn() -> String) -> Invalid {
    Invalid::new(
        path(),
        format!(
            "unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
        ),
    )
}

/// A message must say something; only a final assistant turn may be empty.
fn filled(message: &InputMessage<'_>, index: usize, is_last: bool) -> Checked {
    let empty = match &message.content {
        Content::Text(text) => text.is_empty(),
        Content::Blocks(blocks) => {
            blocks.iter().all(|block| block.kind.as_str() == "text" && block.text.as_ref().is_some_and(Prose::is_empty))
        }
        Content::Opaque => {
            return Err(Invalid::new(format!("messages.{index}.content"), "Input should be a valid string or list"));
        }
    };
    match empty && !(is_last && message.role == Role::Assistant) {
        true => Err(Invalid::new(
            format!("messages.{index}"),
            "all messages must have non-empty content except for the optional final assistant message",
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_messages_than_anthropic_takes() {
        let messages = |count: usize| {
            let list = vec![r#"{"role":"user","content":"x"}"#; count].join(",");
            conversation(&serde_json::from_str::<Vec<InputMessage<'_>>>(&format!("[{list}]")).unwrap())
        };
        assert!(messages(MAX_MESSAGES).is_ok());
        assert_eq!(messages(MAX_MESSAGES + 1).unwrap_err().problem, "at most 100000 messages are allowed");
    }
}
