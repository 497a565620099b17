//! One layer on top of the defaults: what it sets, and everything in it that does not fit.

use config::Config;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use super::Settings;
use super::layer::Layer;
use super::mistake::{Mistake, without_value};

/// Bounds the search for mistakes in one layer.
const MAX_TRIES: usize = 500;

/// See the module.
pub(super) struct Reading {
    pub(super) layer: Layer,
    /// What it sets; nothing when it cannot be read.
    pub(super) own: Config,
    values: Map<String, Value>,
    pub(super) mistakes: Vec<Mistake>,
    /// The settings with every mistake of a type taken out or filled with something.
    pub(super) mended: Option<Settings>,
}

impl Reading {
    /// Finds every mistake: each is mended and the rest read again.
    pub(super) fn new(layer: Layer, own: Result<Config, String>, defaults: &Config) -> Reading {
        let mut reading =
            Reading { layer, own: Config::default(), values: Map::new(), mistakes: Vec::new(), mended: None };
        let read = own.and_then(|own| {
            let values = own.clone().try_deserialize().map_err(|error| error.to_string())?;
            let over = merged([defaults, &own])?;
            (reading.own, reading.values) = (own, values);
            Ok((merged([defaults])?, over))
        });
        match read {
            Ok((defaults, value)) => reading.find_mistakes(value, &defaults),
            Err(problem) => reading.note(String::new(), problem),
        }
        reading
    }

    /// How near it comes to a key of TOML: the number of tables on the way to it that it sets, and the key itself.
    /// Lists are set as a whole.
    pub(super) fn depth(&self, key: &str) -> usize {
        let mut depth = 0;
        let mut at = Some(&self.values);
        for part in key.split('[').next().unwrap_or_default().split('.') {
            let Some(value) = at.and_then(|table| table.get(part)) else { break };
            depth += 1;
            at = value.as_object();
        }
        depth
    }

    fn note(&mut self, key: String, problem: String) {
        let found = Mistake { layer: self.layer.clone(), key, problem };
        if !self.mistakes.iter().any(|known| known.covers(&found)) {
            self.mistakes.push(found);
        }
    }

    /// TOML knows `nan` and `inf`, and JSON makes null of them, which would pass for what is not set. 0 stands in.
    fn find_infinite(&mut self, value: &mut Value, key: String) {
        match value {
            Value::Null => {
                self.note(key, "must be a finite number".to_owned());
                *value = Value::from(0);
            }
            Value::Object(map) => {
                for (name, value) in map {
                    let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                    self.find_infinite(value, key);
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter_mut().enumerate() {
                    self.find_infinite(value, format!("{key}[{index}]"));
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn find_mistakes(&mut self, mut value: Value, defaults: &Value) {
        self.find_infinite(&mut value, String::new());
        for tries in 1..=MAX_TRIES {
            match understood(&value) {
                Ok(settings) => return self.mended = Some(settings),
                Err(misfit) => {
                    self.note(misfit.key(), misfit.problem.clone());
                    if !mend(&mut value, defaults, &misfit, tries) {
                        return;
                    }
                }
            }
        }
    }
}

/// The values of these, the later over the earlier.
pub(super) fn merged<'a>(configs: impl IntoIterator<Item = &'a Config>) -> Result<Value, String> {
    let builder = configs.into_iter().fold(Config::builder(), |builder, config| builder.add_source(config.clone()));
    builder.build().and_then(Config::try_deserialize).map_err(|error| error.to_string())
}

/// The settings that these values are.
pub(super) fn understood(value: &Value) -> Result<Settings, Misfit> {
    serde_path_to_error::deserialize(value).map_err(Misfit::of)
}

/// A value that is no setting.
pub(super) struct Misfit {
    path: Vec<Segment>,
    pub(super) problem: String,
    is_missing: bool,
}

impl Misfit {
    fn of(error: serde_path_to_error::Error<serde_json::Error>) -> Misfit {
        let mut path: Vec<Segment> = error.path().iter().cloned().collect();
        let problem = error.into_inner().to_string();
        let missing = quoted_after(&problem, "missing field ");
        let is_missing = missing.is_some();
        let named = missing.or_else(|| quoted_after(&problem, "unknown field "));
        if let Some(name) = named
            && !matches!(path.last(), Some(Segment::Map { key }) if *key == name)
        {
            path.push(Segment::Map { key: name });
        }
        Misfit { path, problem: without_value(&problem), is_missing }
    }

    /// Where it stands, as in TOML.
    pub(super) fn key(&self) -> String {
        let mut text = String::new();
        for segment in &self.path {
            match segment {
                Segment::Seq { index } => text.push_str(&format!("[{index}]")),
                Segment::Map { key } | Segment::Enum { variant: key } => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(key);
                }
                Segment::Unknown => {}
            }
        }
        text
    }
}

fn quoted_after(text: &str, marker: &str) -> Option<String> {
    let rest = text.split_once(marker)?.1.strip_prefix('`')?;
    Some(rest.split_once('`')?.0.to_owned())
}

/// What a missing field of a list's entry is filled with, one after the other, until it is no longer missed.
/// Entries are never taken out, so that the others keep their numbers. Their number is odd, since every second
/// try takes one out again.
fn stand_ins() -> [Value; 5] {
    [Value::from("?"), Value::Array(Vec::new()), Value::from(0), Value::Object(Default::default()), Value::from(true)]
}

/// Takes the wrong node out, puts its default back, or fills it; false when nothing could be changed.
fn mend(value: &mut Value, defaults: &Value, misfit: &Misfit, tries: usize) -> bool {
    let Some((last, parents)) = misfit.path.split_last() else { return false };
    let mut at = value;
    let mut default = Some(defaults);
    for segment in parents {
        let (next, below) = match segment {
            Segment::Map { key } => (at.get_mut(key), default.and_then(|default| default.get(key))),
            Segment::Seq { index } => (at.get_mut(index), None),
            Segment::Enum { .. } | Segment::Unknown => (None, None),
        };
        let Some(next) = next else { return false };
        (at, default) = (next, below);
    }
    let stand_in = || stand_ins().into_iter().cycle().nth(tries).unwrap_or_default();
    match (last, at) {
        (Segment::Map { key }, Value::Object(map)) => match default.and_then(|default| default.get(key)) {
            Some(default) => map.insert(key.clone(), default.clone()).as_ref() != Some(default),
            None if misfit.is_missing => map.insert(key.clone(), stand_in()).is_none(),
            None => map.remove(key).is_some(),
        },
        (Segment::Seq { index }, Value::Array(list)) if *index < list.len() => {
            list[*index] = stand_in();
            true
        }
        _ => false,
    }
}
