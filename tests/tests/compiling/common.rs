//! Loading one plugin, without a gateway around it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use sluicegate_config::{Grant, Plugin as Configured, SetLimits, Source};
use sluicegate_plugin_host::Plugin;
use sluicegate_plugin_host::compile::Compiler;
use sluicegate_plugin_host::load::{Error, Loader};
use sluicegate_telemetry::metrics::Metrics;
use sluicegate_tests::gateway::engine;
use tokio::sync::RwLock;

/// A plugin with this configuration.
pub(crate) fn configured(config: Value) -> Configured {
    Configured {
        name: "guest".into(),
        source: Source::File(PathBuf::new()),
        fail_open: false,
        limits: SetLimits::default(),
        grant: Grant::default(),
        config,
        secrets: BTreeSet::new(),
    }
}

/// Held for writing by a test that measures this process, so that no other test loads plugins meanwhile.
pub(crate) static MEASURED: RwLock<()> = RwLock::const_new(());

/// Loads a plugin that this compiler compiles.
pub(crate) async fn loaded(
    compiler: &Arc<dyn Compiler>,
    bytes: &[u8],
    configured: &Configured,
) -> Result<Arc<Plugin>, Error> {
    let _guard = MEASURED.read().await;
    load_unguarded(compiler, bytes, configured).await
}

/// As [`loaded`], for a test that measures.
pub(crate) async fn load_unguarded(
    compiler: &Arc<dyn Compiler>,
    bytes: &[u8],
    configured: &Configured,
) -> Result<Arc<Plugin>, Error> {
    let loader = Loader::with_compiler(engine().clone(), compiler.clone());
    let metrics = Metrics::new().plugin("guest");
    loader.load(configured, bytes.into(), metrics).await
}

/// What is in a file.
pub(crate) fn read(path: impl AsRef<std::path::Path>) -> Vec<u8> {
    std::fs::read(path).expect("it is there")
}
