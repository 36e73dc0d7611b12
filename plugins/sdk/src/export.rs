//! Makes the exports of a component from a type that implements some of the interfaces: the macro and the code behind it.
//!
//! In a native build the macro registers the type with the test bench.

#[cfg(target_family = "wasm")]
mod component;
#[cfg(not(target_family = "wasm"))]
mod interfaces;

#[cfg(target_family = "wasm")]
pub use component::{Component, Exported};
#[cfg(not(target_family = "wasm"))]
pub use interfaces::{Exported, Interfaces};

/// Exports a type as a plugin, with the interfaces named after it.
///
/// | name | trait |
/// | --- | --- |
/// | `gate` | [`Gate`](crate::Gate) |
/// | `request` | [`RequestStage`](crate::RequestStage) |
/// | `response` | [`ResponseStage`](crate::ResponseStage) |
/// | `chunks` | [`ChunkStage`](crate::ChunkStage) |
/// | `events` | [`EventStage`](crate::EventStage) |
/// | `closing` | [`Closing`](crate::Closing) |
/// | `observer` | [`Observer`](crate::Observer) |
///
/// Any of them in any order, each at most once: `sluicegate_plugin::export!(Door: gate, closing);`
#[macro_export]
macro_rules! export {
    ($plugin:ty: $($interface:ident),+ $(,)?) => {
        $crate::__export!($plugin: $($interface),+);
    };
}

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($plugin:ty: $($interface:ident),+) => {
        const _: () = {
            ::std::thread_local! {
                static STATE: ::std::cell::RefCell<
                    ::std::option::Option<<$plugin as $crate::Plugin>::State>,
                > = const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }
            impl $crate::export::Exported for $plugin {
                fn rule() -> &'static ::std::sync::OnceLock<Self> {
                    static RULE: ::std::sync::OnceLock<$plugin> = ::std::sync::OnceLock::new();
                    &RULE
                }
                fn with_state<T>(run: impl ::std::ops::FnOnce(&mut Self::State) -> T) -> T {
                    STATE.with_borrow_mut(|state| run(state.get_or_insert_default()))
                }
            }
            type Component = $crate::export::Component<$plugin>;
            $crate::bindings::plugin::export_plugin!(Component with_types_in $crate::bindings::plugin);
            $($crate::__export_interface!($interface);)+
        };
    };
}

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_interface {
    (gate) => {
        $crate::bindings::gate::export_gate!(Component with_types_in $crate::bindings::gate);
    };
    (request) => {
        $crate::bindings::request::export_request!(Component with_types_in $crate::bindings::request);
    };
    (response) => {
        $crate::bindings::response::export_response!(Component with_types_in $crate::bindings::response);
    };
    (chunks) => {
        $crate::bindings::chunks::export_chunks!(Component with_types_in $crate::bindings::chunks);
    };
    (events) => {
        $crate::bindings::events::export_events!(Component with_types_in $crate::bindings::events);
    };
    (closing) => {
        $crate::bindings::closing::export_closing!(Component with_types_in $crate::bindings::closing);
    };
    (observer) => {
        $crate::bindings::observer::export_observer!(Component with_types_in $crate::bindings::observer);
    };
}

#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($plugin:ty: $($interface:ident),+) => {
        impl $crate::export::Exported for $plugin {
            fn interfaces() -> $crate::export::Interfaces<Self> {
                $crate::export::Interfaces::new()$(.$interface())+
            }
        }
        // Without tests, nothing else uses the plugin.
        const _: fn() -> $crate::export::Interfaces<$plugin> =
            <$plugin as $crate::export::Exported>::interfaces;
    };
}
