//! The plugins that ship. `build.rs` makes them from `plugins/`.

use sluicegate_plugin_host::Builtins;

mod table {
    include!(concat!(env!("OUT_DIR"), "/builtins.rs"));
}

/// All plugins that ship, in the order of their names.
pub const PLUGINS: Builtins = Builtins::new(table::BUILTINS);
