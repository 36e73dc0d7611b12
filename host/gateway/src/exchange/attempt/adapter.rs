//! An attempt's copy of the request, and the adapter that works on it.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;

use crate::exchange::Halt;
use crate::exchange::client::ResponseWriter;
use crate::exchange::request::body::{RequestBody, unreadable};
use crate::pipeline::{Limits, Passed, Run};
use sluicegate_plugin_host::Loan;
use sluicegate_plugin_host::{Asked, Version};
use sluicegate_upstream as upstream;

/// An attempt's adapter with its copy of the exchange.
pub(in crate::exchange) struct Adapter {
    pub(super) run: Run,
    pub(super) context: Loan,
    /// Whether its attempt is the one that is answered with: its notes are those of the exchange.
    pub(super) decided: bool,
}

impl Adapter {
    pub(super) fn new(version: &Arc<Version>, asked: Asked, context: Loan, limits: Limits) -> Self {
        Self {
            run: Run::adapter(version.clone(), Arc::new(asked), limits),
            context,
            decided: false,
        }
    }

    /// Events that came from the model server; 0 if the adapter did not look.
    pub(in crate::exchange) fn events(&self) -> u64 {
        self.run.events()
    }

    /// Bytes that it waits with for more.
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
            // The adapter wants to see what no stage has: from here on it is kept.
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

    /// Takes some of the response through the adapter. Once its attempt has decided the exchange, its notes are the exchange's.
    pub(super) async fn advance(&mut self, exchange: &mut Loan, passed: Passed) -> Passed {
        self.share_notes(exchange);
        let passed = self.run.advance(&mut self.context, passed).await;
        self.share_notes(exchange);
        passed
    }

    fn share_notes(&mut self, exchange: &mut Loan) {
        if self.decided {
            mem::swap(&mut self.context.notes, &mut exchange.notes);
        }
    }

    /// `closing.closed`
    pub(in crate::exchange) async fn close(
        &mut self,
        exchange: &mut Loan,
        error: &str,
        status: Option<StatusCode>,
    ) {
        self.context.status = status;
        self.share_notes(exchange);
        self.run.close(&mut self.context, error).await;
        self.share_notes(exchange);
    }
}
