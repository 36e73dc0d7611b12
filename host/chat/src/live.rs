//! The runs under way, by the message that each of them writes, and their text so far.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::buffer::Buffer;
use super::wire::message::{Message, Position};
use super::wire::session::Session;

/// All runs of one gateway that are under way or wait for a slot.
#[derive(Debug, Default)]
pub(crate) struct LiveRuns {
    by_message: Mutex<HashMap<String, LiveRun>>,
}

#[derive(Debug)]
struct LiveRun {
    session: String,
    buffer: Arc<Buffer>,
}

impl LiveRuns {
    /// Adds a run of a session, which writes the buffer's message.
    pub(crate) fn add(&self, session: &str, buffer: &Arc<Buffer>) {
        let run = LiveRun {
            session: session.to_owned(),
            buffer: Arc::clone(buffer),
        };
        self.lock().insert(buffer.message.clone(), run);
    }

    /// Removes the run that wrote a message.
    pub(crate) fn remove(&self, message: &str) {
        self.lock().remove(message);
    }

    /// Whether nothing runs or waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The session of a run, if the run is under way or waits.
    pub(crate) fn session_of(&self, run: &str) -> Option<String> {
        self.lock()
            .values()
            .find(|live| live.buffer.run == run)
            .map(|live| live.session.clone())
    }

    /// Puts the text so far into those of the messages that runs write. Returns the position of the last one.
    pub(crate) fn overlay<'a>(
        &self,
        messages: impl IntoIterator<Item = &'a mut Message>,
    ) -> Option<Position> {
        let live = self.lock();
        let mut last = None;
        for message in messages {
            if let Some(run) = live.get(&message.id) {
                let (text, reasoning) = run.buffer.texts_now();
                last = Some(Position {
                    text: text.len(),
                    reasoning: reasoning.len(),
                });
                message.text = text;
                message.reasoning = reasoning;
            }
        }
        last
    }

    /// Marks the sessions in which something runs.
    pub(crate) fn mark_running<'a>(&self, sessions: impl IntoIterator<Item = &'a mut Session>) {
        let live = self.lock();
        for session in sessions {
            session.running = live.values().any(|run| run.session == session.id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, LiveRun>> {
        self.by_message
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
