//! Plugins: loading WebAssembly components, and running them in sandboxes.
//!
//! A plugin is loaded once per version ([`load`]): checked against the contract, configured, captured as an image and
//! compiled. Every exchange then gets its own instance from that image ([`instance`]). Nothing here knows of HTTP
//! connections or model servers; nothing outside sees an error type of the engine.

mod bindings;
mod builtins;
mod calls;
mod engine;
mod host;
mod image;
pub mod instance;
mod limits;
pub mod load;
mod manifest;
mod size;
mod store;

use std::sync::Arc;
use std::time::Duration;

use sluicegate_contract::{Exports, Manifest};

pub use builtins::{Builtins, NoSuchBuiltin};
pub use engine::Engine;
pub use store::Asked;

use calls::Calls;
use image::Image;
use sluicegate_config::{self as config, PluginLimits};
use sluicegate_telemetry::metrics::PluginMetrics;

pub use host::unix_ms;

/// The contract's own types, as generated from `wit/`.
pub mod abi {
    pub use super::bindings::exports::sluicegate::plugin::observer::Summary;
    pub use super::bindings::exports::sluicegate::plugin::request::Plan as RequestPlan;
    pub use super::bindings::exports::sluicegate::plugin::response::Plan as ResponsePlan;
    pub use super::bindings::sluicegate::plugin::types::{
        EventParam, EventResult, Fault, Field, Reply, Stop,
    };
}

/// What a guest did wrong, or what it could not be given. The instance is gone; other exchanges are untouched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine could not be set up; only [`Engine::new`] gives this.
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(String),
    /// The guest trapped; the text is the engine's.
    #[error("it trapped: {0}")]
    Trap(String),
    /// A call computed for longer than its budget.
    #[error("a call used up its CPU budget of {cpu:?}")]
    Deadline {
        /// The budget of one call.
        cpu: Duration,
    },
    /// A call did not come back in time although it was not computing.
    #[error("a call did not return in time: it waits")]
    Stalled,
    /// The guest asked for more memory than its limit.
    #[error("it asked for more than its memory limit of {limit} bytes")]
    Memory {
        /// The limit in bytes.
        limit: u64,
    },
    /// A result was larger than the output limit.
    #[error("it returned {size} bytes, more than its output limit of {limit}")]
    Output {
        /// The result's size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: u64,
    },
    /// A result that the contract does not allow at this point.
    #[error("it broke the contract: {0}")]
    Contract(String),
    /// All sandboxes are taken. Not the guest's fault.
    #[error("no sandbox is free")]
    Exhausted,
}

impl Error {
    /// The metric label: a member of a closed set.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Engine(_) => "engine",
            Self::Trap(_) => "trap",
            Self::Deadline { .. } => "deadline",
            Self::Stalled => "stalled",
            Self::Memory { .. } => "memory",
            Self::Output { .. } => "output",
            Self::Contract(_) => "contract",
            Self::Exhausted => "exhausted",
        }
    }
}

/// What the host knows of a plugin before there is an image: its name in the configuration, its limits, its metrics.
pub(crate) struct Owner {
    name: String,
    limits: PluginLimits,
    metrics: Arc<PluginMetrics>,
    calls: Calls,
}

impl Owner {
    fn check_output(&self, size: usize) -> Result<(), Error> {
        let limit = self.limits.output;
        if size as u64 > limit {
            Err(Error::Output { size, limit })
        } else {
            Ok(())
        }
    }

    fn record(&self, spent: Duration, error: Option<&Error>) {
        self.metrics.call(spent);
        if let Some(error) = error {
            self.metrics.fault(error.label());
        }
    }

    fn count_dropped_line(&self) {
        self.metrics.log_line_dropped();
    }
}

/// One version of a plugin: component, configuration and limits, ready to be instantiated. Immutable.
pub struct Version {
    /// What it was made of, beside the component.
    made_of: config::Plugin,
    owner: Arc<Owner>,
    engine: Engine,
    image: Arc<Image>,
    fail_open: bool,
}

impl Version {
    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.owner.name
    }

    /// SHA-256 over component and configuration, in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.image.hash
    }

    /// Whether this is the version that a configuration and a component make: nothing of them has changed.
    #[must_use]
    pub fn is(&self, plugin: &config::Plugin, component: &[u8]) -> bool {
        self.made_of == *plugin && self.hash() == load::hash(plugin, component)
    }

    /// What the plugin says about itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.image.manifest
    }

    /// The phase interfaces that the component exports.
    #[must_use]
    pub fn exports(&self) -> Exports {
        self.image.code.exports()
    }

    /// How many sandboxes an exchange can hold for this plugin between two calls: none for a gate, which is done with one call.
    #[must_use]
    pub fn sandboxes(&self) -> usize {
        let exports = self.exports();
        if exports.request || exports.sees_response() || exports.closing {
            self.image.code.sandboxes
        } else {
            0
        }
    }

    /// Whether an exchange goes on without this stage when it fails.
    #[must_use]
    pub fn fails_open(&self) -> bool {
        self.fail_open
    }

    /// Whether exchanges start from a memory image; otherwise `configure` runs in each.
    #[must_use]
    pub fn is_imaged(&self) -> bool {
        self.image.configure_per_instance.is_none()
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &PluginLimits {
        &self.owner.limits
    }

    /// Bytes of compiled code.
    #[must_use]
    pub fn code_bytes(&self) -> usize {
        let range = self.image.code.pre.component().image_range();
        range.end as usize - range.start as usize
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        self.owner.metrics.version_dropped();
    }
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Version")
            .field("name", &self.name())
            .field("hash", &self.hash())
            .finish_non_exhaustive()
    }
}
