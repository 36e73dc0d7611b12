//! Spans on their way to the collector.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Dropped;

/// Exchanges whose spans wait. OpenTelemetry's own default for spans; beyond it they are dropped.
const WAITING: usize = 2_048;

/// Exchanges whose spans are sent in one request, and how long the first of them waits for the others: OpenTelemetry's own
/// defaults for spans, but a second instead of five.
const BATCH: usize = 512;
const DELAY: Duration = Duration::from_secs(1);

/// Spans that wait to be sent, and the task that sends them.
pub(super) struct Queue {
    sender: mpsc::Sender<Vec<SpanData>>,
    dropped: Dropped,
    /// Ends the task when what is in the queue then has been sent.
    last: CancellationToken,
    /// `None` once it is stopped.
    task: Mutex<Option<JoinSet<()>>>,
}

impl Queue {
    /// Begins to send. `endpoint` is for the log.
    pub(super) fn start(
        exporter: impl SpanExporter + 'static,
        endpoint: String,
        dropped: Dropped,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let last = CancellationToken::new();
        let sending = Sending {
            receiver,
            exporter,
            endpoint,
            dropped: dropped.clone(),
            last: last.clone(),
        };
        let mut task = JoinSet::new();
        task.spawn(sending.run());
        Self {
            sender,
            dropped,
            last,
            task: Mutex::new(Some(task)),
        }
    }

    /// Adds the spans of an exchange, or drops them.
    pub(super) fn send(&self, spans: Vec<SpanData>) {
        if self.sender.try_send(spans).is_err() {
            (self.dropped)(1);
        }
    }

    /// Sends what is left, for at most this long.
    pub(super) async fn stop(&self, limit: Duration) {
        self.last.cancel();
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut task) = task else { return };
        // Dropping it ends what is left of it.
        if timeout(limit, task.join_next()).await.is_err() {
            tracing::warn!("the last spans could not be sent to the collector in time");
        }
    }
}

/// The task that sends.
struct Sending<E> {
    receiver: mpsc::Receiver<Vec<SpanData>>,
    exporter: E,
    endpoint: String,
    dropped: Dropped,
    last: CancellationToken,
}

impl<E: SpanExporter> Sending<E> {
    async fn run(mut self) {
        let mut failing = false;
        while let Some(batch) = self.next().await {
            let exchanges = batch.len() as u64;
            let endpoint = &self.endpoint;
            let spans = batch.into_iter().flatten().collect();
            match self.exporter.export(spans).await {
                Ok(()) if failing => {
                    failing = false;
                    tracing::info!(endpoint, "the collector takes spans again");
                }
                Ok(()) => {}
                Err(error) => {
                    (self.dropped)(exchanges);
                    let error = error.to_string();
                    if !failing {
                        failing = true;
                        tracing::warn!(
                            endpoint,
                            error,
                            "the collector does not take spans; they are dropped"
                        );
                    }
                }
            }
        }
    }

    /// The next batch; `None` at the end.
    async fn next(&mut self) -> Option<Vec<Vec<SpanData>>> {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            _ = self.receiver.recv_many(&mut batch, BATCH) => {}
            () = self.last.cancelled() => return None,
        }
        if batch.len() < BATCH {
            self.last.run_until_cancelled(sleep(DELAY)).await;
        }
        while batch.len() < BATCH
            && let Ok(more) = self.receiver.try_recv()
        {
            batch.push(more);
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use opentelemetry_sdk::error::OTelSdkResult;

    use super::*;

    #[derive(Debug)]
    struct Silent;

    impl SpanExporter for Silent {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_does_not_respond_costs_spans_and_nothing_else() {
        let dropped = Arc::new(AtomicU64::new(0));
        let count = dropped.clone();
        let count: Dropped = Arc::new(move |more| {
            count.fetch_add(more, Ordering::Relaxed);
        });
        let queue = Queue::start(Silent, "http://x".into(), count);
        queue.send(Vec::new());
        // It is taken, and never sent.
        sleep(2 * DELAY).await;
        for _ in 0..WAITING + 3 {
            queue.send(Vec::new());
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
        let began = tokio::time::Instant::now();
        queue.stop(Duration::from_secs(2)).await;
        assert_eq!(began.elapsed(), Duration::from_secs(2));
    }
}
