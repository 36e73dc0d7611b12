//! Reads a component's imports and exports: which interfaces of the contract they name, and of which version.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sluicegate_contract::Exports;
use sluicegate_contract::capability::Capability;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::composition::MODULE_LOADER;

/// The contract's package, as it appears in the names of imports and exports.
pub(super) const PACKAGE: &str = "sluicegate:plugin/";
/// The version of the contract that this gateway speaks.
pub const CONTRACT: &str = "0.2.0-draft.1";

/// WASI interfaces that guests' standard libraries import. Beyond clocks, randomness and output their functions exist, but
/// report that there is nothing.
const WASI: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// `wasi:http`, as far as it is another form of the capability `http`.
const HTTP: [&str; 2] = ["wasi:http/types@", "wasi:http/outgoing-handler@"];

/// Why a component is not a plugin for this gateway.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// The component exports no interface of an exchange's phases.
    #[error(
        "the component must export at least one of sluicegate:plugin/gate, /request, /response, /events, /closing and /observer (see `sluicegate wit`); it exports {0}"
    )]
    NoPhases(String),
    /// The component exports `chunks` and no `response`, so nothing would ever ask for chunks.
    #[error(
        "the component exports sluicegate:plugin/chunks without /response, whose plan asks for chunks"
    )]
    LonelyChunks,
    /// The component was built for another version of the contract.
    #[error(
        "the component was built for version {found} of the contract; this gateway speaks {CONTRACT}: rebuild it with the `wit` that `sluicegate wit` prints, or update the gateway"
    )]
    Version {
        /// The version in the export's name.
        found: String,
    },
    /// The component imports something that plugins are not given.
    #[error(
        "the component imports {0}, which plugins are not given; they get exchange, log, clock, random and upstream-info, and what is granted of http, kv, rate and metrics"
    )]
    Import(String),
}

/// Checks the imports and returns the phase interfaces that the component exports. Exports that do not belong to the contract
/// are ignored: some languages' tools add their own.
///
/// # Errors
/// [`Error`]
pub(super) fn exports(component: &Component, engine: &Engine) -> Result<Exports, Error> {
    let component = component.component_type();
    for (name, _) in component.imports(engine) {
        if let Some(version) = version(name) {
            check_version(version)?;
        } else if !is_given(name) {
            return Err(Error::Import(name.to_owned()));
        }
    }
    let mut exports = Exports::default();
    for (name, _) in component.exports(engine) {
        let Some((interface, version)) = name
            .strip_prefix(PACKAGE)
            .and_then(|rest| rest.split_once('@'))
        else {
            continue;
        };
        check_version(version)?;
        match interface {
            "gate" => exports.gate = true,
            "request" => exports.request = true,
            "response" => exports.response = true,
            "chunks" => exports.chunks = true,
            "events" => exports.events = true,
            "closing" => exports.closing = true,
            "observer" => exports.observer = true,
            _ => {}
        }
    }
    if exports.chunks && !exports.response {
        return Err(Error::LonelyChunks);
    }
    if exports.is_stage() || exports.observer {
        return Ok(exports);
    }
    let names: Vec<_> = component
        .exports(engine)
        // Added by Wizer, to read the memory.
        .filter(|(name, _)| !name.starts_with("wasmtime:wizer/"))
        .map(|(name, _)| name.to_owned())
        .collect();
    Err(Error::NoPhases(if names.is_empty() {
        "nothing".into()
    } else {
        names.join(", ")
    }))
}

/// The capabilities that the component imports.
pub(super) fn capabilities(component: &Component, engine: &Engine) -> Vec<Capability> {
    let component = component.component_type();
    let imports = component.imports(engine);
    let named: BTreeSet<_> = imports.filter_map(|(name, _)| capability(name)).collect();
    named.into_iter().collect()
}

/// The capability that an import names.
pub(super) fn capability(import: &str) -> Option<Capability> {
    if HTTP.iter().any(|prefix| import.starts_with(prefix)) {
        return Some(Capability::Http);
    }
    interface(import).and_then(Capability::of)
}

/// The interface in a name of the contract.
pub(super) fn interface(name: &str) -> Option<&str> {
    let (interface, _) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    Some(interface)
}

/// The version in a name of the contract.
pub(super) fn version(name: &str) -> Option<&str> {
    let (_, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    Some(version)
}

/// Whether plugins are given an interface of this name.
pub(super) fn is_given(name: &str) -> bool {
    match version(name) {
        Some(version) => check_version(version).is_ok(),
        None => {
            let mut wasi = WASI.iter().chain(&HTTP);
            name == MODULE_LOADER || wasi.any(|prefix| name.starts_with(prefix))
        }
    }
}

/// Accepts only the gateway's own version: until the contract is frozen, every draft may change everything.
fn check_version(version: &str) -> Result<(), Error> {
    if version == CONTRACT {
        Ok(())
    } else {
        Err(Error::Version {
            found: version.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_versions_of_the_contract_pass() {
        assert!(check_version(CONTRACT).is_ok());
        for unknown in ["0.1.0", "0.2.0", "0.2.0-draft.2", "1.0.0", "0.2", "x"] {
            assert!(
                matches!(check_version(unknown), Err(Error::Version { .. })),
                "{unknown}"
            );
        }
    }
}
