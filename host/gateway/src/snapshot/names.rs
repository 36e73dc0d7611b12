//! Looks up the names whose addresses are targets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sluicegate_telemetry::metrics::Metrics;
use sluicegate_upstream::{Name, Upstream};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::DropGuard;

use super::{Snapshot, Workers};
use crate::supply::{Lookups, Supply};

/// How long a configuration waits for the first lookups of its names before it is put into force. Arbitrary: a resolver that works
/// needs milliseconds, and requests wait for nothing.
const FIRST: Duration = Duration::from_secs(2);

/// Looks a name up, again and again, as long as this exists.
#[derive(Debug)]
pub(super) struct Lookup {
    name: Arc<Name>,
    _stop: DropGuard,
}

/// Looks up the names that have not been looked up yet, so that the first requests find their addresses. One that takes too long
/// is looked up again later.
pub(super) async fn look_up_first<'u>(
    upstreams: impl Iterator<Item = &'u Arc<Upstream>>,
    supply: &Supply,
) {
    let mut lookups = JoinSet::new();
    for name in upstreams.flat_map(|upstream| upstream.names()) {
        if name.was_looked_up() {
            continue;
        }
        let (name, supply) = (name.clone(), supply.clone());
        lookups.spawn(async move {
            let found = supply.lookups.resolver.look_up(name.host()).await;
            name.update(found, &supply.metrics);
        });
    }
    let all = async { while lookups.join_next().await.is_some() {} };
    // The rest is given up when the set is dropped.
    let _ = timeout(FIRST, all).await;
}

/// Looks up all names of these upstreams; where that happens already for the `previous` snapshot, it goes on.
pub(super) fn look_up_all(
    upstreams: &HashMap<Arc<str>, Arc<Upstream>>,
    workers: &Workers,
    supply: &Supply,
    previous: Option<&Snapshot>,
) -> Vec<Arc<Lookup>> {
    let names = upstreams.values().flat_map(|upstream| upstream.names());
    let lookup = |name: &Arc<Name>| {
        let mut before = previous.iter().flat_map(|previous| &previous.tasks.lookups);
        match before.find(|it| Arc::ptr_eq(&it.name, name)) {
            Some(before) => before.clone(),
            None => Arc::new(start(name.clone(), workers, supply)),
        }
    };
    names.map(lookup).collect()
}

fn start(name: Arc<Name>, workers: &Workers, supply: &Supply) -> Lookup {
    let stop = workers.drain.child_token();
    let (looked_up, stopped) = (name.clone(), stop.clone());
    let (lookups, metrics) = (supply.lookups.clone(), supply.metrics.clone());
    workers.watching.spawn(async move {
        stopped
            .run_until_cancelled(keep(&looked_up, &lookups, &metrics))
            .await
    });
    Lookup {
        name,
        _stop: stop.drop_guard(),
    }
}

/// Looks a name up until dropped.
async fn keep(name: &Name, lookups: &Lookups, metrics: &Metrics) {
    let begin = if name.was_looked_up() {
        Instant::now() + lookups.interval
    } else {
        Instant::now()
    };
    let mut ticks = interval_at(begin, lookups.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let found = lookups.resolver.look_up(name.host()).await;
        name.update(found, metrics);
    }
}
