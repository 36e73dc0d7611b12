//! Metrics, and handles with which exchanges count without any lookup.
//!
//! Responsible for what is counted and in which buckets. Code that counts holds the handle of its route, plugin or target,
//! which was looked up once; only the end of an exchange looks up a label set. Not responsible for serving the result.

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

mod admission;
mod counters;
mod custom;
mod exposition;
mod handles;
mod name;
mod target;

pub use self::admission::AdmissionMetrics;
pub use self::exposition::Exposition;
pub use self::name::NameMetrics;
pub use self::target::{TargetMetrics, Waits};

use self::counters::Counters;
use self::custom::{Custom, CustomCollector};
use self::handles::Handles;

/// Seconds from 1 ms to 10 min: a cold model of 32B takes minutes to its first token.
const LONG: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
    600.0,
];

/// Seconds from 1 ms to 10 s: tokens arrive every 5 to 100 ms; longer gaps are stalls.
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
    /// From an enumeration in the code.
    Word(&'static str),
    /// From the configuration.
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
    abandoned: Family<Labels<1>, Gauge>,
    abandoned_ends: Family<Labels<2>, Counter>,
    duration: Histograms,
    first_byte: Histograms,
    gap: Histograms,
    tokens: Family<Labels<2>, Counter>,
    overhead: Histograms,
    plugin_calls: Family<Labels<1>, Counter>,
    plugin_time: Family<Labels<1>, Counter<f64, AtomicU64>>,
    plugin_faults: Family<Labels<2>, Counter>,
    plugin_versions: Family<Labels<1>, Gauge>,
    plugin_rollbacks: Family<Labels<1>, Counter>,
    plugin_log_dropped: Family<Labels<1>, Counter>,
    observer_dropped: Family<Labels<1>, Counter>,
    spans_dropped: Counter,
    state_reachable: Family<Labels<1>, Gauge>,
    reload_successful: Gauge,
    reload_time: Gauge<f64, AtomicU64>,
    admission: Arc<AdmissionMetrics>,
    routes: Handles<Arc<str>, RouteMetrics>,
    plugins: Handles<Arc<str>, PluginMetrics>,
    of_targets: target::Families,
    targets: Handles<[Arc<str>; 2], TargetMetrics>,
    of_names: name::Families,
    names: Handles<[Arc<str>; 2], NameMetrics>,
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
        let admission = AdmissionMetrics::new(&mut all);
        let of_targets = target::Families::new(&mut all);
        let of_names = name::Families::new(&mut all);
        all.with(
            metric::LOG_DROPPED,
            "Log lines that were dropped because standard output was not read fast enough",
            super::log::dropped(),
        );
        let plugins = Handles::default();
        all.0
            .register_collector(Box::new(CustomCollector(plugins.clone())));
        Self {
            requests: all.add(metric::REQUESTS, "Exchanges that have ended"),
            in_flight: all.add(metric::IN_FLIGHT, "Exchanges that are running"),
            abandoned: all.add(
                metric::ABANDONED,
                "Exchanges that go on without their clients, so that their usage is known",
            ),
            abandoned_ends: all.add(
                metric::ABANDONED_ENDS,
                "How exchanges without their clients ended: whole, cut, or refused because too many went on",
            ),
            duration: all.with(
                metric::DURATION,
                "From the request head to the end",
                histograms(&LONG),
            ),
            first_byte: all.with(
                metric::FIRST_BYTE,
                "From the request head to the first byte",
                histograms(&LONG),
            ),
            gap: all.with(
                metric::GAP,
                "Between two chunks of a response",
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
            plugin_versions: all.add(metric::PLUGIN_VERSIONS, "Versions in use"),
            plugin_rollbacks: all.add(
                metric::PLUGIN_ROLLBACKS,
                "Versions that were rolled back because their faults rose",
            ),
            plugin_log_dropped: all.add(
                metric::PLUGIN_LOG_DROPPED,
                "Log lines beyond the limit of a call",
            ),
            spans_dropped: all.add(
                metric::SPANS_DROPPED,
                "Exchanges whose spans were dropped on their way to the collector",
            ),
            observer_dropped: all.add(
                metric::OBSERVER_DROPPED,
                "Exchanges that did not fit into an observer's queue",
            ),
            state_reachable: all.add(
                metric::STATE_REACHABLE,
                "Whether the state that gateways share can be reached",
            ),
            reload_successful: all.add(
                metric::RELOAD_SUCCESSFUL,
                "Whether the last configuration that was read is in force",
            ),
            reload_time: all.add(
                metric::RELOAD_TIME,
                "When a configuration was last put into force",
            ),
            admission: Arc::new(admission),
            routes: Handles::default(),
            plugins,
            of_targets,
            targets: Handles::default(),
            of_names,
            names: Handles::default(),
            registry,
        }
    }

    /// The handle of a route, by its path as configured. Its metrics exist, from zero, until the handle is dropped. While a
    /// handle is in use, the same one is returned again.
    #[must_use]
    pub fn route(&self, route: &str) -> Arc<RouteMetrics> {
        let key: Arc<str> = route.into();
        self.routes.get_or_make(&key, || {
            let only = [(label::ROUTE, Value::Name(key.clone()))];
            RouteMetrics {
                in_flight: self.in_flight.get_or_create_owned(&only),
                abandoned: self.abandoned.get_or_create_owned(&only),
                abandoned_ends: Counters::of(&self.abandoned_ends),
                duration: self.duration.get_or_create_owned(&only),
                first_byte: self.first_byte.get_or_create_owned(&only),
                gap: self.gap.get_or_create_owned(&only),
                overhead: self.overhead.get_or_create_owned(&only),
                input: self.tokens.get_or_create_owned(&direction(&key, "input")),
                output: self.tokens.get_or_create_owned(&direction(&key, "output")),
                requests: Counters::of(&self.requests),
                families: RouteFamilies {
                    gauges: [&self.in_flight, &self.abandoned].map(Family::clone),
                    histograms: [&self.duration, &self.first_byte, &self.gap, &self.overhead]
                        .map(Family::clone),
                    tokens: self.tokens.clone(),
                },
                handles: self.routes.clone(),
                name: key.clone(),
            }
        })
    }

    /// Whether the state that gateways share at this address can be reached. There is no such metric before the first call.
    pub fn state_is_reachable(&self, address: &str, is: bool) {
        let only = [(label::TARGET, Value::Name(address.into()))];
        self.state_reachable
            .get_or_create_owned(&only)
            .set(i64::from(is));
    }

    /// The handle of a plugin, by its name; as `route`.
    #[must_use]
    pub fn plugin(&self, plugin: &str) -> Arc<PluginMetrics> {
        let key: Arc<str> = plugin.into();
        self.plugins.get_or_make(&key, || {
            let only = [(label::PLUGIN, Value::Name(key.clone()))];
            PluginMetrics {
                calls: self.plugin_calls.get_or_create_owned(&only),
                time: self.plugin_time.get_or_create_owned(&only),
                versions: self.plugin_versions.get_or_create_owned(&only),
                rollbacks: self.plugin_rollbacks.get_or_create_owned(&only),
                log_dropped: self.plugin_log_dropped.get_or_create_owned(&only),
                observer_dropped: self.observer_dropped.get_or_create_owned(&only),
                faults: Counters::of(&self.plugin_faults),
                custom: Custom::default(),
                families: PluginFamilies {
                    counters: [
                        &self.plugin_calls,
                        &self.plugin_rollbacks,
                        &self.plugin_log_dropped,
                        &self.observer_dropped,
                    ]
                    .map(Family::clone),
                    time: self.plugin_time.clone(),
                    versions: self.plugin_versions.clone(),
                },
                handles: self.plugins.clone(),
                name: key.clone(),
            }
        })
    }

    /// The handle of a target, by its upstream's name and its address; as `route`.
    #[must_use]
    pub fn target(&self, upstream: &str, target: &str) -> Arc<TargetMetrics> {
        let key: [Arc<str>; 2] = [upstream.into(), target.into()];
        let make = || self.of_targets.target(&key, &self.targets);
        self.targets.get_or_make(&key, make)
    }

    /// The handle of a name whose addresses are targets, by its upstream's name and the name as configured; as `route`.
    #[must_use]
    pub fn name(&self, upstream: &str, name: &str) -> Arc<NameMetrics> {
        let key: [Arc<str>; 2] = [upstream.into(), name.into()];
        let make = || self.of_names.name(&key, &self.names);
        self.names.get_or_make(&key, make)
    }

    /// A configuration was put into force, or refused, at this time in milliseconds since 1970.
    pub fn reloaded(&self, successful: bool, at_ms: u64) {
        self.reload_successful.set(successful.into());
        if successful {
            let at = Duration::from_millis(at_ms);
            self.reload_time.set(at.as_secs_f64());
        }
    }

    /// The handle of admission.
    #[must_use]
    pub fn admission(&self) -> Arc<AdmissionMetrics> {
        self.admission.clone()
    }

    /// Counts exchanges whose spans were dropped.
    pub fn spans_dropped(&self) -> impl Fn(u64) + Send + Sync + use<> {
        let counter = self.spans_dropped.clone();
        move |count| {
            counter.inc_by(count);
        }
    }

    /// All metrics as families in the form of OpenMetrics, for [`Exposition::write`].
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::new();
        text::encode_registry(&mut out, &self.registry)
            .expect("a string takes all that is written into it");
        out
    }
}

fn direction(route: &Arc<str>, direction: &'static str) -> Labels<2> {
    [
        (label::ROUTE, Value::Name(route.clone())),
        (label::DIRECTION, Value::Word(direction)),
    ]
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

/// Counts the exchanges of one route.
#[derive(Debug)]
pub struct RouteMetrics {
    name: Arc<str>,
    requests: Counters<(u16, &'static str), 3>,
    in_flight: Gauge,
    abandoned: Gauge,
    abandoned_ends: Counters<&'static str, 2>,
    duration: Histogram,
    first_byte: Histogram,
    gap: Histogram,
    overhead: Histogram,
    input: Counter,
    output: Counter,
    families: RouteFamilies,
    handles: Handles<Arc<str>, Self>,
}

/// Where the metrics are removed in the end.
#[derive(Debug)]
struct RouteFamilies {
    gauges: [Family<Labels<1>, Gauge>; 2],
    histograms: [Histograms; 4],
    tokens: Family<Labels<2>, Counter>,
}

impl Default for RouteMetrics {
    /// A handle that is not part of any metrics, for tests.
    fn default() -> Self {
        let handle = Metrics::new().route("");
        Arc::into_inner(handle).expect("just made and not shared")
    }
}

impl RouteMetrics {
    /// An exchange has begun; `end` must follow.
    pub fn begin(&self) {
        self.in_flight.inc();
    }

    /// An exchange has ended: with the status that the client got (0 for none), the kind of error (or `none`, or
    /// `cancelled`), its duration, and the part of it spent in stages.
    pub fn end(&self, status: u16, error: &'static str, duration: Duration, overhead: Duration) {
        self.in_flight.dec();
        self.duration.observe(duration.as_secs_f64());
        self.overhead.observe(overhead.as_secs_f64());
        self.requests
            .inc((status, error), |further| self.request_labels(further));
    }

    fn request_labels(&self, (status, error): (u16, &'static str)) -> Labels<3> {
        [
            (label::ROUTE, Value::Name(self.name.clone())),
            (label::STATUS, Value::Number(status)),
            (label::ERROR, Value::Word(error)),
        ]
    }

    /// The client of an exchange has left, and the exchange goes on: false if `most` do so already. Otherwise `end_abandoned` must
    /// follow.
    #[must_use]
    pub fn abandon(&self, most: usize) -> bool {
        let before = usize::try_from(self.abandoned.inc()).unwrap_or(0);
        let may = before < most;
        if !may {
            self.end_abandoned("refused");
        }
        may
    }

    /// An exchange without its client has ended: `whole`, `cut`, or `refused` from the start.
    pub fn end_abandoned(&self, end: &'static str) {
        self.abandoned.dec();
        self.abandoned_ends.inc(end, |end| self.end_labels(end));
    }

    fn end_labels(&self, end: &'static str) -> Labels<2> {
        [
            (label::ROUTE, Value::Name(self.name.clone())),
            (label::RESULT, Value::Word(end)),
        ]
    }

    /// The first bytes of a response body go to the client, this long after the request head.
    pub fn first_byte(&self, waited: Duration) {
        self.first_byte.observe(waited.as_secs_f64());
    }

    /// Further bytes go to the client, this long after the previous ones.
    pub fn gap(&self, waited: Duration) {
        self.gap.observe(waited.as_secs_f64());
    }

    /// Tokens of the prompt and of the answer, as the model server reports them.
    pub fn tokens(&self, input: u64, output: u64) {
        self.input.inc_by(input);
        self.output.inc_by(output);
    }
}

impl Drop for RouteMetrics {
    fn drop(&mut self) {
        self.handles.forget(&self.name, || {
            let only = [(label::ROUTE, Value::Name(self.name.clone()))];
            for family in &self.families.gauges {
                family.remove(&only);
            }
            for family in &self.families.histograms {
                family.remove(&only);
            }
            for word in ["input", "output"] {
                self.families.tokens.remove(&direction(&self.name, word));
            }
            self.requests.forget(|further| self.request_labels(further));
            self.abandoned_ends.forget(|end| self.end_labels(end));
        });
    }
}

/// Counts the calls of one plugin.
#[derive(Debug)]
pub struct PluginMetrics {
    name: Arc<str>,
    calls: Counter,
    time: Counter<f64, AtomicU64>,
    faults: Counters<&'static str, 2>,
    versions: Gauge,
    rollbacks: Counter,
    log_dropped: Counter,
    observer_dropped: Counter,
    /// Those that it defines itself.
    custom: Custom,
    families: PluginFamilies,
    handles: Handles<Arc<str>, Self>,
}

/// Where the metrics are removed in the end.
#[derive(Debug)]
struct PluginFamilies {
    counters: [Family<Labels<1>, Counter>; 4],
    time: Family<Labels<1>, Counter<f64, AtomicU64>>,
    versions: Family<Labels<1>, Gauge>,
}

impl Default for PluginMetrics {
    /// A handle that is not part of any metrics, for tests.
    fn default() -> Self {
        let handle = Metrics::new().plugin("");
        Arc::into_inner(handle).expect("just made and not shared")
    }
}

impl PluginMetrics {
    /// A call has returned or was cut off, after this time.
    pub fn call(&self, spent: Duration) {
        self.calls.inc();
        self.time.inc_by(spent.as_secs_f64());
    }

    /// A call has failed; the reason is one of the labels of `plugin::Error`.
    pub fn fault(&self, reason: &'static str) {
        self.faults.inc(reason, |reason| self.fault_labels(reason));
    }

    fn fault_labels(&self, reason: &'static str) -> Labels<2> {
        [
            (label::PLUGIN, Value::Name(self.name.clone())),
            (label::REASON, Value::Word(reason)),
        ]
    }

    /// A version was loaded; `version_dropped` must follow.
    pub fn version_live(&self) {
        self.versions.inc();
    }

    /// A version is gone, together with its exchanges.
    pub fn version_dropped(&self) {
        self.versions.dec();
    }

    /// A version was rolled back because its faults rose.
    pub fn rolled_back(&self) {
        self.rollbacks.inc();
    }

    /// A call tried to write more log lines than allowed.
    pub fn log_line_dropped(&self) {
        self.log_dropped.inc();
    }

    /// An exchange did not fit into the observer's queue.
    pub fn summary_dropped(&self) {
        self.observer_dropped.inc();
    }
}

impl Drop for PluginMetrics {
    fn drop(&mut self) {
        self.handles.forget(&self.name, || {
            let only = [(label::PLUGIN, Value::Name(self.name.clone()))];
            for family in &self.families.counters {
                family.remove(&only);
            }
            self.families.time.remove(&only);
            self.families.versions.remove(&only);
            self.faults.forget(|reason| self.fault_labels(reason));
        });
    }
}

#[cfg(test)]
mod tests;
