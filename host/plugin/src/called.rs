//! What is kept of the calls of an exchange where somebody wants to know of each: in commands for authors, never while a gateway
//! serves.

use sluicegate_contract::Phase;

/// A call of a guest.
#[derive(Clone, Debug)]
pub struct Called {
    /// The phase.
    pub phase: Phase,
    /// Bytes of the instance's memories after it.
    pub memory: usize,
    /// What went wrong, if something did.
    pub failure: Option<CallFailure>,
}

/// Why a call failed.
#[derive(Clone, Debug)]
pub struct CallFailure {
    /// What went wrong.
    pub reason: String,
    /// Whether a limit was exceeded: CPU time, memory, or the size of a result.
    pub is_limit: bool,
    /// What to do about it, in the words of the guest's language.
    pub mend: String,
}
