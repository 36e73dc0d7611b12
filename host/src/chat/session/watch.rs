//! Beginning to watch a session, and coming back to it.

use std::sync::Arc;

use super::{Actor, Live, not_found, store_failed};
use crate::chat::outbox::Outbox;
use crate::chat::store::{self, event, message};
use crate::chat::wire::event::Event;
use crate::chat::wire::message::{Message, Position, QueueItem, RunState, Status};
use crate::chat::wire::params::{Replayed, Sub, Subscribed};
use crate::chat::wire::{self, ErrorBody};

/// Messages in a snapshot; older ones are asked for.
const SNAPSHOT: usize = 50;

/// What the database gave.
enum Found {
    Events(Vec<Replayed>, Vec<Message>),
    Page(Vec<Message>, bool),
}

impl Actor {
    /// Registers a connection and answers it, in one step: no change can come between.
    pub(super) async fn watch(&mut self, outbox: &Arc<Outbox>, id: &str, params: &Sub, user: &str) {
        let found = match self.owned(user) {
            Ok(()) => self.find(params).await,
            Err(error) => Err(error),
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => return outbox.push(wire::fail(id, &error).into()),
        };
        let mut sent = None;
        if let Some(live) = &mut self.live {
            live.resumes += u32::from(params.after.is_some());
            // What is sent from an older position must not come after the answer.
            sent = outbox.unfollow(&live.start.run);
        }
        let (payload, at) = self.answer(found, params, sent);
        outbox.push(wire::ok(id, &payload).into());
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
        let after = params
            .after
            .filter(|_| params.epoch.as_deref() == Some(self.hub.epoch.as_str()));
        let read = self.hub.store.read(move |c| {
            let events = match after {
                Some(after) => event::after(c, &session, after, head)?,
                None => None,
            };
            // The client throws its view away and asks for another branch: let it have that at once.
            let turned =
                |replayed: &Replayed| matches!(replayed.event, Event::BranchSelected { .. });
            match events.filter(|events| !events.iter().any(turned)) {
                Some(events) => {
                    let messages = finished(c, &session, &events)?;
                    Ok(Found::Events(events, messages))
                }
                None => {
                    let (messages, more) =
                        message::page(c, &session, leaf.as_deref(), None, SNAPSHOT)?;
                    Ok(Found::Page(messages, more))
                }
            }
        });
        read.await.map_err(|error| store_failed(&error))
    }

    /// The payload, and where the stream of the run goes on. `sent` is how far it came on this very connection: what the client
    /// says of itself is older than what is still under way to it.
    fn answer(
        &self,
        found: Found,
        params: &Sub,
        sent: Option<Position>,
    ) -> (Subscribed, Option<Position>) {
        let (epoch, seq) = (self.hub.epoch.clone(), self.row.session.seq);
        match found {
            Found::Events(events, mut messages) => {
                if let Some(live) = &self.live {
                    // Continued meanwhile: its row is not final, and its stream follows.
                    messages.retain(|message| message.id != live.start.message);
                }
                let state = self
                    .live
                    .as_ref()
                    .map(|live| sent.map_or_else(|| live.resume(params), |at| live.state(at)));
                let at = state.as_ref().map(|state| state.to);
                let runs = state.into_iter().collect();
                (
                    Subscribed::Events {
                        epoch,
                        seq,
                        events,
                        messages,
                        runs,
                    },
                    at,
                )
            }
            Found::Page(mut messages, more) => {
                let mut state = None;
                if let Some(live) = &self.live {
                    let to = match messages
                        .iter_mut()
                        .find(|message| message.id == live.start.message)
                    {
                        Some(message) => live.fill(message),
                        None => live.buffer.base,
                    };
                    state = Some(live.state(to));
                }
                let at = state.as_ref().map(|state| state.to);
                let runs = state.into_iter().collect();
                let queue = self.queue_items();
                let session = Box::new(self.session_now());
                (
                    Subscribed::Snapshot {
                        epoch,
                        seq,
                        session,
                        messages,
                        more,
                        runs,
                        queue,
                    },
                    at,
                )
            }
        }
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
    /// Puts the text that there is so far into a message. Gives where it ends.
    fn fill(&self, message: &mut Message) -> Position {
        let (text, reasoning) = self.buffer.texts_now();
        let to = Position {
            text: text.len(),
            reasoning: reasoning.len(),
        };
        message.text = text;
        message.reasoning = reasoning;
        message.status = match self.phase {
            wire::message::RunPhase::Queued => Status::Queued,
            wire::message::RunPhase::Running | wire::message::RunPhase::Stopping => {
                Status::Streaming
            }
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

    /// Goes on from where the client is, or from the run's beginning if it does not know the run.
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

/// The stored messages of the runs that ended within `events`.
fn finished(
    c: &rusqlite::Connection,
    session: &str,
    events: &[Replayed],
) -> Result<Vec<Message>, store::Error> {
    let mut messages: Vec<Message> = Vec::new();
    for replayed in events {
        if let Event::RunEnded(end) = &replayed.event
            && !messages.iter().any(|message| message.id == end.message)
            && let Some(message) = message::find(c, session, &end.message)?
        {
            messages.push(message);
        }
    }
    Ok(messages)
}
