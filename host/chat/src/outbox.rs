//! What waits to be sent on one connection, and in which order it leaves.
//! Two kinds of things leave. Frames (responses, events, notices) wait in a queue. It is bounded by number and by bytes, and all
//! queues of one user by bytes together. When there is no room, the connection is closed and the client resumes later: nothing
//! is lost and nothing grows. Text of runs does not wait here: the outbox holds a position per run and reads from the run's
//! buffer when the socket can take more.
//!
//! The order that clients rely on: events in their order, and all text of a run before the event that ends it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::buffer::Buffer;
use super::wire::event::{Channel, Delta};
use super::wire::message::Position;
use super::wire::{self, Close};

mod frame;
mod share;

pub(crate) use frame::{Frame, Payload};
pub(crate) use share::Share;

use share::Charge;

/// The most bytes of text in one delta.
const CHUNK: usize = 16 * 1024;
/// While more bytes than this wait, no more requests are read from the connection: several responses may wait, but not one page
/// of messages behind another.
const LOW: usize = 256 * 1024;
/// How long text is gathered before it is sent: two frames of a 60 Hz screen.
const GATHER: Duration = Duration::from_millis(33);
/// The same for a page that nobody sees.
const GATHER_HIDDEN: Duration = Duration::from_secs(1);

/// The outgoing side of one connection.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// `c_…`.
    pub conn: String,
    /// Whose it is.
    pub user: String,
    state: Mutex<State>,
    /// Wakes the writer; buffers of runs hold it too.
    ready: Arc<Notify>,
    /// Notified when few bytes wait again.
    low: Notify,
    /// Cancelled when the connection is closed at once, whatever is being sent.
    cut: CancellationToken,
    room: Room,
    share: Arc<Share>,
}

/// How much may wait for one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Frames.
    pub frames: usize,
    /// Bytes of all frames together. A longer frame is accepted if it is the only one.
    pub bytes: usize,
}

#[derive(Debug)]
struct State {
    frames: VecDeque<Waiting>,
    /// Of all frames.
    bytes: usize,
    /// For the frame that is being sent.
    sending: Option<Charge>,
    cursors: VecDeque<Cursor>,
    visible: bool,
    close: Option<Close>,
}

#[derive(Debug)]
struct Waiting {
    frame: Frame,
    /// The run whose text is sent before it.
    end_of: Option<String>,
    charge: Charge,
}

#[derive(Debug)]
struct Cursor {
    buffer: Arc<Buffer>,
    at: Position,
    /// When gathered text is sent. `None`: nothing was sent on that channel yet, and the first word should appear at once.
    text_due: Option<Instant>,
    reasoning_due: Option<Instant>,
}

/// What the writer should do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send this.
    Send(Frame),
    /// Nothing is due before that time, or before [`Outbox::ready`].
    Wait(Option<Instant>),
    /// Close the connection; everything before that was sent.
    Close(Close),
}

impl Outbox {
    /// An empty outbox. `share` is what all connections of that user may hold.
    pub(crate) fn new(conn: String, user: String, room: Room, share: Arc<Share>) -> Arc<Self> {
        let state = State {
            frames: VecDeque::new(),
            bytes: 0,
            sending: None,
            cursors: VecDeque::new(),
            visible: true,
            close: None,
        };
        Arc::new(Self {
            conn,
            user,
            state: Mutex::new(state),
            ready: Arc::default(),
            low: Notify::new(),
            cut: CancellationToken::new(),
            room,
            share,
        })
    }

    /// Appends a frame. If there is no room, the connection is closed instead.
    pub(crate) fn push(&self, frame: Frame) {
        self.put(frame, None);
    }

    /// Appends the event that ends a run; it is sent after the run's text.
    pub(crate) fn push_end(&self, run: &str, frame: Frame) {
        self.put(frame, Some(run.to_owned()));
    }

    fn put(&self, frame: Frame, end_of: Option<String>) {
        let mut state = self.state();
        if state.close.is_some() {
            return;
        }
        let (length, Room { frames, bytes }) = (frame.len(), self.room);
        let fits = state.frames.len() < frames
            && (state.frames.is_empty() || state.bytes + length <= bytes);
        match self.share.take(frame.own_len()).filter(|_| fits) {
            Some(charge) => {
                state.bytes += length;
                state.frames.push_back(Waiting {
                    frame,
                    end_of,
                    charge,
                });
                drop(state);
                self.wake();
            }
            // The reader does not read. It gets what is left out now when it resumes.
            None => {
                drop(state);
                self.cut(Close::Rate);
            }
        }
    }

    /// A payload that the responses to several readers of this user can share; `None` if the user holds too much.
    pub(crate) fn payload(&self, text: String) -> Option<Arc<Payload>> {
        let charge = self.share.take(text.len())?;
        Some(Arc::new(Payload::new(text, charge)))
    }

    /// Sends a run's text from a position on. It replaces an earlier position of the same run.
    pub(crate) fn follow(&self, buffer: &Arc<Buffer>, at: Position) {
        {
            let mut state = self.state();
            state
                .cursors
                .retain(|cursor| cursor.buffer.run != buffer.run);
            let cursor = Cursor {
                buffer: Arc::clone(buffer),
                at,
                text_due: None,
                reasoning_due: None,
            };
            state.cursors.push_back(cursor);
        }
        buffer.watch(&self.ready);
        self.wake();
    }

    /// Stops sending a run's text. Returns how far it was sent.
    pub(crate) fn unfollow(&self, run: &str) -> Option<Position> {
        let mut state = self.state();
        let place = state
            .cursors
            .iter()
            .position(|cursor| cursor.buffer.run == run)?;
        state.cursors.remove(place).map(|cursor| cursor.at)
    }

    /// Sets whether the page is visible: text for a hidden one is gathered for longer.
    pub(crate) fn show(&self, visible: bool) {
        self.state().visible = visible;
        self.wake();
    }

    /// Closes the connection after what waits has been sent. The first reason counts.
    pub(crate) fn close(&self, close: Close) {
        self.state().close.get_or_insert(close);
        self.wake();
    }

    /// Drops what waits and closes the connection at once.
    pub(crate) fn cut(&self, close: Close) {
        let mut state = self.state();
        state.frames.clear();
        state.bytes = 0;
        state.cursors.clear();
        state.close = Some(close);
        drop(state);
        self.cut.cancel();
        self.low.notify_waiters();
        self.wake();
    }

    /// Waits until the connection is closed by [`cut`](Self::cut).
    pub(crate) async fn was_cut(&self) {
        self.cut.cancelled().await;
    }

    /// Returns once few bytes wait for this connection, or it is closed.
    pub(crate) async fn has_room(&self) {
        loop {
            let low = self.low.notified();
            {
                let state = self.state();
                if state.bytes <= LOW || state.close.is_some() {
                    return;
                }
            }
            low.await;
        }
    }

    /// Whether the connection is to be closed.
    pub(crate) fn closing(&self) -> bool {
        self.state().close.is_some()
    }

    /// Bytes of text that wait in buffers for this connection, and frames that wait here.
    pub(crate) fn backlog(&self) -> (usize, usize) {
        let state = self.state();
        let behind = |cursor: &Cursor| {
            let end = cursor.buffer.end();
            end.text.saturating_sub(cursor.at.text)
                + end.reasoning.saturating_sub(cursor.at.reasoning)
        };
        (state.cursors.iter().map(behind).sum(), state.frames.len())
    }

    /// Wakes the writer.
    pub(crate) fn wake(&self) {
        self.ready.notify_one();
    }

    /// Waits for a wake-up; one that came before counts.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Takes the next thing to do. Whatever was taken before has been sent.
    pub(crate) fn next(&self, now: Instant) -> Next {
        let mut state = self.state();
        state.sending = None;
        if let Some(first) = state.frames.front() {
            let cursor = first.end_of.as_ref().and_then(|run| {
                let mut cursors = state.cursors.iter();
                cursors.position(|cursor| cursor.buffer.run == *run)
            });
            if let Some(place) = cursor {
                if let Some(frame) = state.cursors[place].any() {
                    return Next::Send(frame);
                }
                state.cursors.remove(place);
            }
        }
        if let Some(waiting) = state.frames.pop_front() {
            state.bytes -= waiting.frame.len();
            state.sending = Some(waiting.charge);
            if state.bytes <= LOW {
                self.low.notify_waiters();
            }
            return Next::Send(waiting.frame);
        }
        if let Some(close) = state.close {
            return Next::Close(close);
        }
        state.next_text(now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One chunk of the run whose turn it is.
    fn next_text(&mut self, now: Instant) -> Next {
        let gather = if self.visible { GATHER } else { GATHER_HIDDEN };
        let mut earliest: Option<Instant> = None;
        for _ in 0..self.cursors.len() {
            let Some(mut cursor) = self.cursors.pop_front() else {
                break;
            };
            let due = cursor.due(now, gather);
            self.cursors.push_back(cursor);
            match due {
                Due::Now(frame) => return Next::Send(frame),
                Due::At(at) => earliest = Some(earliest.map_or(at, |earliest| earliest.min(at))),
                Due::Never => {}
            }
        }
        Next::Wait(earliest)
    }
}

enum Due {
    Now(Frame),
    At(Instant),
    Never,
}

impl Cursor {
    /// The next chunk, if it is due.
    fn due(&mut self, now: Instant, gather: Duration) -> Due {
        let end = self.buffer.end();
        let mut earliest = None;
        for channel in [Channel::Reasoning, Channel::Text] {
            let (have, at, due) = match channel {
                Channel::Text => (end.text, self.at.text, self.text_due),
                Channel::Reasoning => (end.reasoning, self.at.reasoning, self.reasoning_due),
            };
            if have <= at {
                continue;
            }
            // What is due stays due until all of it is sent, a chunk at a time.
            let due = due.map_or(now, |due| due.min(now + gather));
            if due <= now {
                let frame = self.send(channel);
                let caught_up = self.at(channel) >= have;
                let next = if caught_up { now + gather } else { now };
                match channel {
                    Channel::Text => self.text_due = Some(next),
                    Channel::Reasoning => self.reasoning_due = Some(next),
                }
                if let Some(frame) = frame {
                    return Due::Now(frame);
                }
            } else {
                earliest = Some(earliest.map_or(due, |earliest: Instant| earliest.min(due)));
            }
        }
        earliest.map_or(Due::Never, Due::At)
    }

    /// The next chunk, due or not: reasoning first.
    fn any(&mut self) -> Option<Frame> {
        self.send(Channel::Reasoning)
            .or_else(|| self.send(Channel::Text))
    }

    fn at(&self, channel: Channel) -> usize {
        match channel {
            Channel::Text => self.at.text,
            Channel::Reasoning => self.at.reasoning,
        }
    }

    fn send(&mut self, channel: Channel) -> Option<Frame> {
        let from = self.at(channel);
        let run = &self.buffer.run;
        let (frame, to) = self.buffer.chunk(channel, from, CHUNK, |text| {
            let to = from + text.len();
            (
                wire::text(&Delta {
                    kind: "delta",
                    run,
                    ch: channel,
                    from,
                    to,
                    text,
                }),
                to,
            )
        })?;
        match channel {
            Channel::Text => self.at.text = to,
            Channel::Reasoning => self.at.reasoning = to,
        }
        Some(frame.into())
    }
}

#[cfg(test)]
mod tests;
