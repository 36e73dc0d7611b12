//! From the configured routes to those that exchanges take.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hyper::Method;

use super::Observer;
use crate::pipeline::{Pipeline, observer};
use crate::route::Route;
use sluicegate_config::{self as config, Config};
use sluicegate_plugin_host::Plugin;
use sluicegate_telemetry::metrics::Metrics;

pub(super) fn route(
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
        on_disconnect: configured.on_disconnect,
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
/// one adapter at a time. Where models are routed, the route's own upstream stands for all that serve one.
pub(super) fn sandboxes(
    config: &Config,
    plugins: &BTreeMap<String, Arc<Plugin>>,
    route: &config::Route,
    upstream: &String,
) -> usize {
    let plugin = |name: &String| plugins.get(name);
    let stages = route.pipeline.iter().filter_map(plugin);
    let models = config.models.iter().filter(|_| *upstream == route.upstream);
    let served = models.flat_map(config::Model::served_by);
    let asked = std::iter::once(upstream)
        .chain(&route.fallback)
        .chain(served.map(|served| &served.upstream));
    let adapters = asked.filter_map(|name| {
        let upstream = config.upstreams.get(name)?;
        plugin(upstream.adapter.as_ref()?)
    });
    let adapter = adapters.map(|adapter| adapter.sandboxes()).max();
    let stages: usize = stages.map(|stage| stage.sandboxes()).sum();
    stages + adapter.unwrap_or(0)
}

pub(super) fn queues<'n>(
    names: impl IntoIterator<Item = &'n String>,
    observers: &HashMap<String, Observer>,
) -> Vec<observer::Queue> {
    names
        .into_iter()
        .filter_map(|name| observers.get(name))
        .map(|observer| observer.queue.clone())
        .collect()
}

/// The route's path as it is configured, which is also its name in logs and metrics.
fn label(path: &config::PathPattern) -> String {
    match path {
        config::PathPattern::Exact(path) => path.clone(),
        config::PathPattern::Prefix(prefix) => format!("{prefix}*"),
    }
}
