//! Where JSON values end, without reading them.

use wide::u8x16;

use super::{NotTaken, Taken};

/// Levels of what is passed over: as many as serde_json takes of what it reads.
const MAX_DEPTH: usize = 127;

/// How many bytes of a string are looked at together: as many as a mask has bits.
const BLOCK: usize = 64;
const LANES: usize = 16;

/// A place in a text.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// A string with its quotes.
pub(super) struct Span<'a> {
    pub(super) raw: &'a str,
    pub(super) is_escaped: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn over(text: &'a str) -> Self {
        Scanner { text, at: 0 }
    }

    /// Whether nothing follows.
    pub(super) fn is_over(&mut self) -> bool {
        self.peek().is_err()
    }

    /// The next byte that is no blank. It stays the next one.
    pub(super) fn peek(&mut self) -> Taken<u8> {
        loop {
            match self.byte(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Ok(byte),
            }
        }
    }

    pub(super) fn expect(&mut self, byte: u8) -> Taken<()> {
        match self.peek()? == byte {
            true => {
                self.at += 1;
                Ok(())
            }
            false => Err(NotTaken),
        }
    }

    /// `true`, `false` or `null`.
    pub(super) fn word(&mut self, word: &str) -> Taken<()> {
        self.peek()?;
        match self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            true => {
                self.at += word.len();
                Ok(())
            }
            false => Err(NotTaken),
        }
    }

    /// What may be a number: whether it is one is for others to say.
    pub(super) fn number(&mut self) -> Taken<&'a str> {
        self.peek()?;
        let rest = &self.text[self.at..];
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.bytes().take_while(is_part).count();
        self.at += length;
        Ok(&rest[..length])
    }

    /// Any value.
    pub(super) fn value(&mut self) -> Taken<&'a str> {
        self.peek()?;
        let from = self.at;
        self.pass_value(MAX_DEPTH)?;
        Ok(&self.text[from..self.at])
    }

    fn pass_value(&mut self, levels: usize) -> Taken<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' => self.pass_items(b'}', levels, |scanner, levels| {
                scanner.string()?;
                scanner.expect(b':')?;
                scanner.pass_value(levels)
            }),
            b'[' => self.pass_items(b']', levels, Self::pass_value),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => {
                let number = self.number()?;
                serde_json::from_str::<serde::de::IgnoredAny>(number).map(drop).map_err(|_| NotTaken)
            }
        }
    }

    fn pass_items(&mut self, close: u8, levels: usize, pass: impl Fn(&mut Self, usize) -> Taken<()>) -> Taken<()> {
        let levels = levels.checked_sub(1).ok_or(NotTaken)?;
        self.at += 1;
        if self.peek()? != close {
            pass(self, levels)?;
            while self.peek()? == b',' {
                self.at += 1;
                pass(self, levels)?;
            }
        }
        self.expect(close)
    }

    /// A string, which must be next: it is well-formed, and no half of a character stands in it alone.
    pub(super) fn string(&mut self) -> Taken<Span<'a>> {
        self.expect(b'"')?;
        let from = self.at - 1;
        let mut is_escaped = false;
        'blocks: while let Some(block) = self.text.as_bytes()[self.at..].first_chunk::<BLOCK>() {
            let mut special = special(block);
            while special != 0 {
                let passed = special.trailing_zeros() as usize;
                match block[passed] {
                    b'"' => return Ok(self.span(from, self.at + passed, is_escaped)),
                    b'\\' => {
                        is_escaped = true;
                        let after = self.after_escape(self.at + passed)?;
                        let Some(rest) = u64::MAX.checked_shl((after - self.at) as u32) else {
                            self.at = after;
                            continue 'blocks;
                        };
                        special &= rest;
                    }
                    _ => return Err(NotTaken),
                }
            }
            self.at += BLOCK;
        }
        loop {
            match self.byte(self.at)? {
                b'"' => return Ok(self.span(from, self.at, is_escaped)),
                b'\\' => {
                    is_escaped = true;
                    self.at = self.after_escape(self.at)?;
                }
                ..b' ' => return Err(NotTaken),
                _ => self.at += 1,
            }
        }
    }

    fn span(&mut self, open: usize, close: usize, is_escaped: bool) -> Span<'a> {
        self.at = close + 1;
        Span { raw: &self.text[open..self.at], is_escaped }
    }

    fn after_escape(&self, at: usize) -> Taken<usize> {
        match self.byte(at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(at + 2),
            b'u' => match self.unit(at)? {
                0xd800..=0xdbff if matches!(self.unit(at + 6)?, 0xdc00..=0xdfff) => Ok(at + 12),
                0xd800..=0xdfff => Err(NotTaken),
                _ => Ok(at + 6),
            },
            _ => Err(NotTaken),
        }
    }

    /// The UTF-16 unit of `\u1234`.
    fn unit(&self, at: usize) -> Taken<u32> {
        let digits = self.text.as_bytes().get(at..at + 6).and_then(|escape| escape.strip_prefix(b"\\u"));
        let digit = |byte: &u8| char::from(*byte).to_digit(16).ok_or(NotTaken);
        digits.ok_or(NotTaken)?.iter().try_fold(0, |unit, byte| Ok(unit << 4 | digit(byte)?))
    }

    fn byte(&self, at: usize) -> Taken<u8> {
        self.text.as_bytes().get(at).copied().ok_or(NotTaken)
    }
}

/// A bit for each quote, backslash and control character.
fn special(block: &[u8; BLOCK]) -> u64 {
    let (quote, backslash, control) = (u8x16::splat(b'"'), u8x16::splat(b'\\'), u8x16::splat(0x1f));
    let parts = block.as_chunks::<LANES>().0.iter().map(|part| {
        let part = u8x16::new(*part);
        let special = part.simd_eq(quote) | part.simd_eq(backslash) | part.simd_eq(part.min(control));
        u64::from(special.to_bitmask())
    });
    parts.enumerate().fold(0, |mask, (at, part)| mask | part << (at * LANES))
}
