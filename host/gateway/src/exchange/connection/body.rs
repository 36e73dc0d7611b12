//! The connection's end of a response: it takes the body chunk by chunk, and polls the exchange meanwhile.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use super::handle::ExchangeHandle;
use super::slot::lock;

/// How much of a body the connection takes at a time. The rest counts for the exchange until it is taken.
pub(super) const SLICE: usize = 64 << 10;

/// The body ended before it was complete; the connection shows this to the client by not ending it properly.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the exchange failed in the middle of its response")]
pub struct Aborted;

/// A response body.
pub enum Body {
    /// Complete from the start.
    Whole(Option<Bytes>),
    /// Given chunk by chunk by an exchange that is still running.
    #[expect(private_interfaces, reason = "only this module makes one")]
    Chunks(ExchangeHandle),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Chunks(_) => "Chunks",
        })
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let exchange = match self.get_mut() {
            Self::Whole(bytes) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Chunks(exchange) => exchange,
        };
        let mut goes_on = true;
        loop {
            let mut state = exchange.slot.state();
            state.polled_by(cx.waker());
            if let Some(mut chunk) = state.chunk.take() {
                // HTTP/2 takes a chunk as soon as its first byte has room in the client's window. So the last byte goes by itself:
                // when it is taken, all before it has room, and nothing of it is lost if the body is cut off then.
                let most = if exchange.slot.connection.multiplexed {
                    chunk.len().saturating_sub(1).clamp(1, SLICE)
                } else {
                    SLICE
                };
                if chunk.len() > most {
                    state.chunk = Some(chunk.split_off(most));
                }
                state.unpolled_since = Some(Instant::now());
                state.announced = state
                    .announced
                    .map(|left| left.saturating_sub(chunk.len() as u64));
                if state.chunk.is_none()
                    && let Some(exchange) = state.exchange.take()
                {
                    exchange.wake();
                }
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            if state.taken_out && !state.ended {
                return Poll::Pending;
            }
            state.unpolled_since = None;
            let aborted = state.aborted;
            drop(state);
            if !goes_on {
                return Poll::Ready(aborted.then_some(Err(Aborted)));
            }
            goes_on = exchange.slot.poll(cx);
            if goes_on && exchange.slot.state().chunk.is_none() {
                return Poll::Pending;
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Chunks(exchange) => {
                let ended = lock(&exchange.slot.drive).is_none();
                let state = exchange.slot.state();
                ended
                    && state.chunk.is_none()
                    && !state.aborted
                    && (state.ended || !state.taken_out)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Chunks(exchange) => exchange
                .slot
                .state()
                .announced
                .map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
