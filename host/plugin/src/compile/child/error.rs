//! Why a process that compiles did not get to an end.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

/// Why the process did not get to an end. Each message says what to mend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no process.
    #[error(
        "the process that compiles plugins cannot be started: {0}; is there memory, and may this user have more processes?"
    )]
    Start(#[source] io::Error),
    /// It used up its CPU time.
    #[error(
        "compiling it took more than {cpu:?} of CPU time: make the component smaller, for example by building it optimized (`--release`)"
    )]
    Cpu {
        /// The limit.
        cpu: Duration,
    },
    /// It did not end in time.
    #[error(
        "compiling it did not end within {wall:?}: make the component smaller, or give the machine time to compile"
    )]
    Wall {
        /// The limit.
        wall: Duration,
    },
    /// It used up its memory.
    #[error(
        "compiling it took more than {data} bytes of memory: make the component smaller, for example by building it optimized (`--release`), or let `configure` use less memory"
    )]
    Data {
        /// The limit in bytes.
        data: u64,
    },
    /// Something ended it.
    #[error(
        "the process that compiled it was ended by signal {signal}; if that was not you, the system may be out of memory. It said: {said:?}"
    )]
    Killed {
        /// The signal's number.
        signal: i32,
        /// The last that it wrote to standard error.
        said: String,
    },
    /// It ended without an outcome.
    #[error(
        "the process that compiled it gave up ({status}). It said: {said:?}; if the component is not the reason, this is a fault of the gateway"
    )]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// The last that it wrote to standard error.
        said: String,
    },
    /// What it gave is no outcome.
    #[error(
        "the process that compiled it gave something else than an outcome: {0}; is the program on disk another one than the one that runs? Restart the gateway"
    )]
    Nonsense(String),
    /// It compiled for another engine.
    #[error(
        "it was compiled for an engine with other settings than this one has; is the program on disk another one than the one that runs? Restart the gateway"
    )]
    OtherEngine,
}
