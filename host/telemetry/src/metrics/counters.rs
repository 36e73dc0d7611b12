//! Counters of one family with a label whose value is only known when they count.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::Labels;

/// The counters of one handle by further labels, made on demand.
#[derive(Debug)]
pub(super) struct Counters<L, const N: usize> {
    family: Family<Labels<N>, Counter>,
    made: Mutex<HashMap<L, Counter>>,
}

impl<L: Eq + Hash + Copy, const N: usize> Counters<L, N> {
    pub(super) fn of(family: &Family<Labels<N>, Counter>) -> Self {
        Self {
            family: family.clone(),
            made: Mutex::default(),
        }
    }

    pub(super) fn inc(&self, further: L, labels: impl FnOnce(L) -> Labels<N>) {
        let mut made = self.made.lock().expect("no panic while the lock is held");
        made.entry(further)
            .or_insert_with(|| self.family.get_or_create_owned(&labels(further)))
            .inc();
    }

    pub(super) fn forget(&self, labels: impl Fn(L) -> Labels<N>) {
        let mut made = self.made.lock().expect("no panic while the lock is held");
        for (further, _) in made.drain() {
            self.family.remove(&labels(further));
        }
    }
}
