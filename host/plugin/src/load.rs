//! Loading: from a component's bytes and the operator's configuration to a [`Plugin`].
//!
//! The steps are in [`Job::build`], top to bottom. All of it runs on threads that carry no traffic.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sluicegate_contract::Manifest;
use tokio::runtime::Handle;
use tokio::time::Instant;
use wasmtime::component::{Component, Instance as ComponentInstance};
use wasmtime::{Engine as Wasmtime, Store};
use wasmtime_wizer::Wizer;

use super::calls::Calls;
use super::engine::Engine;
use super::image::{Code, Configured, Image};
use super::loaded::Plugin;
use super::owner::Owner;
use super::store::State;
use super::{contract, hash, limits, manifest, size, trial};
use sluicegate_config as config;
use sluicegate_telemetry::metrics::PluginMetrics;

pub use super::contract::CONTRACT;

/// CPU budget for each of starting, `describe` and `configure`: an interpreter that starts inside a guest takes seconds.
const LOAD_CPU: Duration = Duration::from_secs(10);
/// Wall-clock limit for each of them, for a guest that sleeps.
const LOAD_WALL: Duration = Duration::from_secs(15);
/// The most bytes of a component.
pub const MAX_BYTES: usize = size::BYTES;

/// Why a plugin cannot be loaded. Each message says what to mend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is a core module, not a component.
    #[error(
        "this is a core WebAssembly module, not a component: build it for wasm32-wasip2, or wrap it with wit-component"
    )]
    CoreModule,
    /// The file is not WebAssembly at all.
    #[error(
        "this is not WebAssembly: it begins with {0:02x?}, a component begins with [00, 61, 73, 6d, 0d, 00, 01, 00]"
    )]
    NotWasm(Vec<u8>),
    /// It would take too much to compile it.
    #[error(transparent)]
    TooLarge(#[from] size::TooLarge),
    /// The engine does not accept the component.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// Its imports or exports are not those of a plugin.
    #[error(transparent)]
    Exports(#[from] contract::Error),
    /// An export is missing or has other types than the contract says.
    #[error("the component does not follow the contract: {0}")]
    Contract(String),
    /// `describe` or `configure` failed inside.
    #[error("`{function}` failed: {source}")]
    Guest {
        /// The function that was called.
        function: &'static str,
        /// What the guest did.
        source: super::Error,
    },
    /// The manifest cannot be used, or the configuration does not fit it.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// The manifest suggests a limit that cannot be used.
    #[error(transparent)]
    Limit(#[from] limits::Error),
    /// `configure` refused the configuration; the text is the plugin's.
    #[error("the plugin refuses its configuration: {0}")]
    Refused(String),
    /// `on-fault = "open"` on a plugin that changes bodies.
    #[error(
        "`on-fault = \"open\"` is only for plugins whose manifest says `\"transforms\": false`; this one may change bodies"
    )]
    OpenTransformer,
}

/// Loads a plugin. Takes a tenth of a second for a small component, seconds for one with an interpreter inside.
///
/// # Errors
/// [`Error`]; nothing is left behind. The same input fails in the same way again.
///
/// # Panics
/// If called outside a tokio runtime.
///
/// # Cancel safety
/// If the future is dropped, the work goes on to its end on its own thread, and the result is lost.
pub async fn load(
    engine: &Engine,
    configured: &config::Plugin,
    bytes: Arc<[u8]>,
    metrics: Arc<PluginMetrics>,
) -> Result<Arc<Plugin>, Error> {
    let owner = |limits| {
        Arc::new(Owner {
            name: configured.name.clone(),
            limits,
            metrics: metrics.clone(),
            calls: Calls::default(),
        })
    };
    // What the plugin suggests is known only when it has started.
    let loading = limits::while_loading(&configured.limits);
    let configuration = hash::configuration(configured);
    let key = hash::key(&bytes, &configuration, loading.memory);
    let image = match engine.images().find(&key) {
        Some(image) => image,
        None => {
            let image = Arc::new(
                capture(
                    engine,
                    &owner(loading),
                    &bytes,
                    &configuration,
                    &configured.config,
                )
                .await?,
            );
            engine.images().keep(key, image.clone());
            image
        }
    };
    if configured.fail_open && image.manifest.transforms {
        return Err(Error::OpenTransformer);
    }
    let owner = owner(limits::resolve(&configured.limits, &image.manifest.limits)?);
    owner.metrics.version_live();
    let plugin = Plugin {
        made_of: configured.clone(),
        owner,
        engine: engine.clone(),
        image,
        fail_open: configured.fail_open,
        refused_trial: OnceLock::new(),
    };
    let plugin = Arc::new(plugin);
    let tried = trial::run(&plugin).await;
    let refused = tried.map_err(|(function, source)| Error::Guest { function, source })?;
    plugin.refused_trial.get_or_init(|| refused);
    Ok(plugin)
}

/// Builds the image on a thread of its own, without a memory capture if Wizer cannot handle the component.
async fn capture(
    engine: &Engine,
    owner: &Arc<Owner>,
    bytes: &Arc<[u8]>,
    configuration: &str,
    value: &serde_json::Value,
) -> Result<Image, Error> {
    check_magic(bytes)?;
    size::check_component(bytes)?;
    for imaged in [true, false] {
        let job = Job {
            engine: engine.clone(),
            owner: owner.clone(),
            bytes: bytes.clone(),
            configuration: configuration.to_owned(),
            value: value.clone(),
        };
        let runtime = Handle::current();
        let attempt = tokio::task::spawn_blocking(move || runtime.block_on(job.build(imaged)));
        match attempt.await {
            Ok(Ok(image)) => return Ok(image),
            Ok(Err(Stop::Plugin(error))) => return Err(error),
            Ok(Err(Stop::Wizer(reason))) => {
                tracing::warn!(
                    plugin = owner.name,
                    reason,
                    "no memory image: `configure` will run in every instance"
                );
            }
            // Wizer panics on constructs that it has not implemented.
            Err(panic) => {
                tracing::warn!(plugin = owner.name, reason = %panic, "no memory image: `configure` will run in every instance");
            }
        }
    }
    Err(Error::Invalid(
        "it can be loaded neither with nor without a memory image".into(),
    ))
}

fn check_magic(bytes: &[u8]) -> Result<(), Error> {
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(Error::CoreModule),
        other => Err(Error::NotWasm(other[..other.len().min(8)].to_vec())),
    }
}

enum Stop {
    Plugin(Error),
    Wizer(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Plugin(error)
    }
}

struct Job {
    engine: Engine,
    owner: Arc<Owner>,
    bytes: Arc<[u8]>,
    configuration: String,
    value: serde_json::Value,
}

impl Job {
    /// Instantiate once → `describe` → schema → `configure` → capture the memory → compile the image → try an instance.
    async fn build(&self, imaged: bool) -> Result<Image, Stop> {
        let wasmtime = self.engine.wasmtime();
        let wizer = Wizer::new();
        let (context, instrumented) = if imaged {
            let (context, instrumented) = wizer
                .instrument_component(&self.bytes)
                .map_err(|error| Stop::Wizer(format!("{error:#}")))?;
            (Some(context), instrumented)
        } else {
            (None, self.bytes.to_vec())
        };
        let component = compile(wasmtime, &instrumented)?;
        let exports = contract::exports(&component, wasmtime).map_err(Error::from)?;
        let (mut store, instance) = self.instantiate(&component).await?;

        let manifest = self.describe(&mut store, instance).await?;
        manifest::check(&manifest, &self.value).map_err(Error::from)?;
        self.configure(&mut store, instance).await?;

        let component = match &context {
            Some(context) => {
                State::begin_call(&mut store, LOAD_CPU, Instant::now() + LOAD_WALL, false);
                let mut configured = Configured {
                    store: &mut store,
                    instance,
                };
                let image = wizer
                    .snapshot_component(context, &mut configured)
                    .await
                    .map_err(|error| Stop::Wizer(format!("{error:#}")))?;
                compile(wasmtime, &image)?
            }
            None => component,
        };
        drop(store);
        let pre = self
            .engine
            .linker()
            .instantiate_pre(&component)
            .map_err(not_the_contract)?;
        let code = Code::new(exports, pre).map_err(not_the_contract)?;
        let mut store = self.engine.store(&self.owner);
        State::begin_call(&mut store, LOAD_CPU, Instant::now() + LOAD_WALL, false);
        code.check(&mut store).await.map_err(not_the_contract)?;
        let image = Image {
            code,
            manifest,
            hash: hash::of_configured(&self.bytes, &self.configuration),
            configure_per_instance: (!imaged).then(|| self.configuration.clone()),
        };
        Ok(image)
    }

    async fn instantiate(
        &self,
        component: &Component,
    ) -> Result<(Store<State>, ComponentInstance), Error> {
        let pre = self
            .engine
            .linker()
            .instantiate_pre(component)
            .map_err(not_the_contract)?;
        let mut store = self.engine.store(&self.owner);
        let start = async |store: &mut Store<State>| pre.instantiate_async(store).await;
        let instance = limited("start", &mut store, start).await?;
        Ok((store, instance))
    }

    async fn describe(
        &self,
        store: &mut Store<State>,
        instance: ComponentInstance,
    ) -> Result<Manifest, Error> {
        let describe = instance
            .get_typed_func::<(), (String,)>(&mut *store, "describe")
            .map_err(not_the_contract)?;
        let call = async |store: &mut Store<State>| describe.call_async(store, ()).await;
        let (text,) = limited("describe", store, call).await?;
        Ok(manifest::parse(&text)?)
    }

    async fn configure(
        &self,
        store: &mut Store<State>,
        instance: ComponentInstance,
    ) -> Result<(), Error> {
        let configure = instance
            .get_typed_func::<(&str,), (Result<String, String>,)>(&mut *store, "configure")
            .map_err(not_the_contract)?;
        let call = async |store: &mut Store<State>| {
            configure.call_async(store, (&self.configuration,)).await
        };
        let (result,) = limited("configure", store, call).await?;
        let note = result.map_err(Error::Refused)?;
        if !note.is_empty() {
            tracing::info!(plugin = self.owner.name, note, "plugin configured");
        }
        Ok(())
    }
}

/// Runs a call of the guest within the limits of loading.
async fn limited<T>(
    function: &'static str,
    store: &mut Store<State>,
    call: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<T>,
) -> Result<T, Error> {
    State::begin_call(store, LOAD_CPU, Instant::now() + LOAD_WALL, false);
    let called = call(store).await;
    called.map_err(|error| Error::Guest {
        function,
        source: store.data().explain(&error),
    })
}

fn compile(engine: &Wasmtime, bytes: &[u8]) -> Result<Component, Error> {
    Component::new(engine, bytes).map_err(|error| Error::Invalid(format!("{error:#}")))
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn not_the_contract(error: wasmtime::Error) -> Error {
    Error::Contract(format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_tells_component_module_and_nonsense_apart() {
        assert!(check_magic(b"\0asm\x0d\0\x01\0rest").is_ok());
        assert!(matches!(
            check_magic(b"\0asm\x01\0\0\0"),
            Err(Error::CoreModule)
        ));
        assert!(
            matches!(check_magic(b"#!/bin/sh"), Err(Error::NotWasm(begin)) if begin.len() == 8)
        );
        assert!(matches!(check_magic(b""), Err(Error::NotWasm(_))));
    }
}
