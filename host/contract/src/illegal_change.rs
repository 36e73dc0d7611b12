//! Changes that a stage may not make.

use std::fmt;

/// A change that a stage may not make, as the fault that the stage gets. It is the guest's mistake, so it is a server error if
/// the guest passes it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IllegalChange(String);

/// The most bytes of a message. Arbitrary: a sentence with the name of a field in it.
const MESSAGE: usize = 512;

impl IllegalChange {
    /// The status of the fault.
    pub const STATUS: u16 = 500;
    /// The code of the fault.
    pub const CODE: &'static str = "illegal_change";

    pub(crate) fn new(mut message: String) -> Self {
        // It may quote a guest's text, which may be as long as the guest's memory.
        message.truncate(message.floor_char_boundary(MESSAGE));
        Self(message)
    }

    /// The fault of a setter that is called where there is no exchange.
    #[must_use]
    pub fn outside() -> Self {
        Self(
            "there is no exchange here: `describe`, `configure` and `observe` cannot change one"
                .into(),
        )
    }

    /// The message of the fault.
    #[must_use]
    pub fn into_message(self) -> String {
        self.0
    }
}

impl fmt::Display for IllegalChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for IllegalChange {}
