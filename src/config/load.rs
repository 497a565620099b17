//! Reading settings in layers, and naming every mistake with its key and the layer that it stands in.
//!
//! Later wins: the compiled-in `config/default.toml`, the file of `--config` or `GATEWAYZ_CONFIG`, `PORT`,
//! `GATEWAYZ__SECTION__KEY`. Each layer is first read on top of the defaults alone, so that a mistake can
//! be laid at its door.

use std::fmt;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, File, FileFormat};
use serde_json::Value;
use serde_path_to_error::Segment;

use super::secrets::{Environment, Secrets};
use super::{Settings, rules};

/// The catalog and every default.
pub const DEFAULT_FILE: &str = include_str!("../../config/default.toml");

/// Enough to show what is wrong with a file that is no configuration at all.
const MAX_MISTAKES: usize = 50;

/// Settings and secrets that hold together.
#[derive(Debug)]
pub struct Loaded {
    pub settings: Settings,
    pub secrets: Secrets,
    /// The layers that were read, first to last.
    pub layers: Vec<Layer>,
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    Default,
    File(PathBuf),
    Port,
    Variables,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layer::Default => f.write_str("built-in defaults"),
            Layer::File(path) => write!(f, "{}", path.display()),
            Layer::Port => f.write_str("PORT"),
            Layer::Variables => f.write_str("GATEWAYZ__ variables"),
        }
    }
}

/// Something that cannot be, with the key and the layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub layer: Layer,
    /// As in TOML, for example `providers[0].base_url`. Empty when the layer cannot be read at all.
    pub key: String,
    pub problem: String,
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

/// Reads all layers. `file` comes from the command line and wins over `GATEWAYZ_CONFIG`.
pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Loaded, Mistakes> {
    let file = file
        .map(Path::to_path_buf)
        .or_else(|| environment.get("GATEWAYZ_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
    let mut layers = vec![Layer::Default];
    layers.extend(file.map(Layer::File));
    layers.extend(environment.get("PORT").filter(|port| !port.is_empty()).map(|_| Layer::Port));
    layers.push(Layer::Variables);

    let mut mistakes: Vec<Mistake> =
        layers.iter().flat_map(|layer| mistakes_of(layer, environment)).take(MAX_MISTAKES).collect();
    if !mistakes.is_empty() {
        return Err(Mistakes(mistakes));
    }
    let whole = merged(&layers, environment)
        .and_then(|value| serde_path_to_error::deserialize::<_, Settings>(value).map_err(|error| error.to_string()));
    let settings = match whole {
        Ok(settings) => settings,
        Err(problem) => return Err(Mistakes(vec![Mistake { layer: Layer::Variables, key: String::new(), problem }])),
    };
    let owner = |section: &str| {
        let sets = |layer: &&Layer| own_value(layer, environment).is_some_and(|value| value.get(section).is_some());
        layers.iter().rev().find(sets).cloned().unwrap_or(Layer::Default)
    };
    mistakes.extend(rules::mistakes(&settings).into_iter().map(|(key, problem)| {
        let section = key.split(['.', '[']).next().unwrap_or_default();
        Mistake { layer: owner(section), key, problem }
    }));
    match mistakes.is_empty() {
        true => Ok(Loaded { secrets: Secrets::read(&settings, environment), settings, layers }),
        false => Err(Mistakes(mistakes)),
    }
}

fn source(layer: &Layer, environment: &Environment) -> Result<Config, ConfigError> {
    let builder = Config::builder();
    match layer {
        Layer::Default => builder.add_source(File::from_str(DEFAULT_FILE, FileFormat::Toml)),
        Layer::File(path) => builder.add_source(File::from(path.as_path()).format(FileFormat::Toml)),
        Layer::Port => {
            let port = environment.get("PORT").cloned().unwrap_or_default();
            match port.trim().parse::<u16>() {
                Ok(port) => builder.set_override("server.port", port)?,
                Err(_) => builder.set_override("server.port", port)?,
            }
        }
        Layer::Variables => builder.add_source(
            config::Environment::with_prefix("GATEWAYZ")
                .prefix_separator("__")
                .separator("__")
                .try_parsing(true)
                .list_separator(",")
                .with_list_parse_key("auth.key_sha256")
                .source(Some(environment.clone())),
        ),
    }
    .build()
}

fn own_value(layer: &Layer, environment: &Environment) -> Option<Value> {
    source(layer, environment).ok()?.try_deserialize().ok()
}

fn merged(layers: &[Layer], environment: &Environment) -> Result<Value, String> {
    let mut builder = Config::builder();
    for layer in layers {
        builder = builder.add_source(source(layer, environment).map_err(|error| error.to_string())?);
    }
    builder.build().and_then(Config::try_deserialize).map_err(|error| error.to_string())
}

/// Everything in this layer that does not fit: each mistake is taken out and the rest read again.
fn mistakes_of(layer: &Layer, environment: &Environment) -> Vec<Mistake> {
    let mistake = |key: String, problem: String| Mistake { layer: layer.clone(), key, problem };
    if let Err(error) = source(layer, environment) {
        return vec![mistake(String::new(), error.to_string())];
    }
    let defaults = match merged(&[Layer::Default], environment) {
        Ok(defaults) => defaults,
        Err(problem) => return vec![mistake(String::new(), problem)],
    };
    let mut value = match merged(&[Layer::Default, layer.clone()], environment) {
        Ok(value) => value,
        Err(problem) => return vec![mistake(String::new(), problem)],
    };
    let mut mistakes = Vec::new();
    while let Err(error) = serde_path_to_error::deserialize::<_, Settings>(value.clone()) {
        let mut path: Vec<Segment> = error.path().iter().cloned().collect();
        let problem = error.into_inner().to_string();
        if let Some(name) = quoted_after(&problem, "unknown field ")
            && !matches!(path.last(), Some(Segment::Map { key }) if *key == name)
        {
            path.push(Segment::Map { key: name });
        }
        let key = match quoted_after(&problem, "missing field ") {
            Some(name) => format!("{}.{name}", written(&path)),
            None => written(&path),
        };
        mistakes.push(mistake(key, problem));
        if mistakes.len() >= MAX_MISTAKES || !mend(&mut value, &defaults, &path) {
            break;
        }
    }
    mistakes
}

fn quoted_after(text: &str, marker: &str) -> Option<String> {
    let rest = text.split_once(marker)?.1.strip_prefix('`')?;
    Some(rest.split_once('`')?.0.to_owned())
}

fn written(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
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

/// Takes the wrong node out, or puts the default back; false when nothing could be changed.
fn mend(value: &mut Value, defaults: &Value, path: &[Segment]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let default = parents.iter().chain([last]).try_fold(defaults, |at, segment| match segment {
        Segment::Map { key } => at.get(key),
        _ => None,
    });
    let mut at = &mut *value;
    for segment in parents {
        let next = match segment {
            Segment::Map { key } => at.get_mut(key),
            Segment::Seq { index } => at.get_mut(index),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        let Some(next) = next else { return false };
        at = next;
    }
    let in_entry = parents.iter().any(|segment| matches!(segment, Segment::Seq { .. }));
    match (last, at) {
        (Segment::Map { key }, Value::Object(map)) => match default {
            Some(default) if !in_entry => {
                let changed = map.get(key) != Some(default);
                map.insert(key.clone(), default.clone());
                changed
            }
            // A required field of an entry: without the field the entry is wrong again, so the entry goes too.
            _ => map.remove(key).is_some() || mend(value, defaults, parents),
        },
        (Segment::Seq { index }, Value::Array(list)) if *index < list.len() => {
            list.remove(*index);
            true
        }
        _ => false,
    }
}
