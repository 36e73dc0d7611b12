//! What the commands are given: a component and its configuration.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use sluicegate_config::{Grant, HttpGrant, Plugin, SetLimits, Source};
use sluicegate_contract::capability::{kv, rate};
use sluicegate_plugin_host::load;

/// The bytes of a component, or of a plugin that ships.
///
/// # Errors
/// A sentence for the user.
pub(super) fn read(file: &Path) -> Result<Arc<[u8]>, String> {
    if let Some(name) = file.to_str().and_then(|name| name.strip_prefix("builtin:")) {
        return crate::embedded()
            .plugins
            .find(name)
            .map(Arc::from)
            .map_err(|error| format!("{error}; there are {}", error.names));
    }
    // One byte more than a component may have: what is larger is refused for its size.
    bounded(file, load::MAX_BYTES as u64 + 1)
        .map(Arc::from)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))
}

/// No more of a file than `most` bytes.
pub(super) fn bounded(file: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A configuration: an object in JSON, or the name of a file with one in JSON or TOML.
///
/// # Errors
/// A sentence for the user.
pub(super) fn configuration(given: &str) -> Result<Value, String> {
    if given.trim_start().starts_with('{') {
        return serde_json::from_str(given)
            .map_err(|error| format!("--config is not JSON: {error}"));
    }
    configuration_file(Path::new(given))
}

/// The most bytes of a configuration. Arbitrary; keys of ten thousand tenants fit.
const CONFIGURATION_MAX: u64 = 4 << 20;

/// A configuration in a file: TOML by its name, else JSON.
///
/// # Errors
/// A sentence for the user.
pub(super) fn configuration_file(file: &Path) -> Result<Value, String> {
    let name = file.display();
    let bytes = bounded(file, CONFIGURATION_MAX + 1)
        .map_err(|error| format!("the configuration {name} cannot be read: {error}"))?;
    if bytes.len() as u64 > CONFIGURATION_MAX {
        return Err(format!(
            "the configuration {name} has more than {CONFIGURATION_MAX} bytes"
        ));
    }
    if file
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        let text = String::from_utf8_lossy(&bytes);
        return toml::from_str(&text).map_err(|error| format!("{name} is not TOML: {error}"));
    }
    serde_json::from_slice(&bytes).map_err(|error| format!("{name} is not JSON: {error}"))
}

/// A plugin as a configuration would name it. It is granted every capability, but no server that it may ask.
pub(super) fn plugin(file: &Path, config: Option<Value>) -> Plugin {
    let stem = file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    Plugin {
        name: stem.unwrap_or_else(|| "plugin".into()),
        source: Source::File(file.to_owned()),
        fail_open: false,
        limits: SetLimits::default(),
        grant: Grant {
            http: Some(HttpGrant::default()),
            kv: Some(kv::Quota::default()),
            rate: Some(rate::PAIRS),
            metrics: true,
        },
        config: config.unwrap_or_else(|| json!({})),
        secrets: BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_json_or_the_name_of_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a.toml"), "words = [\"x\"]").expect("room");
        std::fs::write(path("a.json"), r#"{"words":["x"]}"#).expect("room");
        let wanted = json!({"words": ["x"]});
        for given in [
            r#" {"words":["x"]}"#,
            path("a.toml").to_str().expect("UTF-8"),
            path("a.json").to_str().expect("UTF-8"),
        ] {
            assert_eq!(configuration(given).as_ref(), Ok(&wanted), "{given}");
        }
        for (given, words) in [("{", "not JSON"), ("/nowhere.json", "cannot be read")] {
            let error = configuration(given).expect_err(given);
            assert!(error.contains(words), "{error}");
        }
        std::fs::write(path("b.toml"), "words = ").expect("room");
        let error = configuration_file(&path("b.toml")).expect_err("no TOML");
        assert!(error.contains("not TOML"), "{error}");
    }
}
