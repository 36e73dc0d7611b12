//! What an author or an operator can do about a failure of a guest, in the words of its language.

use super::error::Error;
use super::toolchain::Toolchain;

/// What to do about a failed call.
pub(super) fn on_failure(error: &Error, toolchain: Toolchain) -> String {
    match error {
        Error::Trap { .. } => trap(toolchain).to_owned(),
        Error::Memory { .. } => memory(toolchain),
        Error::Deadline { .. } => deadline(toolchain),
        Error::Stalled => "let the function return instead of waiting or sleeping".to_owned(),
        Error::Output { .. } => {
            "return less, or raise `output` in the plugin's `limits`".to_owned()
        }
        Error::Contract(_) => {
            "return what the contract of `sluicegate wit` allows there".to_owned()
        }
        Error::Exhausted => {
            "let fewer exchanges run at once (`server.limits.exchanges`), or use fewer stages"
                .to_owned()
        }
        Error::Engine(_) => "see the reason".to_owned(),
    }
}

/// Whether a call failed because of a limit.
pub(super) const fn is_limit(error: &Error) -> bool {
    matches!(
        error,
        Error::Memory { .. } | Error::Deadline { .. } | Error::Output { .. }
    )
}

fn trap(toolchain: Toolchain) -> &'static str {
    match toolchain {
        Toolchain::Rust => {
            "it is a panic, whose message is in the log before this line if the build prints it; return an `Err` with a fault instead"
        }
        Toolchain::C => {
            "look for a null pointer, an access outside of a buffer, or `abort`; build without `-s` for the names of functions"
        }
        Toolchain::QuickJs | Toolchain::StarlingMonkey => {
            "it is an exception that nothing catches, or a returned value without a member that the contract names; `throw` a fault to end the exchange"
        }
        Toolchain::Python => {
            "it is an exception that nothing catches, whose traceback is in the log before this line; raise a fault to end the exchange"
        }
        Toolchain::Go => {
            "it is a panic, whose message is in the log before this line, or a collection of garbage in the middle of a call, which the kit avoids"
        }
        Toolchain::Unknown => "the guest gave up; build it with names of functions to see where",
    }
}

fn memory(toolchain: Toolchain) -> String {
    let size = toolchain.memory().unwrap_or("64MiB");
    let raise = format!(
        "raise `memory` in the plugin's `limits`, or suggest it in the manifest: `\"limits\": {{\"memory\": \"{size}\"}}`"
    );
    match toolchain.memory() {
        Some(size) => format!(
            "{raise}; a small filter in {} needs {size}",
            toolchain.language()
        ),
        None => format!("keep less, or {raise}"),
    }
}

fn deadline(toolchain: Toolchain) -> String {
    let raise = "raise `cpu` in the plugin's `limits`, or suggest it in the manifest: `\"limits\": {\"cpu\": \"100ms\"}`";
    match toolchain.cost() {
        Some(_) => format!(
            "do less in one call, or {raise}; {} is slow with large bodies",
            toolchain.language()
        ),
        None => format!("do less in one call, or {raise}"),
    }
}

/// How an author builds a component of this language by hand.
const fn build(toolchain: Toolchain) -> &'static str {
    match toolchain {
        Toolchain::Rust => "`cargo build --release --target wasm32-wasip2`",
        Toolchain::C => {
            "bindings of `wit-bindgen c`, `clang --target=wasm32-wasi`, then `wasm-tools component new`"
        }
        Toolchain::QuickJs => "`npx componentize-qjs --sync`",
        Toolchain::StarlingMonkey => "`componentize-js`",
        Toolchain::Python => "`componentize-py -s`",
        Toolchain::Go => {
            "`GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared`, then `wasm-tools component embed` and `new`"
        }
        Toolchain::Unknown => "the tools of its language for WASI 0.2",
    }
}

/// What makes a component of what is none.
pub(super) fn on_format(toolchain: Toolchain) -> String {
    format!(
        "build a component: `sluicegate plugin build` in the plugin's folder, or {}",
        build(toolchain)
    )
}

/// What makes a component fit the contract of this gateway.
pub(super) fn on_contract(toolchain: Toolchain) -> String {
    format!(
        "build it against this gateway's contract: `sluicegate plugin build` in the plugin's folder, or {} with the files that `sluicegate wit` prints",
        build(toolchain)
    )
}

/// How an author of this language exports an interface.
pub(super) fn on_exports(toolchain: Toolchain) -> &'static str {
    match toolchain {
        Toolchain::Rust => {
            "name the interfaces in the macro: `sluicegate_plugin::export!(Type: gate, events)`"
        }
        Toolchain::C => {
            "generate the bindings for a world that exports an interface, and define its functions, as `exports_sluicegate_plugin_gate_check`"
        }
        Toolchain::QuickJs | Toolchain::StarlingMonkey => {
            "build it for a world that exports an interface, and export an object of its name: `export const gate = { check() {} }`"
        }
        Toolchain::Python => {
            "build it for a world that exports an interface, and define a class of its name: `class Gate`"
        }
        Toolchain::Go => {
            "build it for a world that exports an interface, and define its package, as `export_sluicegate_plugin_gate`"
        }
        Toolchain::Unknown => "build it for a world that exports at least one of these interfaces",
    }
}
