//! Loading: from a component's bytes and the operator's configuration to a [`Version`].
//!
//! The steps are in [`Job::build`], top to bottom. All of it runs on threads that carry no traffic.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode, Uri};
use sha2::{Digest, Sha256};
use sluicegate_contract::{Context, Exports, Identity, Manifest};
use tokio::runtime::Handle;
use tokio::time::Instant;
use wasmtime::component::{Component, Instance as ComponentInstance};
use wasmtime::{Engine as Wasmtime, Store};
use wasmtime_wizer::Wizer;

use super::calls::Calls;
use super::host::unix_ms;
use super::image::{Code, Configured, Image};
use super::instance::{Instance, Loan};
use super::store::State;
use super::{Engine, Owner, Version};
use super::{limits, manifest, size};
use sluicegate_config as config;
use sluicegate_telemetry::metrics::PluginMetrics;

/// The contract's package, as it stands in the names of imports and exports.
pub(super) const PACKAGE: &str = "sluicegate:plugin/";
/// The version of the contract that this gateway speaks.
pub const CONTRACT: &str = "0.2.0-draft.1";

/// CPU budget for starting, for `describe` and for `configure`, each: an interpreter that starts inside a guest takes seconds.
const LOAD_CPU: Duration = Duration::from_secs(10);
/// How long each may take by the clock, for one that sleeps.
const LOAD_WALL: Duration = Duration::from_secs(15);
/// Bytes of a component at most.
pub const MAX_BYTES: usize = size::BYTES;

/// WASI interfaces that guests' standard libraries import. What they ask for beyond clocks, randomness and output is
/// there but answers that there is nothing.
const WASI: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

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
    #[error(
        "{what} has {found} {unit}, which is too large to be loaded: at most {most} {unit} are taken"
    )]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        found: usize,
        /// How large it may be.
        most: usize,
        /// Of what.
        unit: &'static str,
    },
    /// The engine does not accept the component.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// The component exports none of the interfaces that say where it takes part.
    #[error(
        "the component must export at least one of sluicegate:plugin/gate, /request, /response, /events, /closing and /observer (see `sluicegate wit`); it exports {0}"
    )]
    NoPhases(String),
    /// The component exports `chunks` and no `response`, so nothing would ever ask for chunks.
    #[error(
        "the component exports sluicegate:plugin/chunks without /response, whose plan asks for chunks"
    )]
    LonelyChunks,
    /// The component says that it is two things that exclude each other.
    #[error(
        "the manifest says that the plugin is both a front and an adapter; it can be one of them"
    )]
    FrontAndAdapter,
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
        "the component imports {0}, which plugins are not given; they get exchange, log, clock, random and upstream-info"
    )]
    Import(String),
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
    /// `describe` returned something that is not a manifest.
    #[error("`describe` did not return a manifest: {0}")]
    Manifest(serde_json::Error),
    /// The manifest suggests a limit that is none, or too large.
    #[error("the manifest's `limits.{member}` is {text:?}: it must be {must}")]
    Limit {
        /// The member of `limits`.
        member: &'static str,
        /// What stands there.
        text: String,
        /// What it must be.
        must: &'static str,
    },
    /// The manifest's `config` is not a JSON Schema.
    #[error("the manifest's `config` is not a JSON Schema: {0}")]
    BadSchema(String),
    /// The configuration deviates from the schema; pairs of a JSON pointer and what is wrong there.
    #[error("the configuration does not fit: {}", deviations(.0))]
    Schema(Vec<(String, String)>),
    /// `configure` refused the configuration; the text is the plugin's.
    #[error("the plugin refuses its configuration: {0}")]
    Refused(String),
    /// `on-fault = "open"` on a plugin that changes bodies.
    #[error(
        "`on-fault = \"open\"` is only for plugins whose manifest says `\"transforms\": false`; this one may change bodies"
    )]
    OpenTransformer,
}

fn deviations(list: &[(String, String)]) -> String {
    let one = |(path, text): &(String, String)| {
        if path.is_empty() {
            text.clone()
        } else {
            format!("{path}: {text}")
        }
    };
    list.iter().map(one).collect::<Vec<_>>().join("; ")
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
/// Dropping the future lets the work run to its end on its own thread; the result is then lost.
pub async fn load(
    engine: &Engine,
    plugin: &config::Plugin,
    bytes: Arc<[u8]>,
    metrics: Arc<PluginMetrics>,
) -> Result<Arc<Version>, Error> {
    let owner = |limits| {
        Arc::new(Owner {
            name: plugin.name.clone(),
            limits,
            metrics: metrics.clone(),
            calls: Calls::default(),
        })
    };
    // What the plugin suggests is known only when it has started.
    let loading = limits::while_loading(&plugin.limits);
    let configuration = configuration(plugin);
    let key = key(&bytes, &configuration, loading.memory);
    let image = match engine.image(&key) {
        Some(image) => image,
        None => {
            let image = Arc::new(
                capture(
                    engine,
                    &owner(loading),
                    &bytes,
                    &configuration,
                    &plugin.config,
                )
                .await?,
            );
            engine.keep_image(key, image.clone());
            image
        }
    };
    if plugin.fail_open && image.manifest.transforms {
        return Err(Error::OpenTransformer);
    }
    let owner = owner(limits::resolve(&plugin.limits, &image.manifest.limits)?);
    owner.metrics.version_live();
    let version = Version {
        made_of: plugin.clone(),
        owner,
        engine: engine.clone(),
        image,
        fail_open: plugin.fail_open,
    };
    let version = Arc::new(version);
    trial(&version).await?;
    Ok(version)
}

/// The configuration as a plugin gets it.
fn configuration(plugin: &config::Plugin) -> String {
    if plugin.config.is_null() {
        "{}".to_owned()
    } else {
        plugin.config.to_string()
    }
}

/// SHA-256 over component and configuration, in hexadecimal.
pub(super) fn hash(plugin: &config::Plugin, bytes: &[u8]) -> String {
    hex(&key(bytes, &configuration(plugin), 0))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(bytes: &[u8], configuration: &str, memory: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(memory.to_le_bytes());
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
    hash.update(configuration);
    hash.finalize().into()
}

/// Builds the image on a thread of its own; without a memory capture if Wizer cannot handle the component.
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
        let exports = exports(&component, wasmtime)?;
        let (mut store, instance) = self.instantiate(&component).await?;

        let manifest = self.describe(&mut store, instance).await?;
        if manifest.front.is_some() && manifest.adapter.is_some() {
            return Err(Error::FrontAndAdapter.into());
        }
        manifest::check(&manifest, &self.value)?;
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
            .map_err(contract)?;
        let code = Code::new(exports, pre).map_err(contract)?;
        let mut store = State::store(&self.owner, &self.engine);
        State::begin_call(&mut store, LOAD_CPU, Instant::now() + LOAD_WALL, false);
        code.check(&mut store).await.map_err(contract)?;
        let image = Image {
            code,
            manifest,
            hash: self.hash(),
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
            .map_err(contract)?;
        let mut store = State::store(&self.owner, &self.engine);
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
            .map_err(contract)?;
        let call = async |store: &mut Store<State>| describe.call_async(store, ()).await;
        let (text,) = limited("describe", store, call).await?;
        Manifest::parse(&text).map_err(Error::Manifest)
    }

    async fn configure(
        &self,
        store: &mut Store<State>,
        instance: ComponentInstance,
    ) -> Result<(), Error> {
        let configure = instance
            .get_typed_func::<(&str,), (Result<String, String>,)>(&mut *store, "configure")
            .map_err(contract)?;
        let call = async |store: &mut Store<State>| {
            configure.call_async(store, (&self.configuration,)).await
        };
        let (answer,) = limited("configure", store, call).await?;
        let note = answer.map_err(Error::Refused)?;
        if !note.is_empty() {
            tracing::info!(plugin = self.owner.name, note, "plugin configured");
        }
        Ok(())
    }

    fn hash(&self) -> String {
        hex(&key(&self.bytes, &self.configuration, 0))
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
fn contract(error: wasmtime::Error) -> Error {
    Error::Contract(format!("{error:#}"))
}

/// The phase interfaces that a component exports, after a look at its imports. Exports that are none of the contract's are
/// left alone: some languages' tools add their own.
fn exports(component: &Component, engine: &Wasmtime) -> Result<Exports, Error> {
    let component = component.component_type();
    for (name, _) in component.imports(engine) {
        match name
            .strip_prefix(PACKAGE)
            .and_then(|rest| rest.split_once('@'))
        {
            Some((_, version)) => check_version(version)?,
            None if WASI.iter().any(|prefix| name.starts_with(prefix)) => {}
            None => return Err(Error::Import(name.to_owned())),
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

/// Accepts the gateway's own version only: until the contract is frozen, every draft may change everything.
fn check_version(version: &str) -> Result<(), Error> {
    if version == CONTRACT {
        Ok(())
    } else {
        Err(Error::Version {
            found: version.to_owned(),
        })
    }
}

/// Makes one instance, as every exchange will, and shows it the heads of a made-up exchange. What it decides there does not
/// matter; that it traps, or breaks the contract, does.
async fn trial(version: &Arc<Version>) -> Result<(), Error> {
    let failed = |function| move |source| Error::Guest { function, source };
    let mut instance = Instance::new(version, None);
    instance.make().await.map_err(failed("start"))?;
    let (mut parts, ()) = hyper::Request::new(()).into_parts();
    parts.method = Method::POST;
    parts.uri = Uri::from_static("/v1/chat/completions");
    let identity = Identity {
        id: "trial".into(),
        received_ms: unix_ms(),
        route: "".into(),
        client: Ipv4Addr::LOCALHOST.into(),
    };
    let mut loan = Loan::new(Context::new(identity, parts, "".into(), Arc::new([])));
    let exports = version.exports();
    if exports.gate {
        let decided = instance.check(&mut loan).await;
        decided.map(drop).map_err(failed("gate.check"))?;
    }
    if exports.request {
        let decided = instance.request_head(&mut loan).await;
        decided.map(drop).map_err(failed("request.head"))?;
    }
    if exports.response {
        loan.status = Some(StatusCode::OK);
        let decided = instance.response_head(&mut loan).await;
        decided.map(drop).map_err(failed("response.head"))?;
    }
    Ok(())
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
