//! Whether each plugin is where it can be: stages in pipelines, adapters at upstreams, observers among the observers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::problem;
use sluicegate_config::{Config, Problem};
use sluicegate_plugin_host::Plugin;

/// Stages belong in pipelines, observers beside them, adapters to upstreams, and a front comes first.
pub(super) fn check(
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
