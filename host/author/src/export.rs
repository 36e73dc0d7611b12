//! The interfaces that a plugin can export.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An interface that a plugin exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Export {
    /// A decision on the request head.
    Gate,
    /// Work on the request.
    Request,
    /// Work on the response.
    Response,
    /// The response as bytes.
    Chunks,
    /// The response as events.
    Events,
    /// The end of an exchange.
    Closing,
    /// Finished exchanges.
    Observer,
}

impl Export {
    /// All, in the order in which an exchange meets them.
    pub const ALL: [Self; 7] = [
        Self::Gate,
        Self::Request,
        Self::Response,
        Self::Chunks,
        Self::Events,
        Self::Closing,
        Self::Observer,
    ];

    /// Its name in the contract, in `plugin.toml` and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Request => "request",
            Self::Response => "response",
            Self::Chunks => "chunks",
            Self::Events => "events",
            Self::Closing => "closing",
            Self::Observer => "observer",
        }
    }

    /// The export of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|export| export.name() == name)
    }
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
