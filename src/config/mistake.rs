//! What is wrong with a configuration, and where.

use std::fmt;

use super::layer::Layer;

/// Something that cannot be, with the key and the layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub layer: Layer,
    /// As in TOML, for example `providers[0].base_url`. Empty when the layer cannot be read at all.
    pub key: String,
    pub problem: String,
}

impl Mistake {
    /// Whether the other one is this one again, or follows from it.
    pub(super) fn covers(&self, other: &Mistake) -> bool {
        let rest = other.key.strip_prefix(&self.key);
        self.layer == other.layer && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.layer, self.problem),
            key => write!(f, "{}: {key}: {}", self.layer, self.problem),
        }
    }
}

/// All that is wrong with a configuration.
#[derive(Debug)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the configuration has {} mistake(s):", self.0.len())?;
        self.0.iter().try_for_each(|mistake| writeln!(f, "  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

/// What serde says of a value that is no setting, without the value: it may be a secret that stands in the wrong place.
pub(super) fn without_value(problem: &str) -> String {
    match problem.rsplit_once(", expected ") {
        // Before it stand the kind of the value, and then the value in quotes.
        Some((found, expected)) => {
            let kind = found.split(['`', '"']).next().unwrap_or_default().trim_end();
            let expected = if expected.starts_with("struct ") { "a table" } else { expected };
            format!("{kind}, expected {expected}")
        }
        None if problem.starts_with("missing field ") => problem.to_owned(),
        None => "cannot be understood".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_expected_is_said_and_what_stands_there_is_not() {
        for (problem, said) in [
            (r#"invalid type: string "SECRET", expected u16"#, "invalid type: string, expected u16"),
            (r#"invalid type: string "SECRET, expected `SECRET`", expected u16"#, "invalid type: string, expected u16"),
            ("invalid type: integer `5`, expected a string", "invalid type: integer, expected a string"),
            ("invalid type: null, expected a string", "invalid type: null, expected a string"),
            (r#"invalid type: string "SECRET", expected struct Auth"#, "invalid type: string, expected a table"),
            ("unknown variant `SECRET`, expected `memory` or `redis`", "unknown variant, expected `memory` or `redis`"),
            ("unknown field `prot`, expected one of `host`, `port`", "unknown field, expected one of `host`, `port`"),
            ("missing field `name`", "missing field `name`"),
            ("SECRET is not what it should be", "cannot be understood"),
        ] {
            assert_eq!(without_value(problem), said);
        }
    }
}
