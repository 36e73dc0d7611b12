//! The capabilities that an operator grants to a plugin: their names, how they fail, and the rules of those that keep state.
//!
//! Time is an argument, in milliseconds since some moment that the caller chooses.

use std::fmt;

pub mod kv;
pub mod metrics;
// It has a calendar, which plugins do without.
#[cfg(not(target_family = "wasm"))]
pub mod rate;

/// A capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Requests to other servers.
    Http,
    /// Values by key.
    Kv,
    /// Limits.
    Rate,
    /// A plugin's own metrics.
    Metrics,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Http, Self::Kv, Self::Rate, Self::Metrics];

    /// Its name in the contract, in manifests and in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Kv => "kv",
            Self::Rate => "rate",
            Self::Metrics => "metrics",
        }
    }

    /// The capability of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Whether its functions may wait.
    #[must_use]
    pub const fn may_wait(self) -> bool {
        match self {
            Self::Http | Self::Kv | Self::Rate => true,
            Self::Metrics => false,
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a capability's function did not do what it was asked; as in `wit/capabilities.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The operator has not granted it.
    Denied,
    /// It cannot be had now.
    Unavailable,
    /// A bound is reached.
    OverLimit,
    /// An argument is not legal.
    Invalid,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "the operator has not granted it",
            Self::Unavailable => "it is not available",
            Self::OverLimit => "a limit is reached",
            Self::Invalid => "an argument is not legal",
        })
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_has_its_name() {
        for capability in Capability::ALL {
            assert_eq!(Capability::of(capability.name()), Some(capability));
        }
        assert_eq!(Capability::of("files"), None);
    }
}
