//! The client's side of an exchange: what the client has received so far, and how it learns of the end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::admission::Admitted;
use super::connection::{ConnectionHandle, Interrupt};
use super::head;
use super::record::Record;
use super::tail::Tail;
use crate::pipeline::{Stop, Stopped, content_framing};
use sluicegate_framing::Framing;
use sluicegate_plugin_host::{ExchangeContext, Plugin};

/// A comment line of SSE, which clients ignore. One line, without an empty line behind it: after an event with an `id`,
/// openai-python takes the empty line for an event and fails.
const HEARTBEAT: &[u8] = b": ping\n";

/// What the client has received so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    /// A head for a stream of events: the client asked for one, and the model server was silent for long.
    EarlyHead,
    /// The response's own head.
    Head,
}

/// Writes the response: one head, then bytes, then an end.
pub(super) struct ResponseWriter {
    connection: ConnectionHandle,
    sent: Sent,
    /// The framing of what the client gets.
    framing: Framing,
    /// Whether the length of the body was announced: nothing can be added to it then.
    announced: bool,
    /// Whether the data sent so far ends where an event ends.
    at_boundary: bool,
    tail: Tail,
    deadline: Option<(Instant, Duration)>,
    /// The client has left, and the exchange goes on: nothing is written, until this says that the gateway stops.
    left: Option<CancellationToken>,
}

impl ResponseWriter {
    pub(super) fn new(connection: ConnectionHandle) -> Self {
        Self {
            connection,
            sent: Sent::Nothing,
            framing: Framing::Document,
            announced: false,
            at_boundary: true,
            tail: Tail::default(),
            deadline: None,
            left: None,
        }
    }

    /// Whether the client has closed its connection or its stream. False for one that is there and takes nothing.
    pub(super) fn is_disconnected(&self) -> bool {
        self.left.is_none() && self.connection.is_dropped()
    }

    /// From now on, nothing is written. `stopping` is cancelled when the exchange must end.
    pub(super) fn leave(&mut self, stopping: CancellationToken) {
        self.left = Some(stopping);
    }

    /// Whether the exchange goes on without its client.
    pub(super) fn has_left(&self) -> bool {
        self.left.is_some()
    }

    /// Whether anything has gone to the client.
    pub(super) fn has_begun(&self) -> bool {
        self.sent != Sent::Nothing
    }

    /// Whether the client received the head of a stream before there was a response.
    pub(super) fn has_early_head(&self) -> bool {
        self.sent == Sent::EarlyHead
    }

    /// The framing of what the client gets; `None` while that is open.
    pub(super) fn framing(&self) -> Option<Framing> {
        self.has_begun().then_some(self.framing)
    }

    /// Keeps the permit until the client has taken the whole response.
    pub(super) fn hold(&self, admitted: Admitted) {
        self.connection.hold(admitted);
    }

    /// The exchange needs only these adapters from now on.
    pub(super) fn keep_adapters<'a>(&self, adapters: impl IntoIterator<Item = &'a Arc<Plugin>>) {
        let adapters = adapters.into_iter().map(Arc::downgrade).collect();
        self.connection.keep_adapters(adapters);
    }

    /// Waits until the exchange is taken out of its connection, or must end without it.
    pub(super) async fn interrupted(&self) -> Interrupt {
        match &self.left {
            None => self.connection.interrupted().await,
            Some(stopping) => {
                stopping.cancelled().await;
                Interrupt::Shutdown
            }
        }
    }

    /// When the exchange must have ended, and the limit that says so.
    pub(super) fn set_deadline(&mut self, deadline: Option<(Instant, Duration)>) {
        self.deadline = deadline;
    }

    /// Waits for something, but only while the client stays.
    pub(super) async fn unless_gone<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> Result<T, Interrupt> {
        tokio::select! {
            biased;
            why = self.interrupted() => Err(why),
            value = future => Ok(value),
        }
    }

    /// Sends a chunk of the body, with the head before the first one. `whole_events` says that it ends where an event ends;
    /// otherwise its last bytes decide.
    pub(super) async fn write_chunk(
        &mut self,
        record: &mut Record,
        context: &mut ExchangeContext,
        bytes: Bytes,
        announced: Option<u64>,
        whole_events: bool,
    ) -> Result<(), Interrupt> {
        if self.has_left() {
            return Ok(());
        }
        if self.sent == Sent::Nothing {
            self.framing = content_framing(context);
            self.announced = announced.is_some();
            // A copy: later phases can still read it.
            let fields = context.response.clone();
            let head = head::to_client(context, fields);
            record.status = Some(head.status);
            context.head_sent = true;
            self.connection.head(head, announced, self.deadline);
            self.sent = Sent::Head;
        }
        let ends_an_event = match self.framing {
            Framing::Ndjson => bytes.ends_with(b"\n"),
            Framing::Sse | Framing::Document => self.tail.ends_an_event(&bytes),
        };
        self.at_boundary = ends_an_event || whole_events;
        record.sends(bytes.len());
        self.connection.send(bytes).await
    }

    /// Sends the end of the body, or the whole response if nothing has been sent.
    pub(super) async fn finish(
        &mut self,
        record: &mut Record,
        context: &mut ExchangeContext,
        bytes: Bytes,
    ) -> Result<(), Interrupt> {
        if self.has_left() {
            return Ok(());
        }
        match self.sent {
            Sent::Nothing => {
                self.respond(record, context, bytes);
                Ok(())
            }
            Sent::EarlyHead | Sent::Head if bytes.is_empty() => Ok(()),
            Sent::EarlyHead | Sent::Head => {
                self.write_chunk(record, context, bytes, None, true).await
            }
        }
    }

    fn respond(&mut self, record: &mut Record, context: &mut ExchangeContext, body: Bytes) {
        let fields = std::mem::take(&mut context.response);
        let head = head::to_client(context, fields);
        record.status = Some(head.status);
        context.head_sent = true;
        if !body.is_empty() {
            record.sends(body.len());
        }
        self.connection.respond(head, body);
        self.sent = Sent::Head;
    }

    /// Tells the client of an error: by a response of its own, or by the last event of the stream that has begun. If no event
    /// can be sent, the body is cut off.
    pub(super) async fn fail(
        &mut self,
        record: &mut Record,
        context: &mut ExchangeContext,
        stopped: Stopped,
        framing: Framing,
    ) -> Result<(), Interrupt> {
        if self.has_left() {
            return Ok(());
        }
        let Stopped { stop, shown, .. } = stopped;
        if self.sent == Sent::Nothing {
            let (mut body, mut framing) = shown.into_whole(framing);
            if let Stop::Failure(failure) = &stop
                && body.is_empty()
            {
                // No stage has changed it.
                (body, framing) = (failure.body(), Framing::Document);
            }
            if let Some(kind) = framing.content_type() {
                let kind = HeaderValue::from_static(kind);
                context.response.insert(CONTENT_TYPE, kind);
            }
            self.respond(record, context, body);
            return Ok(());
        }
        let framing = self.framing;
        let can_be_told = self.at_boundary && !self.announced && framing != Framing::Document;
        let record_of_error = shown.into_bytes(framing);
        if can_be_told && !record_of_error.is_empty() {
            return self
                .write_chunk(record, context, record_of_error, None, true)
                .await;
        }
        self.connection.abort().await;
        Ok(())
    }

    /// Sends a comment to a client that has, or will have, a stream of events: behind an event, never inside one.
    pub(super) async fn heartbeat(
        &mut self,
        record: &mut Record,
        context: &mut ExchangeContext,
    ) -> Result<(), Interrupt> {
        if !self.at_boundary {
            return Ok(());
        }
        if self.sent == Sent::Nothing {
            self.framing = Framing::Sse;
            let head = if context.status.is_some() {
                // There is a response, so its own head can go out.
                self.sent = Sent::Head;
                let fields = context.response.clone();
                head::to_client(context, fields)
            } else {
                self.sent = Sent::EarlyHead;
                head::early(context)
            };
            record.status = Some(head.status);
            context.head_sent = true;
            self.connection.head(head, None, self.deadline);
        }
        self.connection.send(Bytes::from_static(HEARTBEAT)).await
    }
}
