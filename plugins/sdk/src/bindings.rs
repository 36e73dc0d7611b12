//! The generated bindings of the three worlds. The only place that knows `wit-bindgen`.
//!
//! One world's imports serve all three, so that there is one `Context`, and the records of `types` are our own.

pub mod filter {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "filter-plugin",
        pub_export_macro: true,
        export_macro_name: "export_filter",
        default_bindings_module: "sluicegate_plugin::bindings::filter",
        with: { "sluicegate:plugin/types@0.1.0": crate::types },
    });
}

pub mod gate {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "gate-plugin",
        pub_export_macro: true,
        export_macro_name: "export_gate",
        default_bindings_module: "sluicegate_plugin::bindings::gate",
        with: {
            "sluicegate:plugin/types@0.1.0": crate::types,
            "sluicegate:plugin/exchange-context@0.1.0": crate::bindings::imports::exchange_context,
            "sluicegate:plugin/log@0.1.0": crate::bindings::imports::log,
            "sluicegate:plugin/clock@0.1.0": crate::bindings::imports::clock,
            "sluicegate:plugin/random@0.1.0": crate::bindings::imports::random,
        },
    });
}

pub mod observer {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "observer-plugin",
        pub_export_macro: true,
        export_macro_name: "export_observer",
        default_bindings_module: "sluicegate_plugin::bindings::observer",
        with: {
            "sluicegate:plugin/log@0.1.0": crate::bindings::imports::log,
            "sluicegate:plugin/clock@0.1.0": crate::bindings::imports::clock,
            "sluicegate:plugin/random@0.1.0": crate::bindings::imports::random,
        },
    });
}

/// What the gateway gives to every plugin.
pub mod imports {
    pub use super::filter::sluicegate::plugin::{clock, exchange_context, log, random};
}
