//! What guests can import: one file per interface.

mod capability;
mod exchange;
mod http;
mod io;
mod kv;
mod log;
mod metrics;
mod module_loader;
mod rate;
mod request;
mod suspending_io;
mod upstream_info;
pub(super) mod wasi;
pub(super) mod wasi_http;

pub(super) use self::io::add_to_linker as add_io_to_linker;
pub(super) use self::module_loader::add_to_linker as add_module_loader_to_linker;
pub(super) use self::suspending_io::add_to_linker as add_suspending_io_to_linker;

use super::bindings::sluicegate::plugin::{clock, random, types};
use super::store::State;

/// The most random bytes of one call, as `wit/host.wit` says.
const RANDOM_MAX: u32 = 4096;

impl types::Host for State {}

impl clock::Host for State {
    fn unix_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(self.outside.unix_ms())
    }

    fn monotonic_us(&mut self) -> wasmtime::Result<u64> {
        Ok(self.outside.monotonic_us())
    }
}

impl random::Host for State {
    fn bytes(&mut self, count: u32) -> wasmtime::Result<Vec<u8>> {
        let count = count.min(RANDOM_MAX) as usize;
        self.charged(count, |state| {
            let mut bytes = vec![0; count];
            let filled = state.outside.fill(&mut bytes, &mut state.drawn);
            filled.map_err(|error| wasmtime::Error::msg(error.to_string()))?;
            Ok(bytes)
        })?
    }
}
