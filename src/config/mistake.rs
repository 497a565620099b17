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
