//! The snapshot: routes, plugin versions and upstreams in force, made from a configuration as a whole or not at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;
use hyper::Method;
use tokio::io::AsyncReadExt;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pipeline::{Limits, Pipeline, observer};
use crate::route::{Route, Routes};
use sluicegate_config as config;
use sluicegate_config::{Config, Problem, Problems, Source};
use sluicegate_plugin_host::load::{self, load};
use sluicegate_plugin_host::{Builtins, Engine, Plugin, manifest};
use sluicegate_telemetry::metrics::Metrics;
use sluicegate_upstream::Upstream;

mod exposure;
mod health;
mod stalls;

use health::Watch;
use stalls::Mender;

/// What every exchange begins and ends with.
///
/// It owns the tasks that go with it, health checks and observers: they end when the last snapshot that has them is gone.
#[derive(Debug)]
pub struct Snapshot {
    /// All routes.
    pub routes: Routes,
    /// Stands in for the route of an exchange that matches none: no stages, but all observers.
    pub unmatched: Arc<Route>,
    /// All upstreams by name.
    pub upstreams: HashMap<Arc<str>, Arc<Upstream>>,
    /// Their names, for stages that choose one.
    pub upstream_names: Arc<[Arc<str>]>,
    /// The adapters of upstreams that have one, by the upstream's name.
    pub adapters: HashMap<Arc<str>, Arc<Plugin>>,
    /// All plugins by their name in the configuration.
    pub plugins: BTreeMap<String, Arc<Plugin>>,
    /// Limits and times for all exchanges.
    pub server: config::Server,
    /// The queues of the plugins that observe.
    observers: HashMap<String, Observer>,
    /// The health checks of all targets that have one.
    watches: Vec<Arc<Watch>>,
    /// What looks after all targets whose models can be suspected.
    menders: Vec<Arc<Mender>>,
}

impl Snapshot {
    /// The bounds of a response body.
    #[must_use]
    pub fn body_limits(&self) -> Limits {
        let limits = &self.server.limits;
        Limits {
            body: limits.response_body,
            event: usize::try_from(limits.event).unwrap_or(usize::MAX),
        }
    }
}

/// A plugin that observes, and the entrance to its queue.
#[derive(Clone, Debug)]
struct Observer {
    plugin: Arc<Plugin>,
    queue: observer::Queue,
}

/// Where the tasks of snapshots run.
#[derive(Clone, Debug)]
pub struct Workers {
    /// Health checks, which also end when this is cancelled.
    pub drain: CancellationToken,
    /// What looks after targets as long as there are exchanges ends when this is cancelled.
    pub cut: CancellationToken,
    /// Tracks both.
    pub watching: TaskTracker,
    /// Tracks observers.
    pub observing: TaskTracker,
    /// The runtime of observers.
    pub observers: Handle,
}

/// A configuration whose plugins are loaded and whose references are checked; nothing of it runs yet.
pub struct Prepared {
    config: Config,
    warnings: Vec<Problem>,
    plugins: BTreeMap<String, Arc<Plugin>>,
    upstreams: HashMap<Arc<str>, Arc<Upstream>>,
}

impl Prepared {
    /// What looks wrong about it, now that the plugins are known.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The configuration; its listeners have their rules for hosts now.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How many plugins it has.
    #[must_use]
    pub fn plugins(&self) -> usize {
        self.plugins.len()
    }

    /// How many upstreams it has.
    #[must_use]
    pub fn upstreams(&self) -> usize {
        self.upstreams.len()
    }
}

/// Loads all plugins and sets all upstreams up. What has not changed is taken over from the `previous` snapshot: the same
/// plugin versions, and the same targets with their connections and what is known of them.
///
/// # Errors
/// All problems that there are, each with its key in the configuration. Nothing is left behind.
pub async fn prepare(
    mut config: Config,
    engine: &Engine,
    builtins: Builtins,
    metrics: &Metrics,
    previous: Option<&Snapshot>,
) -> Result<Prepared, Problems> {
    let mut problems = Vec::new();
    let plugins = load_plugins(&config, engine, builtins, metrics, previous, &mut problems).await;
    let upstreams = upstreams(&config, &plugins, metrics, previous, &mut problems);
    check_places(&config, &plugins, &mut problems);
    health::check(&config, &plugins, &mut problems);
    exposure::check(&mut config, &plugins, &mut problems);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let mut warnings = health::warnings(&config, &plugins);
    warnings.extend(exposure::warnings(&config, &plugins));
    Ok(Prepared {
        warnings,
        config,
        plugins,
        upstreams,
    })
}

impl Prepared {
    /// For each route, how many sandboxes one exchange can hold that asks the route's own upstream.
    pub fn sandboxes(&self) -> impl Iterator<Item = (String, usize)> {
        self.config.routes.iter().map(|route| {
            let sandboxes = sandboxes(&self.config, &self.plugins, route, &route.upstream);
            (route.path.to_string(), sandboxes)
        })
    }

    /// Makes the snapshot and starts what goes with it; what runs already for the `previous` one goes on.
    #[must_use]
    pub fn start(
        self,
        workers: &Workers,
        metrics: &Metrics,
        previous: Option<&Snapshot>,
    ) -> Snapshot {
        let Self {
            config,
            warnings,
            plugins,
            upstreams,
        } = self;
        for Problem {
            key, message, mend, ..
        } in &warnings
        {
            tracing::warn!(key, mend, "configuration: {key} {message}");
        }
        let observers = start_observers(&plugins, workers, metrics, previous);
        let adapters: HashMap<Arc<str>, Arc<Plugin>> = config
            .upstreams
            .values()
            .filter_map(|upstream| {
                let adapter = plugins.get(upstream.adapter.as_deref()?)?;
                Some((upstream.name.as_str().into(), adapter.clone()))
            })
            .collect();
        let menders = stalls::mend_all(upstreams.values(), workers, previous);
        let watches = health::watch_all(&config, &upstreams, &adapters, workers, previous);
        let mut routes = Routes::default();
        for configured in &config.routes {
            let route = route(&config, configured, &plugins, &observers, metrics);
            routes.add(&configured.path, Arc::new(route));
        }
        let observed: BTreeSet<_> = config
            .routes
            .iter()
            .flat_map(|route| &route.observers)
            .collect();
        let unmatched = Route {
            label: "".into(),
            methods: Vec::new(),
            pipeline: Pipeline {
                stages: Vec::new(),
                watching: Vec::new(),
                observers: queues(observed, &observers),
            },
            upstream: "".into(),
            fallback: Vec::new(),
            sandboxes: HashMap::new(),
            metrics: metrics.route(""),
        };
        Snapshot {
            routes,
            unmatched: Arc::new(unmatched),
            upstream_names: upstreams.keys().cloned().collect(),
            upstreams,
            adapters,
            plugins,
            server: config.server,
            observers,
            watches,
            menders,
        }
    }
}

fn route(
    config: &Config,
    configured: &config::Route,
    plugins: &BTreeMap<String, Arc<Plugin>>,
    observers: &HashMap<String, Observer>,
    metrics: &Metrics,
) -> Route {
    let stages = configured.pipeline.iter();
    let label = label(&configured.path);
    Route {
        metrics: metrics.route(&label),
        label: label.into(),
        methods: configured
            .methods
            .iter()
            .filter_map(|method| method.parse::<Method>().ok())
            .collect(),
        pipeline: Pipeline {
            watching: stages
                .clone()
                .map(|name| observers.get(name).map(|observer| observer.queue.clone()))
                .collect(),
            stages: stages
                .filter_map(|name| plugins.get(name))
                .cloned()
                .collect(),
            observers: queues(&configured.observers, observers),
        },
        upstream: configured.upstream.as_str().into(),
        fallback: configured
            .fallback
            .iter()
            .map(|name| name.as_str().into())
            .collect(),
        sandboxes: config
            .upstreams
            .keys()
            .map(|upstream| {
                let sandboxes = sandboxes(config, plugins, configured, upstream);
                (upstream.as_str().into(), sandboxes)
            })
            .collect(),
    }
}

/// How many sandboxes one exchange can hold that asks this upstream, and then the route's fallbacks: those of all stages, and of
/// one adapter at a time.
fn sandboxes(
    config: &Config,
    plugins: &BTreeMap<String, Arc<Plugin>>,
    route: &config::Route,
    upstream: &String,
) -> usize {
    let plugin = |name: &String| plugins.get(name);
    let stages = route.pipeline.iter().filter_map(plugin);
    let asked = std::iter::once(upstream).chain(&route.fallback);
    let adapters = asked.filter_map(|name| {
        let upstream = config.upstreams.get(name)?;
        plugin(upstream.adapter.as_ref()?)
    });
    let adapter = adapters.map(|adapter| adapter.sandboxes()).max();
    let stages: usize = stages.map(|stage| stage.sandboxes()).sum();
    stages + adapter.unwrap_or(0)
}

fn queues<'n>(
    names: impl IntoIterator<Item = &'n String>,
    observers: &HashMap<String, Observer>,
) -> Vec<observer::Queue> {
    names
        .into_iter()
        .filter_map(|name| observers.get(name))
        .map(|observer| observer.queue.clone())
        .collect()
}

fn start_observers(
    plugins: &BTreeMap<String, Arc<Plugin>>,
    workers: &Workers,
    metrics: &Metrics,
    previous: Option<&Snapshot>,
) -> HashMap<String, Observer> {
    let observing = plugins
        .iter()
        .filter(|(_, plugin)| plugin.exports().observer);
    let start = |(name, plugin): (&String, &Arc<Plugin>)| {
        let before = previous.and_then(|previous| previous.observers.get(name));
        if let Some(before) = before.filter(|before| Arc::ptr_eq(&before.plugin, plugin)) {
            return (name.clone(), before.clone());
        }
        let (queue, worker) = observer::start(plugin.clone(), metrics.plugin(name));
        workers.observing.spawn_on(worker, &workers.observers);
        let plugin = plugin.clone();
        (name.clone(), Observer { plugin, queue })
    };
    observing.map(start).collect()
}

/// The route's path as it is configured, which is also its name in logs and metrics.
fn label(path: &config::PathPattern) -> String {
    match path {
        config::PathPattern::Exact(path) => path.clone(),
        config::PathPattern::Prefix(prefix) => format!("{prefix}*"),
    }
}

async fn load_plugins(
    config: &Config,
    engine: &Engine,
    builtins: Builtins,
    metrics: &Metrics,
    previous: Option<&Snapshot>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Arc<Plugin>> {
    let loads = config.plugins.values().map(async |configured| {
        let bytes = component(configured, builtins).await?;
        load_plugin(configured, bytes, engine, metrics, previous).await
    });
    let mut plugins = BTreeMap::new();
    for (configured, loaded) in config.plugins.values().zip(join_all(loads).await) {
        match loaded {
            Ok(plugin) => {
                plugins.insert(configured.name.clone(), plugin);
            }
            Err(found) => problems.extend(found),
        }
    }
    plugins
}

/// The bytes of a plugin's component.
async fn component(plugin: &config::Plugin, builtins: Builtins) -> Result<Arc<[u8]>, Vec<Problem>> {
    let key = format!("plugin.{}.source", plugin.name);
    match &plugin.source {
        Source::Builtin(name) => builtins.find(name).map(Arc::from).map_err(|error| {
            let mend = format!("use one of {}, or the path of a component", error.names);
            vec![problem(key, error.to_string(), mend)]
        }),
        Source::File(path) => read(path).await.map(Arc::from).map_err(|error| {
            let message = format!("{} cannot be read: {error}", path.display());
            vec![problem(key, message, "give the path of a component".into())]
        }),
    }
}

async fn load_plugin(
    configured: &config::Plugin,
    bytes: Arc<[u8]>,
    engine: &Engine,
    metrics: &Metrics,
    previous: Option<&Snapshot>,
) -> Result<Arc<Plugin>, Vec<Problem>> {
    let before = previous.and_then(|previous| previous.plugins.get(&configured.name));
    if let Some(before) = before.filter(|before| before.is(configured, &bytes)) {
        return Ok(before.clone());
    }
    load(engine, configured, bytes, metrics.plugin(&configured.name))
        .await
        .map_err(|error| explain(&format!("plugin.{}", configured.name), error))
}

/// A component's file; no more of it than a component may have, and a byte that says that it has more.
async fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    let most = load::MAX_BYTES as u64 + 1;
    file.take(most).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// A load error as problems of the configuration.
fn explain(key: &str, error: load::Error) -> Vec<Problem> {
    match error {
        load::Error::Manifest(manifest::Error::Schema(deviations)) => deviations
            .into_iter()
            .map(|(path, text)| {
                let path = path.replace('/', ".");
                let mend = "see the schema with `sluicegate plugin inspect`".to_owned();
                problem(format!("{key}.config{path}"), text, mend)
            })
            .collect(),
        load::Error::Refused(text) => {
            vec![problem(
                format!("{key}.config"),
                text,
                "the plugin's own check says what is wrong".into(),
            )]
        }
        load::Error::OpenTransformer => {
            let mend = "remove `on-fault`, or set it to \"closed\"".to_owned();
            vec![problem(format!("{key}.on-fault"), error.to_string(), mend)]
        }
        error => {
            let mend = "`sluicegate plugin inspect FILE` shows what is in a component".to_owned();
            vec![problem(format!("{key}.source"), error.to_string(), mend)]
        }
    }
}

/// Stages belong in pipelines, observers beside them, adapters to upstreams, and a front comes first.
fn check_places(
    config: &Config,
    plugins: &BTreeMap<String, Arc<Plugin>>,
    problems: &mut Vec<Problem>,
) {
    for (at, route) in config.routes.iter().enumerate() {
        for (index, name) in route.pipeline.iter().enumerate() {
            if let Some(plugin) = plugins.get(name)
                && let Some((message, mend)) = misplaced_stage(name, plugin, index, &route.upstream)
            {
                problems.push(problem(
                    format!("route[{at}].pipeline[{index}]"),
                    message,
                    mend,
                ));
            }
        }
        for (index, name) in route.observers.iter().enumerate() {
            if plugins
                .get(name)
                .is_some_and(|plugin| !plugin.exports().observer)
            {
                problems.push(problem(
                    format!("route[{at}].observers[{index}]"),
                    format!(
                        "the plugin `{name}` is not an observer: it does not export `observer`"
                    ),
                    "name it under `pipeline`".into(),
                ));
            }
        }
    }
    for upstream in config.upstreams.values() {
        let adapter = upstream.adapter.as_ref();
        if let Some((name, plugin)) = adapter.and_then(|name| plugins.get_key_value(name))
            && plugin.manifest().adapter.is_none()
        {
            problems.push(problem(
                format!("upstream.{}.adapter", upstream.name),
                format!("the plugin `{name}` is not an adapter: its manifest names no vendor"),
                "name it in a route's `pipeline`, or name an adapter such as \"ollama\"".into(),
            ));
        }
    }
}

/// What is wrong with a plugin at this place of a pipeline, and how to mend it.
fn misplaced_stage(
    name: &str,
    plugin: &Plugin,
    index: usize,
    upstream: &str,
) -> Option<(String, String)> {
    let manifest = plugin.manifest();
    if manifest.adapter.is_some() {
        return Some((
            format!("the plugin `{name}` is an adapter, which belongs to an upstream"),
            format!("remove it here, and add adapter = \"{name}\" to [upstream.{upstream}]"),
        ));
    }
    if !plugin.exports().is_stage() {
        return Some((
            format!("the plugin `{name}` is an observer"),
            "name it under `observers`".into(),
        ));
    }
    if manifest.front.is_some() && index > 0 {
        return Some((
            format!("the plugin `{name}` is a front, and a stage stands before it"),
            "put it first in the pipeline".into(),
        ));
    }
    None
}

fn upstreams(
    config: &Config,
    plugins: &BTreeMap<String, Arc<Plugin>>,
    metrics: &Metrics,
    previous: Option<&Snapshot>,
    problems: &mut Vec<Problem>,
) -> HashMap<Arc<str>, Arc<Upstream>> {
    let mut upstreams = HashMap::new();
    for (name, upstream) in &config.upstreams {
        let before = previous.and_then(|previous| previous.upstreams.get(name.as_str()));
        let vendor = health::vendor(upstream, plugins);
        match Upstream::new(upstream, vendor, before.map(|before| &**before), metrics) {
            Ok(upstream) => {
                upstreams.insert(upstream.name.clone(), Arc::new(upstream));
            }
            Err(error) => {
                let mend = "give the target as `http://host:port`".to_owned();
                problems.push(problem(
                    format!("upstream.{name}.targets"),
                    error.to_string(),
                    mend,
                ));
            }
        }
    }
    upstreams
}

fn problem(key: String, message: String, mend: String) -> Problem {
    Problem {
        key,
        line: None,
        message,
        mend,
    }
}
