//! Compiling in a child process of the same program: what a plugin costs while it is loaded is not the gateway's.
//!
//! Responsible for the process's life and for reading its outcome; what it does is in [`worker`](super::worker).

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child as Process, Command};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::worker::{Outcome, Request};
use super::{Compiled, Compiler, Compiling, Job};
use crate::engine::Engine;
use crate::frame;
use crate::load::error::Error as LoadError;

pub(crate) mod error;

pub use self::error::Error;

/// How many processes run at a time. With one, a plugin that takes minutes would hold up all others; each more can take a
/// processor and [`Limits::data`] from the traffic.
const AT_A_TIME: usize = 2;

/// The most bytes of an outcome. The largest components have 32 MiB, and their code a multiple of that.
const OUTCOME: usize = 512 << 20;

/// How much of what the process writes to standard error is kept: its end.
const SAID: usize = 2 << 10;

/// The first descriptor that is none of the three pipes.
const FIRST: i32 = 3;

/// The standard library's words before it ends a process for want of memory.
const NO_MEMORY: &str = "memory allocation of";

/// What one process may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of data, with what the allocator reserves at the process's start, half of the default of 2 GiB. That is room for a
    /// guest's memory of 256 MiB, thrice, and for the compiler.
    pub data: u64,
    /// CPU time; default 120 s. A component with an interpreter inside takes a sixth of it.
    pub cpu: Duration,
    /// Time from start to end; default 5 min, for a machine that has no time to spare.
    pub wall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            data: 2 << 30,
            cpu: Duration::from_secs(120),
            wall: Duration::from_secs(300),
        }
    }
}

/// Compiles each plugin in a process of its own.
#[derive(Debug)]
pub struct Child {
    program: PathBuf,
    arguments: Vec<OsString>,
    limits: Limits,
    permits: Semaphore,
}

impl Child {
    /// A compiler that starts this program with these arguments, which must make it call [`run`](super::worker::run).
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
        limits: Limits,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            limits,
            permits: Semaphore::new(AT_A_TIME),
        }
    }

    async fn run(&self, engine: &Engine, job: &Job) -> Result<Compiled, LoadError> {
        let _permit = self
            .permits
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let outcome = self.outcome(engine, job).await?;
        let (outcome, artifact) = frame::decode::<Outcome>(&outcome)
            .map_err(|error| Error::Nonsense(error.to_string()))?;
        for _ in 0..outcome.lines.tell(&job.name) {
            job.metrics.log_line_dropped();
        }
        let facts = outcome.result?;
        if outcome.compatibility != engine.compatibility() {
            return Err(Error::OtherEngine.into());
        }
        Ok(Compiled {
            facts,
            artifact,
            pin: None,
        })
    }

    /// Starts the process, on a thread of its own: whoever does it stands still until the new program is loaded, which takes
    /// milliseconds.
    async fn start(&self) -> io::Result<Process> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let (sender, receiver) = oneshot::channel();
        let runtime = Handle::current();
        thread::Builder::new().spawn(move || {
            let _entered = runtime.enter();
            // What this process opens is closed in its children, but not what it was started with.
            close_fds::set_fds_cloexec_threadsafe(FIRST, &[]);
            // If nobody waits any more, the process is killed.
            let _ = sender.send(command.spawn());
        })?;
        receiver.await.map_err(io::Error::other)?
    }

    /// Starts the process and gives what it writes to standard output.
    async fn outcome(&self, engine: &Engine, job: &Job) -> Result<Bytes, Error> {
        let Limits { data, cpu, wall } = self.limits;
        let request = Request {
            name: job.name.clone(),
            configuration: job.configuration.clone(),
            value: job.value.clone(),
            memory: job.memory,
            settings: engine.settings(),
            data,
            cpu: cpu.as_secs().max(1),
        };
        let head = frame::head(&request, job.bytes.len());
        let mut process = self.start().await.map_err(Error::Start)?;
        let Ok(ended) = timeout(wall, converse(&mut process, &head, &job.bytes)).await else {
            // Waited for, so that nothing of it is left.
            let _ = process.kill().await;
            return Err(Error::Wall { wall });
        };
        let (status, output, said) = ended.map_err(Error::Start)?;
        if output.len() > OUTCOME {
            return Err(Error::Nonsense(format!("more than {OUTCOME} bytes")));
        }
        let signal = status.signal();
        match signal {
            None if status.success() => Ok(output.into()),
            None => Err(Error::Failed { status, said }),
            Some(signal) if signal == Signal::XCPU.as_raw() => Err(Error::Cpu { cpu }),
            Some(signal) if signal == Signal::ABORT.as_raw() && said.contains(NO_MEMORY) => {
                Err(Error::Data { data })
            }
            Some(signal) => Err(Error::Killed { signal, said }),
        }
    }
}

impl Compiler for Child {
    fn compile<'a>(&'a self, engine: &'a Engine, job: &'a Job) -> Compiling<'a> {
        Box::pin(self.run(engine, job))
    }
}

/// Hands over the job, and reads all that the process writes until it ends. Its input stays open until then: it ends when that
/// does, so that none is left when the gateway is killed.
async fn converse(
    process: &mut Process,
    head: &[u8],
    bytes: &[u8],
) -> io::Result<(ExitStatus, Vec<u8>, String)> {
    let piped = "it is piped";
    let mut input = process.stdin.take().expect(piped);
    let output = process.stdout.take().expect(piped);
    let errors = process.stderr.take().expect(piped);
    let write = async {
        // Whether it was read to the end shows in the outcome.
        if input.write_all(head).await.is_ok() {
            let _ = input.write_all(bytes).await;
        }
    };
    let read = async {
        let mut read = Vec::new();
        let most = OUTCOME as u64 + 1;
        output.take(most).read_to_end(&mut read).await.map(|_| read)
    };
    let ((), read, said) = tokio::join!(write, read, last_words(errors));
    let status = process.wait().await?;
    drop(input);
    Ok((status, read?, said?))
}

/// The end of what is written there.
async fn last_words(mut errors: impl AsyncRead + Unpin) -> io::Result<String> {
    let mut said = Vec::new();
    let mut buffer = [0; SAID];
    loop {
        let count = errors.read(&mut buffer).await?;
        if count == 0 {
            return Ok(String::from_utf8_lossy(&said).trim().to_owned());
        }
        said.extend(&buffer[..count]);
        said.drain(..said.len().saturating_sub(SAID));
    }
}
