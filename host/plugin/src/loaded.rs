//! A loaded plugin.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use sluicegate_contract::capability::Capability;
use sluicegate_contract::{Exports, Manifest};

use super::engine::Engine;
use super::image::Image;
use super::outcome::Outcome;
use super::owner::{Figures, Owner};
use sluicegate_config::{self as config, PluginLimits};

/// One version of a plugin: component, configuration and limits, ready to be instantiated. Immutable.
pub struct Plugin {
    /// What it was made of, beside the component.
    pub(super) made_of: config::Plugin,
    /// See [`Plugin::version`].
    pub(super) version: String,
    /// See [`Plugin::component`].
    pub(super) component: String,
    pub(super) owner: Arc<Owner>,
    pub(super) engine: Engine,
    pub(super) image: Image,
    pub(super) fail_open: bool,
    /// What was learned from the trial; set once, before anybody gets the plugin.
    pub(super) tried: OnceLock<Outcome>,
}

impl Plugin {
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

    /// Which version it is: a hash as [`version`](super::version) gives it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// SHA-256 of its component, in hexadecimal.
    #[must_use]
    pub fn component(&self) -> &str {
        &self.component
    }

    /// The section of the configuration that it was made with.
    #[must_use]
    pub fn made_with(&self) -> &config::Plugin {
        &self.made_of
    }

    /// Whether its component comes from a file, and not with the gateway.
    #[must_use]
    pub fn comes_from_file(&self) -> bool {
        matches!(self.made_of.source, config::Source::File(_))
    }

    /// What this version has done so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.owner.counts.read()
    }

    /// Counts a fault: a trap, an exceeded budget, a broken contract, or an error of its own that says that it cannot do its work.
    pub fn count_fault(&self) {
        self.owner.counts.faults.fetch_add(1, Ordering::Relaxed);
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

    /// Whether a route behind this stage is closed to whoever has no credentials: the plugin says that it authenticates, it
    /// refused the trial request, which has none, and no exchange goes on without it.
    #[must_use]
    pub fn authenticates(&self) -> bool {
        self.manifest().authenticates && self.tried().refused && !self.fail_open
    }

    /// Bytes of the memories of an instance that was shown the heads of an exchange.
    #[must_use]
    pub fn instance_bytes(&self) -> usize {
        self.tried().memory
    }

    fn tried(&self) -> Outcome {
        self.tried.get().copied().unwrap_or_default()
    }

    /// The capabilities that the component imports: those that it can use, if they are granted.
    #[must_use]
    pub fn capabilities(&self) -> &[Capability] {
        &self.image.code.capabilities
    }

    /// What the configuration grants it.
    #[must_use]
    pub fn grant(&self) -> &config::Grant {
        &self.made_of.grant
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

impl Drop for Plugin {
    fn drop(&mut self) {
        self.owner.metrics.version_dropped();
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name())
            .field("hash", &self.hash())
            .finish_non_exhaustive()
    }
}
