//! WASI 0.2 as far as guests' standard libraries need it: clocks, randomness, and output that goes to the log.
//!
//! No files, no sockets, no environment, no arguments: the functions exist, since the libraries import them, but report that
//! there is nothing.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::outside::Outside;
use crate::owner::Owner;

/// The most random bytes of one call: a guest asks for a seed.
const RANDOM_MAX: u64 = 64 << 10;

/// Bytes of one write; a guest's library splits what is longer.
const WRITE_MAX: usize = 4096;

/// Bytes of one line; what is longer becomes several.
const LINE_MAX: usize = 8192;

/// A WASI world with nothing in it but a console.
pub(crate) fn context(console: &Arc<Console>, outside: Outside) -> WasiCtx {
    let output = |stream| Output {
        console: console.clone(),
        stream,
    };
    let mut wasi = WasiCtx::builder();
    wasi.max_random_size(RANDOM_MAX)
        .stdout(output(Stream::Out))
        .stderr(output(Stream::Error));
    outside.furnish(&mut wasi);
    wasi.build()
}

/// Where a guest's standard output and error go: each line becomes a line of the gateway's log.
pub(crate) struct Console {
    owner: Arc<Owner>,
    /// The request id of the exchange, once there is one.
    req: OnceLock<Arc<str>>,
    lines_left: AtomicU32,
    /// Output since the last end of line.
    out: Mutex<Vec<u8>>,
    error: Mutex<Vec<u8>>,
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Error,
}

impl Console {
    /// A console for one instance; `req` is the request id of its exchange.
    pub(crate) fn new(owner: Arc<Owner>, req: Option<Arc<str>>, lines: u32) -> Arc<Self> {
        Arc::new(Self {
            owner,
            req: req.map(OnceLock::from).unwrap_or_default(),
            lines_left: AtomicU32::new(lines),
            out: Mutex::default(),
            error: Mutex::default(),
        })
    }

    /// The instance serves this exchange from now on, and no other.
    pub(crate) fn set_request(&self, id: &Arc<str>) {
        self.req.get_or_init(|| id.clone());
    }

    /// Sets how many lines the next call may write.
    pub(crate) fn begin_call(&self, lines: u32) {
        self.lines_left.store(lines, Ordering::Relaxed);
    }

    fn write(&self, stream: Stream, bytes: &[u8]) {
        let buffer = match stream {
            Stream::Out => &self.out,
            Stream::Error => &self.error,
        };
        let mut buffer = buffer.lock().expect("no panic while the lock is held");
        for chunk in bytes.split_inclusive(|byte| *byte == b'\n') {
            buffer.extend_from_slice(chunk);
            if chunk.ends_with(b"\n") || buffer.len() >= LINE_MAX {
                self.line(stream, &buffer);
                buffer.clear();
            }
        }
    }

    /// Whose console it is.
    pub(crate) fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    /// The request id of the exchange, if there is one.
    pub(crate) fn req(&self) -> Option<&str> {
        self.req.get().map(|req| &**req)
    }

    /// Whether the call may write one more line; otherwise the line is counted as dropped.
    pub(crate) fn may_log(&self) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        let left = &self.lines_left;
        let may = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        if may.is_err() {
            self.owner.count_dropped_line();
        }
        may.is_ok()
    }

    fn line(&self, stream: Stream, bytes: &[u8]) {
        if !self.may_log() {
            return;
        }
        let (plugin, req) = (&*self.owner.name, self.req());
        let line = String::from_utf8_lossy(bytes);
        let line = line.trim_end_matches(['\r', '\n']);
        match stream {
            Stream::Out => tracing::info!(target: "sluicegate::plugin", plugin, req, "{line}"),
            Stream::Error => tracing::warn!(target: "sluicegate::plugin", plugin, req, "{line}"),
        }
    }
}

impl Drop for Console {
    /// Logs a last line without an end, such as the end of a panic message.
    fn drop(&mut self) {
        for (stream, buffer) in [(Stream::Out, &self.out), (Stream::Error, &self.error)] {
            let rest =
                std::mem::take(&mut *buffer.lock().expect("no panic while the lock is held"));
            if !rest.is_empty() {
                self.line(stream, &rest);
            }
        }
    }
}

/// One of the two streams.
#[derive(Clone)]
struct Output {
    console: Arc<Console>,
    stream: Stream,
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.console.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_MAX)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.console.write(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
