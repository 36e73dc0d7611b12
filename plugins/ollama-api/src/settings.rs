//! The operator's configuration.

use serde::Deserialize;

/// The version that is told by default: new enough for tools, thoughts and structured output.
const VERSION: &str = "0.12.0";

/// What becomes of a request's `keep_alive`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeepAlive {
    /// It is left out: a client could unload everybody's model, or keep it in memory for ever.
    #[default]
    Ignore,
    /// The model server gets it.
    Pass,
}

/// The configuration as in the file; `config.schema.json` says what each key means.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    version: Option<String>,
    capabilities: Option<Vec<String>>,
    strip_latest: Option<bool>,
    keep_alive: KeepAlive,
}

/// The configuration in force.
#[derive(Debug)]
pub struct Settings {
    /// The version of Ollama that is told.
    pub version: String,
    /// What a model can do if its server does not say it.
    pub capabilities: Vec<String>,
    /// Whether the tag `:latest` is taken off.
    pub strip_latest: bool,
    /// What becomes of `keep_alive`.
    pub keep_alive: KeepAlive,
}

impl From<Config> for Settings {
    fn from(config: Config) -> Self {
        let capabilities = || vec!["completion".to_owned(), "tools".to_owned()];
        Self {
            version: config.version.unwrap_or_else(|| VERSION.to_owned()),
            capabilities: config.capabilities.unwrap_or_else(capabilities),
            strip_latest: config.strip_latest.unwrap_or(true),
            keep_alive: config.keep_alive,
        }
    }
}
