//! A rehearsal of loading, for authors: what a component imports, and what its first calls take.
//!
//! It decides nothing. Whether a plugin can be used is up to [`load`](super::load), which also captures and compiles the image.

use std::sync::Arc;
use std::time::Duration;

use sluicegate_contract::Manifest;
use sluicegate_contract::capability::Capability;
use tokio::runtime::Handle;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::{Component, Instance};

use super::compile::{LOAD_CPU, LOAD_WALL};
use super::engine::Engine;
use super::owner::{Granted, Owner};
use super::store::{Place, State};
use super::toolchain::Toolchain;
use super::{composition, contract, hash, limits, manifest, size};
use sluicegate_config as config;
use sluicegate_telemetry::metrics::PluginMetrics;

/// CPU budget for each of starting, `describe` and `configure`, as when a plugin is loaded.
pub const CPU: Duration = LOAD_CPU;

/// What was learned of a component, as far as it got.
#[derive(Debug, Default)]
pub struct Rehearsal {
    /// What it imports, in its own order.
    pub imports: Vec<Import>,
    /// The interfaces of the contract that it exports, without their version.
    pub exports: Vec<String>,
    /// The versions of the contract that its imports and exports name; one, unless something is wrong.
    pub versions: Vec<String>,
    /// The calls that returned: `start`, `describe`, `configure`.
    pub calls: Vec<Call>,
    /// What it says of itself.
    pub manifest: Option<Manifest>,
    /// Bytes of its memories after the last call.
    pub memory: Option<usize>,
}

/// An interface that a component imports.
#[derive(Debug)]
pub struct Import {
    /// Its name, with its version.
    pub name: String,
    /// Whether plugins are given it.
    pub given: bool,
    /// The capability that it is: it has to be granted.
    pub capability: Option<Capability>,
}

/// What a call took.
#[derive(Debug)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// How long it took.
    pub wall: Duration,
    /// CPU time as the budget counts it: in steps of 2 ms.
    pub cpu: Duration,
}

/// Starts a component, and calls `describe` and `configure`, each within the limits of loading. Ends early, without an error, at
/// whatever does not work.
pub async fn rehearse(
    engine: &Engine,
    configured: &config::Plugin,
    bytes: &Arc<[u8]>,
    metrics: Arc<PluginMetrics>,
) -> Rehearsal {
    let owner = Owner::new(
        configured.name.clone(),
        limits::while_loading(&configured.limits),
        metrics,
        Toolchain::default(),
        Granted::default(),
    );
    let (engine, bytes) = (engine.clone(), bytes.clone());
    let configuration = hash::configuration(configured);
    let value = configured.config.clone();
    let runtime = Handle::current();
    // A guest may compute for seconds.
    let rehearsing = tokio::task::spawn_blocking(move || {
        let mut rehearsal = Rehearsal::default();
        runtime.block_on(rehearsal.run(&engine, &Arc::new(owner), &bytes, &configuration, &value));
        rehearsal
    });
    rehearsing.await.unwrap_or_default()
}

impl Rehearsal {
    async fn run(
        &mut self,
        engine: &Engine,
        owner: &Arc<Owner>,
        bytes: &[u8],
        configuration: &str,
        value: &serde_json::Value,
    ) -> Option<()> {
        size::check_component(bytes).ok()?;
        let component = Component::new(engine.wasmtime(), composition::guest(bytes)).ok()?;
        self.read_types(&component, engine);
        let capabilities = contract::capabilities(&component, engine.wasmtime());
        let pre = engine
            .linker(&capabilities)
            .instantiate_pre(&component)
            .ok()?;
        let mut store = engine.store(owner);
        let start = async |store: &mut Store<State>| pre.instantiate_async(store).await;
        let instance = self.call("start", &mut store, start).await?;
        let text = self.describe(&mut store, instance).await?;
        let manifest = self.manifest.insert(Manifest::parse(&text).ok()?);
        manifest::check(manifest, value).ok()?;
        self.configure(&mut store, instance, configuration).await
    }

    async fn describe(&mut self, store: &mut Store<State>, instance: Instance) -> Option<String> {
        let function = instance.get_typed_func::<(), (String,)>(&mut *store, "describe");
        let function = function.ok()?;
        let call = async |store: &mut Store<State>| function.call_async(store, ()).await;
        let (text,) = self.call("describe", store, call).await?;
        Some(text)
    }

    async fn configure(
        &mut self,
        store: &mut Store<State>,
        instance: Instance,
        configuration: &str,
    ) -> Option<()> {
        let function =
            instance.get_typed_func::<(&str,), (Result<String, String>,)>(&mut *store, "configure");
        let function = function.ok()?;
        let call =
            async |store: &mut Store<State>| function.call_async(store, (configuration,)).await;
        self.call("configure", store, call).await.map(drop)
    }

    fn read_types(&mut self, component: &Component, engine: &Engine) {
        let types = component.component_type();
        let engine = engine.wasmtime();
        for (name, _) in types.imports(engine) {
            self.imports.push(Import {
                name: name.to_owned(),
                given: contract::is_given(name),
                capability: contract::capability(name),
            });
        }
        let exports = || types.exports(engine).map(|(name, _)| name);
        let interfaces = exports().filter_map(contract::interface);
        self.exports.extend(interfaces.map(str::to_owned));
        let imports = types.imports(engine).map(|(name, _)| name);
        let versions = imports.chain(exports()).filter_map(contract::version);
        self.versions.extend(versions.map(str::to_owned));
        self.versions.sort();
        self.versions.dedup();
    }

    /// Makes one call within the limits of loading.
    async fn call<T>(
        &mut self,
        name: &'static str,
        store: &mut Store<State>,
        call: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<T>,
    ) -> Option<T> {
        let began = Instant::now();
        State::begin_call(store, CPU, began + LOAD_WALL, Place::Loading);
        let value = call(store).await.ok()?;
        self.calls.push(Call {
            name,
            wall: began.elapsed(),
            cpu: store.data().cpu_counted(),
        });
        self.memory = Some(store.data().memory_used());
        Some(value)
    }
}
