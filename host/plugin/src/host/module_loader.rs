//! `local:init/module-loader`: the leftover import of JavaScript on QuickJS, see [`composition`](crate::composition).

use wasmtime::component::Linker;

use crate::composition::MODULE_LOADER;
use crate::store::State;

/// Defines the import as the composition does: its functions report that there is no module. Modules are
/// loaded while the plugin is built.
///
/// # Errors
/// Those of the linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type Loaded = (Result<String, String>,);
    let none = || -> Loaded { (Err("modules are bundled when the plugin is built".into()),) };
    let mut loader = linker.instance(MODULE_LOADER)?;
    loader.func_wrap("resolve", move |_, (_, _): (String, String)| Ok(none()))?;
    loader.func_wrap("load", move |_, (_,): (String,)| Ok(none()))
}
