//! Reading settings in layers, and naming every mistake with its key and the layer that it stands in.
//!
//! Later wins: the compiled-in `config/default.toml`, the file of `--config` or `GATEWAYZ_CONFIG`, the TOML in
//! `GATEWAYZ_CONFIG_TOML`, `PORT`, `GATEWAYZ__SECTION__KEY`. A list replaces the list before it, as a whole. Each layer
//! is first read on top of the defaults alone, so that a mistake can be laid at its door.

use std::path::Path;

use super::file::ConfigFile;
use super::layer::CONFIG_TOML;
pub use super::layer::Layer;
pub use super::mistake::{Mistake, Mistakes};
use super::reading::{Reading, merged, understood};
use super::secrets::{Environment, Secrets};
use super::{Settings, rules};

/// Enough to show what is wrong with a file that is no configuration at all.
const MAX_MISTAKES: usize = 50;

/// Settings and secrets that hold together.
#[derive(Debug)]
pub struct Loaded {
    pub settings: Settings,
    pub secrets: Secrets,
    /// The layers that were read, first to last.
    pub layers: Vec<Layer>,
    /// The file among them.
    pub file: Option<ConfigFile>,
}

/// Reads all layers. `file` comes from the command line and wins over `GATEWAYZ_CONFIG`.
pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Loaded, Mistakes> {
    let set = |name: &str| environment.get(name).filter(|value| !value.trim().is_empty());
    let file = file.map(Path::to_path_buf).or_else(|| set("GATEWAYZ_CONFIG").map(Into::into));
    let file = file.map(ConfigFile::new);
    let mut layers = vec![Layer::Default];
    layers.extend(file.iter().map(|file| Layer::File(file.path.clone())));
    layers.extend(set(CONFIG_TOML).map(|_| Layer::ConfigToml));
    layers.extend(set("PORT").map(|_| Layer::Port));
    layers.push(Layer::Variables);

    let readings = read(&layers, environment);
    let mut mistakes: Vec<Mistake> = readings.iter().flat_map(|reading| reading.mistakes.clone()).collect();
    let settings = match mistakes.is_empty() {
        true => whole(&readings).inspect_err(|mistake| mistakes.push(mistake.clone())).ok(),
        false => None,
    };
    let found = match &settings {
        Some(settings) => rules::mistakes(settings),
        // What is wrong besides is told too, as far as each layer can be understood.
        None => readings.iter().filter_map(|reading| reading.mended.as_ref()).flat_map(rules::mistakes).collect(),
    };
    for (key, problem) in found {
        let layer = author(&readings, &key);
        let mistake = Mistake { layer, key, problem };
        if !mistakes.iter().any(|known| known.covers(&mistake)) {
            mistakes.push(mistake);
        }
    }
    let loaded =
        settings.map(|settings| Loaded { secrets: Secrets::read(&settings, environment), settings, layers, file });
    let unfit = loaded.iter().flat_map(|loaded| loaded.secrets.mistakes(&loaded.settings));
    mistakes.extend(unfit.map(|(key, problem)| Mistake { layer: Layer::Secrets, key, problem }));
    mistakes.truncate(MAX_MISTAKES);
    loaded.filter(|_| mistakes.is_empty()).ok_or(Mistakes(mistakes))
}

/// Each layer on top of the defaults, which come first.
fn read(layers: &[Layer], environment: &Environment) -> Vec<Reading> {
    let read: Vec<_> = layers.iter().map(|layer| layer.read(environment)).collect();
    let defaults = read.iter().flatten().next().cloned().unwrap_or_default();
    layers.iter().zip(read).map(|(layer, read)| Reading::new(layer.clone(), read, &defaults)).collect()
}

/// The layer that has set this key: of those that come nearest to it, the last.
fn author(readings: &[Reading], key: &str) -> Layer {
    let nearest = readings.iter().max_by_key(|reading| reading.depth(key));
    nearest.map_or(Layer::Default, |reading| reading.layer.clone())
}

/// All layers, one over the other.
fn whole(readings: &[Reading]) -> Result<Settings, Mistake> {
    let unplaced = |key, problem| Mistake { layer: Layer::Variables, key, problem };
    let value =
        merged(readings.iter().map(|reading| &reading.own)).map_err(|problem| unplaced(String::new(), problem))?;
    understood(&value).map_err(|misfit| unplaced(misfit.key(), misfit.problem))
}
