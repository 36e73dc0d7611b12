//! The metrics of names whose addresses are model servers.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::counters::Counters;
use super::handles::Handles;
use super::{Labels, Registrar, Value};
use crate::names::{label, metric};

/// All metrics of names.
#[derive(Clone, Debug)]
pub(super) struct Families {
    addresses: Family<Labels<2>, Gauge>,
    lookups: Family<Labels<3>, Counter>,
}

impl Families {
    pub(super) fn new(all: &mut Registrar<'_>) -> Self {
        Self {
            addresses: all.add(
                metric::UPSTREAM_ADDRESSES,
                "Addresses of a name that are model servers",
            ),
            lookups: all.add(
                metric::UPSTREAM_LOOKUPS,
                "Lookups of a name whose addresses are model servers",
            ),
        }
    }

    /// A new handle.
    pub(super) fn name(
        &self,
        names: &[Arc<str>; 2],
        handles: &Handles<[Arc<str>; 2], NameMetrics>,
    ) -> NameMetrics {
        NameMetrics {
            addresses: self.addresses.get_or_create_owned(&labels(names)),
            lookups: Counters::of(&self.lookups),
            families: self.clone(),
            handles: handles.clone(),
            names: names.clone(),
        }
    }
}

/// Counts what lookups of one name find.
#[derive(Debug)]
pub struct NameMetrics {
    names: [Arc<str>; 2],
    addresses: Gauge,
    lookups: Counters<&'static str, 3>,
    families: Families,
    handles: Handles<[Arc<str>; 2], Self>,
}

impl NameMetrics {
    /// So many addresses are in use.
    pub fn set_addresses(&self, count: usize) {
        self.addresses.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A lookup has ended.
    pub fn looked_up(&self, successful: bool) {
        let result = if successful { "ok" } else { "failed" };
        self.lookups.inc(result, |result| with(&self.names, result));
    }
}

impl Drop for NameMetrics {
    fn drop(&mut self) {
        self.handles.forget(&self.names, || {
            self.families.addresses.remove(&labels(&self.names));
            self.lookups.forget(|result| with(&self.names, result));
        });
    }
}

fn labels([upstream, name]: &[Arc<str>; 2]) -> Labels<2> {
    [
        (label::UPSTREAM, Value::Name(upstream.clone())),
        (label::NAME, Value::Name(name.clone())),
    ]
}

fn with(names: &[Arc<str>; 2], result: &'static str) -> Labels<3> {
    let [upstream, name] = labels(names);
    [upstream, name, (label::RESULT, Value::Word(result))]
}
