//! The section `[swap]`: what happens around the replacement of plugin versions.

use std::time::Duration;

use super::reader::Table;

/// What happens around the replacement of plugin versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// How long exchanges may go on with a version that was replaced or removed; `None`, the default: until they end by themselves.
    pub drain: Option<Duration>,
    /// How long a new version is on probation: if its faults rise meanwhile, it is rolled back. Default 1 min; `None`: never.
    pub rollback: Option<Duration>,
}

impl Default for Swap {
    fn default() -> Self {
        Self {
            drain: None,
            rollback: Some(Duration::from_secs(60)),
        }
    }
}

pub(super) fn swap(root: &Table<'_>) -> Swap {
    let default = Swap::default();
    let table = root.section("swap");
    let rollback = table.duration_or_off("rollback");
    let swap = Swap {
        drain: table.duration("drain"),
        rollback: rollback.unwrap_or(default.rollback),
    };
    table.finish();
    swap
}
