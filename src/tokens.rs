//! Estimates of token counts, for where no provider counts for us.
//!
//! A figure from character classes alone: cheap enough for every request, and near what the tokenizers of
//! the large models count on prose, code and Chinese alike.

use crate::wire::anthropic::request::{Block, Content, MessagesRequest, Source};

/// Tokens that surround every message.
const PER_MESSAGE: u64 = 4;
/// Tokens for an image: Anthropic's figure for one of about 1.1 megapixels.
const PER_IMAGE: u64 = 1500;
/// Tokens for a kilobyte of PDF: a page of text is about 3 KB and 1,500 tokens.
const PER_PDF_KILOBYTE: u64 = 30;

/// Tokens in a text.
pub fn estimate(text: &str) -> u64 {
    let mut estimator = Estimator::default();
    estimator.push(text);
    estimator.tokens()
}

/// An estimate of a text that arrives in pieces: any cut gives the same figure.
#[derive(Debug, Default, Clone, Copy)]
pub struct Estimator {
    /// Tenths of a token, without the word that is still open.
    tenths: u64,
    /// Letters of the open word.
    word: u64,
}

impl Estimator {
    /// Takes in the next piece.
    pub fn push(&mut self, text: &str) {
        for c in text.chars() {
            if c.is_ascii_alphabetic() {
                self.word += 1;
                continue;
            }
            self.tenths += word_tenths(std::mem::take(&mut self.word));
            self.tenths += match c {
                ' ' => 0,
                '0'..='9' => 4,
                '\n' => 5,
                '\t' => 3,
                _ if c.is_ascii() => 6,
                // Latin, Greek, Cyrillic and their neighbours: two or three letters a token.
                '\u{80}'..='\u{7ff}' => 4,
                // Emoji and what else lies outside the basic plane.
                '\u{10000}'.. => 20,
                _ => 9,
            };
        }
    }

    /// Tokens so far.
    pub fn tokens(&self) -> u64 {
        (self.tenths + word_tenths(self.word)).div_ceil(10)
    }
}

/// A word of common length is one token; longer ones are cut.
fn word_tenths(letters: u64) -> u64 {
    match letters {
        0 => 0,
        1..=7 => 10,
        _ => 10 + (letters - 7) * 2,
    }
}

/// Input tokens of a whole request: system, tools and every block.
pub fn estimate_request(request: &MessagesRequest<'_>) -> u64 {
    let system = request.system.as_ref().map_or(0, content);
    let tools = request.tools.iter().map(|tool| {
        let schema = tool.input_schema.map_or(0, |schema| estimate(schema.get()));
        PER_MESSAGE + text(tool.name.as_deref()) + text(tool.description.as_deref()) + schema
    });
    let messages = request.messages.iter().map(|message| PER_MESSAGE + content(&message.content));
    (system + tools.sum::<u64>() + messages.sum::<u64>()).max(1)
}

fn text(text: Option<&str>) -> u64 {
    text.map_or(0, estimate)
}

fn content(value: &Content<'_>) -> u64 {
    match value {
        Content::Text(text) => estimate(text),
        Content::Blocks(blocks) => blocks.iter().map(block).sum(),
        Content::Opaque => 0,
    }
}

fn block(block: &Block<'_>) -> u64 {
    let source = match (&block.source, block.kind.as_str()) {
        (Some(Source::Object(_)), "image") => PER_IMAGE,
        (Some(Source::Object(source)), _) => match source.kind.as_str() {
            "base64" => source.data.as_deref().map_or(0, |data| data.len() as u64 / 1024 * PER_PDF_KILOBYTE),
            _ => text(source.data.as_deref()) + source.content.as_ref().map_or(0, content),
        },
        (Some(Source::Name(name)), _) => estimate(name),
        (None, _) => 0,
    };
    source
        + text(block.text.as_deref())
        + text(block.thinking.as_deref())
        + text(block.name.as_deref())
        + text(block.title.as_deref())
        + text(block.context.as_deref())
        + block.input.map_or(0, |input| estimate(input.get()))
        + block.content.as_ref().map_or(0, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_texts_are_near_their_real_counts() {
        // Counts of cl100k, measured once.
        let samples = [
            ("The quick brown fox jumps over the lazy dog, and then it sleeps until the evening comes.", 19),
            ("我喜欢在早上喝一杯热咖啡，然后读今天的报纸。", 26),
            ("fn main() {\n    let total: u64 = items.iter().map(|item| item.price).sum();\n}\n", 23),
        ];
        for (sample, real) in samples {
            let estimated = estimate(sample) as f64;
            assert!((estimated / real as f64 - 1.0).abs() < 0.3, "{sample}: {estimated} for {real}");
        }
    }

    #[test]
    fn nothing_is_nothing_and_more_is_more() {
        assert_eq!(estimate(""), 0);
        assert!(estimate("hello world hello world") > estimate("hello world"));
    }
}
