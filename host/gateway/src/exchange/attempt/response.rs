//! The response of the attempt that decided the exchange.

use std::time::Duration;

use bytes::BytesMut;

use super::Adapter;
use crate::pipeline::data::collect;
use crate::pipeline::{Chunk, Data, End};
use sluicegate_framing::Framing;
use sluicegate_upstream::{ResponseBody, Visit};

/// The response of the attempt that decided the exchange.
pub(in crate::exchange) struct UpstreamResponse {
    /// `None` once the connection is given up.
    pub(super) body: Option<ResponseBody>,
    /// The place that the attempt has at its target as long as the response lasts.
    pub(super) visit: Option<Box<Visit>>,
    /// What has already left the adapter.
    pub(in crate::exchange) first: Option<Chunk>,
    /// The length of the body, if the model server has announced it and no adapter looks at the body.
    pub(in crate::exchange) announced: Option<u64>,
    /// The body so far, if it becomes one event because the client already has the head of a stream.
    pub(super) wrapped: Option<BytesMut>,
    pub(super) idle: Duration,
}

impl UpstreamResponse {
    /// Gives up the connection to the model server.
    pub(in crate::exchange) fn close(&mut self) {
        self.body = None;
        self.visit = None;
    }

    /// It breaks off through the fault of the target.
    pub(super) fn failed(&mut self) {
        if let Some(visit) = &mut self.visit {
            visit.failed();
        }
    }

    /// Bytes that wait for the rest of the body.
    pub(in crate::exchange) fn buffered(&self) -> usize {
        self.wrapped.as_ref().map_or(0, BytesMut::len)
    }

    /// The framing of the input, if it consists of events; `None` for bytes.
    pub(in crate::exchange) fn events_in(&self, adapter: Option<&Adapter>) -> Option<Framing> {
        if self.wrapped.is_some() {
            return Some(Framing::Sse);
        }
        adapter.and_then(|adapter| adapter.run.batches())
    }

    /// Behind the head of a stream, a body that is not one becomes one event when it is complete.
    pub(super) fn wrap(&mut self, chunk: Chunk, limit: u64) -> Chunk {
        match &mut self.wrapped {
            Some(wrapped) => wrap(wrapped, chunk, limit),
            None => chunk,
        }
    }
}

/// Collects a body, which becomes one event when it is complete.
pub(in crate::exchange) fn wrap(wrapped: &mut BytesMut, chunk: Chunk, limit: u64) -> Chunk {
    let bytes = chunk.data.into_bytes(Framing::Document);
    if let Err(failure) = collect(wrapped, &bytes, limit) {
        return Chunk::failed(failure);
    }
    match chunk.end {
        End::Open => Chunk::open(Data::default()),
        End::Last => Chunk::last(Data::event(wrapped.split().freeze())),
        End::Stopped(stopped) => Chunk {
            data: Data::default(),
            end: End::Stopped(stopped),
        },
    }
}
