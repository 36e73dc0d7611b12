//! The queue of log lines before standard output: no exchange ever waits for the reader of the log.
//!
//! A separate thread writes. A line for which the queue has no room is dropped and counted; when there is room again, a line
//! gives their number.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// The most lines in the queue. Arbitrary: one second of a busy gateway's access log.
const LINES: usize = 8_192;

/// The most bytes of lines in the queue: a plugin can write long lines.
const BYTES: usize = 8 << 20;

/// How long lines are gathered before they are written together. To wake this thread for each line would cost the exchanges
/// more than writing it themselves.
const GATHER: Duration = Duration::from_millis(2);

/// The most bytes that are written together; the last line may exceed it.
const TOGETHER: usize = 64 << 10;

/// How often [`flush`] checks whether everything is written.
const LOOK: Duration = Duration::from_millis(5);

/// The number of lines that were dropped because the queue was full.
static DROPPED: LazyLock<Counter> = LazyLock::new(Counter::default);

/// The number of bytes that are still to be written.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// The counter of dropped lines, for the metrics.
pub(crate) fn dropped() -> Counter {
    DROPPED.clone()
}

/// Waits until all lines are written, but no longer than `limit`: the reader of the log may have stopped.
pub fn flush(limit: Duration) {
    let mut left = limit;
    while WAITING.load(Ordering::Acquire) > 0 && !left.is_zero() {
        thread::sleep(LOOK);
        left = left.saturating_sub(LOOK);
    }
}

/// The writing end of the queue.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    lines: SyncSender<Vec<u8>>,
    waiting: &'static AtomicUsize,
    dropped: Counter,
    /// Dropped lines that have not been reported yet.
    untold: Arc<AtomicU64>,
}

impl Queue {
    /// A queue to standard output.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(super) fn to_stdout() -> io::Result<Self> {
        Self::to(io::stdout(), &WAITING, dropped())
    }

    fn to(
        out: impl Write + Send + 'static,
        waiting: &'static AtomicUsize,
        dropped: Counter,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(LINES);
        let untold = Arc::<AtomicU64>::default();
        let told = untold.clone();
        thread::Builder::new()
            .name("sluicegate-log".into())
            .spawn(move || write(&receiver, out, waiting, &told))?;
        Ok(Self {
            lines: sender,
            waiting,
            dropped,
            untold,
        })
    }

    fn push(&self, line: &[u8]) {
        let before = self.waiting.fetch_add(line.len(), Ordering::AcqRel);
        if before + line.len() > BYTES || self.lines.try_send(line.to_vec()).is_err() {
            self.waiting.fetch_sub(line.len(), Ordering::AcqRel);
            self.dropped.inc();
            self.untold.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Writes lines until all senders are gone.
fn write(
    lines: &Receiver<Vec<u8>>,
    mut out: impl Write,
    waiting: &AtomicUsize,
    untold: &AtomicU64,
) {
    let mut together = Vec::new();
    while let Ok(line) = lines.recv() {
        thread::sleep(GATHER);
        let mut next = Some(line);
        while let Some(line) = next {
            together.extend_from_slice(&line);
            next = lines.try_recv().ok();
            if next.is_none() || together.len() > TOGETHER {
                // Nothing can be done about a log that cannot be written, and serving must go on.
                drop(out.write_all(&together));
                waiting.fetch_sub(together.len(), Ordering::AcqRel);
                together.clear();
            }
        }
        drop(out.flush());
        let lost = untold.swap(0, Ordering::AcqRel);
        if lost > 0 {
            // It goes into the queue like any other line: the queue is empty now.
            tracing::warn!(
                lines = lost,
                "log lines were dropped because standard output was not read fast enough"
            );
        }
    }
}

/// A line is one `write`.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'q> MakeWriter<'q> for Queue {
    type Writer = &'q Self;

    fn make_writer(&'q self) -> &'q Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    /// Passes on what is written, once it may.
    struct Held {
        may: Receiver<()>,
        written: SyncSender<Vec<u8>>,
    }

    impl Write for Held {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // Once the sender is gone, everything may go on.
            let _ = self.may.recv();
            self.written.send(line.to_vec()).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn held(waiting: &'static AtomicUsize) -> (Queue, SyncSender<()>, Receiver<Vec<u8>>) {
        // Room for all that a test writes.
        let ((may, waits), (written, read)) = (sync_channel(1), sync_channel(2 * LINES));
        let out = Held {
            may: waits,
            written,
        };
        let queue = Queue::to(out, waiting, Counter::default()).expect("a thread");
        (queue, may, read)
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_nobody_s_time() {
        static WAITING: AtomicUsize = AtomicUsize::new(0);
        let (queue, may, read) = held(&WAITING);
        let line = |number: usize| format!("{number}\n").into_bytes();
        for number in 0..2 * LINES {
            queue.push(&line(number));
        }
        // The writer has taken some already.
        let dropped = usize::try_from(queue.dropped.get()).expect("few");
        assert!(dropped > 0);
        drop(may);
        let mut written = Vec::new();
        let count = |written: &[u8]| written.iter().filter(|byte| **byte == b'\n').count();
        while count(&written) < 2 * LINES - dropped {
            written.extend(read.recv().expect("more lines"));
        }
        let text = String::from_utf8(written).expect("what was pushed");
        let number = |line: &str| line.parse::<usize>().expect("whole lines");
        assert!(text.lines().map(number).is_sorted(), "in order");
        // Room again.
        queue.push(b"more\n");
        assert_eq!(read.recv().ok(), Some(b"more\n".to_vec()));
    }

    #[test]
    fn long_lines_fill_the_queue_by_their_bytes() {
        static WAITING: AtomicUsize = AtomicUsize::new(0);
        let (queue, may, read) = held(&WAITING);
        let line = vec![b'x'; BYTES / 4];
        for _ in 0..10 {
            queue.push(&line);
        }
        assert_eq!(queue.dropped.get(), 6);
        drop(may);
        let mut written = 0;
        while written < BYTES {
            written += read.recv().expect("more lines").len();
        }
        assert_eq!(written, BYTES);
    }
}
