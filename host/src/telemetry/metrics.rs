//! Metrics, and handles through which the path of traffic counts without looking anything up.
//!
//! Responsible for what is counted and in which buckets. Whoever counts holds the handle of its route, plugin or target,
//! which was resolved once; only the end of an exchange looks a label set up. Not responsible for serving the result.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use super::names::{label, metric};

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds from 1 ms to 10 min: a cold model of 32B takes minutes to its first token.
const LONG: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
    600.0,
];

/// Seconds from 1 ms to 10 s: tokens come every 5 to 100 ms, stalls are what one looks for.
const BETWEEN_TOKENS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Seconds from 10 µs to 100 ms: a pipeline is expected to take some ten microseconds.
const SHORT: [f64; 12] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.1,
];

/// The value of a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Value {
    /// Of an enumeration in the code.
    Word(&'static str),
    /// Of the configuration.
    Name(Arc<str>),
    /// A status.
    Number(u16),
}

impl EncodeLabelValue for Value {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => word.encode(encoder),
            Self::Name(name) => (&**name).encode(encoder),
            Self::Number(number) => u32::from(*number).encode(encoder),
        }
    }
}

/// Labels by name, in a fixed order.
type Labels<const N: usize> = [(&'static str, Value); N];

type Histograms = Family<Labels<1>, Histogram, Buckets>;

/// Makes the histograms of a family.
#[derive(Debug, Clone, Copy)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// All metrics of the gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels<3>, Counter>,
    in_flight: Family<Labels<1>, Gauge>,
    duration: Histograms,
    first_byte: Histograms,
    gap: Histograms,
    tokens: Family<Labels<2>, Counter>,
    overhead: Histograms,
    plugin_calls: Family<Labels<1>, Counter>,
    plugin_time: Family<Labels<1>, Counter<f64, AtomicU64>>,
    plugin_faults: Family<Labels<2>, Counter>,
    plugin_versions: Family<Labels<1>, Gauge>,
    plugin_log_dropped: Family<Labels<1>, Counter>,
    observer_dropped: Family<Labels<1>, Counter>,
    upstream_requests: Family<Labels<3>, Counter>,
    upstream_connections: Family<Labels<2>, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let mut all = Registrar(&mut registry);
        let histograms = |buckets| Family::new_with_constructor(Buckets(buckets));
        Self {
            requests: all.add(metric::REQUESTS, "Exchanges that have ended"),
            in_flight: all.add(metric::IN_FLIGHT, "Exchanges that have begun and not ended"),
            duration: all.with(
                metric::DURATION,
                "From the request head to the end",
                histograms(&LONG),
            ),
            first_byte: all.with(
                metric::FIRST_BYTE,
                "From the request head to the first octet",
                histograms(&LONG),
            ),
            gap: all.with(
                metric::GAP,
                "Between two pieces of a response",
                histograms(&BETWEEN_TOKENS),
            ),
            tokens: all.add(metric::TOKENS, "Tokens as model servers report them"),
            overhead: all.with(
                metric::OVERHEAD,
                "Time of an exchange in its stages",
                histograms(&SHORT),
            ),
            plugin_calls: all.add(metric::PLUGIN_CALLS, "Calls into a plugin"),
            plugin_time: all.add(metric::PLUGIN_TIME, "Seconds inside a plugin"),
            plugin_faults: all.add(metric::PLUGIN_FAULTS, "Calls that failed"),
            plugin_versions: all.add(metric::PLUGIN_VERSIONS, "Versions that are in use"),
            plugin_log_dropped: all.add(
                metric::PLUGIN_LOG_DROPPED,
                "Log lines beyond the limit of a call",
            ),
            observer_dropped: all.add(
                metric::OBSERVER_DROPPED,
                "Exchanges that did not fit into an observer's queue",
            ),
            upstream_requests: all.add(metric::UPSTREAM_REQUESTS, "Requests to a model server"),
            upstream_connections: all.add(
                metric::UPSTREAM_CONNECTIONS,
                "Open connections to a model server",
            ),
            registry,
        }
    }

    /// The handle of a route, by its path as configured. Its metrics exist from now on, at zero; another handle of the same
    /// route counts into the same metrics.
    #[must_use]
    pub fn route(&self, route: &str) -> Arc<RouteMetrics> {
        let name = Value::Name(route.into());
        let only = [(label::ROUTE, name.clone())];
        let tokens = |direction| {
            let direction = (label::DIRECTION, Value::Word(direction));
            self.tokens
                .get_or_create_owned(&[only[0].clone(), direction])
        };
        Arc::new(RouteMetrics {
            in_flight: self.in_flight.get_or_create_owned(&only),
            duration: self.duration.get_or_create_owned(&only),
            first_byte: self.first_byte.get_or_create_owned(&only),
            gap: self.gap.get_or_create_owned(&only),
            overhead: self.overhead.get_or_create_owned(&only),
            input: tokens("input"),
            output: tokens("output"),
            requests: self.requests.clone(),
            name,
        })
    }

    /// The handle of a plugin, by its name; as `route`.
    #[must_use]
    pub fn plugin(&self, plugin: &str) -> Arc<PluginMetrics> {
        let name = Value::Name(plugin.into());
        let only = [(label::PLUGIN, name.clone())];
        Arc::new(PluginMetrics {
            calls: self.plugin_calls.get_or_create_owned(&only),
            time: self.plugin_time.get_or_create_owned(&only),
            versions: self.plugin_versions.get_or_create_owned(&only),
            log_dropped: self.plugin_log_dropped.get_or_create_owned(&only),
            observer_dropped: self.observer_dropped.get_or_create_owned(&only),
            faults: self.plugin_faults.clone(),
            name,
        })
    }

    /// The handle of a target, by its upstream's name and its address; as `route`.
    #[must_use]
    pub fn target(&self, upstream: &str, target: &str) -> Arc<TargetMetrics> {
        let names = [
            (label::UPSTREAM, Value::Name(upstream.into())),
            (label::TARGET, Value::Name(target.into())),
        ];
        Arc::new(TargetMetrics {
            connections: self.upstream_connections.get_or_create_owned(&names),
            requests: self.upstream_requests.clone(),
            names,
        })
    }

    /// All metrics in the text format of OpenMetrics 1.0, to be sent as [`CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.registry).expect("a string takes all that is written into it");
        out
    }
}

/// Registers families while `Metrics` is made.
struct Registrar<'a>(&'a mut Registry);

impl Registrar<'_> {
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.with(name, help, M::default())
    }

    fn with<M: Metric + Clone>(&mut self, name: &str, help: &str, family: M) -> M {
        self.0.register(name, help, family.clone());
        family
    }
}

/// Counts what happens on one route.
#[derive(Debug)]
pub struct RouteMetrics {
    name: Value,
    requests: Family<Labels<3>, Counter>,
    in_flight: Gauge,
    duration: Histogram,
    first_byte: Histogram,
    gap: Histogram,
    overhead: Histogram,
    input: Counter,
    output: Counter,
}

impl Default for RouteMetrics {
    /// A handle whose counts nobody sees.
    fn default() -> Self {
        let handle = Metrics::new().route("");
        Arc::into_inner(handle).expect("just made and not shared")
    }
}

impl RouteMetrics {
    /// An exchange begins; `end` must follow.
    pub fn begin(&self) {
        self.in_flight.inc();
    }

    /// An exchange ends: with the status that the client got (0 for none) and the kind of error, `none` or `cancelled`;
    /// after how long, of which how much in its stages.
    pub fn end(&self, status: u16, error: &'static str, duration: Duration, overhead: Duration) {
        self.in_flight.dec();
        self.duration.observe(duration.as_secs_f64());
        self.overhead.observe(overhead.as_secs_f64());
        let labels = [
            (label::ROUTE, self.name.clone()),
            (label::STATUS, Value::Number(status)),
            (label::ERROR, Value::Word(error)),
        ];
        self.requests.get_or_create(&labels).inc();
    }

    /// The first octets of a response body go to the client, so long after the request head.
    pub fn first_byte(&self, waited: Duration) {
        self.first_byte.observe(waited.as_secs_f64());
    }

    /// Further octets go to the client, so long after those before them.
    pub fn gap(&self, waited: Duration) {
        self.gap.observe(waited.as_secs_f64());
    }

    /// Tokens of the prompt and of the answer, as the model server reports them.
    pub fn tokens(&self, input: u64, output: u64) {
        self.input.inc_by(input);
        self.output.inc_by(output);
    }
}

/// Counts what a plugin does.
#[derive(Debug)]
pub struct PluginMetrics {
    name: Value,
    calls: Counter,
    time: Counter<f64, AtomicU64>,
    faults: Family<Labels<2>, Counter>,
    versions: Gauge,
    log_dropped: Counter,
    observer_dropped: Counter,
}

impl Default for PluginMetrics {
    /// A handle whose counts nobody sees.
    fn default() -> Self {
        let handle = Metrics::new().plugin("");
        Arc::into_inner(handle).expect("just made and not shared")
    }
}

impl PluginMetrics {
    /// A call has returned or was cut off, after so long.
    pub fn call(&self, spent: Duration) {
        self.calls.inc();
        self.time.inc_by(spent.as_secs_f64());
    }

    /// A call has failed; the reason is one of the labels of `plugin::Error`.
    pub fn fault(&self, reason: &'static str) {
        let labels = [
            (label::PLUGIN, self.name.clone()),
            (label::REASON, Value::Word(reason)),
        ];
        self.faults.get_or_create(&labels).inc();
    }

    /// A version is loaded; `version_dropped` must follow.
    pub fn version_live(&self) {
        self.versions.inc();
    }

    /// A version is gone, with all its exchanges.
    pub fn version_dropped(&self) {
        self.versions.dec();
    }

    /// A call wanted to write more log lines than it may.
    pub fn log_line_dropped(&self) {
        self.log_dropped.inc();
    }

    /// An exchange did not fit into the observer's queue.
    pub fn summary_dropped(&self) {
        self.observer_dropped.inc();
    }
}

/// Counts what happens between the gateway and one model server.
#[derive(Debug)]
pub struct TargetMetrics {
    names: Labels<2>,
    requests: Family<Labels<3>, Counter>,
    connections: Gauge,
}

impl Default for TargetMetrics {
    /// A handle whose counts nobody sees.
    fn default() -> Self {
        let handle = Metrics::new().target("", "");
        Arc::into_inner(handle).expect("just made and not shared")
    }
}

impl TargetMetrics {
    /// A request has got an answer, or none; the result is a word of a closed set, such as `ok`.
    pub fn request(&self, result: &'static str) {
        let [upstream, target] = self.names.clone();
        let labels = [upstream, target, (label::RESULT, Value::Word(result))];
        self.requests.get_or_create(&labels).inc();
    }

    /// A connection is open; `disconnected` must follow.
    pub fn connected(&self) {
        self.connections.inc();
    }

    /// A connection is closed.
    pub fn disconnected(&self) {
        self.connections.dec();
    }
}

#[cfg(test)]
mod tests;
