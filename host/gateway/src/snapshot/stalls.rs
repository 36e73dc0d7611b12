//! Who looks after the targets whose models can stall.

use std::sync::Arc;

use tokio_util::sync::DropGuard;

use super::members::{Member, follow};
use super::{Snapshot, Workers};
use sluicegate_upstream::Upstream;
use sluicegate_upstream::stall::mend::{self, Settings};

/// Looks after a target, or those of a name, as long as this exists.
#[derive(Debug)]
pub(super) struct Mender {
    member: Member,
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
        for member in Member::of(upstream) {
            let same =
                |mender: &&Arc<Mender>| mender.member == member && mender.settings == settings;
            let before = previous
                .iter()
                .flat_map(|previous| &previous.tasks.menders)
                .find(same);
            menders.push(match before {
                Some(before) => before.clone(),
                None => Arc::new(start(member, settings.clone(), workers)),
            });
        }
    }
    menders
}

/// Until the end of all exchanges: one that waits during the drain is to get its response too.
fn start(member: Member, settings: Settings, workers: &Workers) -> Mender {
    let stop = workers.cut.child_token();
    let stopped = stop.clone();
    match member.clone() {
        Member::Target(target) => {
            let watch = mend::watch(target, settings.clone());
            let watch = async move { stopped.run_until_cancelled(watch).await };
            workers.watching.spawn(watch);
        }
        Member::Name(name) => {
            let (settings, own) = (settings.clone(), workers.clone());
            let of_target = move |target| start(Member::Target(target), settings.clone(), &own);
            let follow = follow(name, of_target);
            let follow = async move { stopped.run_until_cancelled(follow).await };
            workers.watching.spawn(follow);
        }
    }
    Mender {
        member,
        settings,
        _stop: stop.drop_guard(),
    }
}
