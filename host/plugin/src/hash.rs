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

/// SHA-256 over all that makes one version of a plugin another one than the last: component, configuration, limits, what happens
/// when it fails, and what it is granted; in hexadecimal.
#[must_use]
pub fn version(plugin: &config::Plugin, bytes: &[u8]) -> String {
    let config::SetLimits {
        memory,
        cpu,
        output,
    } = &plugin.limits;
    let mut hash = Sha256::new();
    let memory = memory.unwrap_or(0);
    hash.update(key(bytes, &configuration(plugin), memory));
    for limit in [
        cpu.map_or(0, |cpu| cpu.as_nanos()),
        output.unwrap_or(0).into(),
    ] {
        hash.update(limit.to_le_bytes());
    }
    hash.update([u8::from(plugin.fail_open)]);
    if plugin.grant != config::Grant::default() {
        hash.update(plugin.grant.to_string());
    }
    hex(&hash.finalize())
}

/// SHA-256 of a component, in hexadecimal, as `sha256sum` prints it.
#[must_use]
pub fn component(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 over component and configuration, as a plugin gets it, in hexadecimal.
pub(super) fn of_configured(bytes: &[u8], configuration: &str) -> String {
    hex(&key(bytes, configuration, 0))
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
