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
/// Bounds the search for mistakes in one layer.
const MAX_TRIES: usize = 500;

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
    /// The variables that hold secrets.
    Secrets,
}

impl Layer {
    /// The file, if it is one.
    pub fn into_file(self) -> Option<PathBuf> {
        match self {
            Layer::File(path) => Some(path),
            _ => None,
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layer::Default => f.write_str("built-in defaults"),
            Layer::File(path) => write!(f, "{}", path.display()),
            Layer::Port => f.write_str("PORT"),
            Layer::Variables => f.write_str("GATEWAYZ__ variables"),
            Layer::Secrets => f.write_str("environment"),
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

    let readings: Vec<Reading> = layers.iter().map(|layer| read(layer, environment)).collect();
    let mut mistakes: Vec<Mistake> = readings.iter().flat_map(|reading| reading.mistakes.clone()).collect();
    let settings = match mistakes.is_empty() {
        true => whole(&layers, environment).inspect_err(|mistake| mistakes.push(mistake.clone())).ok(),
        false => None,
    };
    let found = match &settings {
        Some(settings) => rules::mistakes(settings),
        // What is wrong besides is told too, as far as each layer can be understood.
        None => readings.iter().filter_map(|reading| reading.mended.as_ref()).flat_map(rules::mistakes).collect(),
    };
    for (key, problem) in found {
        let section = key.split(['.', '[']).next().unwrap_or_default();
        let sets = |reading: &&Reading| reading.sections.iter().any(|own| own == section);
        let layer = readings.iter().rev().find(sets).map_or(Layer::Default, |reading| reading.layer.clone());
        let mistake = Mistake { layer, key, problem };
        if !mistakes.iter().any(|known| covers(known, &mistake)) {
            mistakes.push(mistake);
        }
    }
    let loaded = settings.map(|settings| Loaded { secrets: Secrets::read(&settings, environment), settings, layers });
    let unfit = loaded.iter().flat_map(|loaded| loaded.secrets.mistakes(&loaded.settings));
    mistakes.extend(unfit.map(|(key, problem)| Mistake { layer: Layer::Secrets, key, problem }));
    mistakes.truncate(MAX_MISTAKES);
    loaded.filter(|_| mistakes.is_empty()).ok_or(Mistakes(mistakes))
}

/// Whether the second mistake is the first one again, or follows from it.
fn covers(known: &Mistake, mistake: &Mistake) -> bool {
    let rest = mistake.key.strip_prefix(&known.key);
    known.layer == mistake.layer && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn whole(layers: &[Layer], environment: &Environment) -> Result<Settings, Mistake> {
    let unplaced = |problem| Mistake { layer: Layer::Variables, key: String::new(), problem };
    let value = merged(layers, environment).map_err(unplaced)?;
    serde_path_to_error::deserialize(value).map_err(|error| unplaced(error.to_string()))
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
        // No setting stands there.
        Layer::Secrets => builder,
    }
    .build()
}

fn merged(layers: &[Layer], environment: &Environment) -> Result<Value, String> {
    let mut builder = Config::builder();
    for layer in layers {
        builder = builder.add_source(source(layer, environment).map_err(|error| error.to_string())?);
    }
    builder.build().and_then(Config::try_deserialize).map_err(|error| error.to_string())
}

/// One layer, read on top of the defaults.
struct Reading {
    layer: Layer,
    /// The top-level keys that it sets.
    sections: Vec<String>,
    mistakes: Vec<Mistake>,
    /// The settings with every mistake of a type taken out or filled with something.
    mended: Option<Settings>,
}

/// Finds everything in a layer that does not fit: each mistake is mended and the rest read again.
fn read(layer: &Layer, environment: &Environment) -> Reading {
    let mistake = |key: String, problem: String| Mistake { layer: layer.clone(), key, problem };
    let mut reading = Reading { layer: layer.clone(), sections: Vec::new(), mistakes: Vec::new(), mended: None };
    let own = source(layer, environment).and_then(Config::try_deserialize::<serde_json::Map<String, Value>>);
    let values = own.map_err(|error| error.to_string()).and_then(|own| {
        reading.sections = own.keys().cloned().collect();
        Ok((merged(&[Layer::Default], environment)?, merged(&[Layer::Default, layer.clone()], environment)?))
    });
    let (defaults, mut value) = match values {
        Ok(values) => values,
        Err(problem) => {
            reading.mistakes.push(mistake(String::new(), problem));
            return reading;
        }
    };
    let mut tries = 0;
    loop {
        let error = match serde_path_to_error::deserialize::<_, Settings>(value.clone()) {
            Ok(settings) => {
                reading.mended = Some(settings);
                return reading;
            }
            Err(error) => error,
        };
        let mut path: Vec<Segment> = error.path().iter().cloned().collect();
        let problem = error.into_inner().to_string();
        let missing = quoted_after(&problem, "missing field ");
        let named = missing.clone().or_else(|| quoted_after(&problem, "unknown field "));
        if let Some(name) = named
            && !matches!(path.last(), Some(Segment::Map { key }) if *key == name)
        {
            path.push(Segment::Map { key: name });
        }
        let found = mistake(written(&path), problem);
        if !reading.mistakes.iter().any(|known| covers(known, &found)) {
            reading.mistakes.push(found);
        }
        tries += 1;
        if tries > MAX_TRIES || !mend(&mut value, &defaults, &path, missing.is_some(), tries) {
            return reading;
        }
    }
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

/// What a missing field of a list's entry is filled with, one after the other, until it is no longer missed.
/// Entries are never taken out, so that the others keep their numbers. Their number is odd, since every second
/// try takes one out again.
fn stand_ins() -> [Value; 5] {
    [Value::from("?"), Value::Array(Vec::new()), Value::from(0), Value::Object(Default::default()), Value::from(true)]
}

/// Takes the wrong node out, puts its default back, or fills it; false when nothing could be changed.
fn mend(value: &mut Value, defaults: &Value, path: &[Segment], missing: bool, tries: usize) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
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
            None if missing => map.insert(key.clone(), stand_in()).is_none(),
            None => map.remove(key).is_some(),
        },
        (Segment::Seq { index }, Value::Array(list)) if *index < list.len() => {
            list[*index] = stand_in();
            true
        }
        _ => false,
    }
}
