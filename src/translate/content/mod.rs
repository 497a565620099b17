//! The conversation: Anthropic's turns of content blocks to OpenAI's messages.

mod parts;

use self::parts::{Parts, contents, joined, part};
use super::dialect::{Dialect, InnerSystem, Prefill, Replay};
use super::dropped::Dropped;
use super::invalid::Invalid;
use super::reasoning::Signer;
use super::tools::wire_name;
use crate::wire::anthropic::request::{Block, Content, InputMessage, MessagesRequest, Role};
use crate::wire::openai::request::{ChatMessage, FunctionCall, FunctionType, Part, ToolCall};
use crate::wire::prose::Prose;

/// Claude Code puts a block that changes with every call in front of its system prompt: it says nothing to
/// the model and would defeat every provider's prefix cache (T66).
const BILLING_HEADER: &str = "x-anthropic-billing-header";

/// Turns the system prompt and the conversation into messages.
pub(super) fn messages<'a>(
    request: &'a MessagesRequest<'a>,
    dialect: &Dialect,
    signer: &Signer,
    dropped: &mut Dropped,
) -> Result<Vec<ChatMessage<'a>>, Invalid> {
    let out = Vec::with_capacity(request.messages.len() + 1);
    let mut writer = Writer { dialect, signer, parts: Parts { dialect, dropped }, out };
    if let Some(system) = &request.system {
        writer.system(system);
    }
    let is_assistant = |message: &InputMessage<'_>| message.role == Role::Assistant;
    let mut rest = &request.messages[..];
    let mut at = 0;
    while let Some(first) = rest.first() {
        let len = rest.iter().take_while(|message| is_assistant(message) == is_assistant(first)).count();
        let (turn, after) = rest.split_at(len);
        match is_assistant(first) {
            false => writer.user_turn(turn, at)?,
            true => writer.assistant_turn(turn, after.is_empty(), at)?,
        }
        at += len;
        rest = after;
    }
    Ok(writer.out)
}

struct Writer<'a, 'w> {
    dialect: &'w Dialect,
    signer: &'w Signer,
    parts: Parts<'w>,
    out: Vec<ChatMessage<'a>>,
}

impl<'a> Writer<'a, '_> {
    fn system(&mut self, system: &'a Content<'a>) {
        let mut parts = Vec::new();
        match system {
            Content::Text(text) => parts.push(part(text.reborrow())),
            Content::Blocks(blocks) => {
                let is_header = |block: &&Block<'_>| {
                    block.text.as_ref().is_some_and(|text| text.escaped().starts_with(BILLING_HEADER))
                };
                blocks.iter().filter(|block| !is_header(block)).for_each(|block| self.parts.text(block, &mut parts));
            }
            Content::Opaque => {}
        }
        if let Some(content) = contents(parts) {
            self.out.push(ChatMessage::System { content });
        }
    }

    /// All that stands between two turns of the assistant. First the results of tools; then one user message
    /// with the images that came in results and what else was said; system turns where they stand in it.
    fn user_turn(&mut self, turn: &'a [InputMessage<'a>], first: usize) -> Result<(), Invalid> {
        let mut images = Vec::new();
        let mut said: Vec<(Role, Vec<Part<'a>>)> = Vec::new();
        for (offset, message) in turn.iter().enumerate() {
            if message.role == Role::System {
                self.inner_system(&message.content, &mut said);
                continue;
            }
            let mut parts = Vec::new();
            if let Content::Text(text) = &message.content {
                parts.push(part(text.reborrow()));
            }
            for (at, block) in message.content.blocks().iter().enumerate() {
                let path = || format!("messages.{}.content.{at}.{}", first + offset, block.kind.as_str());
                match block.kind.as_str() {
                    "tool_result" => {
                        let content = self.parts.tool_result(block, &mut images, &path)?;
                        let tool_call_id = block.tool_use_id.as_deref().unwrap_or_default();
                        self.out.push(ChatMessage::Tool { tool_call_id, content });
                    }
                    _ => self.parts.user(block, &mut parts, &path)?,
                }
            }
            add(&mut said, parts);
        }
        if !images.is_empty() {
            match said.first_mut().filter(|(role, _)| *role == Role::User) {
                Some((_, parts)) => drop(parts.splice(0..0, images)),
                None => said.insert(0, (Role::User, images)),
            }
        }
        for (role, parts) in said {
            let Some(content) = contents(parts) else { continue };
            self.out.push(match role {
                Role::System => ChatMessage::System { content },
                _ => ChatMessage::User { content },
            });
        }
        Ok(())
    }

    fn inner_system(&mut self, content: &'a Content<'a>, said: &mut Vec<(Role, Vec<Part<'a>>)>) {
        let mut parts = Vec::new();
        match content {
            Content::Text(text) => parts.push(part(text.reborrow())),
            Content::Blocks(blocks) => blocks.iter().for_each(|block| self.parts.inner_system(block, &mut parts)),
            Content::Opaque => {}
        }
        match self.dialect.inner_system {
            InnerSystem::Keep => said.push((Role::System, parts)),
            InnerSystem::Demote => {
                let text = joined(&parts);
                if !text.is_empty() {
                    add(said, vec![part(Prose::join(&["<system>".into(), text, "</system>".into()], "\n"))]);
                }
            }
        }
    }

    fn assistant_turn(&mut self, turn: &'a [InputMessage<'a>], is_last: bool, first: usize) -> Result<(), Invalid> {
        let (mut parts, mut tool_calls) = (Vec::new(), Vec::new());
        let (mut reasoning_content, mut reasoning_details) = (String::new(), Vec::new());
        for message in turn {
            if let Content::Text(text) = &message.content {
                parts.push(part(text.reborrow()));
            }
            for block in message.content.blocks() {
                match block.kind.as_str() {
                    "text" => self.parts.text(block, &mut parts),
                    "tool_use" => {
                        self.parts.lose_mark(block);
                        tool_calls.push(tool_call(block));
                    }
                    "thinking" => {
                        let signature = block.signature.as_deref().unwrap_or_default();
                        let opened = self.signer.open(signature, block.thinking.as_deref().unwrap_or_default());
                        match (self.dialect.replay, opened) {
                            (Replay::ReasoningDetails, Some(opened)) => reasoning_details.extend(opened.into_details()),
                            (Replay::ReasoningContent, Some(opened)) => reasoning_content.push_str(&opened.text),
                            _ => self.parts.dropped.note("thinking"),
                        }
                    }
                    "redacted_thinking" => self.parts.dropped.note("redacted_thinking"),
                    _ => self.parts.dropped.note("server_tool_use"),
                }
            }
        }
        let content = contents(parts);
        if content.is_none() && tool_calls.is_empty() {
            // Providers refuse a message that says nothing, and with it goes what was only thought.
            if !reasoning_content.is_empty() || !reasoning_details.is_empty() {
                self.parts.dropped.note("thinking");
            }
            return Ok(());
        }
        if is_last && self.dialect.prefill == Prefill::Reject {
            return Err(Invalid::new(
                format!("messages.{first}"),
                "This model does not support assistant message prefill. The conversation must end with a user message.",
            ));
        }
        self.out.push(ChatMessage::Assistant { content, reasoning_content, reasoning_details, tool_calls });
        Ok(())
    }
}

/// What a user says, joined to what they said just before.
fn add<'a>(said: &mut Vec<(Role, Vec<Part<'a>>)>, mut parts: Vec<Part<'a>>) {
    match said.last_mut() {
        Some((Role::User, before)) => before.append(&mut parts),
        _ => said.push((Role::User, parts)),
    }
}

fn tool_call<'a>(block: &'a Block<'a>) -> ToolCall<'a> {
    ToolCall {
        id: block.id.as_deref().unwrap_or_default(),
        kind: FunctionType::Function,
        function: FunctionCall {
            name: wire_name(block.name.as_deref().unwrap_or_default()),
            arguments: block.input.map_or("{}", |input| input.get()).into(),
        },
    }
}
