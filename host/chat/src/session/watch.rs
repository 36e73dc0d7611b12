//! Lets clients watch a session, and resume it later.

use std::sync::{Arc, Weak};

use super::{Actor, Live};
use crate::outbox::{Frame, Outbox, Payload};
use crate::store::{self, event, message};
use crate::wire::event::{Channel, Event};
use crate::wire::message::{Message, Position, QueueItem, RunPhase, RunState, Status};
use crate::wire::params::{Replayed, Sub, Subscribed};
use crate::wire::{self, Close, ErrorBody, not_found};

/// Messages in a snapshot; clients ask for older ones.
const SNAPSHOT: usize = 50;

/// Bytes of each text of a live run in a snapshot. The rest follows from the run's buffer, at the pace of the reader.
const LIVE: usize = 64 * 1024;

/// What was read from the database.
enum Found {
    Events(Vec<Replayed>, Vec<Message>),
    Page(Vec<Message>, bool),
}

/// The payload of the last snapshot, while somebody still has to read it.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    state: Option<State>,
    payload: Weak<Payload>,
    /// Where the text of the live run continues.
    at: Option<Position>,
}

/// Everything that a snapshot depends on.
#[derive(Debug, PartialEq)]
struct State {
    seq: u64,
    phase: Option<RunPhase>,
    unread: bool,
}

impl Actor {
    /// Adds a watcher and responds to it in one step, so that no change can come between.
    pub(super) async fn watch(&mut self, outbox: &Arc<Outbox>, id: &str, params: &Sub, user: &str) {
        if let Err(error) = self.owned(user) {
            return outbox.push(wire::fail(id, &error).into());
        }
        let known = self.snapshot.payload.upgrade().filter(|_| {
            self.after(params).is_none() && self.snapshot.state.as_ref() == Some(&self.state())
        });
        let found = match known {
            Some(_) => None,
            None => match self.find(params).await {
                Ok(found) => Some(found),
                Err(error) => return outbox.push(wire::fail(id, &error).into()),
            },
        };
        let mut sent = None;
        if let Some(live) = &mut self.live {
            live.resumes += u32::from(params.after.is_some());
            // Text from an older position must not come after the response.
            sent = outbox.unfollow(&live.start.run);
        }
        let at = match (found, known) {
            (Some(Found::Events(events, messages)), _) => {
                let (payload, at) = self.events(events, messages, params, sent);
                outbox.push(wire::ok(id, &payload).into());
                at
            }
            (Some(Found::Page(messages, more)), _) => {
                let (payload, at) = self.page(messages, more);
                let Some(payload) = outbox.payload(wire::text(&payload)) else {
                    return outbox.cut(Close::Rate);
                };
                self.snapshot = Snapshot {
                    state: Some(self.state()),
                    payload: Arc::downgrade(&payload),
                    at,
                };
                outbox.push(Frame::with_payload(wire::ok_until_payload(id), payload));
                at
            }
            (None, Some(payload)) => {
                outbox.push(Frame::with_payload(wire::ok_until_payload(id), payload));
                self.snapshot.at
            }
            (None, None) => None,
        };
        if let (Some(live), Some(at)) = (&self.live, at) {
            outbox.follow(&live.buffer, at);
        }
        self.watchers.retain(|other| {
            other
                .upgrade()
                .is_some_and(|other| other.conn != outbox.conn)
        });
        self.watchers.push(Arc::downgrade(outbox));
        self.alone = None;
    }

    fn state(&self) -> State {
        State {
            seq: self.row.session.seq,
            phase: self.live.as_ref().map(|live| live.phase),
            unread: self.row.answered > self.row.read,
        }
    }

    /// The position from which a client wants to resume, if it belongs to this database.
    fn after(&self, params: &Sub) -> Option<u64> {
        params
            .after
            .filter(|_| params.epoch.as_deref() == Some(self.core.epoch.as_str()))
    }

    pub(super) fn unwatch(&mut self, conn: &str) {
        for outbox in self
            .watchers
            .iter()
            .filter_map(std::sync::Weak::upgrade)
            .filter(|outbox| outbox.conn == conn)
        {
            if let Some(live) = &self.live {
                let _ = outbox.unfollow(&live.start.run);
            }
        }
        self.watchers
            .retain(|watcher| watcher.upgrade().is_some_and(|outbox| outbox.conn != conn));
    }

    async fn find(&self, params: &Sub) -> Result<Found, ErrorBody> {
        if !self.stored {
            return Err(not_found("session"));
        }
        let (session, head, leaf) = (
            self.row.session.id.clone(),
            self.row.session.seq,
            self.row.session.leaf.clone(),
        );
        let after = self.after(params);
        let read = self.core.store.read(move |c| {
            let events = match after {
                Some(after) => event::after(c, &session, after, head)?,
                None => None,
            };
            // The client would drop its view and ask for the other branch: it gets that at once.
            let turned =
                |replayed: &Replayed| matches!(replayed.event, Event::BranchSelected { .. });
            if let Some(events) = events.filter(|events| !events.iter().any(turned))
                && let Some(messages) = finished(c, &session, &events)?
            {
                return Ok(Found::Events(events, messages));
            }
            let (messages, more) = message::page(c, &session, leaf.as_deref(), None, SNAPSHOT)?;
            Ok(Found::Page(messages, more))
        });
        Ok(read.await?)
    }

    /// What a client missed, and where the text of the run continues. `sent` is how far it was sent on this connection: the
    /// client's own position is older than text that is on its way to it.
    fn events(
        &self,
        events: Vec<Replayed>,
        mut messages: Vec<Message>,
        params: &Sub,
        sent: Option<Position>,
    ) -> (Subscribed, Option<Position>) {
        if let Some(live) = &self.live {
            // The message was continued meanwhile: its row is not final, and its text follows.
            messages.retain(|message| message.id != live.start.message);
        }
        let state = self
            .live
            .as_ref()
            .map(|live| sent.map_or_else(|| live.resume(params), |at| live.state(at)));
        let at = state.as_ref().map(|state| state.to);
        let payload = Subscribed::Events {
            epoch: self.core.epoch.clone(),
            seq: self.row.session.seq,
            events,
            messages,
            runs: state.into_iter().collect(),
        };
        (payload, at)
    }

    /// The end of the current branch, and where the text of the run continues.
    fn page(&self, mut messages: Vec<Message>, more: bool) -> (Subscribed, Option<Position>) {
        let state = self.live.as_ref().map(|live| {
            let message = messages
                .iter_mut()
                .find(|message| message.id == live.start.message);
            live.state(message.map_or(live.buffer.base, |message| live.fill(message)))
        });
        let at = state.as_ref().map(|state| state.to);
        let payload = Subscribed::Snapshot {
            epoch: self.core.epoch.clone(),
            seq: self.row.session.seq,
            session: Box::new(self.session_now()),
            messages,
            more,
            runs: state.into_iter().collect(),
            queue: self.queue_items(),
        };
        (payload, at)
    }

    /// The waiting messages as the page shows them.
    pub(super) fn queue_items(&self) -> Vec<QueueItem> {
        self.queue
            .iter()
            .map(|(send, at)| store::run::queue_item(send, *at))
            .collect()
    }
}

impl Live {
    /// Puts the beginning of the text so far into a message. Returns where that ends.
    fn fill(&self, message: &mut Message) -> Position {
        let begin = |channel| self.buffer.chunk(channel, 0, LIVE, str::to_owned);
        let text = begin(Channel::Text).unwrap_or_default();
        let reasoning = begin(Channel::Reasoning).unwrap_or_default();
        let to = Position {
            text: text.len(),
            reasoning: reasoning.len(),
        };
        message.text = text;
        message.reasoning = reasoning;
        message.status = match self.phase {
            RunPhase::Queued => Status::Queued,
            RunPhase::Running | RunPhase::Stopping => Status::Streaming,
        };
        to
    }

    fn state(&self, to: Position) -> RunState {
        RunState {
            run: self.start.run.clone(),
            message: self.start.message.clone(),
            state: self.phase,
            to,
            reset: false,
            position: None,
            request_id: self.start.request_id.clone(),
            started_at: self.start.created_at,
        }
    }

    /// Continues from the client's position, or from the run's beginning if the client does not know the run.
    fn resume(&self, params: &Sub) -> RunState {
        match params.runs.get(&self.start.run) {
            Some(have) if self.buffer.reaches(*have) => self.state(*have),
            Some(_) => RunState {
                reset: true,
                ..self.state(Position::default())
            },
            None => self.state(self.buffer.base),
        }
    }
}

/// The stored messages of the runs that ended within `events`; `None` if they are larger than a snapshot.
fn finished(
    c: &rusqlite::Connection,
    session: &str,
    events: &[Replayed],
) -> Result<Option<Vec<Message>>, store::Error> {
    let mut messages: Vec<Message> = Vec::new();
    let mut bytes = 0;
    for replayed in events {
        if let Event::RunEnded(end) = &replayed.event
            && !messages.iter().any(|message| message.id == end.message)
            && let Some(message) = message::find(c, session, &end.message)?
        {
            bytes += message.text.len() + message.reasoning.len();
            if bytes > message::PAGE_BYTES && !messages.is_empty() {
                return Ok(None);
            }
            messages.push(message);
        }
    }
    Ok(Some(messages))
}
