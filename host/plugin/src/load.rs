//! Loading: from a component's bytes and the operator's configuration to a [`Plugin`].
//!
//! It is [compiled](super::compile) first, then tried. None of the work runs on threads that carry traffic, but for the trial,
//! whose calls are those of an exchange.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::calls::Calls;
use super::compile::{Compiled, Job, LOAD_CPU, LOAD_WALL, child};
use super::engine::Engine;
use super::image::{Code, Image};
use super::loaded::Plugin;
use super::owner::Owner;
use super::store::State;
use super::{contract, hash, limits, manifest, size, trial};
use sluicegate_config as config;
use sluicegate_telemetry::metrics::PluginMetrics;

pub use super::contract::CONTRACT;

/// The most bytes of a component.
pub const MAX_BYTES: usize = size::BYTES;

/// Why a plugin cannot be loaded. Each message says what to mend.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
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
        function: Cow<'static, str>,
        /// What the guest did.
        source: super::Error,
    },
    /// The manifest cannot be used, or the configuration does not fit it.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// The manifest suggests a limit that cannot be used.
    #[error(transparent)]
    #[serde(skip)]
    Limit(#[from] limits::Error),
    /// `configure` refused the configuration; the text is the plugin's.
    #[error("the plugin refuses its configuration: {0}")]
    Refused(String),
    /// `on-fault = "open"` on a plugin that changes bodies.
    #[error(
        "`on-fault = \"open\"` is only for plugins whose manifest says `\"transforms\": false`; this one may change bodies"
    )]
    OpenTransformer,
    /// The process that compiles it did not get to an end.
    #[error(transparent)]
    #[serde(skip)]
    Compiler(#[from] child::Error),
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
    let job = Job::new(configured, bytes, metrics.clone());
    let compiled = engine.compiler().compile(engine, &job).await?;
    compiled.tell(&configured.name);
    let image = image(engine, job, compiled).await?;
    if configured.fail_open && image.manifest.transforms {
        return Err(Error::OpenTransformer);
    }
    let owner = Arc::new(Owner {
        name: configured.name.clone(),
        limits: limits::resolve(&configured.limits, &image.manifest.limits)?,
        metrics,
        calls: Calls::default(),
    });
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
    let refused = tried.map_err(|(function, source)| Error::Guest {
        function: function.into(),
        source,
    })?;
    plugin.refused_trial.get_or_init(|| refused);
    Ok(plugin)
}

/// Makes what is compiled ready to be instantiated, on a thread that carries no traffic.
async fn image(engine: &Engine, job: Job, compiled: Compiled) -> Result<Image, Error> {
    let (engine, runtime) = (engine.clone(), Handle::current());
    let made = tokio::task::spawn_blocking(move || {
        let component = compiled.component(&engine)?;
        let exports = contract::exports(&component, engine.wasmtime())?;
        let manifest = manifest::parse(&compiled.facts.manifest)?;
        let pre = engine.linker().instantiate_pre(&component);
        let code = Code::new(exports, pre.map_err(not_the_contract)?).map_err(not_the_contract)?;
        let mut store = engine.store(&job.owner());
        State::begin_call(&mut store, LOAD_CPU, Instant::now() + LOAD_WALL, false);
        let checked = runtime.block_on(code.check(&mut store));
        checked.map_err(not_the_contract)?;
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

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
pub(super) fn not_the_contract(error: wasmtime::Error) -> Error {
    Error::Contract(format!("{error:#}"))
}
