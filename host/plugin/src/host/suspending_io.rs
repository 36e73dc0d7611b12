//! `wasi:io`: streams and readiness, for calls on stacks of their own. A guest that waits for a request of `wasi:http` is
//! suspended, as in the functions of a capability; so is one that sleeps, but that counts for its call's time.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime::{Error, Result};
use wasmtime_wasi::p2::bindings::io::{error, poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};

use super::wasi_http::WasiHttp;
use crate::store::{Exhausted, State, TooLong};

/// How long a guest may take to learn that its requests have ended: they are told at the same moment.
const TOLD: Duration = Duration::from_secs(1);

/// Replaces the functions of the WASI library, which wait as long as they like.
///
/// # Errors
/// Those of the linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    linker.allow_shadowing(true);
    poll::add_to_linker::<State, HasIo>(linker, |state| Io(state))?;
    streams::add_to_linker::<State, HasIo>(linker, |state| Io(state))?;
    linker.allow_shadowing(false);
    Ok(())
}

struct HasIo;

impl HasData for HasIo {
    type Data<'a> = Io<'a>;
}

/// A guest's streams.
pub(crate) struct Io<'a>(&'a mut State);

/// Does something in the guest's table, which may have to wait.
macro_rules! waiting {
    ($io:ident, $table:ident => $future:expr) => {{
        let mut wasi = $io.0.take_wasi();
        let ($table, http) = wasi.table_and_http();
        let done = wait($io.0, http, $future).await;
        $io.0.put_wasi(wasi);
        done
    }};
}

/// Waits as long as the call and its exchange allow. Requests that are on their way then are ended, so that the guest gets
/// their errors.
///
/// # Errors
/// [`TooLong`] if it slept longer; [`Exhausted`] if too many guests sleep already.
async fn wait<T>(
    state: &mut State,
    http: &mut WasiHttp,
    future: impl Future<Output = T>,
) -> Result<T> {
    let mut future = pin!(future);
    let at_once = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
    if let Poll::Ready(value) = at_once {
        return Ok(value);
    }
    if !http.is_waiting() {
        let (_, _, sleeping) = state.waiting();
        let _permit = sleeping.try_acquire().map_err(|_| Error::new(Exhausted))?;
        return state
            .sleep(future)
            .await?
            .ok_or_else(|| Error::new(TooLong));
    }
    if let Some(value) = state.wait(future.as_mut()).await? {
        return Ok(value);
    }
    http.end();
    let told = timeout(TOLD, future).await;
    told.map_err(|_| Error::new(TooLong))
}

impl poll::Host for Io<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        waiting!(self, table => poll::Host::poll(table, pollables))?
    }
}

impl poll::HostPollable for Io<'_> {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        waiting!(self, table => poll::HostPollable::ready(table, pollable))?
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        waiting!(self, table => poll::HostPollable::block(table, pollable))?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        poll::HostPollable::drop(self.0.table(), pollable)
    }
}

impl error::Host for Io<'_> {}

impl error::HostError for Io<'_> {
    fn to_debug_string(&mut self, error: Resource<streams::Error>) -> Result<String> {
        error::HostError::to_debug_string(self.0.table(), error)
    }

    fn drop(&mut self, error: Resource<streams::Error>) -> Result<()> {
        error::HostError::drop(self.0.table(), error)
    }
}

impl streams::Host for Io<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        streams::Host::convert_stream_error(self.0.table(), error)
    }
}

impl streams::HostInputStream for Io<'_> {
    fn read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        streams::HostInputStream::read(self.0.table(), stream, len)
    }

    async fn blocking_read(
        &mut self,
        stream: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<Vec<u8>> {
        waiting!(self, table => streams::HostInputStream::blocking_read(table, stream, len))
            .map_err(StreamError::Trap)?
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        streams::HostInputStream::skip(self.0.table(), stream, len)
    }

    async fn blocking_skip(
        &mut self,
        stream: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        waiting!(self, table => streams::HostInputStream::blocking_skip(table, stream, len))
            .map_err(StreamError::Trap)?
    }

    fn subscribe(&mut self, stream: Resource<DynInputStream>) -> Result<Resource<DynPollable>> {
        streams::HostInputStream::subscribe(self.0.table(), stream)
    }

    async fn drop(&mut self, stream: Resource<DynInputStream>) -> Result<()> {
        waiting!(self, table => streams::HostInputStream::drop(table, stream))?
    }
}

impl streams::HostOutputStream for Io<'_> {
    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        streams::HostOutputStream::check_write(self.0.table(), stream)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        streams::HostOutputStream::write(self.0.table(), stream, bytes)
    }

    async fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        waiting!(self, table => streams::HostOutputStream::blocking_write_and_flush(table, stream, bytes))
            .map_err(StreamError::Trap)?
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        streams::HostOutputStream::flush(self.0.table(), stream)
    }

    async fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        waiting!(self, table => streams::HostOutputStream::blocking_flush(table, stream))
            .map_err(StreamError::Trap)?
    }

    fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> Result<Resource<DynPollable>> {
        streams::HostOutputStream::subscribe(self.0.table(), stream)
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        streams::HostOutputStream::write_zeroes(self.0.table(), stream, len)
    }

    async fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        len: u64,
    ) -> StreamResult<()> {
        waiting!(self, table =>
            streams::HostOutputStream::blocking_write_zeroes_and_flush(table, stream, len))
        .map_err(StreamError::Trap)?
    }

    fn splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        streams::HostOutputStream::splice(self.0.table(), to, from, len)
    }

    async fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        waiting!(self, table => streams::HostOutputStream::blocking_splice(table, to, from, len))
            .map_err(StreamError::Trap)?
    }

    async fn drop(&mut self, stream: Resource<DynOutputStream>) -> Result<()> {
        waiting!(self, table => streams::HostOutputStream::drop(table, stream))?
    }
}
