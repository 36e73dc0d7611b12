//! Makes components of core modules, and says what a component exports.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Encoding, Parser, Payload};
use wit_bindgen_core::wit_parser::WorldId;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::contract::Contract;
use crate::project::Project;

/// A module that cannot be made a component, or a component that does not fit its project.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tools made something that is not WebAssembly.
    #[error("what was built is not a WebAssembly module: {0}")]
    Unreadable(String),
    /// The module does not fit the project's world.
    #[error("what was built cannot be made a component: {0}")]
    Misfit(String),
    /// Exports are missing.
    #[error(
        "the component does not export {}: the source must implement what `exports` in plugin.toml names",
        .0.join(", ")
    )]
    Missing(Vec<String>),
    /// There are exports that the project does not name.
    #[error("the component exports {}, which `exports` in plugin.toml does not name", .0.join(", "))]
    Unnamed(Vec<String>),
}

/// Makes a component of a module that has its world in a custom section. What it calls of WASI as it was before components is
/// adapted.
pub(crate) fn component(module: &[u8]) -> Result<Vec<u8>, Error> {
    let misfit = |error| Error::Misfit(format!("{error:#}"));
    let mut encoder = ComponentEncoder::default().validate(true);
    encoder = encoder.module(module).map_err(misfit)?;
    if calls_preview1(module)? {
        let name = WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
        let adapter = WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
        encoder = encoder.adapter(name, adapter).map_err(misfit)?;
    }
    encoder.encode().map_err(misfit)
}

/// Adds a world to a module whose tools do not do it.
pub(crate) fn embed(
    module: &mut Vec<u8>,
    contract: &Contract,
    world: WorldId,
) -> Result<(), Error> {
    embed_component_metadata(module, &contract.resolve, world, StringEncoding::UTF8)
        .map_err(|error| Error::Misfit(format!("{error:#}")))
}

fn calls_preview1(module: &[u8]) -> Result<bool, Error> {
    let unreadable = |error: wasmparser::BinaryReaderError| Error::Unreadable(error.to_string());
    for payload in Parser::new(0).parse_all(module) {
        let Payload::ImportSection(imports) = payload.map_err(unreadable)? else {
            continue;
        };
        for import in imports.into_imports() {
            if import.map_err(unreadable)?.module == WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Checks that a component exports what its project names, in this program's version of the contract. `plugin check` checks the
/// rest.
pub(crate) fn check(component: &[u8], project: &Project) -> Result<(), Error> {
    let exports = exports(component)?;
    let contract = Contract::embedded();
    let mut wanted: Vec<String> = vec!["describe".into(), "configure".into()];
    wanted.extend(
        project
            .exports
            .iter()
            .map(|export| contract.interface(export.name())),
    );
    let missing: Vec<String> = wanted
        .iter()
        .filter(|name| !exports.contains(name))
        .cloned()
        .collect();
    if !missing.is_empty() {
        return Err(Error::Missing(missing));
    }
    // Tools add exports of their own; only those of the contract mean something.
    let is_ours = |name: &&String| name.starts_with("sluicegate:") && !wanted.contains(name);
    let unnamed: Vec<String> = exports.iter().filter(is_ours).cloned().collect();
    if unnamed.is_empty() {
        Ok(())
    } else {
        Err(Error::Unnamed(unnamed))
    }
}

/// The names of a component's own exports, without those of components inside it.
fn exports(component: &[u8]) -> Result<Vec<String>, Error> {
    let unreadable = |error: wasmparser::BinaryReaderError| Error::Unreadable(error.to_string());
    let mut names = Vec::new();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(unreadable)? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding != Encoding::Component {
                    return Err(Error::Unreadable(
                        "it is a module without a component".into(),
                    ));
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    names.push(export.map_err(unreadable)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}
