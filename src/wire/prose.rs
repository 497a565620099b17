//! Text that is sent on and seldom read: it stays the JSON string that it came as.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::json::{self, AS_IT_STANDS};
use super::text::Text;

/// See the module. No half of a character stands in it alone: one that came so has become U+FFFD.
#[derive(Clone)]
pub struct Prose<'a>(Cow<'a, RawValue>);

impl<'a> Prose<'a> {
    pub fn is_empty(&self) -> bool {
        self.escaped().is_empty()
    }

    /// The text. Borrowed where nothing in it is escaped.
    pub fn read(&self) -> Cow<'_, str> {
        match memchr::memchr(b'\\', self.escaped().as_bytes()) {
            None => Cow::Borrowed(self.escaped()),
            Some(_) => Cow::Owned(serde_json::from_str(self.0.get()).expect("a JSON string")),
        }
    }

    /// As it stands in JSON, without the quotes.
    pub fn escaped(&self) -> &str {
        let quoted = self.0.get();
        &quoted[1..quoted.len() - 1]
    }

    /// The same, for as long as this one is there.
    pub fn reborrow(&self) -> Prose<'_> {
        Prose(Cow::Borrowed(&self.0))
    }

    /// All in one, with something in between.
    pub fn join<'t>(texts: impl IntoIterator<Item = &'t Prose<'t>>, between: &str) -> Prose<'a> {
        let between = Prose::from(between);
        let mut quoted = String::from("\"");
        for (at, text) in texts.into_iter().enumerate() {
            if at > 0 {
                quoted.push_str(between.escaped());
            }
            quoted.push_str(text.escaped());
        }
        quoted.push('"');
        Prose(Cow::Owned(json::unread(&quoted)))
    }

    /// None if it is no string.
    fn of_json(raw: &'a RawValue) -> Option<Self> {
        raw.get().starts_with('"').then_some(Prose(Cow::Borrowed(raw)))
    }
}

impl From<&str> for Prose<'_> {
    fn from(text: &str) -> Self {
        Prose(Cow::Owned(json::quoted(text)))
    }
}

impl fmt::Debug for Prose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.read(), f)
    }
}

impl Serialize for Prose<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Prose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(AS_IT_STANDS, ProseVisitor)
    }
}

struct ProseVisitor;

impl<'de> Visitor<'de> for ProseVisitor {
    type Value = Prose<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        match Unread::of(map)? {
            Unread::Prose(prose) => Ok(prose),
            Unread::Object => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
        }
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        Text::deserialize(deserializer).map(|text| Prose::from(text.as_str()))
    }
}

/// What comes by [`AS_IT_STANDS`].
#[derive(Debug)]
pub enum Unread<'a> {
    Prose(Prose<'a>),
    Object,
}

impl<'a> Unread<'a> {
    /// For `visit_map` of a newtype by that name.
    pub fn of<'de: 'a, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        let raw = <&'de RawValue>::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Prose::of_json(raw).map_or(Unread::Object, Unread::Prose))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json;

    #[test]
    fn it_reads_the_same_whoever_reads_it() {
        for (json, text) in [(r#""a""#, "a"), (r#""""#, ""), (r#""a\n\"\u00e9\ud83d\ude00\/""#, "a\n\"é😀/")] {
            let fast: Prose<'_> = json::plain(json).unwrap();
            let slow: Prose<'_> = serde_json::from_str(json).unwrap();
            assert_eq!((fast.read(), slow.read()), (text.into(), text.into()));
            assert_eq!(fast.is_empty(), text.is_empty());
            assert_eq!(serde_json::to_string(&fast).unwrap(), json, "sent on as it came");
            assert_eq!(serde_json::from_str::<String>(&serde_json::to_string(&slow).unwrap()).unwrap(), text);
        }
        for wrong in ["5", "null", "[97]", "{}"] {
            assert!(serde_json::from_str::<Prose<'_>>(wrong).is_err());
            assert!(json::plain::<Prose<'_>>(wrong).is_none());
        }
    }

    #[test]
    fn a_lone_surrogate_becomes_the_replacement_character() {
        let slow: Prose<'_> = serde_json::from_str(r#""a\ud83d b""#).unwrap();
        assert_eq!(slow.read(), "a\u{fffd} b");
    }

    #[test]
    fn joined_is_as_if_it_had_been_read() {
        let texts: Vec<Prose<'_>> = serde_json::from_str(r#"["a\"", "", "\\b"]"#).unwrap();
        assert_eq!(Prose::join(&texts, "\n\n").read(), "a\"\n\n\n\n\\b");
        assert!(Prose::join(&[], "\n").is_empty());
    }
}
