//! The generated bindings: one world with everything that every plugin has, and one world for each interface that a plugin may
//! export beside it. The linker merges those that a plugin uses. The only place that knows `wit-bindgen`.
//!
//! The records of `types` are our own types, so that passing an event copies nothing.

pub mod plugin {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "plugin",
        pub_export_macro: true,
        export_macro_name: "export_plugin",
        default_bindings_module: "sluicegate_plugin::bindings::plugin",
        with: { "sluicegate:plugin/types@0.2.0-draft.1": crate::types },
    });
}

/// What the gateway gives to every plugin.
pub mod imports {
    pub use super::plugin::sluicegate::plugin::{clock, exchange, log, random, upstream_info};
}

pub mod capabilities {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "capabilities",
        with: { "sluicegate:plugin/types@0.2.0-draft.1": crate::types },
    });
}

/// What the operator grants. A component imports only those that the plugin calls.
pub mod granted {
    pub use super::capabilities::sluicegate::plugin::{capability, http, kv, metrics, rate};
}

pub mod gate {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "gate-export",
        pub_export_macro: true,
        export_macro_name: "export_gate",
        default_bindings_module: "sluicegate_plugin::bindings::gate",
        with: { "sluicegate:plugin/types@0.2.0-draft.1": crate::types },
    });
}

pub mod request {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "request-export",
        pub_export_macro: true,
        export_macro_name: "export_request",
        default_bindings_module: "sluicegate_plugin::bindings::request",
        with: { "sluicegate:plugin/types@0.2.0-draft.1": crate::types },
    });
}

pub mod response {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "response-export",
        pub_export_macro: true,
        export_macro_name: "export_response",
        default_bindings_module: "sluicegate_plugin::bindings::response",
        with: { "sluicegate:plugin/types@0.2.0-draft.1": crate::types },
    });
}

pub mod chunks {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "chunks-export",
        pub_export_macro: true,
        export_macro_name: "export_chunks",
        default_bindings_module: "sluicegate_plugin::bindings::chunks",
        with: { "sluicegate:plugin/types@0.2.0-draft.1": crate::types },
    });
}

pub mod events {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "events-export",
        pub_export_macro: true,
        export_macro_name: "export_events",
        default_bindings_module: "sluicegate_plugin::bindings::events",
        with: { "sluicegate:plugin/types@0.2.0-draft.1": crate::types },
    });
}

pub mod closing {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "closing-export",
        pub_export_macro: true,
        export_macro_name: "export_closing",
        default_bindings_module: "sluicegate_plugin::bindings::closing",
    });
}

pub mod observer {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "observer-export",
        pub_export_macro: true,
        export_macro_name: "export_observer",
        default_bindings_module: "sluicegate_plugin::bindings::observer",
    });
}
