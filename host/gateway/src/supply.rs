//! What a snapshot is made with: where plugins come from, what is known of their versions, and how names are looked up.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sluicegate_plugin_host::{Builtins, Loader, Plugin, Services, services};
use sluicegate_state::shared::{Memory, Redis, SpendFile};
use sluicegate_telemetry::metrics::Metrics;
use sluicegate_upstream::names::{Resolve, System};

use crate::journal::Journal;
use crate::versions::{Rejection, Versions};

/// What it takes to make plugins and to find model servers. Cheap to clone.
#[derive(Clone)]
pub struct Supply {
    /// Loads them.
    pub loader: Loader,
    /// Those that are part of the gateway.
    pub builtins: Builtins,
    /// What they share, and what lies behind their capabilities.
    pub services: Services,
    /// Where that is, if it is this gateway's own.
    pub memory: Arc<Memory>,
    /// Where that is, if gateways share it.
    pub shared: Option<Redis>,
    /// Counts what they do.
    pub metrics: Arc<Metrics>,
    /// Knows which versions there were.
    pub versions: Arc<Versions>,
    /// How names whose addresses are targets are looked up.
    pub lookups: Lookups,
}

/// How names are looked up. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lookups {
    /// Who knows their addresses.
    pub resolver: Arc<dyn Resolve>,
    /// How often it is asked; default 10 s.
    pub interval: Duration,
}

impl Default for Lookups {
    fn default() -> Self {
        Self {
            resolver: Arc::new(System),
            interval: Duration::from_secs(10),
        }
    }
}

impl Supply {
    /// What is known of versions, and what was spent of budgets, is kept in the folder `state`, if there is one.
    #[must_use]
    pub fn new(loader: &Loader, builtins: Builtins, state: Option<&Path>) -> Self {
        let versions = Versions::open(state, Arc::new(Journal::default()));
        let memory = Arc::new(with_budgets(services::memory(), versions.folder()));
        Self {
            loader: loader.clone(),
            builtins,
            services: Services::over(memory.clone()),
            memory,
            shared: None,
            metrics: Arc::new(Metrics::new()),
            versions: Arc::new(versions),
            lookups: Lookups::default(),
        }
    }
}

/// Keeps budgets in this folder, if there is one that can be used.
fn with_budgets(memory: Memory, folder: Option<&Path>) -> Memory {
    let Some(folder) = folder else {
        return memory;
    };
    match SpendFile::open(folder) {
        Ok(file) => memory.with_budgets(file),
        Err(error) => {
            let folder = folder.display();
            tracing::error!(%folder, %error, "what is spent of budgets cannot be kept: the file spend.db is of no use; it is kept in memory only");
            memory
        }
    }
}

impl Supply {
    /// The same, with what plugins share in Redis.
    #[must_use]
    pub fn sharing(self, shared: Redis) -> Self {
        Self {
            services: Services::over(Arc::new(shared.clone())),
            shared: Some(shared),
            ..self
        }
    }

    /// This version may not be used from now on.
    pub(crate) async fn reject(&self, plugin: &Arc<Plugin>, rejection: Rejection) {
        let (versions, plugin) = (self.versions.clone(), plugin.clone());
        off_the_workers(move || {
            let (name, version) = (plugin.name(), plugin.version());
            versions.reject(name, version, plugin.component(), rejection);
        })
        .await;
    }
}

/// Runs work that waits for files on a thread that carries no traffic.
///
/// # Panics
/// If the work does.
pub(crate) async fn off_the_workers<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let task = tokio::task::spawn_blocking(work).await;
    task.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
