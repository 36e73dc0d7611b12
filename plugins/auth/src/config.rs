//! The operator's configuration as in the file; secrets are plain text here.

use std::fmt;

use serde::Deserialize;

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

/// One key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// A name for logs and limits; unique.
    pub name: String,
    /// The key itself.
    pub key: String,
    /// The tenant; by default the name.
    pub tenant: Option<String>,
}

/// A key for the model server.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Inject {
    /// In `authorization: Bearer …`.
    Bearer {
        /// The key.
        bearer: String,
    },
    /// In a field of its own.
    Header {
        /// The field's name.
        header: String,
        /// The field's value.
        value: String,
    },
}

// Keys are never printed.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer { .. } => f.write_str("Bearer(***)"),
            Self::Header { header, .. } => write!(f, "Header({header}: ***)"),
        }
    }
}
