//! The database: one SQLite file with one writer thread and a few readers.
//!
//! The modules below have what is written and read, as plain functions of a connection; this file runs them.
//! All writes go through one thread, in order. It gathers waiting writes into one transaction, so that a hundred sessions cost
//! one sync of the disk. Each write has its own savepoint: one that fails undoes only itself. A write returns only after the
//! commit.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::wire::{Code, ErrorBody};

pub(crate) mod event;
pub(crate) mod message;
pub(crate) mod place;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod search;
pub(crate) mod session;
pub(crate) mod token;

/// Writes that can wait. Beyond that, callers wait: the store is then the bottleneck and slows its users down.
const WAITING: usize = 512;
/// Writes in one transaction. Arbitrary; it bounds how long the first of them waits for its commit.
const BATCH: usize = 64;
/// Connections for reading. More than cores help little: reads are short.
const READERS: usize = 4;
/// How long SQLite waits for a lock, such as that of a backup in another process.
const BUSY: Duration = Duration::from_secs(5);
/// The free space below which writes are not attempted: SQLite's log grows to some megabytes before it is merged.
const ROOM: u64 = 16 << 20;
/// How long a write's outcome predicts that of the next one: a success, and a failure.
const WELL: Duration = Duration::from_secs(5);
const ILL: Duration = Duration::from_secs(1);
/// How long a write may take whose only purpose is to show whether writing works.
const PROBE: Duration = Duration::from_secs(2);
/// Durations of writes that are remembered for the 95th percentile.
const SAMPLES: usize = 128;

/// Why the store cannot be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file or its folder cannot be created or made private.
    #[error("cannot prepare {path}")]
    Prepare {
        /// Which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another gateway has it open.
    #[error("{0} is in use by another gateway")]
    InUse(PathBuf),
    /// SQLite's locks cannot be trusted there.
    #[error(
        "{path} is on a network file system ({kind}), where SQLite can lose data: choose a local disk"
    )]
    Network {
        /// Which path.
        path: PathBuf,
        /// The kind of file system.
        kind: String,
    },
    /// Written by a newer version.
    #[error("the database has schema {found}, this version knows {known}: use a newer sluicegate")]
    Newer {
        /// The file's version.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// SQLite failed.
    #[error("database error")]
    Sqlite(#[from] rusqlite::Error),
    /// The writer thread is gone: the gateway is stopping.
    #[error("the database is closed")]
    Closed,
}

impl Error {
    /// Whether a unique index refused a row.
    pub(crate) fn conflict(&self) -> bool {
        match self {
            Self::Sqlite(error) => {
                error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
            }
            Self::Prepare { .. }
            | Self::InUse(_)
            | Self::Network { .. }
            | Self::Newer { .. }
            | Self::Closed => false,
        }
    }
}

/// The error that a client gets. It does not have the reason, which is logged here.
impl From<Error> for ErrorBody {
    fn from(error: Error) -> Self {
        tracing::error!(%error, "chat: the database failed");
        Self::new(Code::StoreUnavailable, "the database does not answer")
            .after(Duration::from_secs(2))
    }
}

impl Error {
    /// Whether no write at all can succeed.
    fn is_of_disk(&self) -> bool {
        use rusqlite::ErrorCode as Code;
        match self {
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    Code::DiskFull
                        | Code::SystemIoFailure
                        | Code::ReadOnly
                        | Code::CannotOpen
                        | Code::DatabaseCorrupt
                        | Code::NotADatabase
                )
            ),
            Self::Prepare { .. }
            | Self::InUse(_)
            | Self::Network { .. }
            | Self::Newer { .. }
            | Self::Closed => false,
        }
    }
}

/// What is called when a transaction is over.
type Settle = Box<dyn FnOnce(Option<&Arc<rusqlite::Error>>) + Send>;
/// One write: returns whether to keep it, and whom to tell. Without a connection it only returns whom to tell.
type Job = Box<dyn FnOnce(Option<&Connection>) -> (bool, Settle) + Send>;

/// The database of one gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    /// `None` once closed.
    writer: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    readers: Mutex<Vec<Connection>>,
    permits: Semaphore,
    durations: Arc<Mutex<Durations>>,
    /// When the last write ended, and whether it succeeded.
    written: Mutex<Option<(Instant, bool)>>,
    path: PathBuf,
    /// Held as long as the store is open; see [`place::lock`].
    _lock: std::fs::File,
}

impl Store {
    /// Opens or creates the database, updates its schema and locks it for this process.
    ///
    /// # Errors
    /// All variants of [`Error`] but `Closed`. Nothing was changed unless the error came from SQLite.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        place::prepare(path)?;
        let lock = place::lock(path)?;
        let mut connection = connect(path)?;
        schema::migrate(&mut connection)?;
        place::private(path)?;
        let readers = (0..READERS)
            .map(|_| connect(path))
            .collect::<Result<Vec<_>, _>>()?;
        let (writer, jobs) = mpsc::channel(WAITING);
        let durations = Arc::new(Mutex::new(Durations::default()));
        let measured = Arc::clone(&durations);
        let thread = std::thread::Builder::new()
            .name("chat-store".to_owned())
            .spawn(move || write_loop(&connection, jobs, &measured))
            .map_err(|source| Error::Prepare {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            inner: Arc::new(Inner {
                writer: Mutex::new(Some(writer)),
                thread: Mutex::new(Some(thread)),
                readers: Mutex::new(readers),
                permits: Semaphore::new(READERS),
                durations,
                written: Mutex::new(None),
                path: path.to_owned(),
                _lock: lock,
            }),
        })
    }

    /// Runs a change in a transaction and waits until it is on disk.
    ///
    /// # Errors
    /// The error of the change or of the commit; nothing of the change is stored then.
    ///
    /// # Cancel safety
    /// The change happens even if nobody waits for it.
    pub(crate) async fn write<T, F>(&self, change: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let writer = lock(&self.inner.writer).clone().ok_or(Error::Closed)?;
        let inner = Arc::clone(&self.inner);
        let (sender, result) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = connection.map_or(Err(Error::Closed), change);
            let keep = result.is_ok();
            let settle: Settle = Box::new(move |failed| {
                let result = match (failed, result) {
                    (Some(error), Ok(_)) => Err(Error::Sqlite(copy(error))),
                    // A full disk ends the whole transaction; errors after that are not the cause.
                    (Some(_), Err(own)) => Err(own),
                    (None, result) => result,
                };
                match &result {
                    Ok(_) => *lock(&inner.written) = Some((Instant::now(), true)),
                    Err(error) if error.is_of_disk() => {
                        *lock(&inner.written) = Some((Instant::now(), false));
                    }
                    Err(_) => {}
                }
                // Nobody waits any more: the change stands all the same.
                drop(sender.send(result));
            });
            (keep, settle)
        });
        writer.send(job).await.map_err(|_| Error::Closed)?;
        result.await.map_err(|_| Error::Closed)?
    }

    /// Runs a query outside of the traffic threads.
    ///
    /// # Errors
    /// The error of the query, or [`Error::Closed`].
    pub(crate) async fn read<T, F>(&self, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let _permit = self
            .inner
            .permits
            .acquire()
            .await
            .map_err(|_| Error::Closed)?;
        let inner = Arc::clone(&self.inner);
        let result = tokio::task::spawn_blocking(move || {
            let connection = match lock(&inner.readers).pop() {
                Some(connection) => connection,
                None => connect(&inner.path)?,
            };
            let result = query(&connection);
            lock(&inner.readers).push(connection);
            result
        });
        result.await.map_err(|_| Error::Closed)?
    }

    /// Whether reading and writing work now. Writes something to find out, unless a write has just ended.
    pub(crate) async fn works(&self) -> bool {
        let path = self.inner.path.clone();
        let free = self.read(move |c| {
            schema::epoch(c)?;
            Ok(place::free(&path))
        });
        let has_room = free.await.is_ok_and(is_enough);
        let written = *lock(&self.inner.written);
        let writes = match written {
            Some((at, true)) if at.elapsed() < WELL => true,
            Some((at, false)) if at.elapsed() < ILL => false,
            Some(_) | None => {
                let probe = tokio::time::timeout(PROBE, self.write(schema::probe));
                probe.await.is_ok_and(|written| written.is_ok())
            }
        };
        has_room && writes
    }

    /// The 95th percentile of the times of the last writes.
    pub(crate) fn write_p95(&self) -> Duration {
        lock(&self.inner.durations).p95()
    }

    /// Waits for the pending writes, and closes the database.
    pub(crate) async fn close(&self) {
        drop(lock(&self.inner.writer).take());
        let thread = lock(&self.inner.thread).take();
        if let Some(thread) = thread {
            // The thread ends when the last sender is gone. Joining blocks, so it is not done on a traffic thread.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        lock(&self.inner.readers).clear();
    }
}

/// Whether there is room for a database to grow. If the system does not say, there is.
fn is_enough(free: Option<u64>) -> bool {
    free.is_none_or(|free| free >= ROOM)
}

/// Opens a connection with the settings of all our connections.
pub(crate) fn connect(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A confirmed message must survive a power cut; the writer thread makes that affordable.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn write_loop(
    connection: &Connection,
    mut jobs: mpsc::Receiver<Job>,
    durations: &Mutex<Durations>,
) {
    while let Some(first) = jobs.blocking_recv() {
        let started = Instant::now();
        let mut waiting = vec![first];
        while waiting.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            waiting.push(job);
        }
        let mut settle = Vec::with_capacity(waiting.len());
        let committed = transaction(connection, waiting, &mut settle).map_err(Arc::new);
        if let Err(error) = &committed {
            tracing::error!(%error, "chat: a transaction failed");
            // After a failed commit SQLite may still be in the transaction. Outside of one this is an error without effect.
            drop(connection.execute_batch("ROLLBACK"));
        }
        lock(durations).add(started.elapsed());
        for tell in settle {
            tell(committed.as_ref().err());
        }
    }
    if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(%error, "chat: the write-ahead log could not be merged; the next start does it");
    }
}

fn transaction(
    connection: &Connection,
    jobs: Vec<Job>,
    settle: &mut Vec<Settle>,
) -> Result<(), rusqlite::Error> {
    let mut state = connection.execute_batch("BEGIN IMMEDIATE");
    for job in jobs {
        if state.is_ok() {
            state = connection.execute_batch("SAVEPOINT change");
        }
        // After a failure the rest is not run, but the jobs know whom to tell.
        let (keep, tell) = job(state.is_ok().then_some(connection));
        settle.push(tell);
        if state.is_ok() {
            let end = if keep {
                "RELEASE change"
            } else {
                "ROLLBACK TO change; RELEASE change"
            };
            state = connection.execute_batch(end);
        }
    }
    state?;
    connection.execute_batch("COMMIT")
}

/// A copy of an SQLite error, for several writes that failed together: the parts that matter.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, text) => {
            rusqlite::Error::SqliteFailure(*code, text.clone())
        }
        other => rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR),
            Some(other.to_string()),
        ),
    }
}

/// Locks; a panic elsewhere does not invalidate plain data.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number for SQLite, which has signed numbers only. Ours are times, lengths and counts, far below the bound.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A number from SQLite. Negative ones are not ours and read as 0.
pub(crate) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The last durations, as a ring.
#[derive(Default)]
struct Durations {
    samples: Vec<Duration>,
    next: usize,
}

impl Durations {
    fn add(&mut self, sample: Duration) {
        if self.samples.len() < SAMPLES {
            self.samples.push(sample);
        } else {
            self.samples[self.next] = sample;
            self.next = (self.next + 1) % SAMPLES;
        }
    }

    fn p95(&self) -> Duration {
        let mut sorted = self.samples.clone();
        sorted.sort_unstable();
        sorted
            .get(sorted.len().saturating_mul(95) / 100)
            .or(sorted.last())
            .copied()
            .unwrap_or_default()
    }
}

#[cfg(test)]
pub(crate) mod tests;
