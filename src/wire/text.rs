//! JSON strings as they really arrive: borrowed where possible, and forgiving of lone surrogates.
//!
//! A JSON text may hold `"\ud83d"` without its other half: JavaScript clients send such strings, and
//! providers that cut a stream by UTF-16 unit send the halves of one emoji in two chunks. serde's `str`
//! refuses them; read as bytes they come out as WTF-8 (surrogates in their three-byte form).

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// A whole JSON string. A lone surrogate in it becomes U+FFFD.
///
/// A newtype because `Option<Cow<str>>` and `Vec<Cow<str>>` always come out owned under serde's derive.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Text<'_> {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(value: &'a str) -> Self {
        Text(Cow::Borrowed(value))
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(v)))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(v.to_owned())))
    }

    fn visit_borrowed_bytes<E: de::Error>(self, v: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Text(decode_lossy(v)))
    }

    fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(decode_lossy(v).into_owned())))
    }

    // serde_json offers an array of numbers as bytes too; that is not a string.
    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(de::Error::invalid_type(de::Unexpected::Seq, &self))
    }
}

/// A piece of a streamed JSON string, kept as WTF-8 so that its neighbour can complete it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Fragment<'a>(pub Cow<'a, [u8]>);

impl Fragment<'_> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> From<&'a str> for Fragment<'a> {
    fn from(value: &'a str) -> Self {
        Fragment(Cow::Borrowed(value.as_bytes()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fragment<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(FragmentVisitor)
    }
}

struct FragmentVisitor;

impl<'de> Visitor<'de> for FragmentVisitor {
    type Value = Fragment<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E: de::Error>(self, v: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Fragment(Cow::Borrowed(v)))
    }

    fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<Self::Value, E> {
        Ok(Fragment(Cow::Owned(v.to_vec())))
    }

    fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
        Ok(Fragment(Cow::Borrowed(v.as_bytes())))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
        Ok(Fragment(Cow::Owned(v.as_bytes().to_vec())))
    }

    // serde_json offers an array of numbers as bytes too; that is not a string.
    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(de::Error::invalid_type(de::Unexpected::Seq, &self))
    }
}

/// WTF-8 to text; every lone surrogate (three bytes) and every other foreign byte run becomes U+FFFD.
pub fn decode_lossy(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut joiner = SurrogateJoiner::default();
            let mut text = joiner.push(bytes).into_owned();
            text.push_str(joiner.finish());
            Cow::Owned(text)
        }
    }
}

/// Puts together what a provider cut in the middle of a surrogate pair (T80).
///
/// A high surrogate at the end of a fragment is held until the next fragment: with its low half it
/// becomes the character, with anything else U+FFFD.
#[derive(Debug, Default, Clone)]
pub struct SurrogateJoiner {
    held: Option<u16>,
}

impl SurrogateJoiner {
    /// The text of this fragment, with a held half joined in front.
    pub fn push<'a>(&mut self, fragment: &'a [u8]) -> Cow<'a, str> {
        if self.held.is_none()
            && let Ok(text) = std::str::from_utf8(fragment)
        {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(fragment.len() + 4);
        let mut rest = fragment;
        while !rest.is_empty() {
            if let Some((unit, after)) = split_surrogate(rest) {
                rest = after;
                self.accept_unit(unit, &mut out);
                continue;
            }
            if self.held.take().is_some() {
                out.push(char::REPLACEMENT_CHARACTER);
            }
            let run = next_surrogate(rest);
            out.push_str(&String::from_utf8_lossy(&rest[..run]));
            rest = &rest[run..];
        }
        Cow::Owned(out)
    }

    /// What is left when no fragment follows: nothing, or U+FFFD for a half that never met its other.
    pub fn finish(&mut self) -> &'static str {
        if self.held.take().is_some() { "\u{fffd}" } else { "" }
    }

    fn accept_unit(&mut self, unit: u16, out: &mut String) {
        let is_high = (0xd800..0xdc00).contains(&unit);
        match (self.held.take(), is_high) {
            (Some(high), false) => {
                out.extend(char::decode_utf16([high, unit]).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
            }
            (Some(_), true) => {
                out.push(char::REPLACEMENT_CHARACTER);
                self.held = Some(unit);
            }
            (None, true) => self.held = Some(unit),
            (None, false) => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
}

/// A surrogate in WTF-8 is `ED A0..BF 80..BF`.
fn split_surrogate(bytes: &[u8]) -> Option<(u16, &[u8])> {
    match bytes {
        [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, rest @ ..] => {
            Some((0xd000 | (u16::from(second & 0x3f) << 6) | u16::from(third & 0x3f), rest))
        }
        _ => None,
    }
}

/// Where the next surrogate starts; the length when there is none.
fn next_surrogate(bytes: &[u8]) -> usize {
    (1..bytes.len()).find(|&at| split_surrogate(&bytes[at..]).is_some()).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_strings_are_borrowed() {
        let text: Text<'_> = serde_json::from_str(r#""grüß dich""#).unwrap();
        assert!(matches!(text.0, Cow::Borrowed("grüß dich")));
    }

    #[test]
    fn options_and_lists_are_borrowed_too() {
        let list: Vec<Option<Text<'_>>> = serde_json::from_str(r#"["a", null]"#).unwrap();
        assert!(matches!(&list[0], Some(Text(Cow::Borrowed("a")))));
    }

    #[test]
    fn escapes_are_decoded() {
        let text: Text<'_> = serde_json::from_str(r#""a\n\ud83d\ude00""#).unwrap();
        assert_eq!(text.as_str(), "a\n😀");
    }

    #[test]
    fn a_lone_surrogate_becomes_the_replacement_character() {
        let text: Text<'_> = serde_json::from_str(r#""a\ud83d b\ude00""#).unwrap();
        assert_eq!(text.as_str(), "a\u{fffd} b\u{fffd}");
    }

    #[test]
    fn numbers_and_lists_are_not_strings() {
        assert!(serde_json::from_str::<Text<'_>>("5").is_err());
        assert!(serde_json::from_str::<Text<'_>>("[97, 98]").is_err());
    }

    #[test]
    fn halves_in_two_fragments_are_joined() {
        let first: Fragment<'_> = serde_json::from_str(r#""ok \ud83d""#).unwrap();
        let second: Fragment<'_> = serde_json::from_str(r#""\ude00!""#).unwrap();
        let mut joiner = SurrogateJoiner::default();
        assert_eq!(joiner.push(&first.0), "ok ");
        assert_eq!(joiner.push(&second.0), "😀!");
        assert_eq!(joiner.finish(), "");
    }

    #[test]
    fn a_half_without_its_other_is_replaced_never_lost() {
        let first: Fragment<'_> = serde_json::from_str(r#""\ud83d""#).unwrap();
        let mut joiner = SurrogateJoiner::default();
        assert_eq!(joiner.push(&first.0), "");
        assert_eq!(joiner.push(b"x"), "\u{fffd}x");
        assert_eq!(joiner.push(&first.0), "");
        assert_eq!(joiner.finish(), "\u{fffd}");
    }
}
