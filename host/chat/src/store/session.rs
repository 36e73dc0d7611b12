//! Rows of sessions.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Error, int, uint};
use crate::wire::params::ListSessions;
use crate::wire::session::{Session, Sessions};

/// Sessions in a page of the list: the most, and the default.
const PAGE: (usize, usize) = (100, 50);

/// Days for which a deleted session can be restored.
pub(crate) const UNDO_DAYS: u32 = 30;
/// The same in milliseconds.
pub(crate) const UNDO_MS: u64 = UNDO_DAYS as u64 * 24 * 3600 * 1000;

/// A session, with facts that its user does not see.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SessionRow {
    /// What its user sees. `running` and `hits` are not stored.
    pub session: Session,
    /// Its user.
    pub user: String,
    /// The last position that the user has seen.
    pub read: u64,
    /// The position at which the last run ended.
    pub answered: u64,
}

impl SessionRow {
    /// An empty session.
    pub(crate) fn new(id: String, user: String, now: u64) -> Self {
        Self {
            session: Session {
                id,
                title: String::new(),
                titled: false,
                model: None,
                system: None,
                pinned: false,
                archived: false,
                deleted_at: None,
                running: false,
                unread: false,
                preview: String::new(),
                leaf: None,
                seq: 0,
                created_at: now,
                updated_at: now,
                hits: Vec::new(),
            },
            user,
            read: 0,
            answered: 0,
        }
    }
}

const COLUMNS: &str = "id, user_id, title, titled, model, system, leaf, head, read_seq, answer_seq, pinned, archived, \
                       preview, deleted_at, created_at, updated_at";

/// Adds a session.
pub(crate) fn insert(c: &Connection, row: &SessionRow) -> Result<(), Error> {
    let s = &row.session;
    c.prepare_cached(
        "INSERT INTO sessions(id, user_id, title, titled, model, system, leaf, head, read_seq, answer_seq, pinned, archived,
           preview, deleted_at, created_at, updated_at) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)",
    )?
    .execute(params![
        s.id,
        row.user,
        s.title,
        s.titled,
        s.model,
        s.system,
        s.leaf,
        int(s.seq),
        int(row.read),
        int(row.answered),
        s.pinned,
        s.archived,
        s.preview,
        s.deleted_at.map(int),
        int(s.created_at),
        int(s.updated_at)
    ])?;
    Ok(())
}

/// Stores everything that can change.
pub(crate) fn save(c: &Connection, row: &SessionRow) -> Result<(), Error> {
    let s = &row.session;
    c.prepare_cached(
        "UPDATE sessions SET title=?2, titled=?3, model=?4, system=?5, leaf=?6, head=?7, read_seq=?8, answer_seq=?9, pinned=?10,
           archived=?11, preview=?12, deleted_at=?13, updated_at=?14 WHERE id=?1",
    )?
    .execute(params![
        s.id,
        s.title,
        s.titled,
        s.model,
        s.system,
        s.leaf,
        int(s.seq),
        int(row.read),
        int(row.answered),
        s.pinned,
        s.archived,
        s.preview,
        s.deleted_at.map(int),
        int(s.updated_at)
    ])?;
    Ok(())
}

/// The session with this id, if it is this user's, in the trash or not.
pub(crate) fn find(c: &Connection, user: &str, id: &str) -> Result<Option<SessionRow>, Error> {
    let query = format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1 AND user_id = ?2");
    Ok(c.prepare_cached(&query)?
        .query_row([id, user], read)
        .optional()?)
}

/// The session with this id, of any user: for the gateway's own work.
pub(crate) fn any(c: &Connection, id: &str) -> Result<Option<SessionRow>, Error> {
    let query = format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1");
    Ok(c.prepare_cached(&query)?.query_row([id], read).optional()?)
}

/// A page of the user's list, without search.
pub(crate) fn list(c: &Connection, user: &str, ask: &ListSessions) -> Result<Sessions, Error> {
    let limit = ask.limit.unwrap_or(PAGE.1).clamp(1, PAGE.0);
    let place = if ask.deleted {
        "deleted_at IS NOT NULL"
    } else {
        "deleted_at IS NULL AND archived = ?2"
    };
    // Without a cursor it is a place before the first line, so that one statement serves both.
    let (pinned, updated, id) =
        ask.cursor
            .as_deref()
            .and_then(cursor)
            .unwrap_or((true, i64::MAX, "~"));
    let query = format!(
        "SELECT {COLUMNS} FROM sessions WHERE user_id = ?1 AND {place} AND ?2 = ?2
           AND (pinned, updated_at, id) < (?3, ?4, ?5) ORDER BY pinned DESC, updated_at DESC, id DESC LIMIT ?6"
    );
    let mut statement = c.prepare_cached(&query)?;
    let rows = statement.query_map(
        params![
            user,
            ask.archived,
            pinned,
            updated,
            id,
            int(limit as u64 + 1)
        ],
        read,
    )?;
    let mut sessions = rows
        .map(|row| Ok(row?.session))
        .collect::<Result<Vec<_>, Error>>()?;
    let cursor = (sessions.len() > limit).then(|| {
        sessions.truncate(limit);
        let last = &sessions[limit - 1];
        format!("{}.{}.{}", u8::from(last.pinned), last.updated_at, last.id)
    });
    Ok(Sessions {
        sessions,
        cursor,
        partial: false,
    })
}

/// The ids of a user's sessions that are not in the trash, oldest first.
pub(crate) fn names(c: &Connection, user: &str) -> Result<Vec<String>, Error> {
    let mut statement = c.prepare_cached(
        "SELECT id FROM sessions WHERE user_id = ?1 AND deleted_at IS NULL ORDER BY created_at, id",
    )?;
    let rows = statement.query_map([user], |row| row.get(0))?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?)
}

/// Moves a session into the trash as of a time, or out of it, and changes nothing else.
pub(crate) fn put_in_bin(c: &Connection, id: &str, at: Option<u64>) -> Result<(), Error> {
    c.prepare_cached("UPDATE sessions SET deleted_at = ?2 WHERE id = ?1")?
        .execute(params![id, at.map(int)])?;
    Ok(())
}

/// Removes sessions that were moved to the trash before `before`, with their messages and their words in the index. Returns
/// their number.
pub(crate) fn purge(c: &Connection, before: u64) -> Result<usize, Error> {
    c.execute(
        "DELETE FROM messages_fts WHERE rowid IN (SELECT m.n FROM messages m JOIN sessions s ON s.id = m.session_id
           WHERE s.deleted_at IS NOT NULL AND s.deleted_at < ?1)",
        [int(before)],
    )?;
    Ok(c.execute(
        "DELETE FROM sessions WHERE deleted_at IS NOT NULL AND deleted_at < ?1",
        [int(before)],
    )?)
}

fn cursor(text: &str) -> Option<(bool, i64, &str)> {
    let mut parts = text.splitn(3, '.');
    let pinned = parts.next()? == "1";
    Some((pinned, parts.next()?.parse().ok()?, parts.next()?))
}

fn read(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    let (seq, read, answered) = (uint(row.get(7)?), uint(row.get(8)?), uint(row.get(9)?));
    Ok(SessionRow {
        session: Session {
            id: row.get(0)?,
            title: row.get(2)?,
            titled: row.get(3)?,
            model: row.get(4)?,
            system: row.get(5)?,
            leaf: row.get(6)?,
            seq,
            pinned: row.get(10)?,
            archived: row.get(11)?,
            preview: row.get(12)?,
            deleted_at: row.get::<_, Option<i64>>(13)?.map(uint),
            created_at: uint(row.get(14)?),
            updated_at: uint(row.get(15)?),
            running: false,
            unread: answered > read,
            hits: Vec::new(),
        },
        user: row.get(1)?,
        read,
        answered,
    })
}
