//! Who can reach what: listeners off loopback, and secrets that stand in the configuration's file.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::problem;
use sluicegate_config::{Config, Problem, Route};
use sluicegate_plugin_host::Plugin;

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
fn is_open(route: &Route, plugins: &BTreeMap<String, Arc<Plugin>>) -> bool {
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
        let mut found = Vec::new();
        secrets(schema, &configured.config, "", &mut found);
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

/// The JSON pointers of the strings that a schema marks as secrets, with `"writeOnly": true`.
///
/// # Source
/// JSON Schema Validation 2020-12, section 9.4: such a value "is never present when the value is retrieved", as with passwords.
fn secrets(schema: &Value, value: &Value, pointer: &str, found: &mut Vec<String>) {
    let marked = schema.get("writeOnly").and_then(Value::as_bool) == Some(true);
    if marked && value.is_string() && !found.iter().any(|known| known == pointer) {
        found.push(pointer.to_owned());
    }
    for several in ["allOf", "anyOf", "oneOf"] {
        let schemas = schema.get(several).and_then(Value::as_array);
        for schema in schemas.into_iter().flatten() {
            secrets(schema, value, pointer, found);
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, schema) in properties.into_iter().flatten() {
        if let Some(value) = value.get(name) {
            let name = name.replace('~', "~0").replace('/', "~1");
            secrets(schema, value, &format!("{pointer}/{name}"), found);
        }
    }
    if let Some(schema) = schema.get("items") {
        for (index, value) in value.as_array().into_iter().flatten().enumerate() {
            secrets(schema, value, &format!("{pointer}/{index}"), found);
        }
    }
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
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_found_wherever_a_schema_can_mark_them() {
        let secret = json!({"type": "string", "writeOnly": true});
        let schema = json!({
            "properties": {
                "keys": {"items": {"properties": {"key": secret, "name": {"type": "string"}}}},
                "a/b": {"oneOf": [{"properties": {"x": secret}}, {"properties": {"y": {}}}]},
                "both": {"allOf": [secret, secret]},
                "number": secret,
            }
        });
        let value = json!({
            "keys": [{"key": "k"}, {"name": "n"}, {"key": "l"}],
            "a/b": {"x": "v", "y": "w"},
            "both": "b",
            "number": 1,
        });
        let mut found = Vec::new();
        secrets(&schema, &value, "", &mut found);
        found.sort();
        assert_eq!(found, ["/a~1b/x", "/both", "/keys/0/key", "/keys/2/key"]);
        let paths: Vec<String> = found.iter().map(|pointer| path(pointer)).collect();
        assert_eq!(paths, [".a/b.x", ".both", ".keys[0].key", ".keys[2].key"]);
    }
}
