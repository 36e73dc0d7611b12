//! Rows of users, logins, tokens and one-time codes. Secrets are stored as digests only.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Error, int, uint};
use crate::id;
use crate::wire::rest::TokenLine;

/// How long a login lasts without use.
pub(crate) const LOGIN_MS: u64 = 30 * 24 * 3600 * 1000;
/// How long a one-time code can be used.
pub(crate) const CODE_MS: u64 = 10 * 60 * 1000;
/// The shortest time between two notes of a login's use: each note is a write.
const NOTE_MS: u64 = 60 * 1000;

/// The user of one-time links.
pub(crate) const LOCAL: &str = "u_1";

/// A valid login or token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRow {
    /// `tok_…`.
    pub id: String,
    /// Its user.
    pub user: String,
    /// The user's name.
    pub name: String,
    /// Digest of the second secret; only for browsers.
    pub bind: Option<Vec<u8>>,
    /// Whether it may see all of `/debug`.
    pub debug: bool,
    /// What it was made with.
    pub source: String,
    /// Whether its use should be noted again.
    pub stale: bool,
}

/// A login or token to be added.
#[derive(Debug, Clone)]
pub(crate) struct NewToken<'a> {
    /// `tok_…`.
    pub id: &'a str,
    /// Its user.
    pub user: &'a str,
    /// Digest of the secret.
    pub hash: [u8; 32],
    /// Digest of the second secret; only for browsers.
    pub bind: Option<[u8; 32]>,
    /// What the user calls it.
    pub label: &'a str,
    /// What it was made with.
    pub source: &'a str,
    /// Whether it may see all of `/debug`.
    pub debug: bool,
}

/// The id of the user with this name, who is added if missing.
pub(crate) fn ensure_user(c: &Connection, name: &str, now: u64) -> Result<String, Error> {
    let found = c
        .query_row("SELECT id FROM users WHERE name = ?1", [name], |row| {
            row.get(0)
        })
        .optional()?;
    if let Some(id) = found {
        return Ok(id);
    }
    let id = id::new("u");
    c.execute(
        "INSERT INTO users(id, name, created_at) VALUES(?1, ?2, ?3)",
        params![id, name, int(now)],
    )?;
    Ok(id)
}

/// Adds a login or token. Browsers' logins end when they are not used; programs' tokens do not.
pub(crate) fn insert(c: &Connection, token: &NewToken<'_>, now: u64) -> Result<(), Error> {
    let kind = if token.bind.is_some() {
        "browser"
    } else {
        "program"
    };
    let expires = token.bind.map(|_| int(now + LOGIN_MS));
    c.execute(
        "INSERT INTO tokens(id, user_id, kind, label, hash, bind, source, debug, created_at, last_used_at, expires_at)
           VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10)",
        params![
            token.id,
            token.user,
            kind,
            token.label,
            token.hash,
            token.bind,
            token.source,
            token.debug,
            int(now),
            expires
        ],
    )?;
    Ok(())
}

/// The valid login or token with this digest.
pub(crate) fn find(
    c: &Connection,
    kind: &str,
    hash: [u8; 32],
    now: u64,
) -> Result<Option<TokenRow>, Error> {
    let mut statement = c.prepare_cached(
        "SELECT t.id, t.user_id, u.name, t.bind, t.debug, t.source, t.last_used_at FROM tokens t JOIN users u ON u.id = t.user_id
           WHERE t.hash = ?1 AND t.kind = ?2 AND t.revoked_at IS NULL AND u.disabled_at IS NULL
             AND (t.expires_at IS NULL OR t.expires_at > ?3)",
    )?;
    let read = |row: &Row<'_>| {
        Ok(TokenRow {
            id: row.get(0)?,
            user: row.get(1)?,
            name: row.get(2)?,
            bind: row.get(3)?,
            debug: row.get(4)?,
            source: row.get(5)?,
            stale: uint(row.get(6)?) + NOTE_MS < now,
        })
    };
    Ok(statement
        .query_row(params![hash, kind, int(now)], read)
        .optional()?)
}

/// Notes that a login was used, which extends it.
pub(crate) fn used(c: &Connection, id: &str, now: u64) -> Result<(), Error> {
    c.execute(
        "UPDATE tokens SET last_used_at = ?2, expires_at = CASE WHEN expires_at IS NULL THEN NULL ELSE ?3 END WHERE id = ?1",
        params![id, int(now), int(now + LOGIN_MS)],
    )?;
    Ok(())
}

/// Ends a login or token of a user. Returns whether there was one.
pub(crate) fn revoke(c: &Connection, user: &str, id: &str, now: u64) -> Result<bool, Error> {
    let changed = c.execute(
        "UPDATE tokens SET revoked_at = ?3 WHERE id = ?1 AND user_id = ?2 AND revoked_at IS NULL",
        params![id, user, int(now)],
    )?;
    Ok(changed > 0)
}

/// Ends all logins made with an operator's token that is no longer among `sources`.
pub(crate) fn revoke_stale(c: &Connection, sources: &[String], now: u64) -> Result<usize, Error> {
    let mut statement = c.prepare(
        "SELECT id, source FROM tokens WHERE revoked_at IS NULL AND source LIKE 'access:%'",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let live: Vec<(String, String)> = rows.collect::<Result<_, _>>()?;
    let mut ended = 0;
    for (id, source) in live {
        if !sources.contains(&source) {
            ended += c.execute(
                "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1",
                params![id, int(now)],
            )?;
        }
    }
    Ok(ended)
}

/// The valid logins and tokens of a user, latest first.
pub(crate) fn list(
    c: &Connection,
    user: &str,
    current: &str,
    now: u64,
) -> Result<Vec<TokenLine>, Error> {
    let mut statement = c.prepare_cached(
        "SELECT id, kind, label, created_at, last_used_at FROM tokens
           WHERE user_id = ?1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2) ORDER BY created_at DESC, id DESC",
    )?;
    let rows = statement.query_map(params![user, int(now)], |row| {
        let id: String = row.get(0)?;
        Ok(TokenLine {
            current: id == current,
            id,
            kind: row.get(1)?,
            label: row.get(2)?,
            created_at: uint(row.get(3)?),
            last_used_at: uint(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds a one-time code.
pub(crate) fn insert_code(
    c: &Connection,
    hash: [u8; 32],
    user: &str,
    debug: bool,
    now: u64,
) -> Result<(), Error> {
    c.execute(
        "INSERT INTO login_codes(hash, user_id, debug, expires_at) VALUES(?1, ?2, ?3, ?4)",
        params![hash, user, debug, int(now + CODE_MS)],
    )?;
    Ok(())
}

/// Uses up a one-time code. Returns its user, the user's name and whether the user may debug; `None` if the code is unknown,
/// used or too old.
pub(crate) fn take_code(
    c: &Connection,
    hash: [u8; 32],
    now: u64,
) -> Result<Option<(String, String, bool)>, Error> {
    let mut statement = c.prepare_cached(
        "DELETE FROM login_codes WHERE hash = ?1 AND expires_at > ?2
           RETURNING user_id, (SELECT name FROM users WHERE id = user_id), debug",
    )?;
    // Read to the end: a statement that is dropped early does not delete.
    let mut found = None;
    let mut rows = statement.query(params![hash, int(now)])?;
    while let Some(row) = rows.next()? {
        found = Some((row.get(0)?, row.get(1)?, row.get(2)?));
    }
    Ok(found)
}

/// Removes codes and logins that ended long ago.
pub(crate) fn forget(c: &Connection, now: u64) -> Result<(), Error> {
    c.execute("DELETE FROM login_codes WHERE expires_at <= ?1", [int(now)])?;
    c.execute(
        "DELETE FROM tokens WHERE revoked_at < ?1 OR expires_at < ?1",
        [int(now.saturating_sub(LOGIN_MS))],
    )?;
    Ok(())
}
