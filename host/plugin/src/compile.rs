//! Compiling: from a component's bytes and its configuration to an artifact that the engine runs.
//!
//! The steps are in [`Attempt::run`], top to bottom. All of it runs on threads that carry no traffic. Who compiles is given to
//! the [loader](super::load::Loader): [`InProcess`], or a [`Child`](child::Child), with a [cache](super::cache) in front or not.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sluicegate_contract::Manifest;
use tokio::runtime::Handle;
use tokio::time::Instant;
use wasmtime::component::{Component, Instance as ComponentInstance};
use wasmtime::{Engine as Wasmtime, Store};
use wasmtime_wizer::Wizer;

use super::engine::Engine;
use super::image::Configured;
use super::load::error::Error;
use super::owner::{Granted, Owner};
use super::pins::Pin as Pinned;
use super::store::{Place, State};
use super::toolchain::Toolchain;
use super::{composition, contract, hash, limits, manifest, size};
use sluicegate_config as config;
use sluicegate_telemetry::metrics::PluginMetrics;

pub mod child;
mod lines;
pub mod worker;

/// CPU budget for each of starting, `describe` and `configure`: an interpreter that starts inside a guest takes seconds.
pub(super) const LOAD_CPU: Duration = Duration::from_secs(10);
/// Wall-clock limit for each of them, for a guest that sleeps.
pub(super) const LOAD_WALL: Duration = Duration::from_secs(15);

/// A compilation that is going on.
pub type Compiling<'a> = Pin<Box<dyn Future<Output = Result<Compiled, Error>> + Send + 'a>>;

/// Who compiles plugins.
pub trait Compiler: Send + Sync {
    /// Compiles a plugin for this engine.
    ///
    /// # Errors
    /// [`Error`]; nothing is left behind.
    ///
    /// # Panics
    /// If the future is polled outside a tokio runtime.
    fn compile<'a>(&'a self, engine: &'a Engine, job: &'a Job) -> Compiling<'a>;
}

/// What is to be compiled.
#[derive(Debug)]
pub struct Job {
    /// The plugin's name in the configuration.
    pub(super) name: String,
    /// The component.
    pub(super) bytes: Arc<[u8]>,
    /// The configuration as the plugin gets it.
    pub(super) configuration: String,
    /// The configuration as its schema sees it.
    pub(super) value: serde_json::Value,
    /// Bytes of memory that the guest may have while it is loaded.
    pub(super) memory: u64,
    /// The configuration refers to a secret.
    pub(super) secret: bool,
    pub(super) metrics: Arc<PluginMetrics>,
}

impl Job {
    /// A configured plugin, to be made of this component.
    pub(super) fn new(
        configured: &config::Plugin,
        bytes: Arc<[u8]>,
        metrics: Arc<PluginMetrics>,
    ) -> Self {
        Self {
            name: configured.name.clone(),
            bytes,
            configuration: hash::configuration(configured),
            value: configured.config.clone(),
            // What the plugin suggests is known only when it has started.
            memory: limits::while_loading(&configured.limits).memory,
            secret: !configured.secrets.is_empty(),
            metrics,
        }
    }

    /// SHA-256 over all that the result depends on.
    #[must_use]
    pub fn key(&self, engine: &Engine) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [contract::CONTRACT, env!("CARGO_PKG_VERSION")] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(engine.compatibility());
        hash.update(hash::key(&self.bytes, &self.configuration, self.memory));
        hash.finalize().into()
    }

    /// On whose behalf the guest runs while it is loaded.
    pub(super) fn owner(&self) -> Arc<Owner> {
        let set = config::SetLimits {
            memory: Some(self.memory),
            ..config::SetLimits::default()
        };
        Arc::new(Owner::new(
            self.name.clone(),
            limits::while_loading(&set),
            self.metrics.clone(),
            Toolchain::default(),
            Granted::default(),
        ))
    }
}

/// A compiled plugin. Only this crate can make one, from what its own compiler made.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub(super) facts: Facts,
    /// The engine's own serialized form of the component.
    pub(super) artifact: Bytes,
    /// Keeps the entry in the cache, where there is one.
    pub(super) pin: Option<Arc<Pinned>>,
}

/// What became known of the plugin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Facts {
    /// What `describe` returned.
    pub(super) manifest: String,
    /// What `configure` returned.
    pub(super) note: String,
    /// Why the memory could not be captured; `None`: it could, and instances start from it.
    pub(super) no_image: Option<String>,
}

impl Compiled {
    /// The component, ready to run.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the engine does not take it: it was made for other settings, or it needs more than the engine's
    /// sandboxes have.
    #[expect(
        unsafe_code,
        reason = "the engine cannot check machine code, and whoever compiles elsewhere hands it over as bytes"
    )]
    pub(super) fn component(&self, engine: &Engine) -> Result<Component, Error> {
        // SAFETY: the bytes must be what a `Component::serialize` of this version returned, unmodified. A `Compiled` is made in
        // three places: by `InProcess` from exactly that; by `Child` from what the same executable file wrote to a pipe that
        // only the two processes have; and by the cache from a file of its own in a folder that nobody else can write, with
        // the SHA-256 with which this program wrote it. The bytes are in our own memory, so they cannot change later. That
        // they fit this engine's version and settings is checked by the engine.
        let component = unsafe { Component::deserialize(engine.wasmtime(), &self.artifact) };
        component.map_err(|error| Error::Invalid(format!("{error:#}")))
    }

    /// Tells the log what is worth knowing.
    pub(super) fn tell(&self, plugin: &str) {
        let Facts { note, no_image, .. } = &self.facts;
        if let Some(reason) = no_image {
            tracing::warn!(
                plugin,
                reason,
                "no memory image: `configure` will run in every instance"
            );
        }
        if !note.is_empty() {
            tracing::info!(plugin, note, "plugin configured");
        }
    }
}

/// Compiles in this process, on a thread of its own.
#[derive(Clone, Copy, Debug)]
pub struct InProcess;

impl Compiler for InProcess {
    fn compile<'a>(&'a self, engine: &'a Engine, job: &'a Job) -> Compiling<'a> {
        Box::pin(compile(engine, job))
    }
}

/// Compiles, without a memory capture if Wizer cannot handle the component.
async fn compile(engine: &Engine, job: &Job) -> Result<Compiled, Error> {
    check_magic(&job.bytes)?;
    size::check_component(&job.bytes)?;
    let mut no_image = None;
    for imaged in [true, false] {
        let attempt = Attempt {
            engine: engine.clone(),
            owner: job.owner(),
            bytes: job.bytes.clone(),
            configuration: job.configuration.clone(),
            value: job.value.clone(),
        };
        let runtime = Handle::current();
        let attempt = tokio::task::spawn_blocking(move || runtime.block_on(attempt.run(imaged)));
        match attempt.await {
            Ok(Ok((manifest, note, artifact))) => {
                return Ok(Compiled {
                    facts: Facts {
                        manifest,
                        note,
                        no_image,
                    },
                    artifact: artifact.into(),
                    pin: None,
                });
            }
            Ok(Err(Stop::Plugin(error))) => return Err(error),
            Ok(Err(Stop::Wizer(reason))) => no_image = Some(reason),
            // Wizer panics on constructs that it has not implemented.
            Err(panic) => no_image = Some(panic.to_string()),
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

struct Attempt {
    engine: Engine,
    owner: Arc<Owner>,
    bytes: Arc<[u8]>,
    configuration: String,
    value: serde_json::Value,
}

impl Attempt {
    /// Instantiate once → `describe` → schema → `configure` → capture the memory → compile the image. Returns the manifest, the
    /// note of `configure`, and the artifact.
    async fn run(&self, imaged: bool) -> Result<(String, String, Vec<u8>), Stop> {
        let wasmtime = self.engine.wasmtime();
        let wizer = Wizer::new();
        let component = composition::guest(&self.bytes);
        let (context, instrumented) = if imaged {
            let (context, instrumented) = wizer
                .instrument_component(component)
                .map_err(|error| Stop::Wizer(format!("{error:#}")))?;
            (Some(context), Cow::Owned(instrumented))
        } else {
            (None, Cow::Borrowed(component))
        };
        let component = Component::new(wasmtime, &instrumented).map_err(invalid)?;
        contract::exports(&component, wasmtime).map_err(Error::from)?;
        let (mut store, instance) = self.instantiate(&component).await?;

        let (manifest, text) = self.describe(&mut store, instance).await?;
        manifest::check(&manifest, &self.value).map_err(Error::from)?;
        let note = self.configure(&mut store, instance).await?;

        let artifact = match &context {
            Some(context) => {
                State::begin_call(
                    &mut store,
                    LOAD_CPU,
                    Instant::now() + LOAD_WALL,
                    Place::Loading,
                );
                let mut configured = Configured {
                    store: &mut store,
                    instance,
                };
                let image = wizer
                    .snapshot_component(context, &mut configured)
                    .await
                    .map_err(|error| Stop::Wizer(format!("{error:#}")))?;
                self.precompile(&image)?
            }
            None => component.serialize().map_err(invalid)?,
        };
        Ok((text, note, artifact))
    }

    fn precompile(&self, image: &[u8]) -> Result<Vec<u8>, Error> {
        let wasmtime: &Wasmtime = self.engine.wasmtime();
        wasmtime.precompile_component(image).map_err(invalid)
    }

    async fn instantiate(
        &self,
        component: &Component,
    ) -> Result<(Store<State>, ComponentInstance), Error> {
        let capabilities = contract::capabilities(component, self.engine.wasmtime());
        let pre = self
            .engine
            .linker(&capabilities)
            .instantiate_pre(component)
            .map_err(Error::contract)?;
        let mut store = self.engine.store(&self.owner);
        let start = async |store: &mut Store<State>| pre.instantiate_async(store).await;
        let instance = limited("start", &mut store, start).await?;
        Ok((store, instance))
    }

    async fn describe(
        &self,
        store: &mut Store<State>,
        instance: ComponentInstance,
    ) -> Result<(Manifest, String), Error> {
        let describe = instance
            .get_typed_func::<(), (String,)>(&mut *store, "describe")
            .map_err(Error::contract)?;
        let call = async |store: &mut Store<State>| describe.call_async(store, ()).await;
        let (text,) = limited("describe", store, call).await?;
        Ok((manifest::parse(&text)?, text))
    }

    async fn configure(
        &self,
        store: &mut Store<State>,
        instance: ComponentInstance,
    ) -> Result<String, Error> {
        let configure = instance
            .get_typed_func::<(&str,), (Result<String, String>,)>(&mut *store, "configure")
            .map_err(Error::contract)?;
        let call = async |store: &mut Store<State>| {
            configure.call_async(store, (&self.configuration,)).await
        };
        let (result,) = limited("configure", store, call).await?;
        result.map_err(Error::Refused)
    }
}

/// Runs a call of the guest within the limits of loading.
async fn limited<T>(
    function: &'static str,
    store: &mut Store<State>,
    call: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<T>,
) -> Result<T, Error> {
    State::begin_call(store, LOAD_CPU, Instant::now() + LOAD_WALL, Place::Loading);
    let called = call(store).await;
    called.map_err(|error| Error::Guest {
        function: function.into(),
        source: store.data().explain(&error),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn invalid(error: wasmtime::Error) -> Error {
    Error::Invalid(format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Settings;
    use sluicegate_telemetry::metrics::Metrics;

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

    fn engines() -> [Engine; 3] {
        let on_demand = |settings| Engine::on_demand(settings).expect("an engine");
        [
            Engine::with_sandboxes(10).expect("an engine"),
            on_demand(Settings::LARGE),
            on_demand(Settings::SMALL),
        ]
    }

    #[test]
    fn what_is_compiled_on_demand_fits_the_pool_if_the_settings_are_the_same() {
        let [pool, same, other] = engines();
        if pool.settings() != Settings::LARGE {
            // This machine limits addresses: the other one is the same then.
            assert_eq!(pool.compatibility(), other.compatibility());
            return;
        }
        assert_eq!(pool.compatibility(), same.compatibility());
        assert_ne!(pool.compatibility(), other.compatibility());
        let empty = b"\0asm\x0d\0\x01\0";
        let made = |engine: &Engine| Compiled {
            facts: Facts {
                manifest: String::new(),
                note: String::new(),
                no_image: None,
            },
            artifact: engine
                .wasmtime()
                .precompile_component(empty)
                .expect("an empty component")
                .into(),
            pin: None,
        };
        assert!(made(&same).component(&pool).is_ok());
        let refused = made(&other).component(&pool);
        assert!(matches!(refused, Err(Error::Invalid(_))));
    }

    #[test]
    fn a_key_differs_with_all_that_the_result_depends_on() {
        let [_, engine, other] = engines();
        let job = |bytes: &[u8], configuration: &str, memory| Job {
            name: "x".into(),
            bytes: bytes.into(),
            configuration: configuration.into(),
            value: serde_json::Value::Null,
            memory,
            secret: false,
            metrics: Metrics::new().plugin("x"),
        };
        let key = job(b"a", "{}", 1).key(&engine);
        assert_eq!(key, job(b"a", "{}", 1).key(&engine));
        for (different, engine) in [
            (job(b"b", "{}", 1), &engine),
            (job(b"a", "{ }", 1), &engine),
            (job(b"a{", "}", 1), &engine),
            (job(b"a", "{}", 2), &engine),
            (job(b"a", "{}", 1), &other),
        ] {
            assert_ne!(key, different.key(engine), "{different:?}");
        }
    }
}
