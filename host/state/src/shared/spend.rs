//! Budgets on disk: what was spent in days and months that are not over.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};
use sluicegate_contract::capability::rate::Budget;

/// The file in the gateway's folder.
const FILE: &str = "spend.db";

/// The version of its tables.
const VERSION: i64 = 1;

/// How long to wait for somebody who looks into the file.
const BUSY: Duration = Duration::from_secs(1);

const TABLES: &str = "
    CREATE TABLE spend (
        plugin TEXT NOT NULL,
        name TEXT NOT NULL,
        subject TEXT NOT NULL,
        window TEXT NOT NULL,
        spent INTEGER NOT NULL,
        capacity INTEGER NOT NULL,
        ends_ms INTEGER NOT NULL,
        PRIMARY KEY (plugin, name, subject, window)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX spend_ends ON spend (ends_ms);
";

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite's reason.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// Another version of the gateway has made it.
    #[error("it is of version {0}, and this gateway knows {VERSION}")]
    Version(i64),
}

/// The file.
#[derive(Debug)]
pub struct SpendFile(Mutex<Connection>);

impl SpendFile {
    /// Opens or makes the file in this folder, which must be the gateway's own.
    ///
    /// # Errors
    /// [`Error`]
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let connection = Connection::open(folder.join(FILE))?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // After a power cut the last second may be missing, and nothing else.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "trusted_schema", false)?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match version {
            0 => {
                let make = format!("BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;");
                connection.execute_batch(&make)?;
            }
            VERSION => {}
            other => return Err(Error::Version(other)),
        }
        Ok(Self(Mutex::new(connection)))
    }

    /// What a plugin has spent in days and months that are not over.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn load(&self, plugin: &str) -> Result<Vec<Budget>, rusqlite::Error> {
        let now = unix_ms();
        let connection = self.connection();
        let mut query = connection.prepare_cached(
            "SELECT name, subject, window, spent, capacity, ends_ms FROM spend WHERE plugin = ? AND ends_ms > ?",
        )?;
        let rows = query.query_map(params![plugin, now], |row| {
            let ends: i64 = row.get(5)?;
            Ok(Budget {
                name: row.get(0)?,
                subject: row.get(1)?,
                window: row.get(2)?,
                left_ms: u64::try_from(ends.saturating_sub(now)).unwrap_or(0),
                spent: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
                reserved: 0,
                capacity: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
            })
        })?;
        rows.collect()
    }

    /// Writes what a plugin has spent, all or nothing, and removes what is over.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn save(&self, plugin: &str, budgets: &[Budget]) -> Result<(), rusqlite::Error> {
        let now = unix_ms();
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        {
            let mut write = transaction.prepare_cached(
                "INSERT INTO spend (plugin, name, subject, window, spent, capacity, ends_ms) VALUES (?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET spent = excluded.spent, capacity = excluded.capacity, ends_ms = excluded.ends_ms",
            )?;
            for budget in budgets {
                let Budget {
                    name,
                    subject,
                    window,
                    ..
                } = budget;
                let ends = now.saturating_add(signed(budget.left_ms));
                let (spent, capacity) = (signed(budget.spent), signed(budget.capacity));
                write.execute(params![
                    plugin, name, subject, window, spent, capacity, ends
                ])?;
            }
            let mut remove = transaction.prepare_cached("DELETE FROM spend WHERE ends_ms <= ?")?;
            remove.execute([now])?;
        }
        transaction.commit()
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A transaction that panicked was rolled back when it was dropped.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SQLite's whole numbers have 63 bits, and units at most 53.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unix_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(subject: &str, spent: u64, left_ms: u64) -> Budget {
        Budget {
            name: "b".into(),
            subject: subject.into(),
            window: "2026-11".into(),
            left_ms,
            spent,
            reserved: 5,
            capacity: 100,
        }
    }

    #[test]
    fn what_was_spent_is_there_after_a_restart_until_its_window_is_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let hour = 3_600_000;
        let file = SpendFile::open(folder.path()).expect("a new file");
        let both = [budget("x", 7, hour), budget("over", 7, 0)];
        file.save("one", &both).expect("written");
        file.save("two", &both[..1]).expect("written");
        file.save("one", &[budget("x", 9, hour)]).expect("written");
        drop(file);
        let file = SpendFile::open(folder.path()).expect("the same file");
        let had = file.load("one").expect("read");
        assert_eq!(had.len(), 1, "{had:?}");
        assert_eq!(
            (had[0].spent, had[0].reserved, had[0].capacity),
            (9, 0, 100)
        );
        assert!((hour - 60_000..=hour).contains(&had[0].left_ms));
        assert_eq!(file.load("two").expect("read")[0].spent, 7);
        assert!(file.load("three").expect("read").is_empty());
        let rows: i64 = file
            .connection()
            .query_row("SELECT count(*) FROM spend", [], |row| row.get(0))
            .expect("a count");
        assert_eq!(rows, 2, "what is over is gone");
    }

    #[test]
    fn a_file_of_a_later_version_or_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = Connection::open(folder.path().join(FILE)).expect("a file");
        connection
            .pragma_update(None, "user_version", 2)
            .expect("set");
        drop(connection);
        assert!(matches!(
            SpendFile::open(folder.path()),
            Err(Error::Version(2))
        ));
        let other = tempfile::tempdir().expect("a folder");
        std::fs::write(other.path().join(FILE), "no database".repeat(100)).expect("written");
        assert!(matches!(
            SpendFile::open(other.path()),
            Err(Error::Sqlite(_))
        ));
    }
}
