//! Rows of runs, the text of runs that have not ended, messages that wait, and the repair after a crash.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Error, event, int, message, session, uint};
use crate::wire::event::{Event, RunEnd, RunKind};
use crate::wire::message::{Finish, Message, Position, QueueItem, RunSummary, Usage};
use crate::wire::params::Send;
use crate::wire::rest::UsageDay;

/// A new run.
#[derive(Debug, Clone)]
pub(crate) struct NewRun<'a> {
    /// `run_…`.
    pub id: &'a str,
    /// Its session.
    pub session: &'a str,
    /// The message that it writes.
    pub message: &'a str,
    /// Its user.
    pub user: &'a str,
    /// `req_…`.
    pub request: &'a str,
    /// The client's id, unique per user.
    pub cid: &'a str,
    /// What kind of run it is.
    pub kind: RunKind,
    /// Its model.
    pub model: &'a str,
    /// Milliseconds since 1970.
    pub now: u64,
}

/// The result of an earlier request with the same client id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// The session.
    pub session: String,
    /// The user's message, if the request added one.
    pub message: Option<String>,
    /// The run's message.
    pub reply: Option<String>,
    /// The run, unless the message still waits.
    pub run: Option<String>,
    /// `req_…`.
    pub request: Option<String>,
    /// Whether the run is over.
    pub ended: bool,
}

/// Adds a run, as the last one of its message.
///
/// # Errors
/// A conflict if the client id was used before.
pub(crate) fn insert(c: &Connection, run: &NewRun<'_>) -> Result<(), Error> {
    c.prepare_cached(
        "INSERT INTO runs(id, session_id, message_id, user_id, request_id, cid, kind, model, started_at)
           VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
    )?
    .execute(params![
        run.id,
        run.session,
        run.message,
        run.user,
        run.request,
        run.cid,
        run.kind,
        run.model,
        int(run.now)
    ])?;
    Ok(())
}

/// Marks a message as being written by a run, or as waiting for its slot.
pub(crate) fn open(c: &Connection, message: &str, run: &str, waiting: bool) -> Result<(), Error> {
    let status = if waiting { "queued" } else { "streaming" };
    c.prepare_cached("UPDATE messages SET status = ?2, run_id = ?3 WHERE id = ?1")?
        .execute([message, status, run])?;
    Ok(())
}

/// Saves a part of a run's text until the run ends.
pub(crate) fn keep(c: &Connection, run: &str, text: &str, reasoning: &str) -> Result<(), Error> {
    c.prepare_cached(
        "INSERT INTO partials(run_id, n, text, reasoning)
           SELECT ?1, coalesce(max(n), 0) + 1, ?2, ?3 FROM partials WHERE run_id = ?1",
    )?
    .execute([run, text, reasoning])?;
    Ok(())
}

/// Ends a run: its figures, its message's whole text, and the index.
pub(crate) fn end(
    c: &Connection,
    end: &RunEnd,
    text: &str,
    reasoning: &str,
    now: u64,
) -> Result<(), Error> {
    let error = end.error.as_ref().map(crate::wire::text);
    c.prepare_cached(
        "UPDATE runs SET finish=?2, error=?3, ttft_ms=?4, duration_ms=?5, tokens_in=?6, tokens_out=?7, ended_at=?8 WHERE id=?1",
    )?
    .execute(params![
        end.run,
        end.finish,
        error,
        end.ttft_ms.map(int),
        int(end.duration_ms),
        end.usage.map(|usage| int(usage.input)),
        end.usage.map(|usage| int(usage.output)),
        int(now)
    ])?;
    c.prepare_cached(
        "UPDATE messages SET status=?2, text=?3, reasoning=?4, reasoning_ms=?5 WHERE id=?1",
    )?
    .execute(params![
        end.message,
        end.finish.status(),
        text,
        reasoning,
        end.reasoning_ms.map(int)
    ])?;
    c.prepare_cached("DELETE FROM partials WHERE run_id = ?1")?
        .execute([&end.run])?;
    message::index(c, &end.message, text)
}

/// The result of the earlier request with a client id of this user, if there was one.
pub(crate) fn known(c: &Connection, user: &str, cid: &str) -> Result<Option<Known>, Error> {
    let run = c
        .prepare_cached(
            "SELECT r.session_id, m.id, r.message_id, r.id, r.request_id, r.finish IS NOT NULL
               FROM runs r LEFT JOIN messages m ON m.user_id = r.user_id AND m.cid = r.cid
               WHERE r.user_id = ?1 AND r.cid = ?2",
        )?
        .query_row([user, cid], |row| {
            Ok(Known {
                session: row.get(0)?,
                message: row.get(1)?,
                reply: row.get(2)?,
                run: row.get(3)?,
                request: row.get(4)?,
                ended: row.get(5)?,
            })
        })
        .optional()?;
    if run.is_some() {
        return Ok(run);
    }
    let mut waiting =
        c.prepare_cached("SELECT session_id FROM queue WHERE user_id = ?1 AND cid = ?2")?;
    let session = waiting
        .query_row([user, cid], |row| row.get(0))
        .optional()?;
    Ok(session.map(|session| Known {
        session,
        message: None,
        reply: None,
        run: None,
        request: None,
        ended: false,
    }))
}

/// The session and the summary of a user's run.
pub(crate) fn find(
    c: &Connection,
    user: &str,
    id: &str,
) -> Result<Option<(String, RunSummary)>, Error> {
    by(c, "id", user, id)
}

/// The session and the summary of a user's run, by its request id.
pub(crate) fn by_request(
    c: &Connection,
    user: &str,
    id: &str,
) -> Result<Option<(String, RunSummary)>, Error> {
    by(c, "request_id", user, id)
}

fn by(
    c: &Connection,
    column: &str,
    user: &str,
    id: &str,
) -> Result<Option<(String, RunSummary)>, Error> {
    let message: Option<(String, String)> = c
        .prepare_cached(&format!(
            "SELECT session_id, id FROM runs WHERE user_id = ?1 AND {column} = ?2"
        ))?
        .query_row([user, id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((session, run)) = message else {
        return Ok(None);
    };
    let summary = c
        .prepare_cached(
            "SELECT id, request_id, finish, error, tokens_in, tokens_out, ttft_ms, duration_ms FROM runs WHERE id = ?1",
        )?
        .query_row([&run], |row| {
            let number = |at: usize| -> rusqlite::Result<Option<u64>> { Ok(row.get::<_, Option<i64>>(at)?.map(uint)) };
            Ok(RunSummary {
                id: row.get(0)?,
                request_id: row.get(1)?,
                finish: row.get(2)?,
                error: row.get::<_, Option<String>>(3)?.and_then(|json| serde_json::from_str(&json).ok()),
                usage: number(4)?.zip(number(5)?).map(|(input, output)| Usage { input, output }),
                ttft_ms: number(6)?,
                duration_ms: number(7)?,
            })
        })?;
    Ok(Some((session, summary)))
}

/// Ends as interrupted all runs that no task works on any more, in one session or in all. Their saved text becomes that of the
/// message. Returns their number.
///
/// Called at the start (all), and when a session is loaded (one).
pub(crate) fn repair(c: &Connection, only: Option<&str>, now: u64) -> Result<usize, Error> {
    let mut statement = c.prepare_cached(
        "SELECT id, session_id, message_id, request_id, started_at FROM runs WHERE finish IS NULL AND (?1 IS NULL OR session_id = ?1)",
    )?;
    let rows = statement.query_map([only], |row| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            uint(row.get(4)?),
        ))
    })?;
    let lost: Vec<(String, String, String, String, u64)> = rows.collect::<Result<_, _>>()?;
    for (run, owner, id, request, started) in &lost {
        interrupt(
            c,
            run,
            owner,
            id,
            request,
            now.saturating_sub(*started),
            now,
        )?;
    }
    Ok(lost.len())
}

fn interrupt(
    c: &Connection,
    run: &str,
    owner: &str,
    id: &str,
    request: &str,
    ms: u64,
    now: u64,
) -> Result<(), Error> {
    let stored: Option<Message> = message::find(c, owner, id)?;
    let (mut text, mut reasoning) = stored
        .map(|message| (message.text, message.reasoning))
        .unwrap_or_default();
    let mut chunks =
        c.prepare_cached("SELECT text, reasoning FROM partials WHERE run_id = ?1 ORDER BY n")?;
    let mut rows = chunks.query([run])?;
    while let Some(row) = rows.next()? {
        text.push_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?);
        reasoning.push_str(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?);
    }
    let ended = RunEnd {
        run: run.to_owned(),
        message: id.to_owned(),
        finish: Finish::Interrupted,
        error: None,
        to: Position {
            text: text.len(),
            reasoning: reasoning.len(),
        },
        usage: None,
        ttft_ms: None,
        reasoning_ms: None,
        duration_ms: ms,
        request_id: request.to_owned(),
    };
    end(c, &ended, &text, &reasoning, now)?;
    if let Some(mut row) = session::any(c, owner)? {
        row.session.seq += 1;
        row.answered = row.session.seq;
        event::append(c, owner, row.session.seq, &Event::RunEnded(ended), now)?;
        session::save(c, &row)?;
    }
    Ok(())
}

/// Adds a message to the end of its session's queue.
pub(crate) fn enqueue(
    c: &Connection,
    owner: &str,
    user: &str,
    send: &Send,
    payload: &str,
    now: u64,
) -> Result<(), Error> {
    c.prepare_cached(
        "INSERT INTO queue(session_id, user_id, place, cid, payload, created_at)
           SELECT ?1, ?2, coalesce(max(place), 0) + 1, ?3, ?4, ?5 FROM queue WHERE session_id = ?1",
    )?
    .execute(params![owner, user, send.cid, payload, int(now)])?;
    Ok(())
}

/// Removes a waiting message.
pub(crate) fn dequeue(c: &Connection, owner: &str, cid: &str) -> Result<(), Error> {
    c.prepare_cached("DELETE FROM queue WHERE session_id = ?1 AND cid = ?2")?
        .execute([owner, cid])?;
    Ok(())
}

/// Stores the order of the waiting messages.
pub(crate) fn reorder(c: &Connection, owner: &str, cids: &[String]) -> Result<(), Error> {
    let mut statement =
        c.prepare_cached("UPDATE queue SET place = ?3 WHERE session_id = ?1 AND cid = ?2")?;
    for (place, cid) in cids.iter().enumerate() {
        statement.execute(params![owner, cid, int(place as u64)])?;
    }
    Ok(())
}

/// The waiting messages of a session with the JSON they were stored as, next first.
pub(crate) fn waiting(c: &Connection, owner: &str) -> Result<Vec<(String, String, u64)>, Error> {
    let mut statement =
        c.prepare_cached("SELECT cid, payload, created_at FROM queue WHERE session_id = ?1 ORDER BY place, created_at")?;
    let rows = statement.query_map([owner], |row| {
        Ok((row.get(0)?, row.get(1)?, uint(row.get(2)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One waiting message for the page.
pub(crate) fn queue_item(send: &Send, created_at: u64) -> QueueItem {
    QueueItem {
        cid: send.cid.clone(),
        text: send.text.clone(),
        created_at,
    }
}

/// What a user's models did from `from` until before `to`, by day. Both are in milliseconds.
pub(crate) fn usage(
    c: &Connection,
    user: &str,
    from: u64,
    to: u64,
) -> Result<Vec<UsageDay>, Error> {
    let mut statement = c.prepare_cached(
        "SELECT date(started_at / 1000, 'unixepoch') AS day, model, count(*), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0)
           FROM runs WHERE user_id = ?1 AND started_at >= ?2 AND started_at < ?3 GROUP BY day, model ORDER BY day, model",
    )?;
    let rows = statement.query_map(params![user, int(from), int(to)], |row| {
        Ok(UsageDay {
            day: row.get(0)?,
            model: row.get(1)?,
            runs: uint(row.get(2)?),
            input: uint(row.get(3)?),
            out: uint(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
