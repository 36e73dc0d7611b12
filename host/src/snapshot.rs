//! The snapshot: routes, plugin versions and upstreams in force, made from a configuration as a whole or not at all.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::join_all;
use hyper::Method;

use crate::config::{Config, Plugin, Problem, Problems, Source};
use crate::pipeline::{Pipeline, observer};
use crate::plugin::load::{self, load};
use crate::plugin::{Engine, Role, Version};
use crate::route::{Route, Routes};
use crate::telemetry::metrics::Metrics;
use crate::upstream::Upstream;
use crate::{builtin, config};

/// What every exchange begins and ends with.
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
    /// All plugins by their name in the configuration.
    pub plugins: BTreeMap<String, Arc<Version>>,
}

/// Work that goes with a snapshot; each ends by itself when the snapshot is gone.
pub type Worker = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Loads all plugins and puts the routes together.
///
/// # Shape
/// The snapshot, and the observers' workers, which must be run for observers to see anything.
///
/// # Errors
/// All problems that there are, each with its key in the configuration. Nothing is started then.
pub async fn build(
    config: &Config,
    engine: &Engine,
    metrics: &Metrics,
) -> Result<(Snapshot, Vec<Worker>), Problems> {
    let mut problems = Vec::new();
    let plugins = load_plugins(config, engine, metrics, &mut problems).await;
    let upstreams = upstreams(config, metrics, &mut problems);
    check_roles(config, &plugins, &mut problems);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }

    let mut workers: Vec<Worker> = Vec::new();
    let mut queues = HashMap::new();
    for version in plugins
        .values()
        .filter(|version| version.role() == Role::Observer)
    {
        let (queue, worker) = observer::start(version.clone(), metrics.plugin(version.name()));
        queues.insert(version.name().to_owned(), queue);
        workers.push(Box::pin(worker));
    }
    let mut routes = Routes::default();
    for route in &config.routes {
        let label = label(&route.path);
        let pipeline = Pipeline {
            stages: route
                .pipeline
                .iter()
                .filter_map(|name| plugins.get(name))
                .cloned()
                .collect(),
            observers: route
                .observers
                .iter()
                .filter_map(|name| queues.get(name))
                .cloned()
                .collect(),
        };
        let ready = Route {
            metrics: metrics.route(&label),
            label: label.into(),
            methods: route
                .methods
                .iter()
                .filter_map(|method| method.parse::<Method>().ok())
                .collect(),
            pipeline,
            upstream: route.upstream.as_str().into(),
        };
        routes.add(&route.path, Arc::new(ready));
    }
    let observers = config.routes.iter().flat_map(|route| &route.observers);
    let observed: BTreeMap<_, _> = observers
        .filter_map(|name| queues.get(name).map(|queue| (name, queue.clone())))
        .collect();
    let unmatched = Route {
        label: "".into(),
        methods: Vec::new(),
        pipeline: Pipeline {
            stages: Vec::new(),
            observers: observed.into_values().collect(),
        },
        upstream: "".into(),
        metrics: metrics.route(""),
    };
    let snapshot = Snapshot {
        routes,
        unmatched: Arc::new(unmatched),
        upstream_names: upstreams.keys().cloned().collect(),
        upstreams,
        plugins,
    };
    Ok((snapshot, workers))
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
    metrics: &Metrics,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Arc<Version>> {
    let loads = config
        .plugins
        .values()
        .map(|plugin| load_plugin(plugin, engine, metrics));
    let mut plugins = BTreeMap::new();
    for (plugin, loaded) in config.plugins.values().zip(join_all(loads).await) {
        match loaded {
            Ok(version) => {
                plugins.insert(plugin.name.clone(), version);
            }
            Err(found) => problems.extend(found),
        }
    }
    plugins
}

async fn load_plugin(
    plugin: &Plugin,
    engine: &Engine,
    metrics: &Metrics,
) -> Result<Arc<Version>, Vec<Problem>> {
    let key = format!("plugin.{}", plugin.name);
    let octets: Arc<[u8]> = match &plugin.source {
        Source::Builtin(name) => match builtin::find(name) {
            Some(octets) => octets.into(),
            None => {
                let names: Vec<_> = builtin::names().collect();
                let mend = format!(
                    "use one of {}, or the path of a component",
                    names.join(", ")
                );
                return Err(vec![problem(
                    format!("{key}.source"),
                    format!("there is no plugin `{name}` inside"),
                    mend,
                )]);
            }
        },
        Source::File(path) => match tokio::fs::read(path).await {
            Ok(octets) => octets.into(),
            Err(error) => {
                let message = format!("{} cannot be read: {error}", path.display());
                return Err(vec![problem(
                    format!("{key}.source"),
                    message,
                    "give the path of a component".into(),
                )]);
            }
        },
    };
    load(engine, plugin, octets, metrics.plugin(&plugin.name))
        .await
        .map_err(|error| explain(&key, error))
}

/// A load error as problems of the configuration.
fn explain(key: &str, error: load::Error) -> Vec<Problem> {
    match error {
        load::Error::Schema(deviations) => deviations
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

/// Gates and filters belong in pipelines, observers beside them.
fn check_roles(
    config: &Config,
    plugins: &BTreeMap<String, Arc<Version>>,
    problems: &mut Vec<Problem>,
) {
    for (at, route) in config.routes.iter().enumerate() {
        for (place, names) in [
            ("pipeline", &route.pipeline),
            ("observers", &route.observers),
        ] {
            for (index, name) in names.iter().enumerate() {
                let Some(version) = plugins.get(name) else {
                    continue;
                };
                let role = version.role();
                let fits = (role == Role::Observer) == (place == "observers");
                if !fits {
                    let message = format!("the plugin `{name}` is {}", role.with_article());
                    let mend = match role {
                        Role::Observer => "name it under `observers`".to_owned(),
                        Role::Gate | Role::Filter => "name it under `pipeline`".to_owned(),
                    };
                    problems.push(problem(
                        format!("route[{at}].{place}[{index}]"),
                        message,
                        mend,
                    ));
                }
            }
        }
    }
}

fn upstreams(
    config: &Config,
    metrics: &Metrics,
    problems: &mut Vec<Problem>,
) -> HashMap<Arc<str>, Arc<Upstream>> {
    let mut upstreams = HashMap::new();
    for (name, upstream) in &config.upstreams {
        match Upstream::new(upstream, metrics) {
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
