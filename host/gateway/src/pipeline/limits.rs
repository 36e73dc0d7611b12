//! The bounds of what a stage is given.

use sluicegate_config as config;

/// Events handed to a stage in one call; see `events.batch` in `wit/response.wit`.
pub(super) const BATCH_EVENTS: usize = 32;
/// Bytes of events handed to a stage in one call.
pub(super) const BATCH_BYTES: usize = 64 * 1024;

/// The bounds of a response body.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a body that is collected for a stage.
    pub body: u64,
    /// Bytes of one event.
    pub event: usize,
}

impl Limits {
    /// The configured ones.
    #[must_use]
    pub fn of(limits: &config::Limits) -> Self {
        Self {
            body: limits.response_body,
            event: usize::try_from(limits.event).unwrap_or(usize::MAX),
        }
    }
}
