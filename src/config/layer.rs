//! Where settings come from, and what stands there.

use std::fmt;
use std::path::PathBuf;

use config::{Config, ConfigError, File, FileFormat};
use toml::de::DeTable;

use super::secrets::Environment;

/// The catalog and every default.
const DEFAULT_FILE: &str = include_str!("../../config/default.toml");

/// The variable that holds TOML, as a file would.
pub(super) const CONFIG_TOML: &str = "GATEWAYZ_CONFIG_TOML";

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    Default,
    File(PathBuf),
    /// The variable `GATEWAYZ_CONFIG_TOML`, for deployments that have variables only.
    ConfigToml,
    Port,
    Variables,
    /// The variables that hold secrets.
    Secrets,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layer::Default => f.write_str("built-in defaults"),
            Layer::File(path) => write!(f, "{}", path.display()),
            Layer::ConfigToml => f.write_str(CONFIG_TOML),
            Layer::Port => f.write_str("PORT"),
            Layer::Variables => f.write_str("GATEWAYZ__ variables"),
            Layer::Secrets => f.write_str("environment"),
        }
    }
}

impl Layer {
    /// What it sets; or why it cannot be read.
    pub(super) fn read(&self, environment: &Environment) -> Result<Config, String> {
        let read = match self {
            Layer::Default => return toml(DEFAULT_FILE),
            Layer::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
                return toml(&text);
            }
            Layer::ConfigToml => return toml(environment.get(CONFIG_TOML).map_or("", String::as_str)),
            Layer::Port => port(environment.get("PORT").map_or("", |port| port.trim())),
            Layer::Variables => variables(environment),
            // No setting stands there.
            Layer::Secrets => Ok(Config::default()),
        };
        read.map_err(|error| error.to_string())
    }
}

fn toml(text: &str) -> Result<Config, String> {
    // Looked at first by itself: config's error shows the line, and that may hold a password or the hash of a key.
    DeTable::parse(text).map_err(|error| no_toml(text, &error))?;
    let file = File::from_str(text, FileFormat::Toml);
    Config::builder().add_source(file).build().map_err(|error| error.to_string())
}

/// Where the text is no TOML, and why; never what stands there.
fn no_toml(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let (line, column) = before.split('\n').enumerate().last().unwrap_or_default();
    format!("no TOML at line {}, column {}: {}", line + 1, column.chars().count() + 1, error.message())
}

fn port(text: &str) -> Result<Config, ConfigError> {
    let builder = Config::builder();
    match text.parse::<u16>() {
        Ok(port) => builder.set_override("server.port", port),
        Err(_) => builder.set_override("server.port", text),
    }?
    .build()
}

fn variables(environment: &Environment) -> Result<Config, ConfigError> {
    let variables = config::Environment::with_prefix("GATEWAYZ")
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true)
        .list_separator(",")
        .with_list_parse_key("auth.key_sha256")
        .source(Some(environment.clone()));
    Config::builder().add_source(variables).build()
}
