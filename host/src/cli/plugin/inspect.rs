//! `plugin inspect`: what a component is, as the gateway sees it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{BAD_CONFIGURATION, print};
use crate::builtin;
use sluicegate_config::{Plugin, SetLimits, Source};
use sluicegate_plugin_host::{Engine, Plugin as Loaded, load};
use sluicegate_telemetry::metrics::Metrics;

/// Loads the component and prints its description as JSON.
pub(super) async fn inspect(file: &Path, configuration: &str) -> ExitCode {
    let config = match serde_json::from_str(configuration) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("sluicegate: --config is not JSON: {error}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    let bytes: Arc<[u8]> = match read(file) {
        Ok(bytes) => bytes,
        Err(message) => {
            eprintln!("sluicegate: {message}");
            return ExitCode::FAILURE;
        }
    };
    let engine = match Engine::new() {
        Ok(engine) => engine,
        Err(error) => {
            eprintln!("sluicegate: {error}");
            return ExitCode::FAILURE;
        }
    };
    let name = file.file_stem().map_or_else(
        || "plugin".into(),
        |stem| stem.to_string_lossy().into_owned(),
    );
    let plugin = Plugin {
        name,
        source: Source::File(file.to_owned()),
        fail_open: false,
        limits: SetLimits::default(),
        config,
        secrets: BTreeSet::new(),
    };
    let began = Instant::now();
    let metrics = Metrics::new().plugin(&plugin.name);
    match load::load(&engine, &plugin, bytes.clone(), metrics).await {
        Ok(loaded) => {
            let description = describe(&loaded, bytes.len(), began.elapsed());
            print(&format!("{description:#}\n"))
        }
        Err(error) => {
            eprintln!("sluicegate: {} cannot be loaded: {error}", file.display());
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

fn describe(plugin: &Loaded, bytes: usize, time: Duration) -> Value {
    let manifest = plugin.manifest();
    let adapter = manifest.adapter.as_ref().map(
        |adapter| json!({"vendor": adapter.vendor, "health": adapter.health, "info": adapter.info}),
    );
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "summary": manifest.summary,
        "exports": plugin.exports().names().collect::<Vec<_>>(),
        "front": manifest.front,
        "adapter": adapter,
        "response-if": manifest.response_if,
        "transforms": manifest.transforms,
        "authenticates": manifest.authenticates,
        "limits": {
            "memory-bytes": plugin.limits().memory,
            "cpu-ms": plugin.limits().cpu.as_millis(),
            "output-bytes": plugin.limits().output,
        },
        "contract": load::CONTRACT,
        "image": if plugin.is_imaged() { "captured" } else { "none: `configure` runs in every instance" },
        "hash": plugin.hash(),
        "component-bytes": bytes,
        "code-bytes": plugin.code_bytes(),
        "load-ms": time.as_millis(),
        "config-schema": manifest.config,
    })
}

fn read(file: &Path) -> Result<Arc<[u8]>, String> {
    if let Some(name) = file.to_str().and_then(|name| name.strip_prefix("builtin:")) {
        return builtin::PLUGINS
            .find(name)
            .map(Arc::from)
            .map_err(|error| format!("{error}; there are {}", error.names));
    }
    std::fs::read(file)
        .map(Arc::from)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))
}
