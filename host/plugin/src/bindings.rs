//! The contract of `wit/` as Rust types: the only place where bindings are generated.
//!
//! One world has every import and every export. A component has only some of the exports, so that world is never
//! instantiated: what is used are its types and its imports. Which functions a component exports is in `image`.
#![expect(
    missing_docs,
    reason = "generated from wit/, where every item is documented"
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package sluicegate:host;
        world all {
            include sluicegate:plugin/plugin@0.2.0-draft.1;
            include sluicegate:plugin/capabilities@0.2.0-draft.1;
            export sluicegate:plugin/gate@0.2.0-draft.1;
            export sluicegate:plugin/request@0.2.0-draft.1;
            export sluicegate:plugin/response@0.2.0-draft.1;
            export sluicegate:plugin/chunks@0.2.0-draft.1;
            export sluicegate:plugin/events@0.2.0-draft.1;
            export sluicegate:plugin/closing@0.2.0-draft.1;
            export sluicegate:plugin/observer@0.2.0-draft.1;
        }
    ",
    world: "sluicegate:host/all",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: {
        "sluicegate:plugin/kv": async | trappable,
        "sluicegate:plugin/rate": async | trappable,
        "sluicegate:plugin/http": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    require_store_data_send: true,
});
