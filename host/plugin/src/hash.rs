//! Hashes that tell one version of a plugin from another.

use sha2::{Digest, Sha256};

use sluicegate_config as config;

/// The configuration as a plugin gets it.
pub(super) fn configuration(plugin: &config::Plugin) -> String {
    if plugin.config.is_null() {
        "{}".to_owned()
    } else {
        plugin.config.to_string()
    }
}

/// SHA-256 over component and configuration, in hexadecimal.
pub(super) fn of(plugin: &config::Plugin, bytes: &[u8]) -> String {
    of_configured(bytes, &configuration(plugin))
}

/// [`of`], for a configuration as a plugin gets it.
pub(super) fn of_configured(bytes: &[u8], configuration: &str) -> String {
    let digest = key(bytes, configuration, 0);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 over component, configuration and memory limit: all that an image depends on.
pub(super) fn key(bytes: &[u8], configuration: &str, memory: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(memory.to_le_bytes());
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
    hash.update(configuration);
    hash.finalize().into()
}
