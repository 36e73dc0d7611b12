//! Server-sent events of a generation, at its pace.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::{Response, StatusCode};

use super::answer::Ending;
use super::body::{self, Body, Error, Reply};
use super::pace::{Pace, wait};

/// One event.
#[derive(Debug)]
pub(super) struct Event {
    /// As it is sent: `data: …` with its empty line.
    text: String,
    /// Whether the model writes a token before it.
    waits: bool,
}

impl Event {
    /// An event that comes with the one before it.
    pub(super) fn now(data: &impl ToString) -> Self {
        Self {
            text: format!("data: {}\n\n", data.to_string()),
            waits: false,
        }
    }

    /// An event that takes a token's time.
    pub(super) fn of_token(data: &impl ToString) -> Self {
        Self {
            waits: true,
            ..Self::now(data)
        }
    }

    pub(super) fn done() -> Self {
        Self::now(&"[DONE]")
    }
}

/// How a stream ends behind its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    End,
    Reset,
    Stall,
}

impl Close {
    pub(super) fn of(ending: Ending) -> Self {
        match ending {
            Ending::Done(_) | Ending::Abort | Ending::ErrorLine | Ending::Truncate => Self::End,
            Ending::Reset => Self::Reset,
            Ending::Stall => Self::Stall,
        }
    }
}

type Events = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Error>> + Send>>;

/// A stream whose head is sent at once, as vLLM and TGI do even while a request waits for others. `keep_alive` is the time
/// between comments while it is silent for ever.
pub(super) fn stream_of(
    events: impl Iterator<Item = Event> + Send + 'static,
    pace: Pace,
    close: Close,
    keep_alive: Option<Duration>,
) -> Body {
    struct Run<I> {
        events: I,
        has_begun: bool,
    }
    let run = Run {
        events,
        has_begun: false,
    };
    let frames = stream::unfold(Some(run), move |run| async move {
        let mut run = run?;
        let next = run.events.next();
        if !run.has_begun {
            wait(pace.first_token).await;
            run.has_begun = true;
        } else if next.as_ref().is_some_and(|event| event.waits) {
            wait(pace.token).await;
        }
        match (next, close) {
            (Some(event), _) => Some((Ok(Frame::data(event.text.into())), Some(run))),
            (None, Close::End) => None,
            (None, Close::Reset) => {
                // The server flushes only when the body is pending: without this, the events before the break could be lost
                // with the connection.
                tokio::task::yield_now().await;
                Some((Err(Error::Reset), None))
            }
            (None, Close::Stall) => match keep_alive {
                Some(time) => {
                    tokio::time::sleep(time).await;
                    Some((Ok(Frame::data(":\n\n".into())), Some(run)))
                }
                None => std::future::pending().await,
            },
        }
    });
    let frames: Events = Box::pin(frames);
    StreamBody::new(frames).boxed_unsync()
}

/// A response in one JSON document, after the time that its tokens take. Without a proper ending half of it is sent, or nothing.
pub(super) async fn document(
    json: String,
    kind: &'static str,
    tokens: usize,
    ending: Ending,
    pace: Pace,
) -> Reply {
    let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
    wait(
        pace.first_token
            .saturating_add(pace.token.saturating_mul(tokens)),
    )
    .await;
    let mut json = json;
    match ending {
        Ending::Done(_) | Ending::Abort | Ending::ErrorLine => {}
        Ending::Truncate => {
            let half = (0..=json.len() / 2).rev();
            let half = half.into_iter().find(|&end| json.is_char_boundary(end));
            json.truncate(half.unwrap_or(0));
        }
        Ending::Reset => return Err(Error::Reset),
        Ending::Stall => std::future::pending().await,
    }
    Ok(ok(kind, body::whole(json)))
}

pub(super) fn ok(kind: &'static str, body: Body) -> Response<Body> {
    body::response(StatusCode::OK, kind, body)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_has_comments_where_the_vendor_sends_them() {
        let pace = Pace {
            first_token: Duration::from_secs(1),
            ..Pace::FULL_SPEED
        };
        let events = [Event::now(&"one"), Event::of_token(&"two")].into_iter();
        let keep_alive = Some(Duration::from_secs(15));
        let mut body = stream_of(events, pace, Close::Stall, keep_alive);
        let started = Instant::now();
        for (text, seconds) in [
            ("data: one\n\n", 1),
            ("data: two\n\n", 1),
            (":\n\n", 16),
            (":\n\n", 31),
        ] {
            let frame = body.frame().await.expect("a frame").expect("no error");
            assert_eq!(frame.into_data().expect("data"), text);
            assert_eq!(started.elapsed().as_secs(), seconds);
        }
    }

    /// The only frame of a body.
    async fn said(reply: Reply) -> Bytes {
        let mut body = reply.expect("a response").into_body();
        let frame = body.frame().await.expect("a frame").expect("no error");
        frame.into_data().expect("data")
    }

    #[tokio::test(start_paused = true)]
    async fn a_document_takes_the_time_of_its_tokens_and_can_be_cut() {
        let pace = Pace {
            token: Duration::from_secs(2),
            ..Pace::FULL_SPEED
        };
        let started = Instant::now();
        let whole = document("{}".to_owned(), "x/y", 3, Ending::Done("stop"), pace).await;
        assert_eq!(said(whole).await, "{}");
        assert_eq!(started.elapsed().as_secs(), 6);
        let cut = document("\u{e9}{}".to_owned(), "x/y", 0, Ending::Truncate, pace).await;
        assert_eq!(said(cut).await, "\u{e9}");
        let broken = document(String::new(), "x/y", 0, Ending::Reset, pace).await;
        assert!(matches!(broken, Err(Error::Reset)));
    }
}
