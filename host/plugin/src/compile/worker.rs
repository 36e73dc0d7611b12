//! The process that compiles one plugin: [`run`] is all that it does.
//!
//! It gets a job on standard input and gives its outcome on standard output. That it has limits protects the gateway's memory and
//! time from what is costly to compile; it is no security boundary, since the gateway runs the code that it makes.

use std::io::{self, Read, Write};
use std::process::exit;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use rustix::process::{Resource, Rlimit, nice, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::runtime;

use super::lines::{Collector, Lines};
use super::{Compiler as _, Facts, InProcess, Job};
use crate::engine::{Engine, Settings};
use crate::frame;
use crate::load::error::Error;
use sluicegate_telemetry::metrics::Metrics;

/// How far the process steps back behind those that serve traffic.
const NICE: i32 = 10;

/// The most bytes of a request's facts, or of its component. A component has less.
const MOST: u64 = 64 << 20;

/// What is to be done; the component is behind it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) name: String,
    pub(super) configuration: String,
    pub(super) value: serde_json::Value,
    pub(super) memory: u64,
    /// Those of the engine for which it is compiled.
    pub(super) settings: Settings,
    /// Bytes of data that the process may have.
    pub(super) data: u64,
    /// Seconds of CPU time that the process may use.
    pub(super) cpu: u64,
}

/// How it ended; the artifact is behind it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// See [`Engine::compatibility`].
    pub(super) compatibility: [u8; 32],
    pub(super) lines: Lines,
    pub(super) result: Result<Facts, Error>,
}

/// Compiles the plugin that comes in, for [`Child`](super::child::Child).
///
/// # Errors
/// If the pipes or the system do not do what they should.
pub fn run() -> io::Result<()> {
    nice(NICE)?;
    limit(Resource::Core, 0)?;
    let (sender, receiver) = sync_channel(1);
    thread::Builder::new().spawn(move || {
        let mut input = io::stdin().lock();
        // Nobody receives only if the process is about to end.
        let _ = sender.send(frame::read::<Request>(&mut input, MOST));
        end_with(&mut input);
    })?;
    let received = receiver.recv().map_err(io::Error::other)?;
    let (request, bytes) = received?;
    limit(Resource::Data, request.data)?;
    limit(Resource::Cpu, request.cpu)?;

    let collector = Collector::default();
    tracing::subscriber::set_global_default(collector.clone()).map_err(io::Error::other)?;
    let engine = Engine::on_demand(request.settings).map_err(io::Error::other)?;
    let job = Job {
        metrics: Metrics::new().plugin(&request.name),
        name: request.name,
        bytes: Arc::from(bytes),
        configuration: request.configuration,
        value: request.value,
        memory: request.memory,
        secret: true,
    };
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let compiled = runtime.block_on(InProcess.compile(&engine, &job));
    let (result, artifact) = match compiled {
        Ok(compiled) => (Ok(compiled.facts), compiled.artifact),
        Err(error) => (Err(error), bytes::Bytes::new()),
    };
    let outcome = Outcome {
        compatibility: engine.compatibility(),
        lines: collector.take(),
        result,
    };
    let mut output = io::stdout().lock();
    output.write_all(&frame::head(&outcome, artifact.len()))?;
    output.write_all(&artifact)?;
    output.flush()
}

/// Ends the process when its input ends: the gateway keeps that open as long as it waits, so it is gone.
#[expect(
    clippy::disallowed_methods,
    reason = "nobody is left to whom anything could be told"
)]
fn end_with(input: &mut impl Read) {
    let _ = io::copy(input, &mut io::sink());
    exit(1);
}

/// Sets a limit, or keeps a lower one that is there. Beyond the soft limit of CPU time a signal ends the process, which says
/// what it was.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let had = rustix::process::getrlimit(resource).maximum;
    let most = had.map_or(most, |had| had.min(most));
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(had.map_or(most + 1, |had| had.min(most + 1))),
    };
    Ok(setrlimit(resource, limit)?)
}
