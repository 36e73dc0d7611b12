//! Request bodies on their way to a model server: whole, or passed on as they come from the client.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use hyper::body::Incoming;
use tokio::time::Sleep;

/// After this many blanks at its beginning, a body is judged by them alone. Arbitrary; no client sends that many.
const BLANKS: usize = 64 * 1024;

/// Why a client's body could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More than the limit.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// No data arrived for too long.
    #[error("no data arrived for {limit:?}")]
    TimedOut {
        /// The limit between two chunks.
        limit: Duration,
    },
    /// There is no memory for more of it.
    #[error("there is no memory for more of the body")]
    NoMemory,
    /// The client's connection broke, or the body's framing is invalid.
    #[error("the client broke off")]
    Broken,
}

/// A request body for a model server.
#[derive(Debug)]
pub enum Body {
    /// The whole body; `None` once it is sent.
    Full(Option<Bytes>),
    /// The client's body, passed on chunk by chunk.
    Stream(Box<Limited>),
}

impl Body {
    /// A body that is complete, and so can be sent again.
    #[must_use]
    pub fn full(bytes: Bytes) -> Self {
        Self::Full((!bytes.is_empty()).then_some(bytes))
    }

    /// The length in bytes, if known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Full(bytes) => Some(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(limited) => limited.announced(),
        }
    }

    /// The next chunk, or `None` at the end.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        match self {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Self::Stream(limited) => limited.poll_next(cx),
        }
    }
}

/// Decides before more of a body is kept whether that many bytes may be.
pub struct Budget(Box<dyn Fn(usize) -> bool + Send + Sync>);

impl Budget {
    /// A budget. `may_keep` gets the number of bytes of this body that would be kept in all.
    pub fn new(may_keep: impl Fn(usize) -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(may_keep))
    }

    /// Whether that many bytes of the body may be kept in all.
    #[must_use]
    pub fn may_keep(&self, bytes: usize) -> bool {
        (self.0)(bytes)
    }
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Budget")
    }
}

/// A client's body with its limits.
#[derive(Debug)]
pub struct Limited {
    incoming: Incoming,
    /// Bytes that were read for a look at the beginning, and that `next` has still to return.
    front: Bytes,
    left: u64,
    limit: u64,
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    budget: Option<Budget>,
}

impl Limited {
    /// A body of at most `limit` bytes, with at most `timeout` between two chunks.
    #[must_use]
    pub fn new(incoming: Incoming, limit: u64, timeout: Duration) -> Self {
        Self {
            incoming,
            front: Bytes::new(),
            left: limit,
            limit,
            timeout,
            timer: None,
            budget: None,
        }
    }

    /// Sets the budget that limits how much of the body is kept.
    pub fn set_budget(&mut self, budget: Budget) {
        self.budget = Some(budget);
    }

    /// The budget, for somebody else who keeps what is read.
    #[must_use]
    pub fn take_budget(&mut self) -> Option<Budget> {
        self.budget.take()
    }

    /// The announced length of the rest of the body, if there is one.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        let rest = hyper::body::Body::size_hint(&self.incoming).exact()?;
        Some(rest + self.front.len() as u64)
    }

    /// Refuses a body whose announced length is above the limit, before any of it is read.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; the body can still be discarded.
    pub fn check_announced(&self) -> Result<(), Error> {
        match self.announced() {
            Some(length) if length > self.limit => Err(Error::TooLarge { limit: self.limit }),
            Some(_) | None => Ok(()),
        }
    }

    /// Reads and discards the rest, up to the limit once more.
    pub async fn discard(&mut self) {
        self.left = self.limit;
        while let Some(Ok(_)) = self.next().await {}
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`Error`]; the rest can still be discarded.
    pub async fn collect(&mut self) -> Result<Bytes, Error> {
        self.check_announced()?;
        let Some(first) = self.next().await.transpose()? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.next().await.transpose()? else {
            return Ok(first);
        };
        let mut whole = BytesMut::with_capacity(2 * (first.len() + second.len()));
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        self.check_budget(whole.len())?;
        while let Some(chunk) = self.next().await.transpose()? {
            self.check_budget(whole.len() + chunk.len())?;
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    fn check_budget(&self, bytes: usize) -> Result<(), Error> {
        match &self.budget {
            Some(budget) if !budget.may_keep(bytes) => Err(Error::NoMemory),
            Some(_) | None => Ok(()),
        }
    }

    /// The whole body, if its beginning is `wanted`; otherwise `None`, and the whole body is still to be read. `wanted` gets
    /// the beginning once that has a byte that is not blank, or is the whole body.
    ///
    /// # Errors
    /// As [`Limited::collect`].
    pub async fn collect_if(
        &mut self,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<Bytes>, Error> {
        self.check_announced()?;
        let mut begin = BytesMut::new();
        let mut ended = false;
        let mut blank = true;
        while !ended && blank && begin.len() < BLANKS {
            match self.next().await.transpose()? {
                Some(chunk) => {
                    blank = chunk.trim_ascii_start().is_empty();
                    begin.extend_from_slice(&chunk);
                }
                None => ended = true,
            }
        }
        let is_wanted = wanted(&begin);
        self.front = begin.freeze();
        if !is_wanted {
            return Ok(None);
        }
        if ended {
            return Ok(Some(std::mem::take(&mut self.front)));
        }
        self.collect().await.map(Some)
    }

    /// The next chunk, or `None` at the end.
    ///
    /// # Errors
    /// [`Error`]; the body is lost then.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if !self.front.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.front))));
        }
        loop {
            match hyper::body::Body::poll_frame(Pin::new(&mut self.incoming), cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.timer = None;
                    // Trailers are not passed on: no model server's API has any.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    let Some(left) = self.left.checked_sub(data.remaining() as u64) else {
                        return Poll::Ready(Some(Err(Error::TooLarge { limit: self.limit })));
                    };
                    self.left = left;
                    return Poll::Ready(Some(Ok(data)));
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(Error::Broken))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    let timeout = self.timeout;
                    let timer = self
                        .timer
                        .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
                    std::task::ready!(timer.as_mut().poll(cx));
                    return Poll::Ready(Some(Err(Error::TimedOut { limit: timeout })));
                }
            }
        }
    }
}
