//! WASI 0.2 as far as guests' standard libraries need it: clocks, randomness, and output that goes to the log.
//!
//! No files, no sockets, no environment, no arguments: the functions are there, since the libraries import them, and
//! answer that there is nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::plugin::Owner;

/// Octets of one write; a guest's library splits what is longer.
const WRITE_MAX: usize = 4096;

/// A WASI world with nothing in it but the log.
pub(in crate::plugin) fn context(owner: &Arc<Owner>) -> WasiCtx {
    let line = |error| Output {
        owner: owner.clone(),
        error,
    };
    WasiCtx::builder()
        .stdout(line(false))
        .stderr(line(true))
        .build()
}

/// Standard output or error of a guest: each line becomes a line of the gateway's log.
#[derive(Clone)]
struct Output {
    owner: Arc<Owner>,
    error: bool,
}

impl Output {
    fn log(&self, bytes: &[u8]) {
        let plugin = &*self.owner.name;
        for line in String::from_utf8_lossy(bytes).lines() {
            if self.error {
                tracing::warn!(target: "sluicegate::plugin", plugin, "{line}");
            } else {
                tracing::info!(target: "sluicegate::plugin", plugin, "{line}");
            }
        }
    }
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
        self.log(&bytes);
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
        self.log(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
