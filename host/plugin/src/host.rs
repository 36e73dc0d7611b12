//! What guests can import: one file per interface.

mod exchange;
mod io;
mod log;
mod upstream_info;
pub(super) mod wasi;

pub(super) use self::io::add_to_linker as add_io_to_linker;

use std::sync::LazyLock;

use sluicegate_telemetry::clock::unix_ms;
use tokio::time::Instant;

use super::bindings::sluicegate::plugin::{clock, random, types};
use super::store::State;

/// The most random bytes of one call, as `wit/host.wit` says.
const RANDOM_MAX: u32 = 4096;

impl types::Host for State {}

impl clock::Host for State {
    fn unix_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(unix_ms())
    }

    fn monotonic_us(&mut self) -> wasmtime::Result<u64> {
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        Ok(u64::try_from(ORIGIN.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

impl random::Host for State {
    fn bytes(&mut self, count: u32) -> wasmtime::Result<Vec<u8>> {
        let count = count.min(RANDOM_MAX) as usize;
        self.charged(count, |_| {
            let mut bytes = vec![0; count];
            getrandom::fill(&mut bytes).map_err(|error| wasmtime::Error::msg(error.to_string()))?;
            Ok(bytes)
        })?
    }
}
