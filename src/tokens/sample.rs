//! The estimate of a whole request: its beginning, and places at regular distances in the rest.

use std::cell::RefCell;

use super::media;
use super::text::estimate;
use super::walk::{self, Measure};
use crate::wire::anthropic::request::MessagesRequest;
use crate::wire::prose::Prose;

/// Bytes at the beginning of a request that are looked at whole.
const WHOLE: usize = 4096;
/// Bytes of each place that is looked at after that.
const PLACE: usize = 256;
/// Bytes from one place to the next.
const STEP: usize = 4096;

/// Input tokens of a whole request: system, tools and every block. Cheap enough for every request, and within some
/// percent of what [`estimate`] says of all its texts.
pub fn estimate_request(request: &MessagesRequest<'_>) -> u64 {
    let sample = Sample::default();
    let media = walk::total(request, &sample);
    media + sample.0.into_inner().tokens()
}

/// Collects what is looked at, to be measured together: that is faster, and as good.
#[derive(Default)]
struct Sample(RefCell<Texts>);

/// All texts of a request, one after the other.
#[derive(Default)]
struct Texts {
    /// Bytes so far.
    length: usize,
    beginning: String,
    places: String,
    /// Bytes of the places, as they stood in the texts.
    looked_at: usize,
}

impl Texts {
    fn add(&mut self, text: &str, copy: impl Fn(&mut String, &str)) {
        let begins = self.length;
        self.length += text.len();
        let whole = text.floor_char_boundary(WHOLE.saturating_sub(begins).min(text.len()));
        if whole > 0 {
            copy(&mut self.beginning, &text[..whole]);
            // A word ends with its text. A space costs nothing.
            self.beginning.push(' ');
        }
        let mut at = begins.max(WHOLE).next_multiple_of(STEP);
        while at < self.length {
            let from = text.floor_char_boundary(at - begins);
            let place = &text[from..text.floor_char_boundary(from + PLACE)];
            self.looked_at += place.len();
            copy(&mut self.places, place);
            self.places.push(' ');
            at += STEP;
        }
    }

    fn tokens(&self) -> u64 {
        let rest = self.length.saturating_sub(WHOLE) as u64;
        estimate(&self.beginning) + estimate(&self.places) * rest / self.looked_at.max(1) as u64
    }
}

impl Measure for Sample {
    fn text(&self, text: &str) -> u64 {
        self.0.borrow_mut().add(text, String::push_str);
        0
    }

    fn prose(&self, text: &Prose<'_>) -> u64 {
        self.0.borrow_mut().add(text.escaped(), push_unescaped);
        0
    }

    fn pdf(&self, base64: &str) -> u64 {
        media::pdf_by_size(base64)
    }
}

/// An escape that the beginning or the end cuts off counts as something or nothing: it is one of very many.
fn push_unescaped(to: &mut String, json: &str) {
    let mut rest = json;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        to.push_str(&rest[..at]);
        let (stands_for, length) = match rest.as_bytes().get(at + 1) {
            Some(b'n' | b'r' | b't') => ("\n", 2),
            Some(b'"') => ("\"", 2),
            Some(b'\\') => ("\\", 2),
            // Mostly of a language that is not English: what such a character costs differs little.
            Some(b'u') => ("好", 6),
            _ => ("", 2),
        };
        to.push_str(stands_for);
        rest = rest.get(at + length..).unwrap_or_default();
    }
    to.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROSE: &str =
        "The gateway reads every request once, and answers its clients in their own words — naïve or not. ";
    const CODE: &str =
        "    for (at, line) in text.lines().enumerate() {\n        println!(\"{at}: {line}\\n\");\n    }\n\n";

    fn tokens(texts: &[String], add: impl Fn(&Sample, &str) -> u64) -> u64 {
        let sample = Sample::default();
        texts.iter().for_each(|text| assert_eq!(add(&sample, text), 0));
        sample.0.into_inner().tokens()
    }

    #[test]
    fn some_places_say_as_much_as_the_whole() {
        let mixed = PROSE.repeat(300) + &CODE.repeat(200) + &"网关把每个请求翻译一次。".repeat(600);
        let both = [PROSE.to_owned(), CODE.to_owned()].into_iter().cycle();
        for texts in [
            vec![PROSE.repeat(200)],
            vec![CODE.repeat(200)],
            vec![mixed],
            vec![CODE.repeat(5000)],
            vec!["x".repeat(50_000)],
            vec!["😀".repeat(9000)],
            both.take(1000).collect(),
        ] {
            let whole: u64 = texts.iter().map(|text| estimate(text)).sum();
            for guess in [
                tokens(&texts, |sample, text| sample.text(text)),
                tokens(&texts, |sample, text| sample.prose(&text.into())),
            ] {
                let off = guess as f64 / whole as f64 - 1.0;
                assert!(off.abs() < 0.1, "{guess} for {whole}: {}", &texts[0][..16]);
            }
        }
    }

    #[test]
    fn what_is_short_is_looked_at_whole() {
        let text = || [CODE.repeat(20)];
        assert_eq!(tokens(&text(), |sample, text| sample.text(text)), estimate(&text()[0]));
        assert_eq!(tokens(&text(), |sample, text| sample.prose(&text.into())), estimate(&text()[0]));
        for cut in ["\\", "\\u", "\\u12", "a\\u00e9", "é\\u12é"] {
            push_unescaped(&mut String::new(), cut);
        }
    }
}
