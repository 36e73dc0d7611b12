//! The plugins under `guests/`, compiled by the build script: a request tells them what to do.

pub use sluicegate_guests::rules::Rules;
pub use sluicegate_guests::{BUILD, FIELD, MARKS, OVERSIZE};

/// A gate that does as the request says.
pub const GATE: &str = concat!(env!("OUT_DIR"), "/gate.wasm");
/// A gate that uses its capabilities as the request says.
pub const CAPABLE: &str = concat!(env!("OUT_DIR"), "/capable.wasm");
/// An adapter that counts by its capabilities wherever it is called.
pub const TALLY: &str = concat!(env!("OUT_DIR"), "/tally.wasm");
/// A gate that sends requests by `wasi:http`, compiled for `wasm32-wasip2`.
pub const FETCHER: &str = concat!(env!("OUT_DIR"), "/fetcher.wasm");
/// A filter that does as the request says, and may change bodies.
pub const FILTER: &str = concat!(env!("OUT_DIR"), "/filter.wasm");
/// A filter that says it never changes a body, so that it can fail open.
pub const WATCHER: &str = concat!(env!("OUT_DIR"), "/watcher.wasm");
/// A plugin made without the SDK that exports `events` alone: it makes the data of every event upper-case.
pub const BARE: &str = concat!(env!("OUT_DIR"), "/bare.wasm");
/// A gate that is also told how exchanges end, and observes them.
pub const COMBINED: &str = concat!(env!("OUT_DIR"), "/combined.wasm");
/// A front that wraps every body and every event that it sees, with the status beside it.
pub const FRONT: &str = concat!(env!("OUT_DIR"), "/front.wasm");
/// A stage that leaves its mark in both heads and in every content of a response; see [`marker`] for other builds of it.
pub const MARKER: &str = concat!(env!("OUT_DIR"), "/marker.wasm");
/// A plugin that tries what the contract forbids, and responds with the results.
pub const RULES: &str = concat!(env!("OUT_DIR"), "/rules.wasm");
/// An observer that tells the log all that it sees.
pub const OBSERVER: &str = concat!(env!("OUT_DIR"), "/observer.wasm");
/// A gate that uses the standard library, compiled for `wasm32-wasip2`.
pub const LIBRARY: &str = concat!(env!("OUT_DIR"), "/library.wasm");
/// An observer that falls asleep, compiled for `wasm32-wasip2`.
pub const SLEEPER: &str = concat!(env!("OUT_DIR"), "/sleeper.wasm");
/// A probe of the contract: a front for Anthropic's Messages API.
pub const ANTHROPIC: &str = concat!(env!("OUT_DIR"), "/anthropic.wasm");
/// A probe of the contract: a front for Ollama's own API.
pub const OLLAMA_API: &str = concat!(env!("OUT_DIR"), "/ollama_api.wasm");
/// A probe of the contract: an adapter for vLLM.
pub const VLLM: &str = concat!(env!("OUT_DIR"), "/vllm.wasm");
/// A filter that replaces words, as an author writes it, compiled for `wasm32-wasip2`.
pub const WORDS: &str = concat!(env!("OUT_DIR"), "/words.wasm");

/// Another build of [`MARKER`], whose marks end with this number of six digits.
///
/// # Panics
/// If the component is not as its source says.
pub fn marker(build: u32) -> Vec<u8> {
    let mut component = std::fs::read(MARKER).expect("it was compiled");
    let mut places = component.windows(BUILD.len());
    let place = places.position(|bytes| bytes == BUILD.as_bytes());
    let place = place.expect("it has the number of its build");
    assert!(
        !places.any(|bytes| bytes == BUILD.as_bytes()),
        "it has one place"
    );
    let number = BUILD.replace("000000", &format!("{build:06}"));
    component[place..][..BUILD.len()].copy_from_slice(number.as_bytes());
    component
}
