//! API keys as in the operator's configuration; secrets are plain text here.

use std::fmt;

use serde::Deserialize;

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
    /// Its last day, in UTC, or the moment from which it is not accepted.
    pub expires: Option<String>,
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
