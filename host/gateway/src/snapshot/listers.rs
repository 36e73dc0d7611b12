//! What keeps the lists of models up to date: after each health check that finds a target up, its adapter asks it for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sluicegate_upstream::target::State;
use sluicegate_upstream::{Target, Upstream};
use tokio_util::sync::DropGuard;

use super::members::{Member, follow};
use super::{Adapters, Snapshot, Workers};
use crate::models::ask::Asker;

/// How long a list may take. Arbitrary; that of a hosted provider takes one second.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks a target, or those of a name, as long as this exists.
#[derive(Debug)]
pub(super) struct Lister {
    member: Member,
    asker: Asker,
    stop: Option<DropGuard>,
}

impl Drop for Lister {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Member::Target(target) = &self.member {
            // Without health checks, nobody would notice that it is out of date.
            target.set_models(None);
        }
    }
}

/// Begins to ask all targets that have health checks and an adapter; what asks them already for the `previous` snapshot goes on.
pub(super) fn start_all(
    upstreams: &HashMap<Arc<str>, Arc<Upstream>>,
    adapters: &Adapters,
    workers: &Workers,
    previous: Option<&Snapshot>,
) -> Vec<Arc<Lister>> {
    let mut listers = Vec::new();
    for (name, upstream) in upstreams {
        let checked = upstream.health.as_ref().and_then(|_| adapters.get(name));
        let Some(adapter) = checked else {
            continue;
        };
        let asker = Asker {
            adapter: adapter.clone(),
            key: upstream.key.clone(),
            upstream: name.clone(),
            connect: upstream.timeout.connect,
        };
        for member in Member::of(upstream) {
            let same = |it: &&Arc<Lister>| it.member == member && it.asker.is_same(&asker);
            let mut before = previous.iter().flat_map(|previous| &previous.listers);
            listers.push(match before.find(same) {
                Some(before) => before.clone(),
                None => Arc::new(start(member, asker.clone(), workers)),
            });
        }
    }
    listers
}

fn start(member: Member, asker: Asker, workers: &Workers) -> Lister {
    let stop = workers.drain.child_token();
    let stopped = stop.clone();
    match member.clone() {
        Member::Target(target) => {
            let asker = asker.clone();
            workers.watching.spawn(async move {
                // Boxed because it holds a run of an adapter, which is large.
                stopped
                    .run_until_cancelled(Box::pin(keep(&target, &asker)))
                    .await
            });
        }
        Member::Name(name) => {
            let (asker, own) = (asker.clone(), workers.clone());
            let of_target = move |target| start(Member::Target(target), asker.clone(), &own);
            let follow = follow(name, of_target);
            let follow = async move { stopped.run_until_cancelled(follow).await };
            workers.watching.spawn(follow);
        }
    }
    Lister {
        member,
        asker,
        stop: Some(stop.drop_guard()),
    }
}

/// Keeps the list of a target up to date until dropped.
async fn keep(target: &Arc<Target>, asker: &Asker) {
    let mut checks = target.checks();
    if target.state() == State::Unknown && checks.changed().await.is_err() {
        return;
    }
    loop {
        let asked = tokio::time::timeout(TIMEOUT, asker.ask(target)).await;
        target.set_models(asked.unwrap_or_default());
        if checks.changed().await.is_err() {
            return;
        }
    }
}
