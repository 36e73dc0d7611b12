//! What an author should know of a component that can be used.

use serde_json::{Value, json};

use super::words::size;
use sluicegate_config::units;
use sluicegate_plugin_host::{Plugin, Toolchain};

/// A warning.
#[derive(Debug)]
pub(super) struct Warning {
    pub(super) reason: String,
    pub(super) mend: &'static str,
}

impl Warning {
    /// Prints it for a person.
    pub(super) fn print(&self) {
        eprintln!("warning: {}\n    → {}", self.reason, self.mend);
    }

    pub(super) fn json(&self) -> Value {
        json!({"reason": self.reason, "mend": self.mend})
    }
}

/// What the language of a component costs, and whether its memory limit does for that language.
pub(super) fn of_language(toolchain: Toolchain, plugin: &Plugin) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let language = toolchain.language();
    if let Some(cost) = toolchain.cost() {
        warnings.push(Warning {
            reason: format!("it is written in {language}: {cost}"),
            mend: "measure it with `sluicegate plugin bench`; Rust and C cost a tenth of it",
        });
    }
    let limit = plugin.limits().memory;
    let needed = toolchain.memory();
    if let Some(needed) = needed
        && units::size(needed).is_some_and(|needed| limit < needed)
    {
        warnings.push(Warning {
            reason: format!(
                "its memory limit is {}, and a small filter in {language} needs {needed}",
                size(limit)
            ),
            mend: "suggest the limit in the manifest (`limits`), so that every operator gets it",
        });
    }
    warnings
}
