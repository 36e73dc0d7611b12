//! A request on its way to a server.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper::http::request;
use tokio::io::AsyncWrite;

use super::error::Error;
use super::head::{self, Sends};
use crate::body::Body;
use sluicegate_io as vectored;

/// What is still to be sent: the bytes in memory, then the rest of the body.
pub(super) struct Sending {
    /// The head, or the size line of a chunk.
    front: Bytes,
    /// Some of the body.
    data: Bytes,
    /// What closes a chunk, or the body.
    back: &'static [u8],
    /// `None` after its end.
    body: Option<Body>,
    sends: Sends,
}

impl Sending {
    pub(super) fn new(head: &request::Parts, body: Body) -> Self {
        let (front, sends) = head::write(head, &body);
        let mut sending = Self {
            front,
            data: Bytes::new(),
            back: b"",
            body: None,
            sends,
        };
        match body {
            // Goes out with the head.
            Body::Full(bytes) => sending.data = bytes.unwrap_or_default(),
            Body::Stream(_) => sending.body = Some(body),
        }
        sending
    }

    /// A copy of the request, if all of it is in memory. Only before the first byte is sent.
    pub(super) fn replay(&self) -> Option<Self> {
        self.body.is_none().then(|| Self {
            front: self.front.clone(),
            data: self.data.clone(),
            back: self.back,
            body: None,
            sends: self.sends,
        })
    }

    /// The body, if it is one that is passed on as it arrives. Only before the first byte is sent.
    pub(super) fn into_unsent(self) -> Option<Body> {
        self.body
    }

    /// Sends as much as the server takes; ready when nothing is left.
    pub(super) fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        loop {
            while self.is_at_hand() {
                let slices = [
                    IoSlice::new(&self.front),
                    IoSlice::new(&self.data),
                    IoSlice::new(self.back),
                ];
                let sent = ready!(vectored::poll_write(stream, cx, &slices))?;
                if sent == 0 {
                    return Poll::Ready(Err(Error::Io(std::io::ErrorKind::WriteZero.into())));
                }
                self.advance(sent);
            }
            let next = match &mut self.body {
                Some(body) => body.poll_next(cx),
                None => Poll::Ready(None),
            };
            match next {
                Poll::Ready(Some(Ok(data))) => self.load(data),
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(Error::RequestBody(error)));
                }
                Poll::Ready(None) if self.body.take().is_some() && self.sends == Sends::Chunked => {
                    self.back = b"0\r\n\r\n";
                }
                // With TLS, written bytes are not yet sent.
                Poll::Ready(None) => {
                    ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending => {
                    ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_at_hand(&self) -> bool {
        !(self.front.is_empty() && self.data.is_empty() && self.back.is_empty())
    }

    fn advance(&mut self, mut sent: usize) {
        for part in [&mut self.front, &mut self.data] {
            let size = sent.min(part.len());
            part.advance(size);
            sent -= size;
        }
        self.back = &self.back[sent..];
    }

    fn load(&mut self, data: Bytes) {
        // A chunk of no bytes would end the body.
        if self.sends == Sends::Chunked && !data.is_empty() {
            self.front = format!("{:x}\r\n", data.len()).into();
            self.back = b"\r\n";
        }
        self.data = data;
    }
}
