//! What the client gets in a scripted exchange; the rules are those of [`client`](super::super::client).

use bytes::{Bytes, BytesMut};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Response, StatusCode};

use super::anew;
use crate::exchange::head;
use crate::exchange::tail::Tail;
use crate::pipeline::{End, Output, Stop, Stopped, content_framing};
use sluicegate_framing::Framing;
use sluicegate_plugin_host::ExchangeContext;

/// The response so far.
pub(super) struct Written {
    head: Option<Parts>,
    body: BytesMut,
    framing: Framing,
    /// Whether the body so far ends where an event ends.
    at_boundary: bool,
    tail: Tail,
    cut_off: bool,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            head: None,
            body: BytesMut::new(),
            framing: Framing::Document,
            at_boundary: true,
            tail: Tail::default(),
            cut_off: false,
        }
    }
}

impl Written {
    /// Adds the output of the stages; true if it was the last.
    pub(super) fn deliver(
        &mut self,
        context: &mut ExchangeContext,
        output: Output,
        whole_events: bool,
    ) -> bool {
        let Output { data, framing, end } = output;
        let bytes = anew(data, framing);
        match end {
            End::Open => {
                if !bytes.is_empty() {
                    self.chunk(context, &bytes, whole_events);
                }
                return false;
            }
            End::Last => self.chunk(context, &bytes, true),
            End::Stopped(stopped) => {
                if !bytes.is_empty() {
                    context.restore();
                    self.chunk(context, &bytes, whole_events);
                }
                self.fail(context, *stopped, framing);
            }
        }
        true
    }

    /// Adds some of the body, behind the head.
    fn chunk(&mut self, context: &mut ExchangeContext, bytes: &[u8], whole_events: bool) {
        if self.head.is_none() {
            self.framing = content_framing(context);
            self.begin(context);
        }
        let ends_an_event = match self.framing {
            Framing::Ndjson => bytes.ends_with(b"\n"),
            Framing::Sse | Framing::Document => self.tail.ends_an_event(bytes),
        };
        self.at_boundary = ends_an_event || whole_events;
        self.body.extend_from_slice(bytes);
    }

    /// Sends the head of a stream before there is a response.
    pub(super) fn announce(&mut self, context: &mut ExchangeContext) {
        self.framing = Framing::Sse;
        let kind = HeaderValue::from_static("text/event-stream");
        let fields = [(CONTENT_TYPE, kind)].into_iter().collect();
        self.head = Some(head::left_by_stages(context, StatusCode::OK, fields));
        context.head_sent = true;
    }

    fn begin(&mut self, context: &mut ExchangeContext) {
        let status = context.status.unwrap_or(StatusCode::OK);
        // A copy: later phases can still read it.
        let fields = context.response.clone();
        self.head = Some(head::left_by_stages(context, status, fields));
        context.head_sent = true;
    }

    /// An error: a response of its own, or the last event of a stream, or a body that is cut off.
    fn fail(&mut self, context: &mut ExchangeContext, stopped: Stopped, framing: Framing) {
        let Stopped { stop, shown, .. } = stopped;
        if self.head.is_none() {
            let (mut body, mut framing) = shown.into_whole(framing);
            if let Stop::Failure(failure) = &stop
                && body.is_empty()
            {
                (body, framing) = (failure.body(), Framing::Document);
            }
            if let Some(kind) = framing.content_type() {
                let kind = HeaderValue::from_static(kind);
                context.response.insert(CONTENT_TYPE, kind);
            }
            self.begin(context);
            self.body.extend_from_slice(&body);
            return;
        }
        let record = shown.into_bytes(self.framing);
        let can_be_told = self.at_boundary && self.framing != Framing::Document;
        if can_be_told && !record.is_empty() {
            self.body.extend_from_slice(&record);
        } else {
            self.cut_off = true;
        }
    }

    pub(super) fn status(&self) -> Option<StatusCode> {
        self.head.as_ref().map(|head| head.status)
    }

    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    pub(super) fn into_response(self) -> Option<Response<Bytes>> {
        let body = self.body.freeze();
        self.head.map(|head| Response::from_parts(head, body))
    }
}
