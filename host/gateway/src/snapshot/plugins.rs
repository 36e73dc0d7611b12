//! From the configured plugins to loaded ones, and what is wrong with those that do not load.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::io::AsyncReadExt;

use super::{Snapshot, problem};
use sluicegate_config::{self as config, Config, Problem, Source};
use sluicegate_plugin_host::load;
use sluicegate_plugin_host::{Builtins, Loader, Plugin, manifest};
use sluicegate_telemetry::metrics::Metrics;

pub(super) async fn load_all(
    config: &Config,
    loader: &Loader,
    builtins: Builtins,
    metrics: &Metrics,
    previous: Option<&Snapshot>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Arc<Plugin>> {
    let loads = config.plugins.values().map(async |configured| {
        let bytes = component(configured, builtins).await?;
        load_one(configured, bytes, loader, metrics, previous).await
    });
    let mut plugins = BTreeMap::new();
    for (configured, loaded) in config.plugins.values().zip(join_all(loads).await) {
        match loaded {
            Ok(plugin) => {
                plugins.insert(configured.name.clone(), plugin);
            }
            Err(found) => problems.extend(found),
        }
    }
    plugins
}

/// The bytes of a plugin's component.
async fn component(plugin: &config::Plugin, builtins: Builtins) -> Result<Arc<[u8]>, Vec<Problem>> {
    let key = format!("plugin.{}.source", plugin.name);
    match &plugin.source {
        Source::Builtin(name) => builtins.find(name).map(Arc::from).map_err(|error| {
            let mend = format!("use one of {}, or the path of a component", error.names);
            vec![problem(key, error.to_string(), mend)]
        }),
        Source::File(path) => read(path).await.map(Arc::from).map_err(|error| {
            let message = format!("{} cannot be read: {error}", path.display());
            vec![problem(key, message, "give the path of a component".into())]
        }),
    }
}

async fn load_one(
    configured: &config::Plugin,
    bytes: Arc<[u8]>,
    loader: &Loader,
    metrics: &Metrics,
    previous: Option<&Snapshot>,
) -> Result<Arc<Plugin>, Vec<Problem>> {
    let before = previous.and_then(|previous| previous.plugins.get(&configured.name));
    if let Some(before) = before.filter(|before| before.is(configured, &bytes)) {
        return Ok(before.clone());
    }
    loader
        .load(configured, bytes, metrics.plugin(&configured.name))
        .await
        .map_err(|error| explain(&format!("plugin.{}", configured.name), error))
}

/// Reads at most one byte more than a component may have, so that a larger file is recognised.
async fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // A pipe could block for ever.
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    let file = tokio::fs::File::open(path).await?;
    let most = load::MAX_BYTES as u64 + 1;
    file.take(most).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// A load error as problems of the configuration.
fn explain(key: &str, error: load::Error) -> Vec<Problem> {
    match error {
        load::Error::Manifest(manifest::Error::Schema(deviations)) => deviations
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
                "correct what the plugin reports".into(),
            )]
        }
        load::Error::OpenTransformer => {
            let mend = "remove `on-fault`, or set it to \"closed\"".to_owned();
            vec![problem(format!("{key}.on-fault"), error.to_string(), mend)]
        }
        load::Error::Compiler(error) => {
            let mend = "`sluicegate plugin inspect FILE` compiles it without limits".to_owned();
            vec![problem(format!("{key}.source"), error.to_string(), mend)]
        }
        error => {
            let mend = "`sluicegate plugin inspect FILE` shows what is in a component".to_owned();
            vec![problem(format!("{key}.source"), error.to_string(), mend)]
        }
    }
}
