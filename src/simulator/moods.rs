//! How a mood is asked for: by name and number, or by the name of a model.

use std::fmt::Write as _;

use serde_json::{Value, json};

pub use super::mood_table::Mood;
use super::mood_table::{Entry, TABLE};

/// The prefix of a model name that asks for a mood.
const PREFIX: &str = "simulate-";

/// A mood with its number, 0 where it takes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    pub mood: Mood,
    pub argument: u32,
}

impl Chosen {
    pub const WELL: Chosen = Chosen { mood: Mood::Well, argument: 0 };
}

/// The mood of this name with this number. The error says what is wrong with which.
pub fn choose(name: &str, argument: Option<u32>) -> Result<Chosen, String> {
    let entry = TABLE
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| format!("There is no mood '{name}'. GET /simulator/moods lists them."))?;
    let argument = match (&entry.argument, argument) {
        (None, None) => 0,
        (None, Some(_)) => return Err(format!("The mood '{name}' takes no argument.")),
        (Some(known), given) => given.unwrap_or(known.default),
    };
    match &entry.argument {
        Some(known) if argument > known.most => {
            Err(format!("The argument of '{name}' ({}) is at most {}.", known.meaning, known.most))
        }
        _ => Ok(Chosen { mood: entry.mood, argument }),
    }
}

/// The mood that a model id asks for: `simulate-cut`, `vendor/simulate-cut-3`. `None` for an ordinary id.
pub fn from_model(model: &str) -> Option<Result<Chosen, String>> {
    let wish = model.rsplit('/').next()?.strip_prefix(PREFIX)?;
    if TABLE.iter().any(|entry| entry.name == wish) {
        return Some(choose(wish, None));
    }
    // Names hold dashes themselves (`error-in-200` ends in a number), so the whole is tried first.
    Some(match wish.rsplit_once('-').map(|(name, number)| (name, number.parse())) {
        Some((name, Ok(number))) => choose(name, Some(number)),
        _ => choose(wish, None),
    })
}

/// The model ids that ask for each mood.
pub fn model_ids() -> impl Iterator<Item = String> {
    TABLE.iter().map(|entry| format!("{PREFIX}{}", entry.name))
}

/// How a chosen mood is named in JSON.
pub fn describe(chosen: Chosen) -> Value {
    match TABLE.iter().find(|entry| entry.mood == chosen.mood) {
        Some(Entry { name, argument: Some(_), .. }) => json!({"mood": name, "argument": chosen.argument}),
        Some(Entry { name, .. }) => json!({"mood": name}),
        None => Value::Null,
    }
}

/// All moods as JSON, for `GET /simulator/moods`.
pub fn list() -> Value {
    let entry = |entry: &Entry| match &entry.argument {
        Some(known) => json!({
            "mood": entry.name,
            "what": entry.what,
            "argument": {"meaning": known.meaning, "default": known.default, "most": known.most},
        }),
        None => json!({"mood": entry.name, "what": entry.what}),
    };
    TABLE.iter().map(entry).collect()
}

/// The moods as text for a terminal, one a line.
pub fn moods_help() -> String {
    let mut text = String::from("A model named simulate-MOOD or simulate-MOOD-NUMBER behaves so:\n\n");
    for entry in TABLE {
        let _ = write!(text, "  {:<16} {}", entry.name, entry.what);
        if let Some(known) = &entry.argument {
            let _ = write!(text, " [{}, default {}]", known.meaning, known.default);
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(model: &str) -> Option<Chosen> {
        from_model(model).and_then(Result::ok)
    }

    #[test]
    fn a_model_name_asks_for_a_mood() {
        assert_eq!(named("gpt-4o"), None);
        assert_eq!(named("simulate-hang"), Some(Chosen { mood: Mood::Hang, argument: 0 }));
        assert_eq!(named("simulate-hang-after-9"), Some(Chosen { mood: Mood::HangAfter, argument: 9 }));
        assert_eq!(named("vendor/simulate-rate-limit"), Some(Chosen { mood: Mood::RateLimit, argument: 7 }));
        assert_eq!(named("simulate-error-in-200"), Some(Chosen { mood: Mood::ErrorIn200, argument: 0 }));
    }

    #[test]
    fn a_wrong_wish_is_named() {
        for model in ["simulate-nonsense", "simulate-hang-3", "simulate-flaky-101", "simulate-"] {
            assert!(matches!(from_model(model), Some(Err(_))), "{model}");
        }
    }

    #[test]
    fn every_mood_can_be_asked_for_and_is_explained() {
        let help = moods_help();
        for (entry, id) in TABLE.iter().zip(model_ids()) {
            assert_eq!(named(&id).map(|chosen| chosen.mood), Some(entry.mood));
            assert!(help.contains(entry.name) && help.contains(entry.what));
        }
    }
}
