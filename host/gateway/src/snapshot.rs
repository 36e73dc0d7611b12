//! The snapshot: routes, plugin versions and upstreams in force, made from a configuration as a whole or not at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::models::Models;
use crate::pipeline::{Pipeline, observer};
use crate::route::{Route, Routes};
use crate::supply::Supply;
use sluicegate_config::{self as config, Config, Problem, Problems};
use sluicegate_plugin_host::Plugin;
use sluicegate_telemetry::metrics::Metrics;
use sluicegate_upstream::{Upstream, Vendor};

mod exposure;
mod health;
mod listers;
mod members;
mod names;
mod places;
mod plugins;
mod routes;
mod stalls;
mod tenants;

use health::Watch;
use listers::Lister;
use names::Lookup;
pub use plugins::Component;
pub(crate) use plugins::{load_first, used_instead};
use stalls::Mender;

/// What every exchange begins with.
///
/// It owns the tasks that go with it, health checks and observers: they end when the last snapshot or exchange that has them is
/// gone. An exchange takes the parts of it that it needs to its end, so that a long stream does not keep the plugins of other
/// routes.
#[derive(Debug)]
pub struct Snapshot {
    /// All routes.
    pub routes: Routes,
    /// Stands in for the route of an exchange that matches none: no stages, but all observers.
    pub unmatched: Arc<Route>,
    /// All upstreams by name.
    pub upstreams: Arc<HashMap<Arc<str>, Arc<Upstream>>>,
    /// Their names, for stages that choose one.
    pub upstream_names: Arc<[Arc<str>]>,
    /// Which upstreams serve which models.
    pub models: Arc<Models>,
    /// The adapters of upstreams that have one, by the upstream's name.
    pub adapters: Arc<Adapters>,
    /// All plugins by their name in the configuration.
    pub plugins: BTreeMap<String, Arc<Plugin>>,
    /// Limits and times for all exchanges.
    pub server: Arc<config::Server>,
    /// Who may use the admin interface, where there is one.
    pub admin: Option<config::Admin>,
    /// The queues of the plugins that observe.
    observers: HashMap<String, Observer>,
    /// What looks after the targets.
    pub tasks: Arc<Tasks>,
    /// What asks the targets for their models. Not among the tasks, which exchanges hold: it holds adapters.
    listers: Vec<Arc<Lister>>,
}

/// Adapters by the name of their upstream.
pub type Adapters = HashMap<Arc<str>, Arc<Plugin>>;

/// What looks after the targets of a snapshot, as long as this exists.
#[derive(Debug)]
pub struct Tasks {
    /// The health checks of all targets that have one.
    watches: Vec<Arc<Watch>>,
    /// What looks after all targets whose models can be suspected.
    menders: Vec<Arc<Mender>>,
    /// What looks up the names whose addresses are targets.
    lookups: Vec<Arc<Lookup>>,
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
    components: BTreeMap<String, Component>,
    kept: Vec<Problem>,
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

    /// Its plugins by name.
    #[must_use]
    pub fn plugins(&self) -> &BTreeMap<String, Arc<Plugin>> {
        &self.plugins
    }

    /// The components of plugins that were not in use before and come from a file, by the plugin's name.
    #[must_use]
    pub fn components(&self) -> &BTreeMap<String, Component> {
        &self.components
    }

    /// Why plugins keep another version than the one that is configured.
    #[must_use]
    pub fn kept(&self) -> &[Problem] {
        &self.kept
    }

    /// How many upstreams it has.
    #[must_use]
    pub fn upstreams(&self) -> usize {
        self.upstreams.len()
    }
}

/// Loads all plugins and sets all upstreams up. What has not changed is taken over from the `previous` snapshot: the same
/// plugin versions, and the same targets with their connections and what is known of them. A plugin whose file has changed to
/// something that cannot be used keeps its version.
///
/// # Errors
/// All problems that there are, each with its key in the configuration. Nothing is left behind.
pub async fn prepare(
    config: Config,
    supply: &Supply,
    previous: Option<&Snapshot>,
) -> Result<Prepared, Problems> {
    let mut problems = Vec::new();
    let loaded = plugins::load_all(&config, supply, previous, &mut problems).await;
    let (mut plugins, mut components) = (BTreeMap::new(), BTreeMap::new());
    let mut kept = Vec::new();
    for (name, it) in loaded {
        kept.extend(it.kept);
        components.extend(it.component.map(|component| (name.clone(), component)));
        plugins.insert(name, it.plugin);
    }
    let all_load = problems.is_empty();
    let assembled = assemble(config.clone(), plugins.clone(), supply, previous, problems);
    let prepared = match assembled {
        Ok(prepared) => prepared,
        Err(problems) => {
            let unfit = all_load.then(|| without_new_files(&plugins, previous));
            let assembled = unfit.flatten().and_then(|(staying, unfit)| {
                let prepared = assemble(config, staying, supply, previous, Vec::new());
                Some((prepared.ok()?, unfit))
            });
            let Some((prepared, unfit)) = assembled else {
                for (name, plugin) in &plugins {
                    supply.versions.unused(name, plugin.version());
                }
                return Err(problems);
            };
            for plugin in unfit {
                components.remove(plugin.name());
                kept.extend(plugins::does_not_fit(&plugin, &problems, supply).await);
            }
            prepared
        }
    };
    Ok(Prepared {
        components,
        kept,
        ..prepared
    })
}

/// Plugins by their name in the configuration.
type Plugins = BTreeMap<String, Arc<Plugin>>;

/// These plugins with the versions in force in place of those of which only the file has changed, and the latter; `None` if there
/// is none.
fn without_new_files(
    plugins: &Plugins,
    previous: Option<&Snapshot>,
) -> Option<(Plugins, Vec<Arc<Plugin>>)> {
    let previous = previous?;
    let (mut staying, mut unfit) = (plugins.clone(), Vec::new());
    for (name, plugin) in plugins {
        let before = previous.plugins.get(name);
        let before = before.filter(|it| it.made_with() == plugin.made_with());
        if let Some(before) = before.filter(|it| !Arc::ptr_eq(it, plugin)) {
            staying.insert(name.clone(), before.clone());
            unfit.push(plugin.clone());
        }
    }
    (!unfit.is_empty()).then_some((staying, unfit))
}

/// As [`prepare`], with these plugins. `problems` are those that are known already.
///
/// # Errors
/// As [`prepare`].
pub fn assemble(
    mut config: Config,
    plugins: BTreeMap<String, Arc<Plugin>>,
    supply: &Supply,
    previous: Option<&Snapshot>,
    mut problems: Vec<Problem>,
) -> Result<Prepared, Problems> {
    let upstreams = upstreams(&config, &plugins, &supply.metrics, previous, &mut problems);
    places::check(&config, &plugins, &mut problems);
    health::check(&config, &plugins, &mut problems);
    exposure::check(&mut config, &plugins, &mut problems);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let mut warnings = health::warnings(&config, &plugins);
    warnings.extend(exposure::warnings(&config, &plugins));
    warnings.extend(tenants::warnings(&config, &plugins));
    Ok(Prepared {
        warnings,
        config,
        plugins,
        upstreams,
        components: BTreeMap::new(),
        kept: Vec::new(),
    })
}

impl Prepared {
    /// For each route, how many sandboxes one exchange can hold that asks the route's own upstream.
    pub fn sandboxes(&self) -> impl Iterator<Item = (String, usize)> {
        self.config.routes.iter().map(|route| {
            let sandboxes = routes::sandboxes(&self.config, &self.plugins, route, &route.upstream);
            (route.path.to_string(), sandboxes)
        })
    }

    /// Looks up the names of model servers that are new, so that the first requests find them. That takes 2 s at most.
    pub async fn look_up_names(&self, supply: &Supply) {
        names::look_up_first(self.upstreams.values(), supply).await;
    }

    /// Makes the snapshot and starts what goes with it; what runs already for the `previous` one goes on.
    #[must_use]
    pub fn start(
        self,
        workers: &Workers,
        supply: &Supply,
        previous: Option<&Snapshot>,
    ) -> Snapshot {
        let metrics = &*supply.metrics;
        let Self {
            config,
            warnings,
            plugins,
            upstreams,
            ..
        } = self;
        for Problem {
            key, message, mend, ..
        } in &warnings
        {
            tracing::warn!(key, mend, "configuration: {key} {message}");
        }
        let observers = start_observers(&plugins, workers, metrics, previous);
        let adapters: Adapters = config
            .upstreams
            .values()
            .filter_map(|upstream| {
                let adapter = plugins.get(upstream.adapter.as_deref()?)?;
                Some((upstream.name.as_str().into(), adapter.clone()))
            })
            .collect();
        let menders = stalls::mend_all(upstreams.values(), workers, previous);
        let watches = health::watch_all(&config, &upstreams, &adapters, workers, previous);
        let lookups = names::look_up_all(&upstreams, workers, supply, previous);
        let listers = listers::start_all(&upstreams, &adapters, workers, previous);
        let mut routes = Routes::default();
        for configured in &config.routes {
            let route = routes::route(&config, configured, &plugins, &observers, metrics);
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
                observers: routes::queues(observed, &observers),
            },
            upstream: "".into(),
            fallback: Vec::new(),
            sandboxes: HashMap::new(),
            on_disconnect: config::OnDisconnect::Cancel,
            metrics: metrics.route(""),
        };
        Snapshot {
            routes,
            unmatched: Arc::new(unmatched),
            upstream_names: upstreams.keys().cloned().collect(),
            upstreams: Arc::new(upstreams),
            models: Arc::new(Models::new(&config.models, |upstream| {
                let upstream = config.upstreams.get(upstream);
                upstream.map_or(Vendor::Other, |it| health::vendor(it, &plugins))
            })),
            adapters: Arc::new(adapters),
            plugins,
            server: Arc::new(config.server),
            admin: config.admin,
            observers,
            tasks: Arc::new(Tasks {
                watches,
                menders,
                lookups,
            }),
            listers,
        }
    }
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
