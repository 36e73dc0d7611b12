//! `wasi:io`: streams and readiness, for calls that have no stack of their own.
//!
//! Nearly everything is ready at once: the console accepts all output, and there is no other stream. Only a guest that sleeps
//! waits, and then its thread waits too, while other threads take over the rest of its work. The number of waiting threads is
//! bounded.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout_at};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime::{Error, Result};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::bindings::io::{poll as async_poll, streams as async_streams};
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};

use crate::store::{Exhausted, State, TooLong};

/// Replaces the functions of the WASI library, which are for calls that can be suspended.
///
/// # Errors
/// Those of the linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    linker.allow_shadowing(true);
    poll::add_to_linker::<State, HasIo>(linker, |state| Io::of(state))?;
    streams::add_to_linker::<State, HasIo>(linker, |state| Io::of(state))?;
    linker.allow_shadowing(false);
    Ok(())
}

struct HasIo;

impl HasData for HasIo {
    type Data<'a> = Io<'a>;
}

/// A guest's streams, and how long it may wait.
pub(crate) struct Io<'a> {
    table: &'a mut ResourceTable,
    /// When the call must have returned.
    deadline: Instant,
    /// Whether it runs on a thread that serves.
    direct: bool,
    /// One permit for each thread that waits.
    waiting: Arc<Semaphore>,
}

impl<'a> Io<'a> {
    fn of(state: &'a mut State) -> Self {
        let (deadline, direct, waiting) = state.waiting();
        Self {
            table: state.ctx().table,
            deadline,
            direct,
            waiting,
        }
    }

    /// Runs a future that may have to wait.
    ///
    /// # Errors
    /// [`TooLong`] if the call's time is over first; [`Exhausted`] if too many threads are waiting already.
    fn wait<T>(&mut self, what: impl AsyncFnOnce(&mut ResourceTable) -> T) -> Result<T> {
        let mut future = pin!(what(&mut *self.table));
        let mut now = Context::from_waker(Waker::noop());
        if let Poll::Ready(value) = future.as_mut().poll(&mut now) {
            return Ok(value);
        }
        let runtime = Handle::current();
        if self.direct && runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            return Err(Error::msg("it waits, but there is only one thread"));
        }
        let _permit = self
            .waiting
            .try_acquire()
            .map_err(|_| Error::new(Exhausted))?;
        let waited = block_in_place(|| runtime.block_on(timeout_at(self.deadline, future)));
        waited.map_err(|_| Error::new(TooLong))
    }

    /// The same, with the errors of a stream.
    fn wait_in_stream<T>(
        &mut self,
        what: impl AsyncFnOnce(&mut ResourceTable) -> StreamResult<T>,
    ) -> StreamResult<T> {
        self.wait(what).map_err(StreamError::Trap)?
    }
}

impl poll::Host for Io<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        self.wait(async |table| async_poll::Host::poll(table, pollables).await)?
    }
}

impl poll::HostPollable for Io<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        self.wait(async |table| async_poll::HostPollable::ready(table, pollable).await)?
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        self.wait(async |table| async_poll::HostPollable::block(table, pollable).await)?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        async_poll::HostPollable::drop(self.table, pollable)
    }
}

impl streams::Host for Io<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        streams::Host::convert_stream_error(self.table, error)
    }
}

impl streams::HostInputStream for Io<'_> {
    fn read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        async_streams::HostInputStream::read(self.table, stream, len)
    }

    fn blocking_read(
        &mut self,
        stream: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<Vec<u8>> {
        self.wait_in_stream(async |table| {
            async_streams::HostInputStream::blocking_read(table, stream, len).await
        })
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        async_streams::HostInputStream::skip(self.table, stream, len)
    }

    fn blocking_skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        self.wait_in_stream(async |table| {
            async_streams::HostInputStream::blocking_skip(table, stream, len).await
        })
    }

    fn subscribe(&mut self, stream: Resource<DynInputStream>) -> Result<Resource<DynPollable>> {
        async_streams::HostInputStream::subscribe(self.table, stream)
    }

    fn drop(&mut self, stream: Resource<DynInputStream>) -> Result<()> {
        self.wait(async |table| async_streams::HostInputStream::drop(table, stream).await)?
    }
}

impl streams::HostOutputStream for Io<'_> {
    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        async_streams::HostOutputStream::check_write(self.table, stream)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        async_streams::HostOutputStream::write(self.table, stream, bytes)
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        self.wait_in_stream(async |table| {
            async_streams::HostOutputStream::blocking_write_and_flush(table, stream, bytes).await
        })
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        async_streams::HostOutputStream::flush(self.table, stream)
    }

    fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.wait_in_stream(async |table| {
            async_streams::HostOutputStream::blocking_flush(table, stream).await
        })
    }

    fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> Result<Resource<DynPollable>> {
        async_streams::HostOutputStream::subscribe(self.table, stream)
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        async_streams::HostOutputStream::write_zeroes(self.table, stream, len)
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        len: u64,
    ) -> StreamResult<()> {
        self.wait_in_stream(async |table| {
            async_streams::HostOutputStream::blocking_write_zeroes_and_flush(table, stream, len)
                .await
        })
    }

    fn splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        async_streams::HostOutputStream::splice(self.table, to, from, len)
    }

    fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        self.wait_in_stream(async |table| {
            async_streams::HostOutputStream::blocking_splice(table, to, from, len).await
        })
    }

    fn drop(&mut self, stream: Resource<DynOutputStream>) -> Result<()> {
        self.wait(async |table| async_streams::HostOutputStream::drop(table, stream).await)?
    }
}
