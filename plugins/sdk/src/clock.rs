//! Time, from the gateway. In a native test it stands still until [`testing::set_clock`](crate::testing::set_clock) moves it.

/// Milliseconds since 1970-01-01 UTC.
pub fn unix_ms() -> u64 {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::clock::unix_ms();
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::host::unix_ms();
}

/// Microseconds since an arbitrary moment; never goes back.
pub fn monotonic_us() -> u64 {
    #[cfg(target_family = "wasm")]
    return crate::bindings::imports::clock::monotonic_us();
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::host::monotonic_us();
}
