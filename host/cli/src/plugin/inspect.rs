//! `plugin inspect`: what a component is, as the gateway sees it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::refusal::Refusal;
use super::{log, source, warning};
use crate::{BAD_CONFIGURATION, print};
use sluicegate_plugin_host::{Engine, Loader, Plugin as Loaded, Toolchain, load};
use sluicegate_telemetry::metrics::Metrics;

/// Loads the component and prints its description as JSON.
pub(super) async fn inspect(file: &Path, configuration: &str) -> ExitCode {
    log::show(false);
    let config = match source::configuration(configuration) {
        Ok(config) => config,
        Err(message) => {
            eprintln!("sluicegate: {message}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    let bytes: Arc<[u8]> = match source::read(file) {
        Ok(bytes) => bytes,
        Err(message) => {
            eprintln!("sluicegate: {message}");
            return ExitCode::FAILURE;
        }
    };
    let loader = match Engine::new() {
        Ok(engine) => Loader::new(engine),
        Err(error) => {
            eprintln!("sluicegate: {error}");
            return ExitCode::FAILURE;
        }
    };
    let plugin = source::plugin(file, Some(config));
    let began = Instant::now();
    let metrics = Metrics::new().plugin(&plugin.name);
    match loader.load(&plugin, bytes.clone(), metrics).await {
        Ok(loaded) => {
            let toolchain = Toolchain::of(&bytes);
            for warning in warning::of_language(toolchain, &loaded) {
                warning.print();
            }
            let description = describe(&loaded, toolchain, bytes.len(), began.elapsed());
            print(&format!("{description:#}\n"))
        }
        Err(error) => {
            Refusal::of(&error, &bytes).print(file);
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

fn describe(plugin: &Loaded, toolchain: Toolchain, bytes: usize, time: Duration) -> Value {
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
        "capabilities": {
            "imports": plugin.capabilities().iter().map(|it| it.name()).collect::<Vec<_>>(),
            "requires": manifest.requires,
        },
        "limits": {
            "memory-bytes": plugin.limits().memory,
            "cpu-ms": plugin.limits().cpu.as_millis(),
            "output-bytes": plugin.limits().output,
        },
        "language": toolchain.language(),
        "contract": load::CONTRACT,
        "image": if plugin.is_imaged() { "captured" } else { "none: `configure` runs in every instance" },
        "hash": plugin.hash(),
        "component-bytes": bytes,
        "code-bytes": plugin.code_bytes(),
        "load-ms": time.as_millis(),
        "config-schema": manifest.config,
    })
}
