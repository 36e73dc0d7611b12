//! How a capability fails.

use std::fmt;

use crate::types::{Fault, Stop};

/// Why a capability did not do what it was asked. It converts into a [`Fault`] with status 503, so a gate that uses `?` refuses
/// the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapabilityError {
    /// The operator has not granted it: the capability as a whole or, for `http`, this host.
    Denied,
    /// It cannot be had now: the service is gone, a timeout has passed, or too many calls are waiting.
    Unavailable,
    /// A bound is reached that the operator or the contract has set.
    OverLimit,
    /// An argument is not legal. Nothing was changed.
    Invalid,
}

impl fmt::Display for CapabilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "the operator has not granted it",
            Self::Unavailable => "it is not available",
            Self::OverLimit => "a limit is reached",
            Self::Invalid => "an argument is not legal",
        })
    }
}

impl std::error::Error for CapabilityError {}

impl From<CapabilityError> for Fault {
    fn from(_: CapabilityError) -> Self {
        // What exactly is wrong is the operator's business.
        let message = "The gateway cannot decide about this request now. Try again later.";
        Self::new(503, "capability_unavailable", message)
    }
}

impl From<CapabilityError> for Stop {
    fn from(error: CapabilityError) -> Self {
        Fault::from(error).into()
    }
}

#[cfg(target_family = "wasm")]
impl From<crate::bindings::granted::capability::Error> for CapabilityError {
    fn from(error: crate::bindings::granted::capability::Error) -> Self {
        use crate::bindings::granted::capability::Error;
        match error {
            Error::Denied => Self::Denied,
            Error::Unavailable => Self::Unavailable,
            Error::OverLimit => Self::OverLimit,
            Error::Invalid => Self::Invalid,
        }
    }
}

#[cfg(not(target_family = "wasm"))]
impl From<sluicegate_contract::capability::Error> for CapabilityError {
    fn from(error: sluicegate_contract::capability::Error) -> Self {
        use sluicegate_contract::capability::Error;
        match error {
            Error::Denied => Self::Denied,
            Error::Unavailable => Self::Unavailable,
            Error::OverLimit => Self::OverLimit,
            Error::Invalid => Self::Invalid,
        }
    }
}

/// A duration in milliseconds, at least 1: 0 has another meaning.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}
