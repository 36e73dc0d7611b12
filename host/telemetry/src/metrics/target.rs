//! The metrics of model servers.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::counters::Counters;
use super::handles::Handles;
use super::{Buckets, LONG, Labels, Metrics, Registrar, Value};
use crate::names::{label, metric};

/// The states of a breaker, in the order of the gauges.
const STATES: [&str; 3] = ["closed", "half-open", "open"];

/// All metrics of model servers.
#[derive(Clone, Debug)]
pub(super) struct Families {
    requests: Family<Labels<3>, Counter>,
    unloads: Family<Labels<3>, Counter>,
    retries: Family<Labels<3>, Counter>,
    refused: Family<Labels<3>, Counter>,
    breaker: Family<Labels<3>, Gauge>,
    connections: Family<Labels<2>, Gauge>,
    in_flight: Family<Labels<2>, Gauge>,
    waiting: Family<Labels<2>, Gauge>,
    wait: Family<Labels<2>, Histogram, Buckets>,
}

impl Families {
    pub(super) fn new(all: &mut Registrar<'_>) -> Self {
        Self {
            requests: all.add(metric::UPSTREAM_REQUESTS, "Requests to a model server"),
            unloads: all.add(
                metric::UPSTREAM_UNLOADS,
                "Models that were unloaded because they were stalled",
            ),
            retries: all.add(
                metric::UPSTREAM_RETRIES,
                "Attempts that failed, by what came next",
            ),
            refused: all.add(
                metric::UPSTREAM_REFUSED,
                "Attempts that did not get a place at a model server",
            ),
            breaker: all.add(
                metric::UPSTREAM_BREAKER,
                "Whether the breaker of a model server is in this state",
            ),
            connections: all.add(
                metric::UPSTREAM_CONNECTIONS,
                "Open connections to a model server",
            ),
            in_flight: all.add(
                metric::UPSTREAM_IN_FLIGHT,
                "Attempts at a model server that are running",
            ),
            waiting: all.add(
                metric::UPSTREAM_WAITING,
                "Attempts that wait for a place at a model server",
            ),
            wait: all.with(
                metric::UPSTREAM_WAIT,
                "How long attempts waited for a place at a model server",
                Family::new_with_constructor(Buckets(&LONG)),
            ),
        }
    }

    /// A new handle.
    pub(super) fn target(
        &self,
        names: &[Arc<str>; 2],
        handles: &Handles<[Arc<str>; 2], TargetMetrics>,
    ) -> TargetMetrics {
        let only = labels(names);
        let breaker = STATES.map(|state| {
            let labels = with(names, label::STATE, state);
            self.breaker.get_or_create_owned(&labels)
        });
        breaker[0].set(1);
        TargetMetrics {
            connections: self.connections.get_or_create_owned(&only),
            in_flight: self.in_flight.get_or_create_owned(&only),
            waiting: self.waiting.get_or_create_owned(&only),
            wait: self.wait.get_or_create_owned(&only),
            breaker,
            requests: Counters::of(&self.requests),
            unloads: Counters::of(&self.unloads),
            retries: Counters::of(&self.retries),
            refused: Counters::of(&self.refused),
            families: self.clone(),
            handles: handles.clone(),
            names: names.clone(),
        }
    }
}

/// Counts what happens between the gateway and one model server.
#[derive(Debug)]
pub struct TargetMetrics {
    names: [Arc<str>; 2],
    requests: Counters<&'static str, 3>,
    unloads: Counters<&'static str, 3>,
    retries: Counters<&'static str, 3>,
    refused: Counters<&'static str, 3>,
    breaker: [Gauge; STATES.len()],
    connections: Gauge,
    in_flight: Gauge,
    waiting: Gauge,
    wait: Histogram,
    families: Families,
    handles: Handles<[Arc<str>; 2], Self>,
}

impl Default for TargetMetrics {
    /// A handle that is not part of any metrics, for tests.
    fn default() -> Self {
        let handle = Metrics::new().target("", "");
        Arc::into_inner(handle).expect("just made and not shared")
    }
}

impl TargetMetrics {
    /// A request has ended, with or without a response; the result is from a closed set, such as `ok`.
    pub fn request(&self, result: &'static str) {
        self.requests
            .inc(result, |result| self.result_labels(result));
    }

    /// A stalled model was unloaded; the result is `freed`, or `failed` if that did not help.
    pub fn unload(&self, result: &'static str) {
        self.unloads
            .inc(result, |result| self.result_labels(result));
    }

    /// An attempt failed that another one might mend; the result is `retried`, `nothing_left` or `over_budget`.
    pub fn retry(&self, result: &'static str) {
        self.retries
            .inc(result, |result| self.result_labels(result));
    }

    /// An attempt has its place; `visit_ends` must follow.
    pub fn visit_begins(&self) {
        self.in_flight.inc();
    }

    /// An attempt gives its place back.
    pub fn visit_ends(&self) {
        self.in_flight.dec();
    }

    /// An attempt waits for a place as long as this exists.
    pub fn waits(&self) -> Waits<'_> {
        self.waiting.inc();
        Waits(&self.waiting)
    }

    /// An attempt got no place; the reason is `full`, `timeout` or `gone`.
    pub fn refused(&self, reason: &'static str) {
        self.refused
            .inc(reason, |reason| with(&self.names, label::REASON, reason));
    }

    /// An attempt got its place after this time.
    pub fn waited(&self, time: Duration) {
        self.wait.observe(time.as_secs_f64());
    }

    /// The breaker is in this state: `closed`, `half-open` or `open`.
    pub fn breaker(&self, state: &'static str) {
        for (known, gauge) in STATES.iter().zip(&self.breaker) {
            gauge.set((*known == state).into());
        }
    }

    fn result_labels(&self, result: &'static str) -> Labels<3> {
        with(&self.names, label::RESULT, result)
    }

    /// A connection was opened; `disconnected` must follow.
    pub fn connected(&self) {
        self.connections.inc();
    }

    /// A connection was closed.
    pub fn disconnected(&self) {
        self.connections.dec();
    }
}

impl Drop for TargetMetrics {
    fn drop(&mut self) {
        self.handles.forget(&self.names, || {
            let only = labels(&self.names);
            for gauges in [
                &self.families.connections,
                &self.families.in_flight,
                &self.families.waiting,
            ] {
                gauges.remove(&only);
            }
            self.families.wait.remove(&only);
            for state in STATES {
                let labels = with(&self.names, label::STATE, state);
                self.families.breaker.remove(&labels);
            }
            for counters in [&self.requests, &self.unloads, &self.retries] {
                counters.forget(|result| self.result_labels(result));
            }
            self.refused
                .forget(|reason| with(&self.names, label::REASON, reason));
        });
    }
}

/// An attempt that waits for a place.
#[derive(Debug)]
#[must_use]
pub struct Waits<'m>(&'m Gauge);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn labels([upstream, target]: &[Arc<str>; 2]) -> Labels<2> {
    [
        (label::UPSTREAM, Value::Name(upstream.clone())),
        (label::TARGET, Value::Name(target.clone())),
    ]
}

/// The labels of a target with one more, whose value is from a closed set.
fn with(names: &[Arc<str>; 2], name: &'static str, value: &'static str) -> Labels<3> {
    let [upstream, target] = labels(names);
    [upstream, target, (name, Value::Word(value))]
}
