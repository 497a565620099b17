//! The conversation: Anthropic's turns of content blocks to OpenAI's messages.

use std::borrow::Cow;

use super::dialect::{Dialect, InnerSystem, Prefill, Replay};
use super::dropped::Dropped;
use super::invalid::Invalid;
use super::reasoning::Signer;
use super::tools::wire_name;
use super::validate::is_server_block;
use crate::wire::anthropic::request::{Block, Content, InputMessage, MessagesRequest, Role, Source, SourceObject};
use crate::wire::openai::request::{
    ChatContent, ChatMessage, File, FunctionCall, FunctionType, ImageUrl, Part, ToolCall,
};

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
    let mut writer = Writer { dialect, signer, dropped, out: Vec::with_capacity(request.messages.len() + 1) };
    if let Some(system) = &request.system {
        writer.system(system);
    }
    let mut rest = &request.messages[..];
    let mut at = 0;
    while let Some(first) = rest.first() {
        let len = rest.iter().take_while(|message| message.role == first.role).count();
        let (turn, after) = rest.split_at(len);
        match first.role {
            Role::System => turn.iter().for_each(|message| writer.inner_system(&message.content)),
            Role::User => writer.user_turn(turn, at)?,
            Role::Assistant => writer.assistant_turn(turn, after.is_empty(), at)?,
        }
        at += len;
        rest = after;
    }
    Ok(writer.out)
}

struct Writer<'a, 'w> {
    dialect: &'w Dialect,
    signer: &'w Signer,
    dropped: &'w mut Dropped,
    out: Vec<ChatMessage<'a>>,
}

impl<'a> Writer<'a, '_> {
    fn system(&mut self, system: &'a Content<'a>) {
        let mut parts = Vec::new();
        match system {
            Content::Text(text) => parts.push(plain(text)),
            Content::Blocks(blocks) => {
                let said = blocks.iter().filter(|block| !text_of(block).starts_with(BILLING_HEADER));
                said.for_each(|block| self.text_part(block, &mut parts));
            }
            Content::Opaque => {}
        }
        if let Some(content) = contents(parts) {
            self.out.push(ChatMessage::System { content });
        }
    }

    fn inner_system(&mut self, content: &'a Content<'a>) {
        let mut parts = Vec::new();
        match content {
            Content::Text(text) => parts.push(plain(text)),
            Content::Blocks(blocks) => blocks.iter().for_each(|block| self.text_part(block, &mut parts)),
            Content::Opaque => {}
        }
        let Some(content) = contents(parts) else { return };
        self.out.push(match (self.dialect.inner_system, content) {
            (InnerSystem::Keep, content) => ChatMessage::System { content },
            (InnerSystem::Demote, content) => {
                let text = match &content {
                    ChatContent::Text(text) => text.clone(),
                    ChatContent::Parts(parts) => Cow::Owned(joined(parts)),
                };
                ChatMessage::User { content: ChatContent::Text(Cow::Owned(format!("<system>\n{text}\n</system>"))) }
            }
        });
    }

    /// First the results of tools, then one user message: the images that came in results, then the rest.
    fn user_turn(&mut self, turn: &'a [InputMessage<'a>], first: usize) -> Result<(), Invalid> {
        let (mut images, mut parts) = (Vec::new(), Vec::new());
        for (offset, message) in turn.iter().enumerate() {
            let blocks = match &message.content {
                Content::Text(text) => {
                    parts.push(plain(text));
                    continue;
                }
                content => content.blocks(),
            };
            for (at, block) in blocks.iter().enumerate() {
                let path = || format!("messages.{}.content.{at}.{}", first + offset, block.kind.as_str());
                match block.kind.as_str() {
                    "tool_result" => self.tool_result(block, &mut images, &path)?,
                    _ => self.user_block(block, &mut parts, &path)?,
                }
            }
        }
        images.append(&mut parts);
        if let Some(content) = contents(images) {
            self.out.push(ChatMessage::User { content });
        }
        Ok(())
    }

    fn tool_result(
        &mut self,
        block: &'a Block<'a>,
        images: &mut Vec<Part<'a>>,
        path: &dyn Fn() -> String,
    ) -> Result<(), Invalid> {
        let id = block.tool_use_id.as_deref().unwrap_or_default();
        self.note_cache_mark(block);
        let (mut texts, mut files) = (Vec::new(), Vec::new());
        match &block.content {
            Some(Content::Text(text)) => texts.push(plain(text)),
            Some(Content::Blocks(blocks)) => {
                for inner in blocks {
                    match inner.kind.as_str() {
                        "tool_reference" => texts.push(part(inner.tool_name.as_deref().unwrap_or_default())),
                        "image" => files.extend(image_part(inner, None)),
                        "browser_state" => self.dropped.note("tools"),
                        _ => self.user_block(inner, &mut texts, path)?,
                    }
                }
            }
            Some(Content::Opaque) | None => {}
        }
        let (texts, others): (Vec<_>, Vec<_>) = texts.into_iter().partition(|part| matches!(part, Part::Text { .. }));
        files.extend(others);
        let mut text = joined(&texts);
        if !files.is_empty() {
            images.push(part_owned(format!("Content of the result of tool call {id}:")));
            images.append(&mut files);
        }
        if block.is_error == Some(true) {
            text = format!("Error: {text}");
        }
        self.out.push(ChatMessage::Tool { tool_call_id: id, content: ChatContent::Text(Cow::Owned(text)) });
        Ok(())
    }

    fn user_block(
        &mut self,
        block: &'a Block<'a>,
        parts: &mut Vec<Part<'a>>,
        path: &dyn Fn() -> String,
    ) -> Result<(), Invalid> {
        match block.kind.as_str() {
            "text" => self.text_part(block, parts),
            "image" => {
                self.note_cache_mark(block);
                parts.extend(image_part(block, block.cache_control.filter(|_| self.dialect.cache_control)));
            }
            "document" => {
                self.note_cache_mark(block);
                parts.push(self.document(block, path)?);
            }
            "search_result" => parts.push(part_owned(search_result(block))),
            kind if is_server_block(kind) => self.dropped.note("server_tool_use"),
            _ => self.dropped.note("content"),
        }
        Ok(())
    }

    fn document(&mut self, block: &'a Block<'a>, path: &dyn Fn() -> String) -> Result<Part<'a>, Invalid> {
        let Some(Source::Object(source)) = &block.source else { return Ok(part("")) };
        let head = [("Title", &block.title), ("Context", &block.context)];
        let head: String =
            head.iter().filter_map(|(name, text)| text.as_deref().map(|text| format!("{name}: {text}\n"))).collect();
        match source.kind.as_str() {
            "text" => Ok(part_owned(format!("{head}{}", source.data.as_deref().unwrap_or_default()))),
            "content" => Ok(part_owned(format!("{head}{}", plain_text(source.content.as_ref())))),
            _ if !self.dialect.files => {
                Err(Invalid::new(path(), "the provider of this model takes no PDF; send the text of the document"))
            }
            _ => Ok(Part::File { file: file(block, source) }),
        }
    }

    fn assistant_turn(&mut self, turn: &'a [InputMessage<'a>], is_prefill: bool, first: usize) -> Result<(), Invalid> {
        if is_prefill && self.dialect.prefill == Prefill::Reject {
            return Err(Invalid::new(
                format!("messages.{first}"),
                "This model does not support assistant message prefill. The conversation must end with a user message.",
            ));
        }
        let (mut parts, mut tool_calls) = (Vec::new(), Vec::new());
        let (mut reasoning_content, mut reasoning_details) = (String::new(), Vec::new());
        for message in turn {
            let blocks = match &message.content {
                Content::Text(text) => {
                    parts.push(plain(text));
                    continue;
                }
                content => content.blocks(),
            };
            for block in blocks {
                match block.kind.as_str() {
                    "text" => self.text_part(block, &mut parts),
                    "tool_use" => {
                        self.note_cache_mark(block);
                        tool_calls.push(tool_call(block));
                    }
                    "thinking" => {
                        let signature = block.signature.as_deref().unwrap_or_default();
                        let thinking = block.thinking.as_deref().unwrap_or_default();
                        match (self.dialect.replay, self.signer.open(signature, thinking)) {
                            (Replay::ReasoningDetails, Some(opened)) => reasoning_details.extend(opened.details),
                            (Replay::ReasoningContent, Some(opened)) => reasoning_content.push_str(&opened.text),
                            _ => self.dropped.note("thinking"),
                        }
                    }
                    "redacted_thinking" => self.dropped.note("redacted_thinking"),
                    _ => self.dropped.note("server_tool_use"),
                }
            }
        }
        let content = contents(parts);
        if content.is_none() && tool_calls.is_empty() {
            return Ok(());
        }
        let reasoning_content = (!reasoning_content.is_empty()).then_some(reasoning_content);
        self.out.push(ChatMessage::Assistant { content, reasoning_content, reasoning_details, tool_calls });
        Ok(())
    }

    /// A text block; empty ones are left out, with the cache mark that they may bear (T64).
    fn text_part(&mut self, block: &'a Block<'a>, parts: &mut Vec<Part<'a>>) {
        let text = text_of(block);
        if text.is_empty() {
            return;
        }
        self.note_cache_mark(block);
        parts.push(Part::Text {
            text: Cow::Borrowed(text),
            cache_control: block.cache_control.filter(|_| self.dialect.cache_control),
        });
    }

    fn note_cache_mark(&mut self, block: &Block<'_>) {
        if block.cache_control.is_some() && !self.dialect.cache_control {
            self.dropped.note("cache_control");
        }
    }
}

/// One string where text says it all, parts otherwise, nothing when there is nothing.
fn contents(parts: Vec<Part<'_>>) -> Option<ChatContent<'_>> {
    let only_text = parts.iter().all(|part| matches!(part, Part::Text { cache_control: None, .. }));
    match (parts.len(), only_text) {
        (0, _) => None,
        (1, true) => match parts.into_iter().next() {
            Some(Part::Text { text, .. }) if !text.is_empty() => Some(ChatContent::Text(text)),
            _ => None,
        },
        (_, true) => Some(ChatContent::Text(Cow::Owned(joined(&parts)))),
        (_, false) => Some(ChatContent::Parts(parts)),
    }
}

fn joined(parts: &[Part<'_>]) -> String {
    let texts: Vec<&str> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Text { text, .. } => Some(text.as_ref()),
            Part::ImageUrl { .. } | Part::File { .. } => None,
        })
        .collect();
    texts.join("\n\n")
}

fn part(text: &str) -> Part<'_> {
    Part::Text { text: Cow::Borrowed(text), cache_control: None }
}

fn part_owned<'a>(text: String) -> Part<'a> {
    Part::Text { text: Cow::Owned(text), cache_control: None }
}

fn plain<'a>(text: &'a crate::wire::text::Text<'a>) -> Part<'a> {
    part(text.as_str())
}

fn text_of<'a>(block: &'a Block<'_>) -> &'a str {
    block.text.as_deref().unwrap_or_default()
}

/// The text in a string or in the text blocks of a list.
fn plain_text(content: Option<&Content<'_>>) -> String {
    match content {
        Some(Content::Text(text)) => text.as_str().to_owned(),
        Some(Content::Blocks(blocks)) => {
            let texts: Vec<&str> = blocks.iter().map(|block| text_of(block)).filter(|text| !text.is_empty()).collect();
            texts.join("\n\n")
        }
        Some(Content::Opaque) | None => String::new(),
    }
}

fn search_result(block: &Block<'_>) -> String {
    let title = block.title.as_deref().unwrap_or_default();
    let source = match &block.source {
        Some(Source::Name(name)) => name.as_str(),
        _ => "",
    };
    format!("Title: {title}\nSource: {source}\n{}", plain_text(block.content.as_ref()))
}

fn image_part<'a>(block: &'a Block<'a>, cache_control: Option<&'a serde_json::value::RawValue>) -> Option<Part<'a>> {
    let Some(Source::Object(source)) = &block.source else { return None };
    Some(Part::ImageUrl { image_url: ImageUrl { url: location(source) }, cache_control })
}

fn file<'a>(block: &'a Block<'a>, source: &'a SourceObject<'a>) -> File<'a> {
    File { filename: Cow::Borrowed(block.title.as_deref().unwrap_or("document.pdf")), file_data: location(source) }
}

/// The URL, or the data as a data URI.
fn location<'a>(source: &'a SourceObject<'a>) -> Cow<'a, str> {
    match source.kind.as_str() {
        "url" => Cow::Borrowed(source.url.as_deref().unwrap_or_default()),
        _ => {
            let media_type = source.media_type.as_deref().unwrap_or("application/pdf");
            Cow::Owned(format!("data:{media_type};base64,{}", source.data.as_deref().unwrap_or_default()))
        }
    }
}

fn tool_call<'a>(block: &'a Block<'a>) -> ToolCall<'a> {
    ToolCall {
        id: block.id.as_deref().unwrap_or_default(),
        kind: FunctionType::Function,
        function: FunctionCall {
            name: wire_name(block.name.as_deref().unwrap_or_default()),
            arguments: block.input.map_or("{}", |input| input.get()),
        },
    }
}
