//! Values by key that outlive an exchange, such as fetched keys and counters. A capability: `grant = { kv = true }`.
//!
//! They belong to the plugin's name in the configuration, and other versions of the plugin find them. By default a plugin may
//! have 10,000 keys and 16 MiB; a key has 1 to 512 bytes, a value at most 1 MiB.
//!
//! ```
//! use std::time::Duration;
//! use sluicegate_plugin::{kv, CapabilityError};
//!
//! # fn main() -> Result<(), CapabilityError> {
//! let hits = kv::add("hits", 1, Some(Duration::from_secs(60)))?;
//! assert_eq!(hits, 1);
//! kv::set("token", "abc", None)?;
//! assert_eq!(kv::get("token")?.as_deref(), Some(&b"abc"[..]));
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use crate::capability::{CapabilityError, millis};

#[cfg(target_family = "wasm")]
use crate::bindings::granted::kv as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::capabilities::kv as host;

/// The value of this key; `None` if there is none, or its time is over.
///
/// # Errors
/// [`CapabilityError`], here and below.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, CapabilityError> {
    Ok(host::get(key)?)
}

/// Sets a value, and how long it lives; `None`: until it is deleted.
///
/// # Errors
/// [`CapabilityError::OverLimit`] if it does not fit.
pub fn set(
    key: &str,
    value: impl AsRef<[u8]>,
    ttl: Option<Duration>,
) -> Result<(), CapabilityError> {
    Ok(host::set(key, value.as_ref(), ttl.map(millis))?)
}

/// Sets a value only if the key has none; whether it was set. Of several exchanges that do this at the same time, one gets
/// `true`.
///
/// # Errors
/// As [`set`].
pub fn insert(
    key: &str,
    value: impl AsRef<[u8]>,
    ttl: Option<Duration>,
) -> Result<bool, CapabilityError> {
    Ok(host::insert(key, value.as_ref(), ttl.map(millis))?)
}

/// Adds to a number and returns the sum. A key without a value counts as 0, and gets `ttl`; a number that is there keeps its
/// time. The value is the number as decimal text.
///
/// # Errors
/// [`CapabilityError::Invalid`] if there is something else than a number.
pub fn add(key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, CapabilityError> {
    Ok(host::add(key, by, ttl.map(millis))?)
}

/// Removes the key. It is not an error if there is none.
///
/// # Errors
/// See [`get`].
pub fn delete(key: &str) -> Result<(), CapabilityError> {
    Ok(host::delete(key)?)
}
