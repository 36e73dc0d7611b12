//! The tables, and the update of databases of older versions.

use rusqlite::Connection;

use super::{Error, int};
use crate::id;
use sluicegate_telemetry::clock;

/// Each entry updates the schema from the version that is its index to the next one. Entries are only added.
const STEPS: [&str; 1] = [r"
CREATE TABLE meta(k TEXT PRIMARY KEY, v TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE users(
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL, disabled_at INTEGER
) WITHOUT ROWID;

-- kind: browser (hash of the cookie, bind = hash of the secret beside it) or program (hash of the bearer token).
-- source: by what it was made; logins made with an operator's token end when that token goes.
CREATE TABLE tokens(
  id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id), kind TEXT NOT NULL, label TEXT NOT NULL,
  hash BLOB NOT NULL UNIQUE, bind BLOB, source TEXT NOT NULL, debug INTEGER NOT NULL,
  created_at INTEGER NOT NULL, last_used_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER
) WITHOUT ROWID;

CREATE TABLE login_codes(
  hash BLOB PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id), debug INTEGER NOT NULL, expires_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE sessions(
  id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id),
  title TEXT NOT NULL, titled INTEGER NOT NULL DEFAULT 0, model TEXT, system TEXT,
  leaf TEXT, head INTEGER NOT NULL DEFAULT 0, read_seq INTEGER NOT NULL DEFAULT 0, answer_seq INTEGER NOT NULL DEFAULT 0,
  pinned INTEGER NOT NULL DEFAULT 0, archived INTEGER NOT NULL DEFAULT 0, preview TEXT NOT NULL DEFAULT '',
  deleted_at INTEGER, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions(user_id, archived, pinned DESC, updated_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX sessions_deleted ON sessions(deleted_at) WHERE deleted_at IS NOT NULL;

-- n orders siblings and names the row in the search index; it never changes.
CREATE TABLE messages(
  n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  session_id TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE, user_id TEXT NOT NULL,
  parent_id TEXT, edit_of TEXT, role TEXT NOT NULL, status TEXT NOT NULL,
  text TEXT NOT NULL, reasoning TEXT NOT NULL DEFAULT '', reasoning_ms INTEGER,
  model TEXT, run_id TEXT, cid TEXT, created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX messages_by_cid ON messages(user_id, cid) WHERE cid IS NOT NULL;
CREATE INDEX messages_by_parent ON messages(session_id, parent_id, n);

CREATE TABLE runs(
  id TEXT PRIMARY KEY, session_id TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE,
  message_id TEXT NOT NULL, user_id TEXT NOT NULL, request_id TEXT NOT NULL UNIQUE, cid TEXT NOT NULL,
  kind TEXT NOT NULL, model TEXT NOT NULL, finish TEXT, error TEXT,
  ttft_ms INTEGER, duration_ms INTEGER, tokens_in INTEGER, tokens_out INTEGER,
  started_at INTEGER NOT NULL, ended_at INTEGER
) WITHOUT ROWID;
CREATE UNIQUE INDEX runs_by_cid ON runs(user_id, cid);
CREATE INDEX runs_by_session ON runs(session_id);
CREATE INDEX runs_by_user ON runs(user_id, started_at DESC);
CREATE INDEX runs_live ON runs(id) WHERE finish IS NULL;

-- Text of a run that has not ended. Appended to, so that a long answer is not written again for every chunk.
CREATE TABLE partials(
  run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, n INTEGER NOT NULL,
  text TEXT NOT NULL, reasoning TEXT NOT NULL, PRIMARY KEY(run_id, n)
) WITHOUT ROWID;

CREATE TABLE queue(
  session_id TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE, user_id TEXT NOT NULL, place INTEGER NOT NULL,
  cid TEXT NOT NULL, payload TEXT NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY(session_id, cid)
) WITHOUT ROWID;
CREATE UNIQUE INDEX queue_by_cid ON queue(user_id, cid);

CREATE TABLE events(
  session_id TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE, seq INTEGER NOT NULL,
  event TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY(session_id, seq)
) WITHOUT ROWID;

-- Without content of its own: rows are removed by number, so the index cannot fall out of step with a text that changed.
CREATE VIRTUAL TABLE messages_fts USING fts5(text, content='', contentless_delete=1, tokenize='trigram');
"];

/// Updates the schema, in one transaction.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = int(STEPS.len() as u64);
    if found > known {
        return Err(Error::Newer { found, known });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for step in &STEPS[done..] {
        transaction.execute_batch(step)?;
    }
    if done == 0 {
        transaction.execute("INSERT INTO meta(k, v) VALUES('epoch', ?1)", [id::new("e")])?;
        transaction.execute(
            "INSERT INTO users(id, name, created_at) VALUES('u_1', 'local', ?1)",
            [int(clock::unix_ms())],
        )?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

/// The epoch of all positions in this database.
pub(crate) fn epoch(connection: &Connection) -> Result<String, Error> {
    Ok(connection.query_row("SELECT v FROM meta WHERE k = 'epoch'", [], |row| row.get(0))?)
}

/// Writes something without meaning.
pub(crate) fn probe(connection: &Connection) -> Result<(), Error> {
    connection.execute(
        "INSERT INTO meta(k, v) VALUES('probe', ?1) ON CONFLICT(k) DO UPDATE SET v = excluded.v",
        [int(clock::unix_ms())],
    )?;
    Ok(())
}

/// Starts a new epoch: positions that clients remember no longer count.
pub(crate) fn new_epoch(connection: &Connection) -> Result<(), Error> {
    connection.execute("UPDATE meta SET v = ?1 WHERE k = 'epoch'", [id::new("e")])?;
    Ok(())
}
