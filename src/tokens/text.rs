//! Tokens of a text, from classes of characters alone.
//!
//! Tokenizers of the large models first cut a text into words, numbers of three digits, runs of punctuation and
//! runs of blanks, and most of these are one token each. So runs are counted here, and each has a price. The
//! prices are fitted to o200k on the samples in `tests/tokens/`, whose real counts stand beside them.

/// Tokens in a text.
pub fn estimate(text: &str) -> u64 {
    let mut estimator = Estimator::default();
    estimator.push(text);
    estimator.tokens()
}

/// An estimate of a text that arrives in pieces: any cut gives the same figure.
#[derive(Debug, Default, Clone, Copy)]
pub struct Estimator {
    /// Hundredths of a token, without the run that is still open.
    hundredths: u64,
    run: Option<Class>,
    length: u64,
    /// The last character was a small letter: a capital that follows begins a new word.
    after_small: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Latin letters.
    Word,
    Digits,
    Spaces,
    LineEnds,
    Punctuation,
    /// Greek, Cyrillic, Hebrew, Arabic and their neighbours.
    Letters,
    /// Chinese, Japanese, Korean and what else takes three bytes.
    Wide,
    /// Emoji and what else lies outside the basic plane.
    Astral,
}

impl Class {
    fn of(c: char) -> Class {
        match c {
            'a'..='z' | 'A'..='Z' | '\u{80}'..='\u{24f}' => Class::Word,
            '0'..='9' => Class::Digits,
            ' ' => Class::Spaces,
            '\n' | '\r' | '\t' => Class::LineEnds,
            '\0'..='\u{7f}' => Class::Punctuation,
            '\u{250}'..='\u{7ff}' => Class::Letters,
            '\u{800}'..='\u{ffff}' => Class::Wide,
            _ => Class::Astral,
        }
    }

    /// What a run of this length costs, in hundredths of a token.
    fn price(self, length: u64) -> u64 {
        match self {
            Class::Word => 100 + length.saturating_sub(9) * 20,
            Class::Digits => length.div_ceil(3) * 100,
            // One space belongs to the word that follows.
            Class::Spaces => {
                if length > 1 {
                    50
                } else {
                    0
                }
            }
            Class::LineEnds => 60,
            Class::Punctuation => 80 + (length - 1) * 30,
            Class::Letters => 20 + length * 37,
            Class::Wide => length * 85,
            Class::Astral => length * 200,
        }
    }
}

impl Estimator {
    /// Takes in the next piece.
    pub fn push(&mut self, text: &str) {
        for c in text.chars() {
            let class = Class::of(c);
            let new_word = self.after_small && c.is_ascii_uppercase();
            if self.run != Some(class) || new_word {
                self.hundredths += self.open_run();
                (self.run, self.length) = (Some(class), 0);
            }
            // Letters with marks tear words apart.
            if class == Class::Word && !c.is_ascii() {
                self.hundredths += 100;
            }
            self.length += 1;
            self.after_small = c.is_ascii_lowercase();
        }
    }

    /// Tokens so far.
    pub fn tokens(&self) -> u64 {
        (self.hundredths + self.open_run()).div_ceil(100)
    }

    fn open_run(&self) -> u64 {
        self.run.map_or(0, |class| class.price(self.length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_nothing_and_more_is_more() {
        assert_eq!(estimate(""), 0);
        assert!(estimate("hello world hello world") > estimate("hello world"));
    }

    #[test]
    fn any_cut_gives_the_same_figure() {
        let text = "Für 12345 camelCaseWords:\n\n    {\"a\": \"你好 😀😀\"}  Привет";
        for (cut, _) in text.char_indices() {
            let mut estimator = Estimator::default();
            estimator.push(&text[..cut]);
            estimator.push(&text[cut..]);
            assert_eq!(estimator.tokens(), estimate(text), "cut at {cut}");
        }
    }
}
