//! Whether the arguments of a streamed call are JSON so far, and where they end, without reading them again with
//! every fragment.
//!
//! Checked as they come, because clients parse every fragment: what cannot become an object must never reach them.

/// Deeper nesting than serde_json reads is no arguments.
const MAX_DEPTH: usize = 128;

/// The text cannot become a JSON object, whatever follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotAnObject;

/// What has been seen of a JSON object that arrives in pieces.
#[derive(Debug, Default)]
pub(super) struct ObjectReader {
    /// The open brackets, outermost first.
    open: Vec<Bracket>,
    expect: Expect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Object,
    Array,
}

/// What the next byte may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Expect {
    /// The outermost `{`.
    #[default]
    Object,
    Value,
    /// A value, or the end of an array that is still empty.
    ValueOrEnd,
    Key,
    /// A key, or the end of an object that is still empty.
    KeyOrEnd,
    Colon,
    /// A comma, or the end of what is open.
    CommaOrEnd,
    /// More of a string; whether it is a key.
    Text {
        key: bool,
    },
    /// What follows a backslash.
    Escape {
        key: bool,
    },
    /// So many hex digits.
    Hex {
        key: bool,
        missing: u8,
    },
    /// The rest of `true`, `false` or `null`.
    Word(&'static [u8]),
    Number(Number),
    /// Blanks.
    Nothing,
}

/// Where in a number the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Sign,
    Zero,
    Integer,
    Point,
    Fraction,
    ExponentMark,
    ExponentSign,
    Exponent,
}

impl Number {
    /// What a byte makes of the number; `None` when it does not belong to it.
    fn next(self, byte: u8) -> Option<Number> {
        use Number::*;
        match (self, byte) {
            (Sign, b'0') => Some(Zero),
            (Sign, b'1'..=b'9') | (Integer, b'0'..=b'9') => Some(Integer),
            (Zero | Integer, b'.') => Some(Point),
            (Point | Fraction, b'0'..=b'9') => Some(Fraction),
            (Zero | Integer | Fraction, b'e' | b'E') => Some(ExponentMark),
            (ExponentMark, b'+' | b'-') => Some(ExponentSign),
            (ExponentMark | ExponentSign | Exponent, b'0'..=b'9') => Some(Exponent),
            _ => None,
        }
    }

    fn may_end(self) -> bool {
        matches!(self, Number::Zero | Number::Integer | Number::Fraction | Number::Exponent)
    }
}

impl ObjectReader {
    /// Takes in the next piece.
    pub(super) fn push(&mut self, text: &str) -> Result<(), NotAnObject> {
        text.bytes().try_for_each(|byte| self.byte(byte))
    }

    /// Whether the object has been closed.
    pub(super) fn is_reached(&self) -> bool {
        self.expect == Expect::Nothing
    }

    fn byte(&mut self, byte: u8) -> Result<(), NotAnObject> {
        if let Expect::Number(number) = self.expect {
            match number.next(byte) {
                Some(next) => {
                    self.expect = Expect::Number(next);
                    return Ok(());
                }
                None if number.may_end() => self.expect = Expect::CommaOrEnd,
                None => return Err(NotAnObject),
            }
        }
        self.expect = match (self.expect, byte) {
            (Expect::Text { key: true }, b'"') => Expect::Colon,
            (Expect::Text { key: false }, b'"') => Expect::CommaOrEnd,
            (Expect::Text { key }, b'\\') => Expect::Escape { key },
            (Expect::Text { .. }, 0..0x20) => return Err(NotAnObject),
            (Expect::Text { key }, _) => Expect::Text { key },
            (Expect::Escape { key }, b'u') => Expect::Hex { key, missing: 4 },
            (Expect::Escape { key }, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Expect::Text { key },
            (Expect::Hex { key, missing: 1 }, byte) if byte.is_ascii_hexdigit() => Expect::Text { key },
            (Expect::Hex { key, missing }, byte) if byte.is_ascii_hexdigit() => {
                Expect::Hex { key, missing: missing - 1 }
            }
            (Expect::Word([next, rest @ ..]), byte) if byte == *next => match rest {
                [] => Expect::CommaOrEnd,
                rest => Expect::Word(rest),
            },
            (expect, b' ' | b'\t' | b'\n' | b'\r')
                if !matches!(expect, Expect::Escape { .. } | Expect::Hex { .. } | Expect::Word(_)) =>
            {
                expect
            }
            (Expect::Object, b'{') => return self.enter(Bracket::Object, Expect::KeyOrEnd),
            (Expect::Key | Expect::KeyOrEnd, b'"') => Expect::Text { key: true },
            (Expect::KeyOrEnd | Expect::CommaOrEnd, b'}') => return self.leave(Bracket::Object),
            (Expect::ValueOrEnd | Expect::CommaOrEnd, b']') => return self.leave(Bracket::Array),
            (Expect::Colon, b':') => Expect::Value,
            (Expect::CommaOrEnd, b',') => match self.open.last() {
                Some(Bracket::Object) => Expect::Key,
                Some(Bracket::Array) => Expect::Value,
                None => return Err(NotAnObject),
            },
            (Expect::Value | Expect::ValueOrEnd, byte) => return self.value(byte),
            _ => return Err(NotAnObject),
        };
        Ok(())
    }

    /// The first byte of a value.
    fn value(&mut self, byte: u8) -> Result<(), NotAnObject> {
        self.expect = match byte {
            b'{' => return self.enter(Bracket::Object, Expect::KeyOrEnd),
            b'[' => return self.enter(Bracket::Array, Expect::ValueOrEnd),
            b'"' => Expect::Text { key: false },
            b't' => Expect::Word(b"rue"),
            b'f' => Expect::Word(b"alse"),
            b'n' => Expect::Word(b"ull"),
            b'-' => Expect::Number(Number::Sign),
            b'0' => Expect::Number(Number::Zero),
            b'1'..=b'9' => Expect::Number(Number::Integer),
            _ => return Err(NotAnObject),
        };
        Ok(())
    }

    fn enter(&mut self, bracket: Bracket, expect: Expect) -> Result<(), NotAnObject> {
        if self.open.len() >= MAX_DEPTH - 1 {
            return Err(NotAnObject);
        }
        self.open.push(bracket);
        self.expect = expect;
        Ok(())
    }

    fn leave(&mut self, bracket: Bracket) -> Result<(), NotAnObject> {
        if self.open.pop() != Some(bracket) {
            return Err(NotAnObject);
        }
        self.expect = if self.open.is_empty() { Expect::Nothing } else { Expect::CommaOrEnd };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        r#" {"a":"}\"\u00e9}","b" : [ {}, [] ,-0.5e+3,0,12],"c":"\\","d":{"e":true,"f":null,"g":false}} "#;

    #[test]
    fn the_end_is_the_last_bracket_wherever_the_text_is_cut() {
        let end = GOOD.trim_end().len();
        for cut in 0..end {
            let mut reader = ObjectReader::default();
            reader.push(&GOOD[..cut]).unwrap();
            assert!(!reader.is_reached(), "at {cut}");
            reader.push(&GOOD[cut..]).unwrap();
            assert!(reader.is_reached(), "at {cut}");
        }
    }

    /// Any single byte of a good object replaced, left out or doubled: refused exactly when serde_json refuses it.
    #[test]
    fn it_agrees_with_serde_json() {
        let agrees = |text: &str| {
            let mut reader = ObjectReader::default();
            let accepted = reader.push(text).is_ok() && reader.is_reached();
            let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok();
            assert_eq!(accepted, object, "{text}");
        };
        agrees(GOOD);
        for at in 0..GOOD.len() {
            agrees(&format!("{}{}", &GOOD[..at], &GOOD[at + 1..]));
            for byte in "{}[]\",:\\tx0.-e+ \n\u{1}".chars() {
                agrees(&format!("{}{byte}{}", &GOOD[..at], &GOOD[at + 1..]));
                agrees(&format!("{}{byte}{}", &GOOD[..at], &GOOD[at..]));
            }
        }
        for text in ["", "null", "[]", "{}", "{} {}", "{\"a\":}", "{\"a\":01}", "{\"a\":1.}", "{,}", "{\"a\":[1,]}"] {
            agrees(text);
        }
        agrees(&format!("{{\"a\":{}{}}}", "[".repeat(126), "]".repeat(126)));
        agrees(&format!("{{\"a\":{}{}}}", "[".repeat(127), "]".repeat(127)));
    }
}
