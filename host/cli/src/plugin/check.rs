//! `plugin check`: what an author wants to know of a component before it is shipped.

mod report;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use self::report::Report;
use super::refusal::Refusal;
use super::{log, source};
use crate::{BAD_CONFIGURATION, print};
use sluicegate_plugin_host::{Engine, Loader, Toolchain, load, manifest, rehearse::rehearse};
use sluicegate_telemetry::metrics::Metrics;

/// Checks the component and prints what was found.
pub(super) async fn check(file: &Path, config: Option<&str>, json: bool) -> ExitCode {
    if !json {
        log::show(false);
    }
    let config = match config.map(source::configuration).transpose() {
        Ok(config) => config,
        Err(message) => {
            eprintln!("sluicegate: {message}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    let report = match source::read(file) {
        Ok(bytes) => match examine(file, config, bytes).await {
            Ok(report) => report,
            Err(message) => {
                eprintln!("sluicegate: {message}");
                return ExitCode::FAILURE;
            }
        },
        Err(reason) => Report::unread(reason),
    };
    let printed = if json {
        print(&format!("{:#}\n", report.json(file)))
    } else {
        let printed = print(&report.text(file));
        report.print_problems(file);
        printed
    };
    if report.refused.is_some() {
        return ExitCode::from(BAD_CONFIGURATION);
    }
    printed
}

/// Rehearses, then loads.
///
/// # Errors
/// The engine does not start.
async fn examine(file: &Path, config: Option<Value>, bytes: Arc<[u8]>) -> Result<Report, String> {
    let engine = Engine::new().map_err(|error| error.to_string())?;
    let is_given = config.is_some();
    let plugin = source::plugin(file, config);
    let metrics = Metrics::new().plugin(&plugin.name);
    let rehearsal = rehearse(&engine, &plugin, &bytes, metrics.clone()).await;
    let began = Instant::now();
    let loaded = Loader::new(engine)
        .load(&plugin, bytes.clone(), metrics)
        .await;
    let loading = began.elapsed();
    let mut report = Report::of(rehearsal, bytes.len(), is_given);
    match loaded {
        Ok(plugin) => report.loaded(&plugin, Toolchain::of(&bytes), loading),
        Err(error) if !is_given && is_about_configuration(&error) => report.incomplete(&error),
        Err(error) => report.refused = Some(Refusal::of(&error, &bytes)),
    }
    Ok(report)
}

/// Whether another configuration could help.
const fn is_about_configuration(error: &load::Error) -> bool {
    matches!(
        error,
        load::Error::Manifest(manifest::Error::Schema(_)) | load::Error::Refused(_)
    )
}
