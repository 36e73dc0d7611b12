//! Who is looked after: the targets of an upstream, and the names whose addresses are targets.

use std::sync::Arc;

use sluicegate_upstream::{Name, Target, Upstream};

/// A target, or a name with all targets that it has at the time.
#[derive(Clone, Debug)]
pub(super) enum Member {
    Target(Arc<Target>),
    Name(Arc<Name>),
}

impl PartialEq for Member {
    /// Whether it is the same one, with the same state.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Target(one), Self::Target(other)) => Arc::ptr_eq(one, other),
            (Self::Name(one), Self::Name(other)) => Arc::ptr_eq(one, other),
            (Self::Target(_), Self::Name(_)) | (Self::Name(_), Self::Target(_)) => false,
        }
    }
}

impl Member {
    /// The members of an upstream.
    pub(super) fn of(upstream: &Upstream) -> impl Iterator<Item = Self> {
        let targets = upstream.fixed().iter().cloned().map(Self::Target);
        targets.chain(upstream.names().iter().cloned().map(Self::Name))
    }
}

/// Looks after the targets of a name as they come and go, until dropped: `start` begins to look after one, and dropping what it
/// gives ends that. A target that is gone is looked after as long as an exchange asks it.
pub(super) async fn follow<T>(name: Arc<Name>, start: impl Fn(Arc<Target>) -> T) {
    let mut changes = name.changes();
    let mut looked_after: Vec<(Arc<Target>, T)> = Vec::new();
    loop {
        let now = changes.borrow_and_update().clone();
        let is_there = |target: &Arc<Target>| now.iter().any(|it| Arc::ptr_eq(it, target));
        looked_after.retain(|(target, _)| is_there(target) || target.in_flight() > 0);
        for target in now.iter() {
            if !looked_after.iter().any(|(it, _)| Arc::ptr_eq(it, target)) {
                looked_after.push((target.clone(), start(target.clone())));
            }
        }
        drop(now);
        // After each lookup; the sender lives as long as the name.
        if changes.changed().await.is_err() {
            return;
        }
    }
}
