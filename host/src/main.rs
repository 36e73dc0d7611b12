//! The `sluicegate` program.

use std::process::ExitCode;

use clap::Parser;
use sluicegate::cli::Command;

/// Fresh sandboxes and short-lived buffers cause many small allocations on all threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Command::parse().run()
}
