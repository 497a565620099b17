//! Single blocks: what each becomes as a part of a message's content.

use std::borrow::Cow;

use serde_json::Value;

use crate::translate::dialect::{Dialect, Files};
use crate::translate::dropped::Dropped;
use crate::translate::invalid::Invalid;
use crate::translate::validate::is_server_block;
use crate::wire::anthropic::request::{Block, Content, Source, SourceObject};
use crate::wire::cache::CacheControl;
use crate::wire::openai::request::{ChatContent, File, ImageUrl, Part};
use crate::wire::prose::Prose;

/// Makes parts of blocks, noting what cannot be sent on.
pub(super) struct Parts<'w> {
    pub(super) dialect: &'w Dialect,
    pub(super) dropped: &'w mut Dropped,
}

impl Parts<'_> {
    /// A text block; empty ones are left out, with the cache mark that they may bear (T64).
    pub(super) fn text<'a>(&mut self, block: &'a Block<'a>, parts: &mut Vec<Part<'a>>) {
        self.lose_citations(block);
        if let Some(text) = block.text.as_ref().filter(|text| !text.is_empty()) {
            parts.push(Part::Text { text: text.reborrow(), cache_control: self.mark(block) });
        }
    }

    /// A block of a system turn inside the conversation: text, or a change of the tools on offer.
    pub(super) fn inner_system<'a>(&mut self, block: &'a Block<'a>, parts: &mut Vec<Part<'a>>) {
        match block.kind.as_str() {
            "text" => self.text(block, parts),
            _ => self.dropped.note("tools"),
        }
    }

    /// A block that a user may send, other than the result of a tool.
    pub(super) fn user<'a>(
        &mut self,
        block: &'a Block<'a>,
        parts: &mut Vec<Part<'a>>,
        path: &dyn Fn() -> String,
    ) -> Result<(), Invalid> {
        match block.kind.as_str() {
            "text" => self.text(block, parts),
            "image" => {
                self.lose_mark(block);
                if let Some(Source::Object(source)) = &block.source {
                    parts.push(Part::ImageUrl { image_url: ImageUrl { url: location(source) } });
                }
            }
            "document" => self.document(block, parts, path)?,
            "search_result" => {
                self.lose_citations(block);
                parts.push(Part::Text { text: search_result(block), cache_control: self.mark(block) });
            }
            kind if is_server_block(kind) => self.dropped.note("server_tool_use"),
            _ => self.dropped.note("content"),
        }
        Ok(())
    }

    fn document<'a>(
        &mut self,
        block: &'a Block<'a>,
        parts: &mut Vec<Part<'a>>,
        path: &dyn Fn() -> String,
    ) -> Result<(), Invalid> {
        self.lose_citations(block);
        let Some(Source::Object(source)) = &block.source else { return Ok(()) };
        let about = [("Title", &block.title), ("Context", &block.context)];
        let about = about.iter().filter_map(|(name, text)| text.as_deref().map(|text| format!("{name}: {text}")));
        let about = about.collect::<Vec<_>>().join("\n");
        match (source.kind.as_str(), self.dialect.files) {
            ("text", _) => {
                let text = source.data.as_deref().unwrap_or_default();
                let text = if about.is_empty() { text.into() } else { Prose::from(&*format!("{about}\n{text}")) };
                parts.push(Part::Text { text, cache_control: self.mark(block) });
            }
            ("content", _) => {
                parts.push(part(&*about));
                match &source.content {
                    Some(Content::Text(text)) => parts.push(part(text.reborrow())),
                    Some(Content::Blocks(blocks)) => {
                        blocks.iter().try_for_each(|block| self.user(block, parts, path))?;
                    }
                    Some(Content::Opaque) | None => {}
                }
                self.mark_last(block, parts);
            }
            ("base64", Files::Data | Files::DataOrUrl) | ("url", Files::DataOrUrl) => {
                self.lose_mark(block);
                parts.push(part(&*about));
                let filename = Cow::Borrowed(block.title.as_deref().unwrap_or("document.pdf"));
                parts.push(Part::File { file: File { filename, file_data: location(source) } });
            }
            ("url", Files::Data) => {
                return Err(Invalid::new(path(), "the provider of this model takes no PDF by URL; send its bytes"));
            }
            _ => {
                let problem = "the provider of this model takes no PDF; send the text of the document";
                return Err(Invalid::new(path(), problem));
            }
        }
        Ok(())
    }

    /// The text in a tool's result. What is no text goes to `files`, labelled with the call that it belongs to,
    /// because the message of a tool holds text only.
    pub(super) fn tool_result<'a>(
        &mut self,
        block: &'a Block<'a>,
        files: &mut Vec<Part<'a>>,
        path: &dyn Fn() -> String,
    ) -> Result<ChatContent<'a>, Invalid> {
        let mut parts = Vec::new();
        match &block.content {
            Some(Content::Text(text)) => parts.push(part(text.reborrow())),
            Some(Content::Blocks(blocks)) => {
                for inner in blocks {
                    match inner.kind.as_str() {
                        "tool_reference" => parts.push(part(inner.tool_name.as_deref().unwrap_or_default())),
                        "browser_state" => self.dropped.note("tools"),
                        _ => self.user(inner, &mut parts, path)?,
                    }
                }
            }
            Some(Content::Opaque) | None => {}
        }
        let (mut texts, mut others): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| matches!(part, Part::Text { .. }));
        if !others.is_empty() {
            let id = block.tool_use_id.as_deref().unwrap_or_default();
            files.push(part(&*format!("Content of the result of tool call {id}:")));
            files.append(&mut others);
        }
        if block.is_error == Some(true) {
            match texts.first_mut() {
                Some(Part::Text { text, .. }) => *text = Prose::join([&"Error: ".into(), &*text], ""),
                _ => texts.push(part("Error: the tool failed and said nothing")),
            }
        }
        self.mark_last(block, &mut texts);
        // Never null, which providers refuse.
        Ok(contents(texts).unwrap_or(ChatContent::Text("".into())))
    }

    /// The block's cache mark, if the dialect takes it.
    fn mark<'a>(&mut self, block: &'a Block<'a>) -> Option<&'a CacheControl<'a>> {
        let mark = block.cache_control.as_ref();
        if mark.is_some() && !self.dialect.cache_control {
            self.dropped.note("cache_control");
        }
        mark.filter(|_| self.dialect.cache_control)
    }

    /// Puts the block's cache mark on the last of its parts.
    fn mark_last<'a>(&mut self, block: &'a Block<'a>, parts: &mut [Part<'a>]) {
        let Some(mark) = self.mark(block) else { return };
        match parts.last_mut() {
            Some(Part::Text { text, cache_control }) if !text.is_empty() => *cache_control = Some(mark),
            _ => self.dropped.note("cache_control"),
        }
    }

    /// For what becomes a part that cannot bear a cache mark in any dialect.
    pub(super) fn lose_mark(&mut self, block: &Block<'_>) {
        if block.cache_control.is_some() {
            self.dropped.note("cache_control");
        }
    }

    fn lose_citations(&mut self, block: &Block<'_>) {
        let wished = block.citations.is_some_and(|raw| match serde_json::from_str(raw.get()) {
            Ok(Value::Object(config)) => config.get("enabled") == Some(&Value::Bool(true)),
            Ok(Value::Array(citations)) => !citations.is_empty(),
            _ => false,
        });
        if wished {
            self.dropped.note("citations");
        }
    }
}

/// One string where text says it all, parts otherwise, nothing when there is nothing.
pub(super) fn contents(mut parts: Vec<Part<'_>>) -> Option<ChatContent<'_>> {
    parts.retain(|part| !matches!(part, Part::Text { text, .. } if text.is_empty()));
    let only_text = parts.iter().all(|part| matches!(part, Part::Text { cache_control: None, .. }));
    match (&parts[..], only_text) {
        ([], _) => None,
        ([Part::Text { text, .. }], true) => Some(ChatContent::Text(text.clone())),
        (_, true) => Some(ChatContent::Text(joined(&parts))),
        (_, false) => Some(ChatContent::Parts(parts)),
    }
}

/// The text in the parts.
pub(super) fn joined<'a>(parts: &[Part<'_>]) -> Prose<'a> {
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text { text, .. } => Some(text),
        Part::ImageUrl { .. } | Part::File { .. } => None,
    });
    Prose::join(texts.filter(|text| !text.is_empty()), "\n\n")
}

pub(super) fn part<'a>(text: impl Into<Prose<'a>>) -> Part<'a> {
    Part::Text { text: text.into(), cache_control: None }
}

fn search_result<'a>(block: &Block<'_>) -> Prose<'a> {
    let title = block.title.as_deref().unwrap_or_default();
    let source = match &block.source {
        Some(Source::Name(name)) => name.as_str(),
        _ => "",
    };
    let blocks = block.content.as_ref().map_or(&[][..], |content| content.blocks());
    let texts = Prose::join(blocks.iter().filter_map(|block| block.text.as_ref()), "\n\n");
    Prose::join(&[Prose::from(&*format!("Title: {title}\nSource: {source}")), texts], "\n")
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
