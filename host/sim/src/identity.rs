//! What a response has that no request says: the time, and numbers of its own.

use std::time::{SystemTime, UNIX_EPOCH};

/// A number that no other response has. Without randomness from the system it repeats, which is harmless here.
pub(super) fn number() -> u64 {
    getrandom::u64().unwrap_or_default()
}

/// The seconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
