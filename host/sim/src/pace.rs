//! How fast the simulated models are.

use std::time::Duration;

/// How fast the simulated models are.
///
/// # Units
/// Each is a wait; zero means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Loading a model that is not in memory. Only Ollama does that while it serves.
    pub load: Duration,
    /// Reading the prompt: from the request to the first token.
    pub first_token: Duration,
    /// From one token to the next.
    pub token: Duration,
}

impl Pace {
    /// About 30 tokens a second, as a person sees it from a large model on one good graphics card.
    pub const HUMAN: Self = Self {
        load: Duration::from_millis(600),
        first_token: Duration::from_millis(250),
        token: Duration::from_millis(33),
    };

    /// No waiting at all, for tests.
    pub const FULL_SPEED: Self = Self {
        load: Duration::ZERO,
        first_token: Duration::ZERO,
        token: Duration::ZERO,
    };

    /// The pace of a slow model, if it is `slow`.
    pub(crate) fn of(self, slow: bool) -> Self {
        let (prompt_factor, token_factor) = if slow { (20, 10) } else { (1, 1) };
        Self {
            load: self.load,
            first_token: self.first_token * prompt_factor,
            token: self.token * token_factor,
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::HUMAN
    }
}

pub(crate) async fn wait(time: Duration) {
    // A timer waits for at least a millisecond: full speed must not use it.
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
