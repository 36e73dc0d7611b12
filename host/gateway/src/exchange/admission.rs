//! Admission: how much all exchanges together may hold, and how much of that one tenant gets.
//!
//! There are two steps. Before the gates the tenant is unknown, so an exchange gets one of a few places at the entrance while
//! gates and request heads run. After them it is admitted with everything that it can hold: its place among the exchanges, its
//! sandboxes, and the bytes of bodies that are kept for it.
//!
//! They are counted for the tenant that a stage names, or else for the client's address. One tenant may take the whole
//! capacity. An eighth more is reserved for tenants that hold little, up to an eighth of it each, so that one tenant that holds
//! everything shuts nobody out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::failure::{Failure, Kind};
use sluicegate_contract::share::{fits, ordinary};
use sluicegate_plugin_host::AT_THE_GATES;
use sluicegate_telemetry::metrics::AdmissionMetrics;

/// The most exchanges whose gates and request heads run at the same time; each holds its sandboxes meanwhile. Far more than
/// there are threads: only a plugin with long calls makes exchanges wait here.
const ENTRANCE: usize = 256;

// Gates that wait for other servers leave half of the places to the others.
const _: () = assert!(AT_THE_GATES <= ENTRANCE / 2);

/// Bytes of bodies that are not counted, because every exchange may hold them.
pub(super) const UNCOUNTED: usize = 64 << 10;

/// The capacity of the process.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Exchanges for which the process has descriptors.
    pub exchanges: usize,
    /// Sandboxes that the engine can hold for exchanges.
    pub sandboxes: usize,
}

/// What one tenant holds, or all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    exchanges: usize,
    sandboxes: usize,
    bytes: usize,
}

/// What exchanges may hold. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    capacity: Capacity,
    state: Mutex<State>,
    metrics: Arc<AdmissionMetrics>,
}

#[derive(Debug, Default)]
struct State {
    entered: usize,
    all: Held,
    tenants: HashMap<Arc<str>, Held>,
}

/// What the configuration allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) exchanges: usize,
    pub(super) bytes: usize,
}

/// Which limit is reached, as a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Entrance,
    Exchanges,
    Sandboxes,
    Memory,
}

impl Full {
    const fn label(self) -> &'static str {
        match self {
            Self::Entrance => "entrance",
            Self::Exchanges => "exchanges",
            Self::Sandboxes => "sandboxes",
            Self::Memory => "memory",
        }
    }
}

impl From<Full> for Failure {
    fn from(full: Full) -> Self {
        let message = match full {
            Full::Entrance => "The gateway is busy with the heads of other requests.",
            Full::Exchanges => "The gateway is at its limit of exchanges.",
            Full::Sandboxes => "The gateway is at its limit of sandboxes.",
            Full::Memory => "The gateway is at its limit of memory for bodies.",
        };
        Self::new(
            Kind::Overloaded,
            format!("{message} Try again in a moment."),
        )
        .with_field("retry-after", "1")
    }
}

impl Admission {
    /// Nothing is held yet.
    #[must_use]
    pub fn new(capacity: Capacity, metrics: Arc<AdmissionMetrics>) -> Self {
        Self(Arc::new(Inner {
            capacity,
            state: Mutex::default(),
            metrics,
        }))
    }

    /// A place at the entrance.
    pub(super) fn enter(&self) -> Result<Entered, Full> {
        let mut state = self.lock();
        if state.entered == ENTRANCE {
            return Err(self.refused(Full::Entrance));
        }
        state.entered += 1;
        drop(state);
        Ok(Entered(self.clone()))
    }

    /// How many exchanges are admitted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().all.exchanges
    }

    /// How many exchanges of so many sandboxes each fit in at the same time.
    #[must_use]
    pub fn fitting(capacity: Capacity, limit: usize, sandboxes: usize) -> usize {
        let by_sandboxes = ordinary(capacity.sandboxes).checked_div(sandboxes);
        let most = limit.min(capacity.exchanges);
        by_sandboxes.map_or(most, |fitting| fitting.min(most))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing can panic between two changes of the state.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, full: Full) -> Full {
        self.0.metrics.refused(full.label());
        full
    }
}

/// A place at the entrance. Dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Entered(Admission);

impl Entered {
    /// Admits an exchange that holds at most this many sandboxes, by the limits now in force.
    pub(super) fn admit(
        self,
        tenant: &str,
        sandboxes: usize,
        limits: Limits,
    ) -> Result<Admitted, Full> {
        let admission = self.0.clone();
        let capacity = admission.0.capacity;
        let mut state = admission.lock();
        let own = state.tenants.get(tenant).copied().unwrap_or_default();
        let all = state.all;
        if !fits(all.exchanges, own.exchanges, 1, limits.exchanges)
            || all.exchanges >= capacity.exchanges
        {
            return Err(admission.refused(Full::Exchanges));
        }
        let limit = ordinary(capacity.sandboxes);
        if !fits(all.sandboxes, own.sandboxes, sandboxes, limit) {
            return Err(admission.refused(Full::Sandboxes));
        }
        let tenant = match state.tenants.get_key_value(tenant) {
            Some((known, _)) => known.clone(),
            None => tenant.into(),
        };
        let held = Held {
            exchanges: 1,
            sandboxes,
            bytes: 0,
        };
        state.change(&tenant, Held::default(), held);
        drop(state);
        Ok(Admitted(Arc::new(Place {
            admission,
            tenant,
            limit: limits.bytes,
            held: Mutex::new(held),
        })))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.lock().entered -= 1;
    }
}

impl State {
    /// Replaces what a tenant held before by what it holds now.
    fn change(&mut self, tenant: &Arc<str>, before: Held, now: Held) {
        let change = |held: &mut Held| {
            held.exchanges = held.exchanges + now.exchanges - before.exchanges;
            held.sandboxes = held.sandboxes + now.sandboxes - before.sandboxes;
            held.bytes = held.bytes + now.bytes - before.bytes;
        };
        change(&mut self.all);
        let own = self.tenants.entry(tenant.clone()).or_default();
        change(own);
        if *own == Held::default() {
            self.tenants.remove(tenant);
        }
    }
}

/// A permit for what one exchange holds. When the last clone is dropped, all of that is given back.
#[derive(Clone, Debug)]
pub(super) struct Admitted(Arc<Place>);

#[derive(Debug)]
struct Place {
    admission: Admission,
    tenant: Arc<str>,
    /// Bytes that everybody may take.
    limit: usize,
    held: Mutex<Held>,
}

impl Admitted {
    /// Sets how many bytes of bodies the exchange holds. If they do not fit, the count stays as it was, and the caller must
    /// drop them.
    pub(super) fn set_bytes(&self, bytes: usize) -> Result<(), Full> {
        // In steps, so that a body in small chunks costs little here.
        let bytes = bytes / UNCOUNTED * UNCOUNTED;
        let Place {
            admission,
            tenant,
            limit,
            held,
        } = &*self.0;
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.bytes == bytes {
            return Ok(());
        }
        let mut state = admission.lock();
        let own = state.tenants.get(tenant).map_or(0, |held| held.bytes);
        let more = bytes.saturating_sub(held.bytes);
        if more > 0 && !fits(state.all.bytes, own, more, *limit) {
            return Err(admission.refused(Full::Memory));
        }
        let now = Held { bytes, ..*held };
        state.change(tenant, *held, now);
        admission.0.metrics.set_bytes(state.all.bytes);
        *held = now;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let held = *self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.admission.lock();
        state.change(&self.tenant, held, Held::default());
        if held.bytes > 0 {
            self.admission.0.metrics.set_bytes(state.all.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(exchanges: usize, sandboxes: usize) -> Admission {
        let capacity = Capacity {
            exchanges,
            sandboxes,
        };
        Admission::new(capacity, Arc::default())
    }

    fn limits(exchanges: usize) -> Limits {
        Limits {
            exchanges,
            bytes: 16 * UNCOUNTED,
        }
    }

    fn admit(admission: &Admission, tenant: &str, limit: usize) -> Result<Admitted, Full> {
        admission.enter()?.admit(tenant, 2, limits(limit))
    }

    #[test]
    fn places_are_given_up_to_the_limit_in_force_and_given_back() {
        let admission = admission(100, 100);
        let first = admit(&admission, "a", 2).expect("a place");
        let second = admit(&admission, "a", 2).expect("a place");
        assert_eq!(admit(&admission, "a", 2).err(), Some(Full::Exchanges));
        assert_eq!(admission.count(), 2, "one that is refused takes no place");
        let third = admit(&admission, "a", 3).expect("a higher limit");
        drop((first, second));
        assert_eq!(
            admit(&admission, "a", 1).err(),
            Some(Full::Exchanges),
            "a lower limit"
        );
        drop(third);
        assert!(admit(&admission, "a", 1).is_ok());
        assert_eq!(admission.count(), 0);
        assert!(admission.lock().tenants.is_empty());
    }

    #[test]
    fn what_the_process_can_hold_is_a_limit_too() {
        let few = admission(1, 100);
        let first = admit(&few, "a", 100).expect("a place");
        assert_eq!(admit(&few, "b", 100).err(), Some(Full::Exchanges));
        drop(first);
        let small = admission(100, 6);
        let held: Vec<_> = (0..3)
            .map(|_| admit(&small, "a", 100).expect("room"))
            .collect();
        assert_eq!(admit(&small, "a", 100).err(), Some(Full::Sandboxes));
        drop(held);
        assert!(admit(&small, "a", 100).is_ok());
    }

    #[test]
    fn a_tenant_that_holds_everything_leaves_an_eighth_to_those_that_hold_little() {
        let admission = admission(1_000, 1_000);
        let mut held: Vec<_> = (0..80)
            .map(|_| admit(&admission, "greedy", 80).expect("all that there is"))
            .collect();
        assert_eq!(admit(&admission, "greedy", 80).err(), Some(Full::Exchanges));
        for tenant in ["b", "c", "d", "e", "f", "g", "h", "i", "j", "k"] {
            held.push(admit(&admission, tenant, 80).expect("of the eighth"));
        }
        assert_eq!(
            admit(&admission, "l", 80).err(),
            Some(Full::Exchanges),
            "90 at most"
        );
        held.drain(0..20);
        held.push(admit(&admission, "greedy", 80).expect("below the limit again"));
    }

    #[test]
    fn the_entrance_has_few_places_and_none_of_them_is_held_behind_it() {
        let admission = admission(10_000, 100_000);
        let at_the_gates: Vec<_> = (0..ENTRANCE)
            .map(|_| admission.enter().expect("a place"))
            .collect();
        assert_eq!(admission.enter().err(), Some(Full::Entrance));
        drop(at_the_gates);
        let held: Vec<_> = (0..2 * ENTRANCE)
            .map(|_| admit(&admission, "a", 10_000).expect("a place"))
            .collect();
        assert_eq!(admission.count(), held.len());
    }

    #[test]
    fn bytes_are_counted_over_all_exchanges_and_given_back() {
        let admission = admission(100, 1_000);
        let first = admit(&admission, "a", 100).expect("a place");
        let second = admit(&admission, "a", 100).expect("a place");
        assert_eq!(first.set_bytes(UNCOUNTED - 1), Ok(()));
        assert_eq!(admission.lock().all.bytes, 0, "everybody may have these");
        assert_eq!(first.set_bytes(12 * UNCOUNTED), Ok(()));
        assert_eq!(second.set_bytes(5 * UNCOUNTED), Err(Full::Memory));
        assert_eq!(second.set_bytes(4 * UNCOUNTED), Ok(()));
        let other = admit(&admission, "b", 100).expect("a place");
        assert_eq!(other.set_bytes(3 * UNCOUNTED), Err(Full::Memory));
        assert_eq!(other.set_bytes(2 * UNCOUNTED), Ok(()), "of the eighth");
        assert_eq!(first.set_bytes(0), Ok(()));
        assert_eq!(second.set_bytes(14 * UNCOUNTED), Ok(()));
        drop((first, second, other));
        assert_eq!(admission.lock().all, Held::default());
    }
}
