//! Loading: from a component's bytes and the operator's configuration to a [`Plugin`].
//!
//! It is [compiled](super::compile) first, then tried. None of the work runs on threads that carry traffic, but for the trial,
//! whose calls are those of an exchange.

use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::compile::{Compiled, Compiler, InProcess, Job, LOAD_CPU, LOAD_WALL};
use super::engine::Engine;
use super::image::{Code, Image};
use super::loaded::Plugin;
use super::owner::{Granted, Owner};
use super::services::PluginServices;
use super::store::{Place, State};
use super::toolchain::Toolchain;
use super::{contract, grants, hash, limits, manifest, size, trial};
use sluicegate_config as config;

pub(crate) mod error;

pub use self::error::Error;
pub use super::contract::CONTRACT;

/// The most bytes of a component.
pub const MAX_BYTES: usize = size::BYTES;

/// Makes plugins for one engine. Cheap to clone.
#[derive(Clone)]
pub struct Loader {
    engine: Engine,
    compiler: Arc<dyn Compiler>,
}

impl Loader {
    /// A loader that compiles [in this process](InProcess).
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self::with_compiler(engine, Arc::new(InProcess))
    }

    /// A loader whose plugins this compiler compiles.
    #[must_use]
    pub fn with_compiler(engine: Engine, compiler: Arc<dyn Compiler>) -> Self {
        Self { engine, compiler }
    }

    /// The engine on which the plugins run.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Loads a plugin. `services` are what it is given beside its sandboxes, as far as the configuration grants it. Takes a tenth of a second for a small component, seconds for one with an interpreter inside.
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
        &self,
        configured: &config::Plugin,
        bytes: Arc<[u8]>,
        services: impl Into<PluginServices>,
    ) -> Result<Arc<Plugin>, Error> {
        let services = services.into();
        let metrics = services.metrics.clone();
        let engine = &self.engine;
        let version = hash::version(configured, &bytes);
        let component = hash::component(&bytes);
        let toolchain = Toolchain::of(&bytes);
        let job = Job::new(configured, bytes, metrics.clone());
        let compiled = self.compiler.compile(engine, &job).await?;
        compiled.tell(&configured.name);
        let image = image(engine, job, compiled).await?;
        if configured.fail_open && image.manifest.transforms {
            return Err(Error::OpenTransformer);
        }
        grants::check(&image.manifest, configured)?;
        let owner = Arc::new(Owner::new(
            configured.name.clone(),
            limits::resolve(&configured.limits, &image.manifest.limits)?,
            metrics,
            toolchain,
            Granted::new(&configured.grant, services),
        ));
        owner.metrics.version_live();
        let plugin = Plugin {
            made_of: configured.clone(),
            version,
            component,
            owner,
            engine: engine.clone(),
            image,
            fail_open: configured.fail_open,
            tried: OnceLock::new(),
        };
        let plugin = Arc::new(plugin);
        let tried = trial::run(&plugin).await;
        let outcome = tried.map_err(|(function, source)| Error::Guest {
            function: function.into(),
            source,
        })?;
        plugin.tried.get_or_init(|| outcome);
        Ok(plugin)
    }
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loader")
    }
}

/// Makes what is compiled ready to be instantiated, on a thread that carries no traffic.
async fn image(engine: &Engine, job: Job, compiled: Compiled) -> Result<Image, Error> {
    let (engine, runtime) = (engine.clone(), Handle::current());
    let made = tokio::task::spawn_blocking(move || {
        let component = compiled.component(&engine)?;
        let exports = contract::exports(&component, engine.wasmtime())?;
        let manifest = manifest::parse(&compiled.facts.manifest)?;
        let capabilities = contract::capabilities(&component, engine.wasmtime());
        let pre = engine.linker(&capabilities).instantiate_pre(&component);
        let pre = pre.map_err(Error::contract)?;
        let code = Code::new(exports, capabilities, pre).map_err(Error::contract)?;
        let mut store = engine.store(&job.owner());
        State::begin_call(
            &mut store,
            LOAD_CPU,
            Instant::now() + LOAD_WALL,
            Place::Loading,
        );
        let checked = runtime.block_on(code.check(&mut store));
        checked.map_err(Error::contract)?;
        Ok(Image {
            code,
            manifest,
            hash: hash::of_configured(&job.bytes, &job.configuration),
            configure_per_instance: compiled.facts.no_image.map(|_| job.configuration),
            _pin: compiled.pin,
        })
    });
    match made.await {
        Ok(made) => made,
        Err(error) => Err(Error::Invalid(error.to_string())),
    }
}
