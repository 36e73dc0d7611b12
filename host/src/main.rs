//! The `sluicegate` program: the command line with what is built in.

use std::process::ExitCode;

use clap::Parser;
use sluicegate_cli::{Command, Embedded};

/// Fresh sandboxes and short-lived buffers cause many small allocations on all threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Command::parse().run(Embedded {
        plugins: sluicegate::builtin::PLUGINS,
        page: sluicegate_page::FILES,
    })
}
