//! The plugin versions that an exchange holds.

use std::sync::{Arc, Weak};

use crate::route::Route;
use crate::snapshot::Adapters;
use sluicegate_plugin_host::Plugin;

/// The plugin versions that an exchange holds: those of its route, and the adapters that it may yet need. Without references of
/// its own, since it lives until the client has read the end of the response.
#[derive(Default)]
pub(in crate::exchange) struct Held {
    route: Weak<Route>,
    adapters: HeldAdapters,
}

/// The adapters that an exchange may yet need.
enum HeldAdapters {
    /// Any: its stages have not chosen the upstream yet.
    All(Weak<Adapters>),
    /// Those of the upstreams that it asks, or, once it is decided, its own.
    Some(Vec<Weak<Plugin>>),
}

impl Default for HeldAdapters {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

impl Held {
    /// What an exchange on this route holds when it begins.
    pub(in crate::exchange) fn first(route: &Arc<Route>, adapters: &Arc<Adapters>) -> Self {
        Self {
            route: Arc::downgrade(route),
            adapters: HeldAdapters::All(Arc::downgrade(adapters)),
        }
    }

    /// The exchange needs only these adapters from now on.
    pub(super) fn keep(&mut self, adapters: Vec<Weak<Plugin>>) {
        self.adapters = HeldAdapters::Some(adapters);
    }

    /// Whether one of these versions is among them.
    pub(super) fn any(&self, versions: &[Weak<Plugin>]) -> bool {
        let is_one = |held: *const Plugin| versions.iter().any(|it| it.as_ptr() == held);
        let in_route = |route: Arc<Route>| {
            let mut held = route.pipeline.versions();
            held.any(|held| is_one(Arc::as_ptr(held)))
        };
        let in_adapters = match &self.adapters {
            HeldAdapters::All(all) => all.upgrade().is_some_and(|all| {
                let mut held = all.values();
                held.any(|held| is_one(Arc::as_ptr(held)))
            }),
            HeldAdapters::Some(some) => some.iter().any(|held| is_one(held.as_ptr())),
        };
        in_adapters || self.route.upgrade().is_some_and(in_route)
    }
}
