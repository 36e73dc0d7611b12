//! The metrics of admission.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{Labels, Registrar, Value};
use crate::names::{label, metric};

/// Counts what exchanges hold, and the refused ones. The default value is not part of any metrics.
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
                "Bytes of bodies that are held for exchanges",
            ),
            refused: all.add(
                metric::REFUSED,
                "Exchanges that were refused because a limit was reached",
            ),
        }
    }

    /// Sets the number of bytes of bodies that are held now.
    pub fn set_bytes(&self, bytes: usize) {
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// An exchange was refused; the reason, from a closed set, is the limit that was reached.
    pub fn refused(&self, reason: &'static str) {
        let labels = [(label::REASON, Value::Word(reason))];
        self.refused.get_or_create_owned(&labels).inc();
    }
}
