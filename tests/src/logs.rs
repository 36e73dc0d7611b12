//! What the gateway writes into its log, for tests that run side by side: each asks for the lines of its own request.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use serde_json::Value;
use sluicegate_telemetry::log::{Form, Lines};
use tokio::sync::watch;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

use crate::within;

/// All lines of the gateway itself, and those lines of others that an operator would see.
const FILTER: &str = "info,sluicegate=debug";

/// The log of the process.
struct Log {
    lines: Mutex<Vec<Arc<Value>>>,
    /// How many lines there are; wakes those who wait for one.
    count: watch::Sender<usize>,
}

impl Log {
    fn lines(&self) -> MutexGuard<'_, Vec<Arc<Value>>> {
        self.lines
            .lock()
            .expect("no code panics while it holds this lock")
    }
}

fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| Log {
        lines: Mutex::default(),
        count: watch::Sender::new(0),
    })
}

/// Starts to keep every line of the process, in the gateway's JSON format.
///
/// # Panics
/// If something else has taken the process's log.
pub fn capture() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let lines = Lines::new(Form::Json, || Sink);
        let filter = EnvFilter::new(FILTER);
        let subscriber = Registry::default().with(filter).with(lines);
        subscriber
            .try_init()
            .expect("nothing else takes the log of a test");
    });
}

/// Takes one line at each write.
struct Sink;

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line: Value = serde_json::from_slice(bytes).map_err(io::Error::other)?;
        let mut lines = log().lines();
        lines.push(Arc::new(line));
        let count = lines.len();
        drop(lines);
        log().count.send_replace(count);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A request id that no other test has.
pub fn id() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The lines so far for which `wanted` holds.
pub fn lines(wanted: impl Fn(&Value) -> bool) -> Vec<Arc<Value>> {
    let all = log().lines().clone();
    all.into_iter().filter(|line| wanted(line)).collect()
}

/// The first line for which `wanted` holds, now or later; `what` says in the panic which one did not come.
///
/// # Panics
/// If there is none within the deadline.
pub async fn line(what: &str, wanted: impl Fn(&Value) -> bool) -> Arc<Value> {
    let mut count = log().count.subscribe();
    within(what, async {
        let mut looked_at = 0;
        loop {
            count.borrow_and_update();
            let new: Vec<_> = log().lines()[looked_at..].to_vec();
            looked_at += new.len();
            if let Some(found) = new.into_iter().find(|line| wanted(line)) {
                return found;
            }
            count
                .changed()
                .await
                .expect("the sender lives as long as the process");
        }
    })
    .await
}

/// The line in which the gateway says why this request failed.
///
/// # Panics
/// As [`line()`].
pub async fn failure(id: &str) -> Arc<Value> {
    line("the line about a failure", |line| {
        line["req"] == id && line["code"].is_string()
    })
    .await
}

/// What the guest observer has seen of this request.
///
/// # Panics
/// As [`line()`].
pub async fn seen(id: &str) -> Arc<Value> {
    line("the observer's line", |line| line["seen"] == id).await
}
