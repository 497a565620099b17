//! The estimate of a long request, from some places in its texts.

use std::cell::Cell;

use super::media;
use super::text::Estimator;
use super::walk::Measure;
use crate::wire::prose::Prose;

/// Bytes of a request that are looked at whole, before places have to do.
const WHOLE: usize = 8 * 1024;
/// Bytes of each place that is looked at.
const PLACE: usize = 128;
/// One byte in so many is looked at, but never less than one place of a text.
const SHARE: usize = 16;

/// Measures a request within some percent of what [`super::estimate`] says of its texts.
pub(super) struct Sample {
    /// Bytes that may still be looked at whole.
    whole: Cell<usize>,
}

impl Sample {
    pub(super) fn new() -> Self {
        Sample { whole: Cell::new(WHOLE) }
    }

    fn tokens(&self, text: &str, push: impl Fn(&mut Estimator, &str)) -> u64 {
        let mut estimator = Estimator::default();
        if let Some(left) = self.whole.get().checked_sub(text.len()) {
            self.whole.set(left);
            push(&mut estimator, text);
            return estimator.tokens();
        }
        let every = (PLACE * SHARE).min(text.len());
        let mut seen = 0;
        // From the middle of each stretch: beginnings are alike.
        for middle in (every / 2..text.len()).step_by(every) {
            let from = text.floor_char_boundary(middle - (PLACE / 2).min(every / 2));
            let place = &text[from..text.floor_char_boundary(from + PLACE)];
            seen += place.len();
            push(&mut estimator, place);
        }
        estimator.tokens() * text.len() as u64 / seen.max(1) as u64
    }
}

impl Measure for Sample {
    fn text(&self, text: &str) -> u64 {
        self.tokens(text, Estimator::push)
    }

    fn prose(&self, text: &Prose<'_>) -> u64 {
        self.tokens(text.escaped(), push_escaped)
    }

    fn pdf(&self, base64: &str) -> u64 {
        media::pdf_by_size(base64)
    }
}

/// An escape that the end cuts off, or the beginning, counts as something or nothing: it is one of very many.
fn push_escaped(estimator: &mut Estimator, json: &str) {
    let mut rest = json;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        estimator.push(&rest[..at]);
        let (stands_for, length) = match rest.as_bytes().get(at + 1) {
            Some(b'n' | b'r' | b't') => ("\n", 2),
            Some(b'"') => ("\"", 2),
            Some(b'\\') => ("\\", 2),
            // Mostly of a language that is not English: what such a character costs differs little.
            Some(b'u') => ("好", 6),
            _ => ("", 2),
        };
        estimator.push(stands_for);
        rest = rest.get(at + length..).unwrap_or_default();
    }
    estimator.push(rest);
}

#[cfg(test)]
mod tests {
    use super::super::estimate;
    use super::*;

    const PROSE: &str =
        "The gateway reads every request once, and answers its clients in their own words — naïve or not. ";
    const CODE: &str =
        "    for (at, line) in text.lines().enumerate() {\n        println!(\"{at}: {line}\\n\");\n    }\n\n";

    #[test]
    fn some_places_say_as_much_as_the_whole() {
        let mixed = PROSE.repeat(300) + &CODE.repeat(200) + &"网关把每个请求翻译一次。".repeat(600);
        for text in
            [PROSE.repeat(200), CODE.repeat(200), mixed, CODE.repeat(5000), "x".repeat(50_000), "😀".repeat(9000)]
        {
            let whole = estimate(&text) as f64;
            for guess in [Sample::new().text(&text), Sample::new().prose(&text.as_str().into())] {
                assert!((guess as f64 / whole - 1.0).abs() < 0.1, "{guess} for {whole}: {}", &text[..16]);
            }
        }
    }

    #[test]
    fn many_short_texts_count_as_much_as_a_long_one() {
        let sample = Sample::new();
        let guess: u64 = (0..200).map(|_| sample.text(PROSE) + sample.prose(&CODE.into())).sum();
        let whole = 200 * (estimate(PROSE) + estimate(CODE));
        assert!((guess as f64 / whole as f64 - 1.0).abs() < 0.1, "{guess} for {whole}");
    }

    #[test]
    fn what_is_short_is_looked_at_whole() {
        assert_eq!(Sample::new().text(CODE), estimate(CODE));
        assert_eq!(Sample::new().prose(&CODE.into()), estimate(CODE));
        let sample = Sample { whole: Cell::new(0) };
        assert_eq!((sample.text(""), sample.text("a"), sample.text("é")), (0, 1, 2));
        for cut in ["\\", "\\u", "\\u12", "a\\u00e9", "é\\u12é"] {
            push_escaped(&mut Estimator::default(), cut);
        }
    }
}
