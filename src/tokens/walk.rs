//! Everything in a request that is counted, whatever measures it.

use super::media;
use crate::wire::anthropic::request::{Block, Content, MessagesRequest, Source, SourceObject};
use crate::wire::prose::Prose;

/// Tokens that surround every message, and every tool.
pub(super) const PER_MESSAGE: u64 = 4;

/// A way to measure what is not the same for all.
pub(super) trait Measure {
    /// Tokens of a text.
    fn text(&self, text: &str) -> u64;
    /// Tokens of a text that has not been read.
    fn prose(&self, text: &Prose<'_>) -> u64;

    /// Tokens of a PDF in base64.
    fn pdf(&self, base64: &str) -> u64;
}

/// Input tokens of a whole request: system, tools and every block.
pub(super) fn total(request: &MessagesRequest<'_>, measure: &impl Measure) -> u64 {
    let walk = Walk { measure };
    let system = request.system.as_ref().map_or(0, |system| walk.content(system));
    let tools = request.tools.iter().map(|tool| {
        let schema = tool.input_schema.map_or(0, |schema| measure.text(schema.get()));
        PER_MESSAGE + walk.text(tool.name.as_deref()) + walk.prose(tool.description.as_ref()) + schema
    });
    let messages = request.messages.iter().map(|message| PER_MESSAGE + walk.content(&message.content));
    (system + tools.sum::<u64>() + messages.sum::<u64>()).max(1)
}

struct Walk<'m, M> {
    measure: &'m M,
}

impl<M: Measure> Walk<'_, M> {
    fn text(&self, text: Option<&str>) -> u64 {
        text.map_or(0, |text| self.measure.text(text))
    }

    fn prose(&self, text: Option<&Prose<'_>>) -> u64 {
        text.map_or(0, |text| self.measure.prose(text))
    }

    fn content(&self, content: &Content<'_>) -> u64 {
        match content {
            Content::Text(text) => self.measure.prose(text),
            Content::Blocks(blocks) => blocks.iter().map(|block| self.block(block)).sum(),
            Content::Opaque => 0,
        }
    }

    fn block(&self, block: &Block<'_>) -> u64 {
        let source = match (&block.source, block.kind.as_str()) {
            (Some(Source::Object(source)), "image") => media::image(source.data.as_deref()),
            (Some(Source::Object(source)), _) => self.document(source),
            (Some(Source::Name(name)), _) => self.measure.text(name),
            (None, _) => 0,
        };
        let texts = [&block.thinking, &block.name, &block.title, &block.context];
        source
            + self.prose(block.text.as_ref())
            + texts.into_iter().map(|text| self.text(text.as_deref())).sum::<u64>()
            + block.input.map_or(0, |input| self.measure.text(input.get()))
            + block.content.as_ref().map_or(0, |content| self.content(content))
    }

    fn document(&self, source: &SourceObject<'_>) -> u64 {
        match source.kind.as_str() {
            "base64" => source.data.as_deref().map_or(0, |data| self.measure.pdf(data)),
            "url" => media::UNKNOWN_PDF,
            _ => self.text(source.data.as_deref()) + source.content.as_ref().map_or(0, |content| self.content(content)),
        }
    }
}
