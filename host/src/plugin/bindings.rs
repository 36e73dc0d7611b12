//! The contract of `wit/` as Rust types: the only place where bindings are generated.
//!
//! Calls into guests are asynchronous, so that a long one yields to the other exchanges of its thread; calls out of
//! guests are not, since none of them waits.
#![expect(
    missing_docs,
    reason = "generated from wit/, where every item is documented"
)]

pub(super) mod filter {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "filter-plugin",
        ownership: Borrowing { duplicate_if_necessary: true },
        with: { "sluicegate:plugin/exchange-context.context": crate::plugin::context::Context },
        imports: { default: trappable },
        exports: { default: async },
        require_store_data_send: true,
    });
}

pub(super) mod gate {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "gate-plugin",
        ownership: Borrowing { duplicate_if_necessary: true },
        with: {
            "sluicegate:plugin/types": super::filter::sluicegate::plugin::types,
            "sluicegate:plugin/exchange-context": super::filter::sluicegate::plugin::exchange_context,
            "sluicegate:plugin/log": super::filter::sluicegate::plugin::log,
            "sluicegate:plugin/clock": super::filter::sluicegate::plugin::clock,
            "sluicegate:plugin/random": super::filter::sluicegate::plugin::random,
        },
        imports: { default: trappable },
        exports: { default: async },
        require_store_data_send: true,
    });
}

pub(super) mod observer {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "observer-plugin",
        ownership: Borrowing { duplicate_if_necessary: true },
        with: {
            "sluicegate:plugin/log": super::filter::sluicegate::plugin::log,
            "sluicegate:plugin/clock": super::filter::sluicegate::plugin::clock,
            "sluicegate:plugin/random": super::filter::sluicegate::plugin::random,
        },
        imports: { default: trappable },
        exports: { default: async },
        require_store_data_send: true,
    });
}
