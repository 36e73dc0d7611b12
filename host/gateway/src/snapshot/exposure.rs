//! Who can reach what: listeners off loopback, and secrets that stand in the configuration's file.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::problem;
use sluicegate_config::{Config, Problem, Route};
use sluicegate_plugin_host::{Plugin, secret};

/// Off loopback every route must be behind a stage that authenticates, unless the operator says otherwise. On loopback, where
/// browsers can come in, a listener gets its rule for hosts, unless every route is.
pub(super) fn check(
    config: &mut Config,
    plugins: &BTreeMap<String, Arc<Plugin>>,
    problems: &mut Vec<Problem>,
) {
    let open = config.routes.iter().filter(|route| is_open(route, plugins));
    let open: Vec<String> = open.map(|route| route.path.to_string()).collect();
    if open.is_empty() {
        return;
    }
    for listener in &mut config.listeners {
        if listener.listen.ip().is_loopback() {
            listener.hosts.get_or_insert_default();
        } else if !listener.open {
            problems.push(listener.position.problem(
                format!("is off loopback, and needs no key for {}", open.join(", ")),
                "listen on 127.0.0.1, put a plugin that authenticates into each pipeline, such as builtin:auth with keys \
                 (SLUICEGATE_API_KEY adds a key), or write open = true if everyone may use it"
                    .into(),
            ));
        }
    }
}

/// Whether a client without credentials gets past all stages. A stage that could not be loaded is a problem of its own.
pub(super) fn is_open(route: &Route, plugins: &BTreeMap<String, Arc<Plugin>>) -> bool {
    route.pipeline.iter().all(|name| {
        let plugin = plugins.get(name);
        plugin.is_some_and(|plugin| !plugin.authenticates())
    })
}

/// Secrets of plugins that are plain text in the file, where a listener is off loopback.
pub(super) fn warnings(config: &Config, plugins: &BTreeMap<String, Arc<Plugin>>) -> Vec<Problem> {
    let mut listeners = config.listeners.iter();
    if listeners.all(|listener| listener.listen.ip().is_loopback()) {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    for (name, configured) in &config.plugins {
        let schema = plugins.get(name).map(|plugin| &plugin.manifest().config);
        let Some(Some(schema)) = schema else { continue };
        let mut found = secret::pointers(schema, &configured.config);
        found.retain(|pointer| !configured.secrets.contains(pointer));
        warnings.extend(found.iter().map(|pointer| {
            problem(
                format!("plugin.{name}.config{}", path(pointer)),
                "is a secret in plain text, and a listener is off loopback".into(),
                r#"write { env = "NAME" } or { file = "path" } instead"#.into(),
            )
        }));
    }
    warnings
}

/// A JSON pointer as the path of a key: `/keys/0/key` is `.keys[0].key`.
fn path(pointer: &str) -> String {
    let part = |part: &str| {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("[{part}]")
        } else {
            format!(".{}", part.replace("~1", "/").replace("~0", "~"))
        }
    };
    pointer.split('/').skip(1).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_told_as_the_path_of_a_key() {
        let pointers = ["/a~1b/x", "/both", "/keys/0/key", "/keys/2/key"];
        let paths: Vec<String> = pointers.iter().map(|pointer| path(pointer)).collect();
        assert_eq!(paths, [".a/b.x", ".both", ".keys[0].key", ".keys[2].key"]);
    }
}
