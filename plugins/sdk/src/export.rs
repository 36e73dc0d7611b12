//! From a type that implements a role to the exports of a component: the macros and the glue behind them.
//!
//! In a native build the macros do nothing, so that a plugin's crate can be tested like any other.

#[cfg(target_family = "wasm")]
mod filter;
#[cfg(target_family = "wasm")]
mod gate;
#[cfg(target_family = "wasm")]
mod observer;

#[cfg(target_family = "wasm")]
pub use self::{filter::FilterComponent, gate::GateComponent, observer::ObserverComponent};

/// The place of the one ready rule in a plugin's memory.
#[cfg(target_family = "wasm")]
pub trait Slot: Sized + 'static {
    /// The place, filled once by `configure`.
    fn slot() -> &'static std::sync::OnceLock<Self>;

    /// The ready rule. The gateway configures before it calls anything else.
    fn rule() -> &'static Self {
        Self::slot().get().expect("configure comes first")
    }
}

/// Reads the configuration, makes the rule and puts it into its place.
#[cfg(target_family = "wasm")]
fn configure<R: Slot, C: serde::de::DeserializeOwned>(
    config: &str,
    make: fn(C) -> Result<R, String>,
) -> Result<String, String> {
    let config = serde_json::from_str(config).map_err(|error| error.to_string())?;
    let rule = make(config)?;
    R::slot()
        .set(rule)
        .map_err(|_| "configure was called twice".to_owned())?;
    Ok(String::new())
}

/// Exports a type that implements [`Gate`](crate::Gate) as the component's gate.
#[macro_export]
macro_rules! gate {
    ($rule:ty) => {
        $crate::__export!($rule, GateComponent, gate, export_gate);
    };
}

/// Exports a type that implements [`Filter`](crate::Filter) as the component's filter.
#[macro_export]
macro_rules! filter {
    ($rule:ty) => {
        $crate::__export!($rule, FilterComponent, filter, export_filter);
    };
}

/// Exports a type that implements [`Observer`](crate::Observer) as the component's observer.
#[macro_export]
macro_rules! observer {
    ($rule:ty) => {
        $crate::__export!($rule, ObserverComponent, observer, export_observer);
    };
}

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($rule:ty, $component:ident, $world:ident, $export:ident) => {
        const _: () = {
            impl $crate::export::Slot for $rule {
                fn slot() -> &'static ::std::sync::OnceLock<Self> {
                    static SLOT: ::std::sync::OnceLock<$rule> = ::std::sync::OnceLock::new();
                    &SLOT
                }
            }
            type Component = $crate::export::$component<$rule>;
    $crate::bindings::$world::$export!(Component with_types_in $crate::bindings::$world);
        };
    };
}

#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($rule:ty, GateComponent, $world:ident, $export:ident) => {
        const _: fn() -> $crate::Manifest = <$rule as $crate::Gate>::manifest;
    };
    ($rule:ty, FilterComponent, $world:ident, $export:ident) => {
        const _: fn() -> $crate::Manifest = <$rule as $crate::Filter>::manifest;
    };
    ($rule:ty, ObserverComponent, $world:ident, $export:ident) => {
        const _: fn() -> $crate::Manifest = <$rule as $crate::Observer>::manifest;
    };
}
