//! The directory of session actors: where each of them takes its commands.
//!
//! It starts no actor; that is done in `session`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::session::command::Command;

/// The actors that run, by the id of their session.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    entries: Mutex<HashMap<String, Entry>>,
    /// Held while a session's row is read and its actor started, so that no session gets two.
    pub loading: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Entry {
    mailbox: mpsc::Sender<Command>,
    /// Commands that were announced and not taken yet: the actor must not end meanwhile.
    pending: usize,
}

impl Directory {
    /// Adds an actor, with its first command announced.
    pub(crate) fn insert(&self, session: String, mailbox: mpsc::Sender<Command>) {
        let pending = 1;
        self.lock().insert(session, Entry { mailbox, pending });
    }

    /// The actor's mailbox, with one more command announced; `None` if no actor runs.
    pub(crate) fn reserve(&self, session: &str) -> Option<mpsc::Sender<Command>> {
        let mut entries = self.lock();
        // An actor that broke leaves a closed mailbox behind; the next one starts from the database.
        if entries
            .get(session)
            .is_some_and(|entry| entry.mailbox.is_closed())
        {
            entries.remove(session);
        }
        let entry = entries.get_mut(session)?;
        entry.pending += 1;
        Some(entry.mailbox.clone())
    }

    /// Reports what a run did to its session's actor, which runs for as long as its run.
    pub(crate) async fn report(&self, session: &str, command: Command) {
        if let Some(mailbox) = self.reserve(session)
            && mailbox.send(command).await.is_err()
        {
            tracing::error!(session, "chat: a run has lost its session");
        }
    }

    /// An actor took a command.
    pub(crate) fn taken(&self, session: &str) {
        if let Some(entry) = self.lock().get_mut(session) {
            entry.pending = entry.pending.saturating_sub(1);
        }
    }

    /// Lets an actor end, unless a command is announced.
    pub(crate) fn retire(&self, session: &str) -> bool {
        let mut entries = self.lock();
        let idle = entries.get(session).is_none_or(|entry| entry.pending == 0);
        if idle {
            entries.remove(session);
        }
        idle
    }

    /// Whether any actor has a command that it did not take yet.
    pub(crate) fn is_busy(&self) -> bool {
        self.lock().values().any(|entry| entry.pending > 0)
    }

    /// How many actors run.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
