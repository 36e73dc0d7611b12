//! What can go wrong with a guest.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a guest did wrong, or what the host could not give it. The instance is gone; other exchanges are not affected.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// The engine could not be set up; only [`Engine::new`](super::Engine::new) gives this.
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(String),
    /// The guest trapped.
    #[error("it trapped: {reason}{}", innermost(.backtrace))]
    Trap {
        /// What the engine says.
        reason: String,
        /// The functions that were running, innermost first, by name where the component has names.
        backtrace: Vec<String>,
    },
    /// A call computed for longer than its budget.
    #[error("a call used up its CPU budget of {cpu:?}")]
    Deadline {
        /// The budget of one call.
        cpu: Duration,
    },
    /// A call did not return in time although it was within its CPU budget.
    #[error(
        "a call did not return in time: it sleeps, or the machine is too busy for what it computes"
    )]
    Stalled,
    /// The guest asked for more memory than its limit.
    #[error("it asked for more than its memory limit of {limit} bytes")]
    Memory {
        /// The limit in bytes.
        limit: u64,
    },
    /// A result was larger than the output limit.
    #[error("it returned {size} bytes, more than its output limit of {limit}")]
    Output {
        /// The result's size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: u64,
    },
    /// A result that the contract does not allow at this point.
    #[error("it broke the contract: {0}")]
    Contract(String),
    /// All sandboxes are in use. Not the guest's fault.
    #[error("no sandbox is free")]
    Exhausted,
}

impl Error {
    /// The metric label: a member of a closed set.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Engine(_) => "engine",
            Self::Trap { .. } => "trap",
            Self::Deadline { .. } => "deadline",
            Self::Stalled => "stalled",
            Self::Memory { .. } => "memory",
            Self::Output { .. } => "output",
            Self::Contract(_) => "contract",
            Self::Exhausted => "exhausted",
        }
    }
}

/// Where a trap happened: the innermost function.
fn innermost(backtrace: &[String]) -> String {
    backtrace
        .first()
        .map_or_else(String::new, |function| format!(", in `{function}`"))
}
