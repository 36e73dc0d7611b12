//! The figures of one web gateway, for the metrics endpoint.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::wire::event::RunEnd;
use crate::wire::message::Finish;

/// How the name of every figure begins.
const PREFIX: &str = "sluicegate_chat";

/// Upper bounds of the histogram of times to the first token, in milliseconds.
const TTFT: [u64; 10] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 120_000,
];

const FINISHES: [Finish; 8] = [
    Finish::Stop,
    Finish::Length,
    Finish::ContentFilter,
    Finish::ToolCalls,
    Finish::Stopped,
    Finish::Error,
    Finish::Interrupted,
    Finish::Abandoned,
];

/// One label with its value.
type Label = [(&'static str, &'static str); 1];

/// Counters, and the last gauges.
#[derive(Debug)]
pub(crate) struct Figures {
    registry: Registry,
    runs: Family<Label, Counter>,
    tokens: Family<Label, Counter>,
    ttft: Histogram,
    /// Sockets that were opened.
    pub opened: Counter,
    /// Sockets that the gateway refused or closed.
    pub refused: Counter,
    /// Times that a session was watched again from a position.
    pub resumes: Counter,
    /// Requests that were refused for their rate.
    pub limited: Counter,
    /// Failed logins.
    pub login_failures: Counter,
    connections: Gauge,
    sessions: Gauge,
    running: Gauge,
    waiting: Gauge,
    proxy_up: Gauge,
    model_up: Gauge,
    store_p95: Gauge<f64, AtomicU64>,
}

/// What the gauges show at the moment of asking.
pub(crate) struct Gauges {
    pub connections: usize,
    pub sessions: usize,
    pub running: usize,
    pub waiting: usize,
    pub proxy_up: bool,
    pub model_up: bool,
    pub store_p95: Duration,
}

impl Default for Figures {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let all = &mut registry;
        let runs = add(all, "runs", "Runs by how they ended");
        let tokens = add(all, "tokens", "Tokens by direction");
        let ttft = Histogram::new(TTFT.map(seconds));
        let help = "Time to the first token, as the web gateway saw it";
        all.register("ttft_seconds", help, ttft.clone());
        let figures = Self {
            runs,
            tokens,
            ttft,
            opened: add(
                all,
                "connections_opened",
                "Sockets and event streams opened",
            ),
            refused: add(
                all,
                "connections_refused",
                "Sockets refused or closed by the gateway",
            ),
            resumes: add(all, "resumes", "Sessions watched again from a position"),
            limited: add(all, "limited", "Requests refused for their rate"),
            login_failures: add(all, "login_failures", "Failed logins"),
            connections: add(all, "connections", "Open sockets and event streams"),
            sessions: add(all, "sessions_live", "Sessions in memory"),
            running: add(all, "runs_active", "Runs under way"),
            waiting: add(all, "runs_waiting", "Runs waiting for a slot"),
            proxy_up: add(all, "proxy_up", "Whether the proxy answers"),
            model_up: add(all, "model_up", "Whether the model server answers"),
            store_p95: add(
                all,
                "store_write_p95_seconds",
                "95th percentile of the last writes to the database",
            ),
            registry,
        };
        // All labels are shown from the start, so that a rate can be computed from the first run on.
        for finish in FINISHES {
            drop(figures.runs.get_or_create(&[("finish", finish.word())]));
        }
        for direction in ["in", "out"] {
            drop(figures.tokens.get_or_create(&[("direction", direction)]));
        }
        figures
    }
}

impl Figures {
    /// Counts a run that is over.
    pub(super) fn count(&self, end: &RunEnd) {
        self.runs
            .get_or_create(&[("finish", end.finish.word())])
            .inc();
        if let Some(usage) = end.usage {
            let tokens = |direction| self.tokens.get_or_create(&[("direction", direction)]);
            tokens("in").inc_by(usage.input);
            tokens("out").inc_by(usage.output);
        }
        if let Some(ms) = end.ttft_ms {
            self.ttft.observe(seconds(ms));
        }
    }

    /// All figures in the OpenMetrics text format, without its end mark: another set may follow.
    pub(crate) fn encode(&self, gauges: &Gauges) -> String {
        let set = |gauge: &Gauge, value: usize| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.connections, gauges.connections);
        set(&self.sessions, gauges.sessions);
        set(&self.running, gauges.running);
        set(&self.waiting, gauges.waiting);
        set(&self.proxy_up, usize::from(gauges.proxy_up));
        set(&self.model_up, usize::from(gauges.model_up));
        self.store_p95.set(gauges.store_p95.as_secs_f64());
        let mut out = String::new();
        text::encode_registry(&mut out, &self.registry)
            .expect("a string takes all that is written into it");
        out
    }
}

/// A metric at zero, registered.
fn add<M: Metric + Default + Clone>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}
