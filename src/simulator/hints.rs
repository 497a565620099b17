//! Likely words of a prompt, to fill the arguments of a tool with.

/// Words after " in " that start no place.
const NOT_PLACES: &[&str] =
    &["parallel", "the", "a", "an", "this", "that", "my", "your", "order", "both", "each", "all"];

const EXCERPT: usize = 200;

/// A prompt, and the place that one of several parallel calls is about.
pub struct Hints<'a> {
    prompt: &'a str,
    place: Option<String>,
}

impl<'a> Hints<'a> {
    pub fn new(prompt: &'a str) -> Self {
        Hints { prompt, place: None }
    }

    /// The same prompt, with the mind on one place.
    pub fn about(&self, place: &str) -> Self {
        Hints { prompt: self.prompt, place: Some(place.to_owned()) }
    }

    /// The places that the prompt names after " in ": `in Paris, New York and Tokyo`.
    pub fn places(&self) -> Vec<String> {
        let starts = self.prompt.match_indices("in ").filter(|(at, _)| {
            let before = self.prompt.get(..*at).and_then(|before| before.chars().next_back());
            before.is_none_or(char::is_whitespace)
        });
        for (at, word) in starts {
            let found = places_at(self.prompt.get(at + word.len()..).unwrap_or_default());
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    /// A likely value for a string property of this name.
    pub fn word_for(&self, property: &str) -> String {
        let name = property.to_lowercase();
        let like = |words: &[&str]| words.iter().any(|word| name.contains(word));
        let place = self.place.clone().or_else(|| self.places().into_iter().next());
        let found = if like(&["city", "location", "place", "town", "country", "destination"]) {
            place.or_else(|| self.last_word())
        } else if like(&["url", "uri", "link"]) {
            self.word_where(|word| word.starts_with("http")).or_else(|| Some("https://example.com".into()))
        } else if like(&["path", "file", "dir"]) {
            self.word_where(|word| !word.starts_with("http") && word.contains(['/', '.']))
                .or_else(|| Some("README.md".into()))
        } else if like(&["command", "cmd", "script"]) {
            self.quoted().or_else(|| Some("echo hello".into()))
        } else if like(&["query", "question", "prompt", "text", "message", "content", "description"]) {
            self.place.clone().or_else(|| self.quoted()).or_else(|| Some(self.excerpt()))
        } else {
            place.or_else(|| self.quoted()).or_else(|| self.last_word())
        };
        found.filter(|word| !word.is_empty()).unwrap_or_else(|| "example".into())
    }

    fn excerpt(&self) -> String {
        self.prompt.trim().chars().take(EXCERPT).collect()
    }

    fn quoted(&self) -> Option<String> {
        ['"', '`'].into_iter().find_map(|mark| {
            let (_, rest) = self.prompt.split_once(mark)?;
            let (inside, _) = rest.split_once(mark)?;
            Some(inside.to_owned())
        })
    }

    fn last_word(&self) -> Option<String> {
        self.word_where(|_| true)
    }

    /// The last word that passes, without the punctuation around it.
    fn word_where(&self, passes: impl Fn(&str) -> bool) -> Option<String> {
        let bare = |word: &'a str| word.trim_matches(|letter: char| "\"'`()[]{}<>,.;:!?".contains(letter));
        self.prompt.split_whitespace().rev().map(bare).find(|word| !word.is_empty() && passes(word)).map(str::to_owned)
    }
}

/// The places at the start of a text, as capitalised words joined by commas and "and". A single word in
/// lower case also counts, for people do not always write names large.
fn places_at(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open = false;
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|letter: char| !letter.is_alphanumeric());
        let large = bare.chars().next().is_some_and(char::is_uppercase);
        match (word, found.last_mut()) {
            ("and" | "&" | "or", _) | ("both" | "each", None) => {}
            (_, Some(name)) if large && open => {
                name.push(' ');
                name.push_str(bare);
            }
            _ if large => found.push(bare.to_owned()),
            (_, None)
                if !bare.is_empty() && !NOT_PLACES.contains(&bare) && !bare.starts_with(|c: char| c.is_numeric()) =>
            {
                return vec![bare.to_owned()];
            }
            _ => break,
        }
        let ends_name = word.ends_with(',');
        open = large && !ends_name;
        if word.ends_with(['.', '?', '!', ';', ':']) {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_in() {
        let places = |prompt| Hints::new(prompt).places();
        assert_eq!(places("What is the weather in Paris?"), ["Paris"]);
        assert_eq!(places("Weather in both Paris and Tokyo, please"), ["Paris", "Tokyo"]);
        assert_eq!(places("Weather in New York, São Paulo and Rome today"), ["New York", "São Paulo", "Rome"]);
        assert_eq!(places("do it in parallel in oslo"), ["oslo"]);
        assert_eq!(places("begin now"), Vec::<String>::new());
        assert_eq!(places("in "), Vec::<String>::new());
    }

    #[test]
    fn words_suit_the_property() {
        let hints = Hints::new("Please read src/lib.rs and run `ls -l` in Berlin, see https://x.org/a.");
        assert_eq!(hints.word_for("file_path"), "src/lib.rs");
        assert_eq!(hints.word_for("command"), "ls -l");
        assert_eq!(hints.word_for("url"), "https://x.org/a");
        assert_eq!(hints.word_for("city"), "Berlin");
        assert_eq!(hints.about("Rome").word_for("q"), "Rome");
        assert_eq!(Hints::new("").word_for("x"), "example");
    }
}
