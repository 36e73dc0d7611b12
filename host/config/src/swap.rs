//! The section `[swap]`: what happens around the replacement of plugin versions.

use std::time::Duration;

use super::reader::Table;

/// What happens around the replacement of plugin versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// How long a new version is on probation: if its faults rise meanwhile, it is rolled back. Default 1 min; `None`: never.
    pub rollback: Option<Duration>,
}

impl Default for Swap {
    fn default() -> Self {
        Self {
            rollback: Some(Duration::from_secs(60)),
        }
    }
}

pub(super) fn swap(root: &Table<'_>) -> Swap {
    let default = Swap::default();
    let table = root.section("swap");
    let swap = Swap {
        rollback: table
            .duration_or_off("rollback")
            .unwrap_or(default.rollback),
    };
    table.finish();
    swap
}
