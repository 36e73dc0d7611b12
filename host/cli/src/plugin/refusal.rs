//! Why a component cannot be used: at which stage of loading, the reason, and what to mend.

use std::borrow::Cow;

use serde_json::{Value, json};

use sluicegate_plugin_host::{Toolchain, load};

/// A refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) stage: &'static str,
    pub(super) reason: String,
    pub(super) mend: Cow<'static, str>,
}

impl Refusal {
    /// The refusal of what cannot even be read.
    pub(super) fn unread(reason: String) -> Self {
        Self {
            stage: "read",
            reason,
            mend: "give the path of a component, or builtin:NAME".into(),
        }
    }

    /// The refusal of this component.
    pub(super) fn of(error: &load::Error, component: &[u8]) -> Self {
        Self {
            stage: error.stage(),
            reason: error.to_string(),
            mend: error.mend(Toolchain::of(component)),
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({"stage": self.stage, "reason": self.reason, "mend": self.mend})
    }

    /// Prints it for a person.
    pub(super) fn print(&self, file: &std::path::Path) {
        eprintln!(
            "error: {} is refused at the stage `{}`: {}\n    → {}",
            file.display(),
            self.stage,
            self.reason,
            self.mend
        );
    }
}
