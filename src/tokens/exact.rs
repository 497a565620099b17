//! Counts by a real byte-pair encoding, PDF by their pages: for `count_tokens`.
//!
//! The encoding is o200k, OpenAI's newest public one. Claude's is not public; on prose the two differ by some
//! percent. A few milliseconds for 200 KB, so it belongs on a thread that serves nobody else.

use std::cell::Cell;

use super::walk::{self, Measure};
use super::{estimate, media};
use crate::wire::anthropic::request::MessagesRequest;
use crate::wire::prose::Prose;

/// What one request may have counted, in bytes of text; the rest is estimated. Nobody's context holds more, and
/// the longest of such counts takes seconds.
const MAX_COUNTED: usize = 4 * 1024 * 1024;
/// Text is counted in pieces of this many bytes: the encoder's regular expressions overflow on a million blanks.
const PIECE: usize = 64 * 1024;

/// Input tokens of a whole request: system, tools and every block.
pub fn count_request(request: &MessagesRequest<'_>) -> u64 {
    walk::total(request, &Exact { budget: Cell::new(MAX_COUNTED) })
}

struct Exact {
    /// Bytes that may still be counted.
    budget: Cell<usize>,
}

impl Measure for Exact {
    fn text(&self, text: &str) -> u64 {
        let Some(budget) = self.budget.get().checked_sub(text.len()) else { return estimate(text) };
        self.budget.set(budget);
        let mut tokens = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
            tokens += tiktoken_rs::o200k_base_singleton().count_ordinary(piece) as u64;
            rest = after;
        }
        tokens
    }

    fn prose(&self, text: &Prose<'_>) -> u64 {
        self.text(&text.read())
    }

    fn pdf(&self, base64: &str) -> u64 {
        media::pdf_by_pages(base64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t44_system_tools_and_images_are_all_counted() {
        let count = |fields: &str, block: &str| {
            let body = format!(
                r#"{{"model":"m",{fields}"messages":[{{"role":"user","content":[{{"type":"text","text":"Hello there"}}{block}]}}]}}"#
            );
            count_request(&crate::translate::parse::request(body.as_bytes()).unwrap())
        };
        let bare = count("", "");
        assert_eq!(bare, 6, "two tokens, and four around a message");
        assert!(count(r#""system":"Be kind to everybody.","#, "") > bare + 3);
        assert!(count(r#""tools":[{"name":"f","input_schema":{"type":"object"}}],"#, "") > bare + 5);
        // A PNG's head: 64 x 48 pixels.
        let png = r#","data":"iVBORw0KGgoAAAANSUhEUgAAAEAAAAAwCAYAAAA=""#;
        let image = format!(r#",{{"type":"image","source":{{"type":"base64","media_type":"image/png"{png}}}}}"#);
        assert_eq!(count("", &image), bare + (64 * 48u64).div_ceil(750));
    }

    #[test]
    fn a_million_blanks_and_a_text_over_the_budget_are_counted_somehow() {
        let count = |text: &str| {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#);
            count_request(&crate::translate::parse::request(body.as_bytes()).unwrap())
        };
        assert!(count(&format!("hello{}x", " ".repeat(1_000_000))) > 1000);
        assert!(count(&"word ".repeat(MAX_COUNTED / 5 + 1)) > 500_000);
    }
}
