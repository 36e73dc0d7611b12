//! A plugin's own metrics, on the gateway's `/metrics` as `sluicegate_plugin_PLUGIN__NAME`. A capability:
//! `grant = { metrics = true }`.
//!
//! A plugin may have 50 names, and 1,000 series (a name with values of its labels) in all. So a label must not have values that
//! clients choose.

use crate::capability::CapabilityError;

#[cfg(target_family = "wasm")]
use crate::bindings::granted::metrics as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::capabilities::metrics as host;

/// Adds to a counter.
///
/// # Errors
/// [`CapabilityError`]: [`OverLimit`](CapabilityError::OverLimit) if it would be one series too many,
/// [`Invalid`](CapabilityError::Invalid) for a name or labels that are not legal.
pub fn count(name: &str, by: u64, labels: &[(&str, &str)]) -> Result<(), CapabilityError> {
    Ok(host::count(name, by, &owned(labels))?)
}

/// Adds a value to a histogram, whose buckets go from 0.001 to 10,000.
///
/// # Errors
/// As [`count`]; [`Invalid`](CapabilityError::Invalid) also if it is not a finite number.
pub fn observe(name: &str, value: f64, labels: &[(&str, &str)]) -> Result<(), CapabilityError> {
    Ok(host::observe(name, value, &owned(labels))?)
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    let labels = labels.iter();
    labels
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
