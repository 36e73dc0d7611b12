//! Rows of messages: a tree per session, read along branches.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::{Error, int, uint};
use crate::wire::message::{Message, Role, RunSummary, Status, Usage};

/// The most text in a page of messages: a page must fit into one frame. The first message is always included.
pub(crate) const PAGE_BYTES: usize = 1 << 20;
/// The most text for the model. The proxy takes 32 MiB; JSON escapes can make text a third longer.
const CONTEXT_BYTES: usize = 16 << 20;

/// A message as the model gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Whose message it is.
    pub role: Role,
    /// Its text, without reasoning.
    pub text: String,
}

const SELECT: &str = "SELECT m.id, m.parent_id, m.role, m.status, m.text, m.reasoning, m.reasoning_ms, m.model, m.cid, m.edit_of, \
                      m.created_at, r.id, r.request_id, r.finish, r.error, r.tokens_in, r.tokens_out, r.ttft_ms, r.duration_ms";

/// Adds a message.
///
/// # Errors
/// A conflict if its id or its client id is taken.
pub(crate) fn insert(
    c: &Connection,
    session: &str,
    user: &str,
    message: &Message,
) -> Result<(), Error> {
    c.prepare_cached(
        "INSERT INTO messages(id, session_id, user_id, parent_id, edit_of, role, status, text, reasoning, reasoning_ms, model,
           run_id, cid, created_at) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
    )?
    .execute(params![
        message.id,
        session,
        user,
        message.parent,
        message.edit_of,
        message.role,
        message.status,
        message.text,
        message.reasoning,
        message.reasoning_ms.map(int),
        message.model,
        message.run.as_ref().map(|run| &run.id),
        message.cid,
        int(message.created_at)
    ])?;
    match message.status {
        Status::Queued | Status::Streaming => Ok(()),
        Status::Done | Status::Stopped | Status::Error | Status::Interrupted => {
            index(c, &message.id, &message.text)
        }
    }
}

/// Puts a message's words into the search index, instead of its earlier ones.
pub(crate) fn index(c: &Connection, id: &str, text: &str) -> Result<(), Error> {
    let number: i64 = c
        .prepare_cached("SELECT n FROM messages WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?;
    c.prepare_cached("DELETE FROM messages_fts WHERE rowid = ?1")?
        .execute([number])?;
    if !text.is_empty() {
        c.prepare_cached("INSERT INTO messages_fts(rowid, text) VALUES(?1, ?2)")?
            .execute(params![number, text])?;
    }
    Ok(())
}

/// Clears a message's texts: it will be written again.
pub(crate) fn clear(c: &Connection, id: &str) -> Result<(), Error> {
    c.prepare_cached(
        "UPDATE messages SET text = '', reasoning = '', reasoning_ms = NULL WHERE id = ?1",
    )?
    .execute([id])?;
    Ok(())
}

/// One message of a session, with its siblings.
pub(crate) fn find(c: &Connection, session: &str, id: &str) -> Result<Option<Message>, Error> {
    let query = format!(
        "{SELECT} FROM messages m LEFT JOIN runs r ON r.id = m.run_id WHERE m.session_id = ?1 AND m.id = ?2"
    );
    let found = c
        .prepare_cached(&query)?
        .query_row([session, id], read)
        .optional()?;
    found
        .map(|message| with_siblings(c, session, message))
        .transpose()
}

/// Up to `limit` messages of the branch that ends with `leaf`, or that comes before `before`; oldest first. And whether there
/// are older ones.
pub(crate) fn page(
    c: &Connection,
    session: &str,
    leaf: Option<&str>,
    before: Option<&str>,
    limit: usize,
) -> Result<(Vec<Message>, bool), Error> {
    let start = match before {
        Some(id) => parent(c, session, id)?,
        None => leaf.map(str::to_owned),
    };
    let Some(start) = start else {
        return Ok((Vec::new(), false));
    };
    let query = format!(
        "WITH RECURSIVE up(id, parent_id, depth) AS (
           SELECT id, parent_id, 0 FROM messages WHERE session_id = ?1 AND id = ?2
           UNION ALL SELECT m.id, m.parent_id, up.depth + 1 FROM up JOIN messages m ON m.id = up.parent_id WHERE up.depth < ?3)
         {SELECT} FROM up JOIN messages m ON m.id = up.id LEFT JOIN runs r ON r.id = m.run_id ORDER BY up.depth"
    );
    let mut statement = c.prepare_cached(&query)?;
    let rows = statement.query_map(params![session, start, int(limit as u64)], read)?;
    let mut messages: Vec<Message> = Vec::new();
    let mut bytes = 0;
    let mut more = false;
    for row in rows {
        let message = row?;
        bytes += message.text.len() + message.reasoning.len();
        if messages.len() == limit || (bytes > PAGE_BYTES && !messages.is_empty()) {
            more = true;
            break;
        }
        messages.push(with_siblings(c, session, message)?);
    }
    messages.reverse();
    Ok((messages, more))
}

/// The turns of the branch that ends with `leaf`, oldest first. The oldest are left out if there is too much text.
pub(crate) fn context(c: &Connection, session: &str, leaf: &str) -> Result<Vec<Turn>, Error> {
    let mut statement = c.prepare_cached(
        "WITH RECURSIVE up(id, parent_id, depth) AS (
           SELECT id, parent_id, 0 FROM messages WHERE session_id = ?1 AND id = ?2
           UNION ALL SELECT m.id, m.parent_id, up.depth + 1 FROM up JOIN messages m ON m.id = up.parent_id)
         SELECT m.role, m.text FROM up JOIN messages m ON m.id = up.id ORDER BY up.depth",
    )?;
    let rows = statement.query_map([session, leaf], |row| {
        Ok(Turn {
            role: row.get(0)?,
            text: row.get(1)?,
        })
    })?;
    let mut turns = Vec::new();
    let mut bytes = 0;
    for turn in rows {
        let turn: Turn = turn?;
        bytes += turn.text.len();
        if bytes > CONTEXT_BYTES && !turns.is_empty() {
            break;
        }
        // An answer that failed before its first word is empty, and some servers refuse empty turns.
        if !turn.text.is_empty() {
            turns.push(turn);
        }
    }
    turns.reverse();
    Ok(turns)
}

/// All messages of a session, in the order in which they were written.
pub(crate) fn all(c: &Connection, session: &str) -> Result<Vec<Message>, Error> {
    let query = format!(
        "{SELECT} FROM messages m LEFT JOIN runs r ON r.id = m.run_id WHERE m.session_id = ?1 ORDER BY m.n"
    );
    let mut statement = c.prepare_cached(&query)?;
    let rows = statement.query_map([session], read)?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?)
}

/// The parent of a message; `None` for a first one and for an unknown one.
pub(crate) fn parent(c: &Connection, session: &str, id: &str) -> Result<Option<String>, Error> {
    let mut statement =
        c.prepare_cached("SELECT parent_id FROM messages WHERE session_id = ?1 AND id = ?2")?;
    Ok(statement
        .query_row([session, id], |row| row.get(0))
        .optional()?
        .flatten())
}

/// The end of the latest branch through `id`.
pub(crate) fn descend(c: &Connection, session: &str, id: &str) -> Result<String, Error> {
    let mut statement = c.prepare_cached(
        "SELECT id FROM messages WHERE session_id = ?1 AND parent_id = ?2 ORDER BY n DESC LIMIT 1",
    )?;
    let mut leaf = id.to_owned();
    while let Some(next) = statement
        .query_row([session, &leaf], |row| row.get(0))
        .optional()?
    {
        leaf = next;
    }
    Ok(leaf)
}

/// All messages with this parent and role, oldest first; empty if there are fewer than two.
pub(crate) fn siblings(
    c: &Connection,
    session: &str,
    parent: Option<&str>,
    role: Role,
) -> Result<Vec<String>, Error> {
    let mut statement = c.prepare_cached(
        "SELECT id FROM messages WHERE session_id = ?1 AND parent_id IS ?2 AND role = ?3 ORDER BY n",
    )?;
    let rows = statement.query_map(params![session, parent, role], |row| row.get(0))?;
    let found = rows.collect::<Result<Vec<String>, _>>()?;
    Ok(if found.len() < 2 { Vec::new() } else { found })
}

fn with_siblings(c: &Connection, session: &str, mut message: Message) -> Result<Message, Error> {
    message.siblings = siblings(c, session, message.parent.as_deref(), message.role)?;
    Ok(message)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Message> {
    let number = |at: usize| -> rusqlite::Result<Option<u64>> {
        Ok(row.get::<_, Option<i64>>(at)?.map(uint))
    };
    let run = match row.get::<_, Option<String>>(11)? {
        None => None,
        Some(id) => Some(RunSummary {
            id,
            request_id: row.get(12)?,
            finish: row.get(13)?,
            error: row
                .get::<_, Option<String>>(14)?
                .and_then(|json| serde_json::from_str(&json).ok()),
            usage: match (number(15)?, number(16)?) {
                (Some(input), Some(output)) => Some(Usage { input, output }),
                (_, None) | (None, _) => None,
            },
            ttft_ms: number(17)?,
            duration_ms: number(18)?,
        }),
    };
    Ok(Message {
        id: row.get(0)?,
        parent: row.get(1)?,
        role: row.get(2)?,
        status: row.get(3)?,
        text: row.get(4)?,
        reasoning: row.get(5)?,
        reasoning_ms: number(6)?,
        model: row.get(7)?,
        run,
        cid: row.get(8)?,
        edit_of: row.get(9)?,
        siblings: Vec::new(),
        created_at: uint(row.get(10)?),
    })
}

/// Stores a unit-only enum as the word it has on the wire.
macro_rules! word {
    ($type:ty) => {
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                match serde_json::to_value(self) {
                    Ok(serde_json::Value::String(word)) => Ok(word.into()),
                    Ok(_) | Err(_) => {
                        Err(rusqlite::Error::ToSqlConversionFailure("not a word".into()))
                    }
                }
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let word = value.as_str()?.to_owned();
                serde_json::from_value(serde_json::Value::String(word)).map_err(FromSqlError::other)
            }
        }
    };
}

word!(Role);
word!(Status);
word!(crate::wire::message::Finish);
word!(crate::wire::event::RunKind);
