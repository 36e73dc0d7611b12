//! The stored changes of sessions, from which clients resume.

use rusqlite::{Connection, params};

use super::{Error, int, uint};
use crate::wire::event::Event;
use crate::wire::params::Replayed;

/// The most changes that are replayed. A client that missed more gets a snapshot, which is then shorter.
const REPLAY: u64 = 500;
/// The most bytes that are replayed, for the same reason.
const REPLAY_BYTES: usize = 1 << 20;
/// Changes kept per session.
const KEPT: u64 = 1_000;
/// How long changes are kept: a browser that was away for longer gets a snapshot.
const KEPT_MS: u64 = 7 * 24 * 3600 * 1000;

/// Adds the change with this position.
///
/// # Errors
/// A conflict if the position is taken: then two processes or two actors work on the session.
pub(crate) fn append(
    c: &Connection,
    session: &str,
    seq: u64,
    event: &Event,
    now: u64,
) -> Result<(), Error> {
    c.prepare_cached("INSERT INTO events(session_id, seq, event, at) VALUES(?1, ?2, ?3, ?4)")?
        .execute(params![
            session,
            int(seq),
            crate::wire::text(event),
            int(now)
        ])?;
    Ok(())
}

/// The changes after a position up to `head`; `None` if some are missing, or if they are too many.
pub(crate) fn after(
    c: &Connection,
    session: &str,
    after: u64,
    head: u64,
) -> Result<Option<Vec<Replayed>>, Error> {
    if after > head || head - after > REPLAY {
        return Ok(None);
    }
    let mut statement =
        c.prepare_cached("SELECT seq, event FROM events WHERE session_id = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq")?;
    let mut rows = statement.query(params![session, int(after), int(head)])?;
    let mut events = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let json: String = row.get(1)?;
        bytes += json.len();
        // A change of an older version that this one cannot read counts as missing.
        let Ok(event) = serde_json::from_str(&json) else {
            return Ok(None);
        };
        events.push(Replayed {
            seq: uint(row.get(0)?),
            event,
        });
    }
    let complete = events.len() as u64 == head - after;
    Ok((complete && bytes <= REPLAY_BYTES).then_some(events))
}

/// Removes changes that are too old to be replayed.
pub(crate) fn forget(c: &Connection, now: u64) -> Result<usize, Error> {
    Ok(c.execute(
        "DELETE FROM events WHERE at < ?1
           OR seq <= (SELECT head FROM sessions WHERE sessions.id = events.session_id) - ?2",
        params![int(now.saturating_sub(KEPT_MS)), int(KEPT)],
    )?)
}
