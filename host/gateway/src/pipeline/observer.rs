//! Observers: finished exchanges on their way to the plugins that observe them, off the path of traffic.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use tokio::sync::mpsc;

use sluicegate_plugin_host::{Plugin, instance, wit};
use sluicegate_telemetry::metrics::PluginMetrics;

/// How many summaries may wait for one observer. When the queue is full, further ones are dropped and counted.
const QUEUE: usize = 4_096;
/// Summaries in one call, as `wit/observer.wit` promises.
const BATCH: usize = 64;

/// How long summaries are gathered before a call: a sandbox for each exchange would cost as much as a stage of the
/// pipeline, and nobody waits for an access log.
const GATHER: Duration = Duration::from_millis(5);

/// The error of an exchange whose client left before its end.
pub const CLIENT_CLOSED: &str = "client_closed";

/// What is known of an exchange when it is over; see `summary` in `wit/observer.wit` for the meaning of each member.
#[derive(Debug)]
#[expect(missing_docs, reason = "the contract documents each member")]
pub struct Summary {
    pub id: Arc<str>,
    pub received_ms: u64,
    pub route: Arc<str>,
    pub method: Method,
    pub path: String,
    pub client: IpAddr,
    pub status: u16,
    pub error: String,
    pub upstream: Arc<str>,
    pub target: Arc<str>,
    pub attempts: u32,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub events: u64,
    pub duration: Duration,
    pub first_byte: Option<Duration>,
    pub overhead: Duration,
    pub facts: Vec<(String, String)>,
}

impl Summary {
    /// Whether the client left before the end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.error == CLIENT_CLOSED
    }
}

/// The entrance to one observer's queue.
#[derive(Clone, Debug)]
pub struct Queue {
    pub(super) plugin: Arc<Plugin>,
    sender: mpsc::Sender<Arc<Summary>>,
    metrics: Arc<PluginMetrics>,
}

impl Queue {
    /// Queues a summary; never waits.
    pub fn tell(&self, summary: Arc<Summary>) {
        if self.sender.try_send(summary).is_err() {
            self.metrics.summary_dropped();
        }
    }
}

/// A queue, and the worker that empties it. The worker ends when all clones of the queue are dropped and all summaries are
/// delivered.
pub fn start(
    plugin: Arc<Plugin>,
    metrics: Arc<PluginMetrics>,
) -> (Queue, impl Future<Output = ()>) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let queue = Queue {
        plugin: plugin.clone(),
        sender,
        metrics,
    };
    (queue, deliver(plugin, receiver))
}

/// It sleeps while it gathers, so that the exchanges of a busy gateway need not wake it.
async fn deliver(plugin: Arc<Plugin>, mut receiver: mpsc::Receiver<Arc<Summary>>) {
    let mut batch = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut batch, BATCH).await > 0 {
        if batch.len() < BATCH {
            tokio::time::sleep(GATHER).await;
            while batch.len() < BATCH
                && let Ok(summary) = receiver.try_recv()
            {
                batch.push(summary);
            }
        }
        if let Err(error) = observe(&plugin, &batch).await {
            plugin.count_fault();
            tracing::warn!(plugin = plugin.name(), %error, lost = batch.len(), "observer failed");
        }
        batch.clear();
    }
}

async fn observe(
    plugin: &Arc<Plugin>,
    batch: &[Arc<Summary>],
) -> Result<(), sluicegate_plugin_host::Error> {
    let clients: Vec<String> = batch
        .iter()
        .map(|summary| summary.client.to_string())
        .collect();
    let facts: Vec<Vec<(&str, &str)>> = batch
        .iter()
        .map(|summary| {
            summary
                .facts
                .iter()
                .map(|(name, json)| (name.as_str(), json.as_str()))
                .collect()
        })
        .collect();
    let view: Vec<wit::Summary<'_>> = batch
        .iter()
        .zip(clients.iter().zip(&facts))
        .map(|(summary, (client, facts))| view(summary, client, facts))
        .collect();
    instance::observe(plugin, &view).await
}

fn view<'a>(
    summary: &'a Summary,
    client: &'a str,
    facts: &'a [(&'a str, &'a str)],
) -> wit::Summary<'a> {
    wit::Summary {
        id: &summary.id,
        route: &summary.route,
        method: summary.method.as_str(),
        path: &summary.path,
        client,
        status: summary.status,
        error: &summary.error,
        upstream: &summary.upstream,
        target: &summary.target,
        attempts: summary.attempts,
        request_bytes: summary.request_bytes,
        response_bytes: summary.response_bytes,
        events: summary.events,
        duration_us: micros(summary.duration),
        first_byte_us: summary.first_byte.map_or(0, micros),
        overhead_us: micros(summary.overhead),
        facts,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
