//! The operator's configuration as in the file; secrets are plain text here.

use serde::Deserialize;
use sluicegate_credentials::config::{Inject, Key};

/// The configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The keys that may use the gateway. Without any, everybody may use it.
    pub keys: Vec<Key>,
    /// The second field that may hold the key, besides `authorization`.
    pub header: Option<String>,
    /// The key for the model server.
    pub inject: Option<Inject>,
}
