//! Search in a user's messages and titles.
//! Words of three and more characters are looked up in the trigram index. Shorter ones, like most Chinese words, cannot be: they
//! are compared with each text, newest first, within a time limit. All words must occur in one message or one title.

use std::time::Duration;

use rusqlite::{Connection, params_from_iter, types::Value};
use tokio::time::Instant;

use super::{Error, int, session};
use crate::wire::session::{Hit, Part, Session, Sessions};

/// The most words of a query, and characters of a word; more are ignored. SQLite takes patterns of at most 50,000 bytes.
const TERMS: usize = 8;
const TERM: usize = 200;
/// Sessions in a result.
const SESSIONS: usize = 50;
/// Matches shown per session.
const HITS: usize = 3;
/// Matching messages that are read for a result.
const FOUND: usize = 400;
/// Messages compared between two checks of the clock.
const WINDOW: i64 = 4_000;
/// Characters before the first match in a snippet.
const BEFORE: usize = 24;
/// Characters of a snippet.
const SNIPPET: usize = 120;

/// Searches for all words of `query`, for at most `budget`.
pub(crate) fn search(
    c: &Connection,
    user: &str,
    query: &str,
    budget: Duration,
) -> Result<Sessions, Error> {
    let deadline = Instant::now() + budget;
    let terms: Vec<String> = query
        // For the index a NUL is the end of the query.
        .split(|c: char| c.is_whitespace() || c == '\0')
        .filter(|term| !term.is_empty())
        .take(TERMS)
        .map(|term| term.chars().take(TERM).collect::<String>().to_lowercase())
        .collect();
    if terms.is_empty() {
        return Ok(Sessions {
            sessions: Vec::new(),
            cursor: None,
            partial: false,
        });
    }
    let mut found = Found::default();
    titles(c, user, &terms, &mut found)?;
    let partial = messages(c, user, &terms, deadline, &mut found)?;
    let mut sessions = Vec::new();
    for (id, hits) in found.sessions {
        if let Some(row) = session::find(c, user, &id)? {
            sessions.push(Session {
                hits,
                ..row.session
            });
        }
    }
    sessions.sort_by_key(|session| std::cmp::Reverse(session.updated_at));
    Ok(Sessions {
        sessions,
        cursor: None,
        partial,
    })
}

#[derive(Default)]
struct Found {
    sessions: Vec<(String, Vec<Hit>)>,
    full: bool,
}

impl Found {
    fn add(&mut self, session: String, hit: Hit) {
        let room = self.sessions.len() < SESSIONS;
        match self.sessions.iter_mut().find(|(id, _)| *id == session) {
            Some((_, hits)) if hits.len() < HITS => hits.push(hit),
            Some(_) => {}
            None if room => self.sessions.push((session, vec![hit])),
            None => self.full = true,
        }
    }
}

fn titles(c: &Connection, user: &str, terms: &[String], found: &mut Found) -> Result<(), Error> {
    let conditions = " AND title LIKE ? ESCAPE '\\'".repeat(terms.len());
    let query = format!(
        "SELECT id, title FROM sessions WHERE user_id = ? AND deleted_at IS NULL{conditions} ORDER BY updated_at DESC LIMIT {SESSIONS}"
    );
    let values = std::iter::once(user.to_owned()).chain(terms.iter().map(|term| pattern(term)));
    let mut statement = c.prepare(&query)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        let title: String = row.get(1)?;
        found.add(
            row.get(0)?,
            Hit {
                message: None,
                snippet: snippet(&title, terms),
            },
        );
    }
    Ok(())
}

/// What a message must fulfil.
struct Conditions {
    sql: String,
    values: Vec<Value>,
    /// Whether the index is used.
    indexed: bool,
}

fn conditions(terms: &[String]) -> Conditions {
    let (long, short): (Vec<_>, Vec<_>) = terms.iter().partition(|term| term.chars().count() >= 3);
    let mut sql = " AND m.text LIKE ? ESCAPE '\\'".repeat(short.len());
    let mut values: Vec<Value> = short
        .iter()
        .map(|term| Value::Text(pattern(term)))
        .collect();
    if !long.is_empty() {
        sql.push_str(" AND m.n IN (SELECT rowid FROM messages_fts WHERE messages_fts MATCH ?)");
        let phrases: Vec<_> = long
            .iter()
            .map(|term| format!("\"{}\"", term.replace('"', "\"\"")))
            .collect();
        values.push(Value::Text(phrases.join(" AND ")));
    }
    Conditions {
        sql,
        values,
        indexed: !long.is_empty(),
    }
}

/// Returns whether the time or the room was used up before all messages were searched.
fn messages(
    c: &Connection,
    user: &str,
    terms: &[String],
    deadline: Instant,
    found: &mut Found,
) -> Result<bool, Error> {
    let Conditions {
        sql,
        values: fixed,
        indexed,
    } = conditions(terms);
    let query = format!(
        "SELECT m.session_id, m.id, m.text FROM messages m JOIN sessions s ON s.id = m.session_id
           WHERE m.n > ? AND m.n <= ? AND m.user_id = ? AND s.deleted_at IS NULL{sql} ORDER BY m.n DESC LIMIT {FOUND}"
    );
    let mut statement = c.prepare(&query)?;
    let mut high: i64 = c.query_row("SELECT coalesce(max(n), 0) FROM messages", [], |row| {
        row.get(0)
    })?;
    // The index finds everything in one query; only comparing needs windows.
    let window = if indexed { int(u64::MAX) } else { WINDOW };
    let mut seen = 0;
    while high > 0 {
        if Instant::now() >= deadline || found.full || seen >= FOUND {
            return Ok(true);
        }
        let low = high.saturating_sub(window).max(0);
        let values = [
            Value::Integer(low),
            Value::Integer(high),
            Value::Text(user.to_owned()),
        ];
        let mut rows = statement.query(params_from_iter(
            values.into_iter().chain(fixed.iter().cloned()),
        ))?;
        while let Some(row) = rows.next()? {
            seen += 1;
            let text: String = row.get(2)?;
            found.add(
                row.get(0)?,
                Hit {
                    message: Some(row.get(1)?),
                    snippet: snippet(&text, terms),
                },
            );
        }
        high = low;
    }
    Ok(found.full)
}

/// A `LIKE` pattern for the word itself.
fn pattern(term: &str) -> String {
    format!(
        "%{}%",
        term.replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_")
    )
}

/// The text around the first match, in parts. Lines are joined.
fn snippet(text: &str, terms: &[String]) -> Vec<Part> {
    // Only a part of a long text is used for the snippet; the match itself was exact.
    let chars: Vec<char> = text
        .chars()
        .take(20_000)
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .collect();
    let lower: Vec<char> = chars
        .iter()
        .map(|c| c.to_lowercase().next().unwrap_or(*c))
        .collect();
    let terms: Vec<Vec<char>> = terms.iter().map(|term| term.chars().collect()).collect();
    let hit_at = |at: usize| {
        terms
            .iter()
            .filter(|term| lower[at..].starts_with(term))
            .map(Vec::len)
            .max()
    };
    let first = (0..lower.len())
        .find(|at| hit_at(*at).is_some())
        .unwrap_or(0);
    let start = first.saturating_sub(BEFORE);
    let end = (start + SNIPPET).min(chars.len());
    let mut parts = Vec::new();
    let mut plain = if start > 0 {
        String::from("…")
    } else {
        String::new()
    };
    let mut at = start;
    while at < end {
        match hit_at(at) {
            Some(length) => {
                push(&mut parts, &mut plain);
                parts.push(Part {
                    t: chars[at..at + length].iter().collect(),
                    hit: true,
                });
                at += length;
            }
            None => {
                plain.push(chars[at]);
                at += 1;
            }
        }
    }
    if end < chars.len() {
        plain.push('…');
    }
    push(&mut parts, &mut plain);
    parts
}

fn push(parts: &mut Vec<Part>, plain: &mut String) {
    if !plain.is_empty() {
        parts.push(Part {
            t: std::mem::take(plain),
            hit: false,
        });
    }
}

#[cfg(test)]
mod tests;
