//! Adds exported sessions. The file is checked first, then written in steps, between which other writers get their turn.
//! Until the last step the sessions are in the trash: nobody sees half of them, and if the program ends before that, they are
//! removed with the trash.

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;
use serde::Serialize;

use super::{Error, Exported, FORMAT, File, MESSAGE, MESSAGES, SESSIONS, VERSION};
use crate::id;
use crate::store::session::SessionRow;
use crate::store::session::UNDO_MS;
use crate::store::{self, Store, message, session};
use crate::wire::message::{Message, Status};
use crate::wire::params::SessionPatch;
use sluicegate_telemetry::clock;

/// Bytes of text, and rows, that one step writes: some tens of milliseconds, mostly for the search index.
const STEP_BYTES: usize = 256 * 1024;
const STEP_ROWS: usize = 500;
/// When an unfinished import is removed. Far longer than any import takes.
const LEFT_MS: u64 = 24 * 3600 * 1000;

/// What an import has added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Sessions added.
    pub sessions: usize,
    /// Messages added.
    pub messages: usize,
}

/// A checked file, in the order in which it is written.
#[derive(Debug)]
pub(crate) struct Import {
    pub(super) steps: Vec<Step>,
    names: Vec<String>,
    imported: Imported,
}

/// What one step writes.
#[derive(Debug, Default)]
pub(super) struct Step {
    rows: Vec<Row>,
    bytes: usize,
}

#[derive(Debug)]
enum Row {
    Session(Box<SessionRow>),
    Message(String, String, Box<Message>),
}

impl Import {
    /// Reads a file for a user and checks all of it.
    ///
    /// # Errors
    /// Those of [`Error`] that concern the file.
    pub(crate) fn read(user: &str, json: &[u8]) -> Result<Self, Error> {
        let file: File = serde_json::from_slice(json)?;
        if file.format != FORMAT || file.version != VERSION {
            return Err(Error::Format {
                format: file.format,
                version: file.version,
            });
        }
        let messages = file
            .sessions
            .iter()
            .map(|exported| exported.messages.len())
            .sum();
        let sessions = file.sessions.len();
        if sessions > SESSIONS || messages > MESSAGES {
            return Err(Error::TooMany(SESSIONS, MESSAGES));
        }
        let mut import = Self {
            steps: Vec::new(),
            names: Vec::new(),
            imported: Imported { sessions, messages },
        };
        for (at, exported) in file.sessions.into_iter().enumerate() {
            import
                .session(user, exported)
                .map_err(|problem| Error::Broken {
                    session: at + 1,
                    problem,
                })?;
        }
        Ok(import)
    }

    fn session(&mut self, user: &str, exported: Exported) -> Result<(), &'static str> {
        let old = exported.session;
        let now = clock::unix_ms();
        let mut row = SessionRow::new(id::new("ses"), user.to_owned(), old.created_at.min(now));
        let patch = SessionPatch {
            title: Some(Some(old.title)),
            model: Some(old.model),
            system: Some(old.system),
            pinned: Some(old.pinned),
            archived: Some(old.archived),
        };
        crate::session::check(&patch).map_err(|_| "title, model or system prompt is too long")?;
        crate::session::apply(patch, &mut row);
        row.session.titled = old.titled && !row.session.title.is_empty();
        let preview = old.preview.chars().filter(|c| !c.is_control());
        row.session.preview = preview.take(80).collect();
        row.session.updated_at = old.updated_at.min(now);
        row.session.deleted_at = Some(now.saturating_sub(UNDO_MS.saturating_sub(LEFT_MS)));
        let mut names: HashMap<String, String> = HashMap::new();
        for message in &exported.messages {
            if names.insert(message.id.clone(), id::new("msg")).is_some() {
                return Err("two messages have one name");
            }
        }
        row.session.leaf = match &old.leaf {
            Some(leaf) => Some(
                names
                    .get(leaf)
                    .ok_or("the last message is missing")?
                    .clone(),
            ),
            None => None,
        };
        let name = row.session.id.clone();
        self.names.push(name.clone());
        self.add(Row::Session(Box::new(row)), 0);
        let mut added: HashSet<String> = HashSet::new();
        for message in exported.messages {
            let bytes = message.text.len() + message.reasoning.len();
            if bytes > MESSAGE {
                return Err("a message is too long");
            }
            let parent = message.parent.as_ref();
            if parent.is_some_and(|parent| !added.contains(parent)) {
                return Err("a message comes before its parent");
            }
            added.insert(message.id.clone());
            let message = Box::new(renamed(message, &names));
            self.add(Row::Message(name.clone(), user.to_owned(), message), bytes);
        }
        Ok(())
    }

    fn add(&mut self, row: Row, bytes: usize) {
        let fits = |step: &&mut Step| {
            step.rows.len() < STEP_ROWS && step.bytes + bytes <= STEP_BYTES.max(bytes)
        };
        match self.steps.last_mut().filter(fits) {
            Some(step) => {
                step.bytes += bytes;
                step.rows.push(row);
            }
            None => self.steps.push(Step {
                rows: vec![row],
                bytes,
            }),
        }
    }

    /// Writes it through a gateway's store.
    ///
    /// # Errors
    /// Those of the database; nothing was added then.
    ///
    /// # Cancel safety
    /// What was written so far stays in the trash for another day.
    pub(crate) async fn write(self, store: &Store) -> Result<Imported, store::Error> {
        let names = self.names.clone();
        for step in self.steps {
            if let Err(error) = store.write(move |c| step.write(c)).await {
                drop(store.write(move |c| discard(c, &names)).await);
                return Err(error);
            }
        }
        store.write(move |c| show(c, &names)).await?;
        Ok(self.imported)
    }

    /// The same with a connection of its own, while a gateway may have the database open.
    pub(super) fn write_with(self, c: &mut Connection) -> Result<Imported, store::Error> {
        let mut commit = |change: &dyn Fn(&Connection) -> Result<(), store::Error>| {
            let behavior = rusqlite::TransactionBehavior::Immediate;
            let transaction = c.transaction_with_behavior(behavior)?;
            change(&transaction)?;
            Ok(transaction.commit()?)
        };
        for step in &self.steps {
            if let Err(error) = commit(&|c| step.write(c)) {
                drop(commit(&|c| discard(c, &self.names)));
                return Err(error);
            }
        }
        commit(&|c| show(c, &self.names))?;
        Ok(self.imported)
    }
}

impl Step {
    fn write(&self, c: &Connection) -> Result<(), store::Error> {
        for row in &self.rows {
            match row {
                Row::Session(row) => session::insert(c, row)?,
                Row::Message(session, user, message) => {
                    message::insert(c, session, user, message)?;
                }
            }
        }
        Ok(())
    }
}

/// Moves the sessions out of the trash.
fn show(c: &Connection, names: &[String]) -> Result<(), store::Error> {
    for name in names {
        session::put_in_bin(c, name, None)?;
    }
    Ok(())
}

/// Removes what was written.
fn discard(c: &Connection, names: &[String]) -> Result<(), store::Error> {
    for name in names {
        session::put_in_bin(c, name, Some(0))?;
    }
    session::purge(c, 1).map(drop)
}

fn renamed(old: Message, names: &HashMap<String, String>) -> Message {
    let new = |id: &String| names.get(id).cloned();
    Message {
        id: new(&old.id).unwrap_or_else(|| id::new("msg")),
        parent: old.parent.as_ref().and_then(new),
        edit_of: old.edit_of.as_ref().and_then(new),
        status: match old.status {
            Status::Done => Status::Done,
            Status::Stopped => Status::Stopped,
            Status::Error => Status::Error,
            // A run that was under way when it was exported is not under way here.
            Status::Queued | Status::Streaming | Status::Interrupted => Status::Interrupted,
        },
        run: None,
        cid: None,
        siblings: Vec::new(),
        created_at: old.created_at.min(clock::unix_ms()),
        ..old
    }
}
