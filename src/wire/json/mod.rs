//! Reads JSON as serde_json does, and faster where it is plain.
//!
//! Most of a request is text that is sent on as it came. The reader here looks through a string with SIMD instructions
//! and hands it over unread (see [`AS_IT_STANDS`]); serde_json would unescape it byte by byte, only to have it escaped
//! again. It takes nothing that serde_json refuses, and gives the same. What is rare or wrong — lone surrogates, deep
//! nesting, a mistake — it does not take at all: that is read by serde_json, which also says what is wrong.

mod scan;
mod write;

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, MapDeserializer};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use self::scan::{Scanner, Span};
pub use self::write::{quoted, unread};

/// Levels of what is read, and not only passed over: each takes some of the stack.
const MAX_DEPTH: usize = 32;

/// A newtype of this name gets a string or an object unread, by `visit_map`, from which `RawValue` can be read by
/// [`de::value::MapAccessDeserializer`]; and a list by `visit_seq`. Every other reader calls `visit_newtype_struct`.
pub const AS_IT_STANDS: &str = "$gatewayz::as_it_stands";

/// How serde_json's `RawValue` asks for JSON that stays unread. Its name is serde_json's own affair; a test tells when
/// it changes.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Reads a text.
pub fn from_str<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<T> {
    plain(text).map_or_else(|| serde_json::from_str(text), Ok)
}

/// Reads bytes, which may be no text where that is nobody's business.
pub fn from_slice<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> serde_json::Result<T> {
    let plain = simdutf8::basic::from_utf8(bytes).ok().and_then(plain);
    plain.map_or_else(|| serde_json::from_slice(bytes), Ok)
}

/// Reads a text that is plain JSON; none if it is not.
pub fn plain<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    let mut reader = Reader { scanner: Scanner::over(text), depth: 0 };
    let value = T::deserialize(&mut reader).ok()?;
    reader.scanner.is_over().then_some(value)
}

/// Why not is nobody's business here.
#[derive(Debug)]
struct NotTaken;

type Taken<T> = Result<T, NotTaken>;

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not taken")
    }
}

impl std::error::Error for NotTaken {}

impl de::Error for NotTaken {
    fn custom<T: fmt::Display>(_: T) -> Self {
        NotTaken
    }
}

struct Reader<'de> {
    scanner: Scanner<'de>,
    depth: usize,
}

impl<'de> Reader<'de> {
    /// What lies between brackets.
    fn inside<T>(&mut self, open: u8, read: impl FnOnce(Items<'_, 'de>) -> Taken<T>) -> Taken<T> {
        self.scanner.expect(open)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(NotTaken);
        }
        // In ASCII a closing bracket is two after the opening one.
        let value = read(Items { reader: self, close: open + 2, first: true })?;
        self.depth -= 1;
        // The visitor may not have asked for what comes after the last item: nothing may.
        self.scanner.expect(open + 2)?;
        Ok(value)
    }

    fn raw<V: Visitor<'de>>(&mut self, visitor: V) -> Taken<V::Value> {
        let raw = self.scanner.value()?;
        visitor.visit_map(MapDeserializer::new([(RAW_VALUE, BorrowedStrDeserializer::new(raw))].into_iter()))
    }

    /// Numbers are serde_json's business.
    fn number<T: Deserialize<'de>>(&mut self) -> Taken<T> {
        serde_json::from_str(self.scanner.number()?).map_err(|_| NotTaken)
    }

    fn text(&mut self) -> Taken<Cow<'de, str>> {
        let Span { raw, is_escaped } = self.scanner.string()?;
        match is_escaped {
            false => Ok(Cow::Borrowed(&raw[1..raw.len() - 1])),
            true => serde_json::from_str(raw).map(Cow::Owned).map_err(|_| NotTaken),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = NotTaken;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        match self.scanner.peek()? {
            b'"' => self.deserialize_str(visitor),
            b'{' => self.deserialize_map(visitor),
            b'[' => self.deserialize_seq(visitor),
            b't' | b'f' => self.deserialize_bool(visitor),
            b'n' => self.deserialize_unit(visitor),
            _ => match self.number::<serde_json::Number>()? {
                number if number.is_u64() => visitor.visit_u64(number.as_u64().ok_or(NotTaken)?),
                number if number.is_i64() => visitor.visit_i64(number.as_i64().ok_or(NotTaken)?),
                number => visitor.visit_f64(number.as_f64().ok_or(NotTaken)?),
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        let yes = self.scanner.peek()? == b't';
        self.scanner.word(if yes { "true" } else { "false" })?;
        visitor.visit_bool(yes)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        visitor.visit_u64(self.number()?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        visitor.visit_f64(self.number()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        match self.text()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        match self.scanner.peek()? {
            // Known to be text, it need not be looked at again.
            b'"' => self.deserialize_str(visitor),
            // As serde_json does.
            b'[' => self.deserialize_seq(visitor),
            _ => Err(NotTaken),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        match self.scanner.peek()? {
            b'n' => {
                self.scanner.word("null")?;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        self.scanner.word("null")?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Taken<V::Value> {
        match (name, self.scanner.peek()?) {
            (RAW_VALUE, _) | (AS_IT_STANDS, b'"' | b'{') => self.raw(visitor),
            (AS_IT_STANDS, b'[') => self.deserialize_seq(visitor),
            (AS_IT_STANDS, _) => Err(NotTaken),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        self.inside(b'[', |items| visitor.visit_seq(items))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        self.inside(b'{', |items| visitor.visit_map(items))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Taken<V::Value> {
        self.deserialize_map(visitor)
    }

    /// The name of a variant that holds nothing.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Taken<V::Value> {
        match self.text()? {
            Cow::Borrowed(name) => visitor.visit_enum(BorrowedStrDeserializer::new(name)),
            Cow::Owned(_) => Err(NotTaken),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Taken<V::Value> {
        self.scanner.value()?;
        visitor.visit_unit()
    }

    // None of the shapes has such a field.
    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 char string byte_buf unit_struct tuple tuple_struct
    }
}

/// The items between two brackets.
struct Items<'r, 'de> {
    reader: &'r mut Reader<'de>,
    close: u8,
    first: bool,
}

impl Items<'_, '_> {
    /// Whether there is another one; then it is next.
    fn has_next(&mut self) -> Taken<bool> {
        if self.reader.scanner.peek()? == self.close {
            return Ok(false);
        }
        if !std::mem::take(&mut self.first) {
            self.reader.scanner.expect(b',')?;
        }
        Ok(true)
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = NotTaken;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Taken<Option<T::Value>> {
        match self.has_next()? {
            true => seed.deserialize(&mut *self.reader).map(Some),
            false => Ok(None),
        }
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = NotTaken;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Taken<Option<K::Value>> {
        if !self.has_next()? {
            return Ok(None);
        }
        if self.reader.scanner.peek()? != b'"' {
            return Err(NotTaken);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Taken<V::Value> {
        self.reader.scanner.expect(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    /// Whatever is taken is what serde_json reads.
    fn taken(text: &str) -> Option<Value> {
        let value = plain::<Value>(text);
        let raw = plain::<&RawValue>(text).map(|raw| raw.get().to_owned());
        let whole = serde_json::from_str::<Value>(text);
        if let Some(value) = &value {
            assert_eq!(Some(value), whole.as_ref().ok(), "{text}");
        }
        if let Some(raw) = &raw {
            assert_eq!(serde_json::from_str::<Value>(raw).ok(), whole.ok(), "{text}");
        }
        value
    }

    #[test]
    fn json_is_taken() {
        for text in [
            "null",
            " true ",
            "\t[ ]\r\n",
            "{}",
            r#"{"a" : [1, -2, 0.5, 1e3, -0.0, 18446744073709551615, 1E+2], "b":{"c":null,"d":false}}"#,
            r#""""#,
            r#""é \n \" \\ \/ \u00e9 \ud83d\ude00""#,
            r#"["0123456789012345678901234567890123456789012345678901234567890123\"","\\\\","\\"]"#,
        ] {
            assert!(taken(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_not_taken() {
        for text in [
            "",
            " ",
            "nul",
            "nulll",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "[}",
            "{]",
            "01",
            "1.",
            "+1",
            ".5",
            "1e",
            "--1",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "\"\u{1f}\"",
            "1 1",
            "[] []",
            "{\"a\" 1}",
            "[\"a\" \"b\"]",
            "tru",
            "[1e]",
            "[-]",
        ] {
            assert_eq!(taken(text), None, "{text}");
            assert!(plain::<&RawValue>(text).is_none(), "{text}");
        }
    }

    #[test]
    fn halves_of_characters_and_depths_are_left_to_serde_json() {
        for half in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83d\ud83d\ude00""#, r#""\ud83dx""#, r#""\ud83d\n""#] {
            assert_eq!(taken(half), None, "{half}");
            assert!(plain::<&RawValue>(half).is_none(), "{half}");
        }
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(taken(&nested(MAX_DEPTH)).is_some());
        assert!(taken(&nested(MAX_DEPTH + 1)).is_none());
        assert!(plain::<&RawValue>(&nested(100)).is_some());
        assert!(plain::<&RawValue>(&nested(100_000)).is_none());
    }

    #[test]
    fn every_place_of_a_string_is_looked_at() {
        for before in 0..200 {
            let string = |end: &str| format!("\"{}{end}", "x".repeat(before));
            assert_eq!(taken(&string("\"")), Some("x".repeat(before).into()));
            assert!(taken(&string("\\n\\\"\"")).is_some());
            assert!(taken(&string("\\ud83d\\ude00\\u00e9\"")).is_some());
            for backslashes in 1..6 {
                let end = "\\".repeat(backslashes) + "\"";
                assert_eq!(taken(&string(&end)).is_some(), backslashes % 2 == 0, "{before} {end}");
                assert!(taken(&(string(&end) + "n\\f\"")).is_none() || backslashes % 2 == 1);
                assert!(taken(&string(&("\\".repeat(backslashes * 2 - 1) + "nx\\/\""))).is_some());
            }
            for wrong in ["", "\\", "\\\"", "\u{1}\"", "\\q\"", "\\u00\"", "\\ude00\"", "\"x"] {
                assert_eq!(taken(&string(wrong)), None, "{before} {wrong:?}");
            }
        }
    }
}
