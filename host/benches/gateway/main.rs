//! What the parts of an exchange cost: sandboxes, calls, streams through the shipped plugins, framing.
//!
//! `cargo bench -p sluicegate` prints all figures, `cargo bench -p sluicegate -- framing` those whose name contains the
//! word. Without cargo's `--bench` (under `cargo test --benches`) each runs once, to show that it works. What a whole
//! gateway costs beside others is measured in `tests/load`.

#![expect(
    clippy::print_stdout,
    reason = "a benchmark's result is what it prints"
)]
#![expect(
    clippy::disallowed_types,
    reason = "a benchmark measures real time, whatever a runtime takes for it"
)]

mod framing;
mod measure;
mod sandbox;
mod stage;
mod stream;

use measure::Bench;
use sluicegate_plugin_host::Engine;

/// As in the program itself: sandboxes and short-lived buffers make many small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let mut bench = Bench::from_arguments(runtime);
    bench.headings();
    framing::run(&mut bench);
    let engine = Engine::new().expect("the engine starts");
    sandbox::run(&mut bench, &engine);
    stream::run(&mut bench, &engine);
}
