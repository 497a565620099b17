//! Token counts, for where no provider counts for us: a cheap estimate here, a count in [`exact`].
//!
//! The estimate is a figure from character classes alone: cheap enough for every request, and near what the tokenizers of
//! the large models count on prose, code and Chinese alike.

pub mod exact;
mod walk;

use self::walk::Measure;
use crate::wire::anthropic::request::{MessagesRequest, SourceObject};

/// Tokens for an image that is not looked into: Anthropic's figure for one of about 1.1 megapixels.
const PER_IMAGE: u64 = 1500;

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
    walk::total(request, &Cheap)
}

struct Cheap;

impl Measure for Cheap {
    fn text(&self, text: &str) -> u64 {
        estimate(text)
    }

    fn image(&self, _: &SourceObject<'_>) -> u64 {
        PER_IMAGE
    }
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
