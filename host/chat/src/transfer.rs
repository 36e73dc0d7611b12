//! Exports and imports sessions, as JSON for machines, as Markdown and HTML for people; and backs up the database.
//!
//! An import creates new sessions with new ids: a file cannot overwrite anything, and cannot claim another user's sessions.
//! Figures of runs are not imported, because their request ids belong to the logs of the machine where they ran.

use std::fmt::Write as _;
use std::path::Path;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::id;
use super::store::{self, message, place, schema, session, token};
use super::wire::message::{Message, Role};
use super::wire::session::Session;
use sluicegate_telemetry::clock;
use sluicegate_telemetry::clock::date_and_time;

mod import;

pub(crate) use import::Import;
pub use import::Imported;

/// How a file of ours names its format.
const FORMAT: &str = "sluicegate.chat";
const VERSION: u32 = 1;
/// The most sessions and messages of one import. Arbitrary; far more than a person writes in years.
const SESSIONS: usize = 20_000;
const MESSAGES: usize = 1_000_000;
/// The most bytes of one message of an import, reasoning included.
const MESSAGE: usize = 8 << 20;
/// Pages that a backup copies in one step; other writers get their turn between the steps.
const STEP: std::ffi::c_int = 256;

/// Why sessions cannot be exported, imported or backed up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be opened or used.
    #[error("the database cannot be used")]
    Store(#[from] store::Error),
    /// There is no database.
    #[error("there is no database at {0}")]
    Missing(std::path::PathBuf),
    /// No such user.
    #[error("there is no user `{0}`")]
    NoUser(String),
    /// The file is not JSON of ours.
    #[error("not a file that `chat export` wrote")]
    Json(#[from] serde_json::Error),
    /// The file has another format or version.
    #[error(
        "the file is `{format}` version {version}; only `sluicegate.chat` version 1 can be read"
    )]
    Format {
        /// Its format.
        format: String,
        /// Its version.
        version: u32,
    },
    /// The file contradicts itself.
    #[error("session {session} of the file: {problem}")]
    Broken {
        /// Counted from 1.
        session: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// The file is too large.
    #[error("the file holds more than {0} sessions or {1} messages")]
    TooMany(usize, usize),
    /// The target of a backup exists already.
    #[error("{0} exists already")]
    Exists(std::path::PathBuf),
}

/// An exported file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct File {
    format: String,
    version: u32,
    /// Milliseconds since 1970.
    #[serde(default)]
    exported_at: u64,
    sessions: Vec<Exported>,
}

/// One session of a file, with all branches; each message comes after its parent.
#[derive(Debug, Serialize, Deserialize)]
struct Exported {
    session: Session,
    messages: Vec<Message>,
}

/// All sessions of a user as one JSON document, without those in the trash.
///
/// `store` is the database file; a running gateway may have it open. `user` is a name, as in the settings.
///
/// # Errors
/// All variants of [`Error`] that concern the database and the user.
pub fn export(store: &Path, user: &str) -> Result<String, Error> {
    let connection = open(store)?;
    let user = user_id(&connection, user)?;
    Ok(super::wire::text(&file(&connection, &user)?))
}

/// Adds the sessions of an exported file to a user's.
///
/// # Errors
/// Those of [`Error`]; nothing was added then.
pub fn import(store: &Path, user: &str, json: &str) -> Result<Imported, Error> {
    let mut connection = open(store)?;
    let user = user_id(&connection, user)?;
    let import = Import::read(&user, json.as_bytes())?;
    Ok(import.write_with(&mut connection)?)
}

/// Copies the whole database while it is in use. The copy can replace the original; browsers then load everything again.
///
/// # Errors
/// [`Error::Exists`] if `to` exists; nothing is overwritten.
pub fn backup(store: &Path, to: &Path) -> Result<(), Error> {
    let source = open(store)?;
    if to.exists() {
        return Err(Error::Exists(to.to_owned()));
    }
    let mut target = Connection::open(to).map_err(store::Error::from)?;
    {
        let copy =
            rusqlite::backup::Backup::new(&source, &mut target).map_err(store::Error::from)?;
        let pause = std::time::Duration::from_millis(5);
        copy.run_to_completion(STEP, pause, None)
            .map_err(store::Error::from)?;
    }
    // Positions that clients remember may be ahead of the copy when it is used.
    schema::new_epoch(&target)?;
    drop(target);
    place::private(to)?;
    Ok(())
}

/// A one-time code for the user `local`, for somebody who has access to the database but not the link.
///
/// # Errors
/// Those of the database.
pub fn login_code(store: &Path) -> Result<String, Error> {
    let connection = open(store)?;
    let code = id::secret("");
    token::insert_code(
        &connection,
        id::digest(&code),
        token::LOCAL,
        true,
        clock::unix_ms(),
    )?;
    Ok(code)
}

fn open(path: &Path) -> Result<Connection, Error> {
    if !path.exists() {
        return Err(Error::Missing(path.to_owned()));
    }
    let mut connection = store::connect(path)?;
    schema::migrate(&mut connection)?;
    Ok(connection)
}

fn user_id(c: &Connection, name: &str) -> Result<String, Error> {
    use rusqlite::OptionalExtension as _;
    let found = c
        .query_row("SELECT id FROM users WHERE name = ?1", [name], |row| {
            row.get(0)
        })
        .optional();
    found
        .map_err(store::Error::from)?
        .ok_or_else(|| Error::NoUser(name.to_owned()))
}

/// All sessions of a user.
pub(crate) fn file(c: &Connection, user: &str) -> Result<File, store::Error> {
    let mut sessions = Vec::new();
    for id in session::names(c, user)? {
        sessions.extend(one(c, user, &id)?);
    }
    Ok(wrap(sessions))
}

/// One session as a file; `None` if it is not the user's.
pub(crate) fn file_of(c: &Connection, user: &str, id: &str) -> Result<Option<File>, store::Error> {
    Ok(one(c, user, id)?.map(|exported| wrap(vec![exported])))
}

fn wrap(sessions: Vec<Exported>) -> File {
    File {
        format: FORMAT.to_owned(),
        version: VERSION,
        exported_at: clock::unix_ms(),
        sessions,
    }
}

fn one(c: &Connection, user: &str, id: &str) -> Result<Option<Exported>, store::Error> {
    let Some(row) = session::find(c, user, id)? else {
        return Ok(None);
    };
    Ok(Some(Exported {
        session: row.session,
        messages: message::all(c, id)?,
    }))
}

/// The current branch for people: title and messages, oldest first. `None` if the session is not the user's.
pub(crate) fn branch(
    c: &Connection,
    user: &str,
    id: &str,
) -> Result<Option<(Session, Vec<Message>)>, store::Error> {
    let Some(row) = session::find(c, user, id)? else {
        return Ok(None);
    };
    let mut messages = Vec::new();
    let mut before: Option<String> = None;
    loop {
        let (page, more) =
            message::page(c, id, row.session.leaf.as_deref(), before.as_deref(), 200)?;
        before = page.first().map(|message| message.id.clone());
        messages.splice(0..0, page);
        if !more || before.is_none() {
            return Ok(Some((row.session, messages)));
        }
    }
}

/// A branch as Markdown. The messages' own Markdown stays as it is.
pub(crate) fn markdown(session: &Session, messages: &[Message]) -> String {
    let mut text = format!("# {}\n", one_line(&session.title));
    for message in messages {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n## {} · {}\n\n{}\n",
            who(message),
            date_and_time(message.created_at),
            message.text.trim_end()
        );
    }
    text
}

/// A branch as a page that needs no other files and runs no scripts: all text is shown as it is.
pub(crate) fn html(session: &Session, messages: &[Message]) -> String {
    let title = escape(&one_line(&session.title));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>\n\
         body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }}\n\
         pre {{ white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; }}\n\
         h2 {{ font-size: 1rem; color: #555; }}\n</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    for message in messages {
        let (who, stamp, text) = (
            escape(&who(message)),
            date_and_time(message.created_at),
            escape(&message.text),
        );
        let _ = write!(
            page,
            "<article>\n<h2>{who} · {stamp}</h2>\n<pre>{text}</pre>\n</article>\n"
        );
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn who(message: &Message) -> String {
    match message.role {
        Role::User => "You".to_owned(),
        Role::Assistant => one_line(message.model.as_deref().unwrap_or("Assistant")),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
