//! What a plugin's trial has shown.

/// What was learned from a trial.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    /// The gate refused the exchange with 401 or 403.
    pub(super) refused: bool,
    /// Bytes of the instance's memories afterwards.
    pub(super) memory: usize,
}
