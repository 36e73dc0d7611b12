//! Who looks after the targets whose models can stall.

use std::sync::Arc;

use tokio_util::sync::DropGuard;

use super::{Snapshot, Workers};
use sluicegate_upstream::stall::mend::{self, Settings};
use sluicegate_upstream::{Target, Upstream};

/// Looks after one target as long as this exists.
#[derive(Debug)]
pub(super) struct Mender {
    target: Arc<Target>,
    settings: Settings,
    _stop: DropGuard,
}

/// Looks after all targets of these upstreams; where that happens already for the `previous` snapshot, it goes on.
pub(super) fn mend_all<'u>(
    upstreams: impl Iterator<Item = &'u Arc<Upstream>>,
    workers: &Workers,
    previous: Option<&Snapshot>,
) -> Vec<Arc<Mender>> {
    let mut menders = Vec::new();
    for upstream in upstreams {
        let Some(stall) = upstream.timeout.stall else {
            continue;
        };
        let settings = Settings {
            vendor: upstream.vendor,
            stall,
            connect: upstream.timeout.connect,
            key: upstream.key.clone(),
        };
        for target in &upstream.targets {
            let same = |mender: &&Arc<Mender>| {
                Arc::ptr_eq(&mender.target, target) && mender.settings == settings
            };
            let before = previous
                .iter()
                .flat_map(|previous| &previous.tasks.menders)
                .find(same);
            menders.push(match before {
                Some(before) => before.clone(),
                None => Arc::new(start(target.clone(), settings.clone(), workers)),
            });
        }
    }
    menders
}

/// Until the end of all exchanges: one that waits during the drain is to get its response too.
fn start(target: Arc<Target>, settings: Settings, workers: &Workers) -> Mender {
    let stop = workers.cut.child_token();
    let watch = mend::watch(target.clone(), settings.clone());
    let stopped = stop.clone();
    workers
        .watching
        .spawn(async move { stopped.run_until_cancelled(watch).await });
    Mender {
        target,
        settings,
        _stop: stop.drop_guard(),
    }
}
