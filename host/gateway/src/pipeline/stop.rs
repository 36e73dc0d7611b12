//! What ends the phases of an exchange early.

use crate::failure::Failure;
use sluicegate_plugin_host::wit::Reply;

/// Why the phases do not go on: a stage's own response, or an error.
#[derive(Debug)]
pub enum Stop {
    /// A stage answers in place of the model server.
    Reply(Reply),
    /// The exchange fails.
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}
