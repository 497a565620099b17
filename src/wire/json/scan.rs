//! Where JSON values end, without reading them.

use wide::u8x16;

use super::{NotTaken, Taken};

/// Levels of what is passed over: as many as serde_json takes of what it reads.
const MAX_DEPTH: usize = 127;

/// How many bytes of a string are looked at together: as many as a mask has bits.
pub(super) const BLOCK: usize = 64;
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
        // Most are names and short words: they end before anything has to be known of them.
        if let Some(lane) = self.text.as_bytes()[self.at..].first_chunk::<LANES>() {
            let lane = u8x16::new(*lane);
            let ends = lane.simd_eq(u8x16::splat(b'"')).to_bitmask();
            let others = lane.simd_eq(u8x16::splat(b'\\')) | lane.simd_eq(lane.min(u8x16::splat(LAST_CONTROL)));
            if ends.trailing_zeros() < others.to_bitmask().trailing_zeros() {
                return Ok(self.span(from, self.at + ends.trailing_zeros() as usize, false));
            }
        }
        let mut is_escaped = false;
        // Whether the next block begins with what a backslash at the end of this one escapes, and up to where escapes
        // have been looked at already.
        let (mut begins_escaped, mut looked_at) = (0, 0);
        while let Some(block) = self.text.as_bytes()[self.at..].first_chunk::<BLOCK>() {
            let block = Block::of(block);
            let (quotes, backslashes) = (block.equal(b'"'), block.equal(b'\\'));
            let escaped = escaped(backslashes, &mut begins_escaped);
            let closing = quotes & !escaped;
            let inside = (closing & closing.wrapping_neg()).wrapping_sub(1);
            if block.has_control() && block.control() & inside != 0 {
                return Err(NotTaken);
            }
            if escaped != 0 {
                is_escaped |= backslashes & inside != 0;
                // The others are seldom.
                let mut others = escaped & inside & !(quotes | backslashes | block.equal(b'n'));
                while others != 0 {
                    let at = self.at + others.trailing_zeros() as usize - 1;
                    if at >= looked_at {
                        looked_at = self.after_escape(at)?;
                    }
                    others &= others - 1;
                }
            }
            if closing != 0 {
                return Ok(self.span(from, self.at + closing.trailing_zeros() as usize, is_escaped));
            }
            self.at += BLOCK;
        }
        self.at = looked_at.max(self.at - begins_escaped as usize);
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

/// Bytes that are looked at together: in a mask of them the lowest bit stands for the first.
pub(super) struct Block([u8x16; BLOCK / LANES]);

impl Block {
    #[inline(always)]
    pub(super) fn of(bytes: &[u8; BLOCK]) -> Self {
        let parts = bytes.as_chunks::<LANES>().0;
        Block(std::array::from_fn(|at| u8x16::new(parts[at])))
    }

    #[inline(always)]
    fn mask(&self, is: impl Fn(u8x16) -> u8x16) -> u64 {
        let parts = self.0.iter().enumerate();
        parts.fold(0, |mask, (at, part)| mask | u64::from(is(*part).to_bitmask()) << (at * LANES))
    }

    #[inline(always)]
    pub(super) fn equal(&self, byte: u8) -> u64 {
        self.mask(|part| part.simd_eq(u8x16::splat(byte)))
    }

    #[inline(always)]
    pub(super) fn control(&self) -> u64 {
        self.mask(|part| part.simd_eq(part.min(u8x16::splat(LAST_CONTROL))))
    }

    /// Whether any byte is a control character: that takes less than to say where.
    #[inline(always)]
    fn has_control(&self) -> bool {
        let least = self.0.iter().fold(u8x16::splat(u8::MAX), |least, part| least.min(*part));
        least.simd_eq(least.min(u8x16::splat(LAST_CONTROL))).any()
    }
}

const LAST_CONTROL: u8 = 0x1f;

/// The characters that follow a backslash which is not escaped itself. Whether the first one does is told, and told of
/// the block that comes next.
#[inline(always)]
fn escaped(backslashes: u64, begins_escaped: &mut u64) -> u64 {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    let first = *begins_escaped;
    // As simdjson has it. What is taken away borrows through each run of backslashes, to where the run ends if it begins
    // at an even place, and to one further if it begins at an odd one.
    let begin = backslashes & !first;
    let pairs = ((begin << 1) | ODD).wrapping_sub(begin) ^ ODD;
    *begins_escaped = (pairs & backslashes) >> (BLOCK - 1);
    pairs ^ (backslashes | first)
}
