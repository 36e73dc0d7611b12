//! Why a component cannot be used: at which stage of loading, the reason, and what to mend.

use std::borrow::Cow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use super::source;
use crate::BAD_CONFIGURATION;
use sluicegate_plugin_host::{Loader, Plugin, Services, Toolchain, load};
use sluicegate_telemetry::metrics::Metrics;

/// Loads a component for a command, which shares `services`.
///
/// # Errors
/// It cannot be used, which was printed.
pub(super) async fn load(
    loader: &Loader,
    file: &Path,
    config: Option<Value>,
    bytes: &Arc<[u8]>,
    services: &Services,
) -> Result<Arc<Plugin>, ExitCode> {
    let configured = source::plugin(file, config);
    let metrics = Metrics::new().plugin(&configured.name);
    let services = services.of(&configured.name, metrics);
    let loaded = loader.load(&configured, bytes.clone(), services).await;
    loaded.map_err(|error| {
        Refusal::of(&error, bytes).print(file);
        ExitCode::from(BAD_CONFIGURATION)
    })
}

/// A refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) stage: &'static str,
    pub(super) reason: String,
    pub(super) mend: Cow<'static, str>,
}

impl Refusal {
    /// The refusal of what cannot even be read.
    pub(super) fn unread(reason: String) -> Self {
        Self {
            stage: "read",
            reason,
            mend: "give the path of a component, or builtin:NAME".into(),
        }
    }

    /// The refusal of this component.
    pub(super) fn of(error: &load::Error, component: &[u8]) -> Self {
        Self {
            stage: error.stage(),
            reason: error.to_string(),
            mend: error.mend(Toolchain::of(component)),
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({"stage": self.stage, "reason": self.reason, "mend": self.mend})
    }

    /// Prints it for a person.
    pub(super) fn print(&self, file: &std::path::Path) {
        eprintln!(
            "error: {} is refused at the stage `{}`: {}\n    → {}",
            file.display(),
            self.stage,
            self.reason,
            self.mend
        );
    }
}
