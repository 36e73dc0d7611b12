//! The `sluicegate` program: the command line with what is built in.

use std::ffi::{c_int, c_long};
use std::process::ExitCode;

use clap::Parser;
use sluicegate_cli::{Command, Embedded};

/// Fresh sandboxes and short-lived buffers cause many small allocations on all threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The allocator's option for the next value.
///
/// # Source
/// `mi_option_purge_delay` in mimalloc's `mimalloc.h`, the same number in its versions 2 and 3.
const PURGE_DELAY: c_int = 15;

/// After how many milliseconds freed memory is given back to the system. Version 3 of the allocator waits a second: a reload
/// frees megabytes on threads that end soon after it, and hundreds of reloads would keep hundreds of megabytes.
///
/// # Source
/// Version 2 waits 10 ms; `swaps --only leaks` shows what is kept.
const PURGE_DELAY_MS: c_long = 10;

fn main() -> ExitCode {
    give_memory_back();
    Command::parse().run(Embedded {
        plugins: sluicegate::builtin::PLUGINS,
        page: sluicegate_page::FILES,
    })
}

/// Makes the allocator give memory back soon, unless the environment (`MIMALLOC_PURGE_DELAY`) says something else.
#[expect(unsafe_code, reason = "the allocator is written in C")]
fn give_memory_back() {
    // SAFETY: it sets a number. It must not run on two threads at a time: there is only one yet.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) }
}
