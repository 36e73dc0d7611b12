//! An attempt's copy of the request, and the adapter that works on it.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;

use crate::exchange::client::ResponseWriter;
use crate::exchange::halt::Halt;
use crate::exchange::request::body::{RequestBody, unreadable};
use crate::pipeline::{Chunk, Limits, PipelineRun};
use sluicegate_plugin_host::ExchangeContext;
use sluicegate_plugin_host::{Plugin, TargetInfo};
use sluicegate_upstream as upstream;

/// An attempt's adapter with its copy of the exchange.
pub(in crate::exchange) struct Adapter {
    pub(super) run: PipelineRun,
    pub(super) context: ExchangeContext,
    /// Whether its attempt decided the exchange: its notes are those of the exchange then.
    pub(super) decided: bool,
}

impl Adapter {
    pub(super) fn new(
        plugin: &Arc<Plugin>,
        target: TargetInfo,
        context: ExchangeContext,
        limits: Limits,
    ) -> Self {
        Self {
            run: PipelineRun::adapter(plugin.clone(), Arc::new(target), limits),
            context,
            decided: false,
        }
    }

    /// Events that came from the model server; 0 if the adapter did not look.
    pub(in crate::exchange) fn events(&self) -> u64 {
        self.run.events()
    }

    /// Bytes that it holds while it waits for more.
    pub(in crate::exchange) fn buffered(&self) -> usize {
        self.run.buffered()
    }

    /// Time spent in it.
    pub(in crate::exchange) fn spent(&self) -> Duration {
        self.context.spent()
    }

    /// Request phases. Returns the body for the model server.
    pub(super) async fn request(
        &mut self,
        client: &ResponseWriter,
        body: &mut RequestBody,
    ) -> Result<upstream::Body, Halt> {
        self.run.request_heads(&mut self.context).await?;
        if !self.run.wants_body() {
            return Ok(body.take());
        }
        if let RequestBody::Stream(limited) = body {
            // The adapter wants to see a body that no stage has read: from here on it is kept.
            let bytes = match limited.take() {
                Some(mut limited) => client.unless_gone(limited.collect()).await?,
                None => Ok(Bytes::new()),
            };
            *body = RequestBody::Kept(bytes.map_err(unreadable)?);
        }
        let RequestBody::Kept(bytes) = body else {
            return Ok(body.take());
        };
        let new = self
            .run
            .request_body(&mut self.context, bytes.clone())
            .await?;
        Ok(upstream::Body::full(new))
    }

    /// Passes a chunk of the response through the adapter. Once its attempt has decided the exchange, both share their notes.
    pub(super) async fn advance(&mut self, exchange: &mut ExchangeContext, chunk: Chunk) -> Chunk {
        self.share_notes(exchange);
        let chunk = self.run.advance(&mut self.context, chunk).await;
        self.share_notes(exchange);
        chunk
    }

    fn share_notes(&mut self, exchange: &mut ExchangeContext) {
        if self.decided {
            mem::swap(&mut self.context.notes, &mut exchange.notes);
        }
    }

    /// `closing.closed`
    pub(in crate::exchange) async fn close(
        &mut self,
        exchange: &mut ExchangeContext,
        error: &str,
        status: Option<StatusCode>,
    ) {
        self.context.status = status;
        self.share_notes(exchange);
        self.run.close(&mut self.context, error).await;
        self.share_notes(exchange);
    }
}
