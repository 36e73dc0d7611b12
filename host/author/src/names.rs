//! What `plugin.toml` and the command line name: languages, and interfaces that a plugin exports.

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

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// With the SDK.
    Rust,
    /// By clang or zig.
    C,
    /// By QuickJS or StarlingMonkey.
    JavaScript,
    /// As JavaScript, with types that are checked.
    TypeScript,
    /// By componentize-py.
    Python,
    /// By the official toolchain.
    Go,
}

impl Language {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::Rust,
        Self::C,
        Self::JavaScript,
        Self::TypeScript,
        Self::Python,
        Self::Go,
    ];

    /// Its name in `plugin.toml`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Python => "python",
            Self::Go => "go",
        }
    }

    /// Its short name on the command line, if it has one.
    const fn short(self) -> Option<&'static str> {
        match self {
            Self::Rust => Some("rs"),
            Self::JavaScript => Some("js"),
            Self::TypeScript => Some("ts"),
            Self::Python => Some("py"),
            Self::C | Self::Go => None,
        }
    }

    /// The language of this name or short name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|language| language.name() == name || language.short() == Some(name))
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
