//! What is counted of admission.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{Labels, Registrar, Value};
use crate::names::{label, metric};

/// Counts what exchanges hold, and those for which there is no room. By default nobody sees what it counts.
#[derive(Debug, Default)]
pub struct AdmissionMetrics {
    bytes: Gauge,
    refused: Family<Labels<1>, Counter>,
}

impl AdmissionMetrics {
    pub(super) fn new(all: &mut Registrar<'_>) -> Self {
        Self {
            bytes: all.add(
                metric::MEMORY,
                "Bytes of bodies that are kept for exchanges",
            ),
            refused: all.add(metric::REFUSED, "Exchanges for which there was no room"),
        }
    }

    /// So many bytes of bodies are kept now.
    pub fn set_bytes(&self, bytes: usize) {
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// There was no room for an exchange; what there was too little of is a word of a closed set.
    pub fn refused(&self, reason: &'static str) {
        let labels = [(label::REASON, Value::Word(reason))];
        self.refused.get_or_create_owned(&labels).inc();
    }
}
