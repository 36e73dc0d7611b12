//! The proxy's listeners: opened, kept and drained as configurations come and go.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::exchange::{self, Core};
use sluicegate_config as config;
use sluicegate_serve::{self as serve, Connections, Error, Hosts, Listener, Terms};

/// The listeners that are open.
pub struct Listeners {
    open: Vec<Open>,
    core: Arc<Core>,
    connections: Connections,
}

/// One listener, whose task accepts connections until `drain` is cancelled.
struct Open {
    /// As configured; the port may be 0.
    configured: SocketAddr,
    /// With the port that was taken.
    address: SocketAddr,
    terms: Arc<ArcSwap<Terms>>,
    drain: CancellationToken,
}

/// What a configuration asks for: every listener of it, open already or opened now. Nothing accepts yet.
pub struct Change(Vec<Planned>);

enum Planned {
    /// One that is open already, by its place, and its terms from now on.
    Kept(usize, Terms),
    New(SocketAddr, Listener),
}

impl Change {
    /// Opens all.
    ///
    /// # Errors
    /// The place in the configuration of the first listener that cannot be opened, and why. Those that were opened are closed.
    pub async fn first(wanted: &[config::Listener]) -> Result<Self, (usize, Error)> {
        Self::plan(&[], wanted).await
    }

    async fn plan(open: &[Open], wanted: &[config::Listener]) -> Result<Self, (usize, Error)> {
        let mut change = Self(Vec::new());
        for (place, listener) in wanted.iter().enumerate() {
            let added = change.add(open, listener).await;
            added.map_err(|error| (place, error))?;
        }
        Ok(change)
    }

    async fn add(&mut self, open: &[Open], wanted: &config::Listener) -> Result<(), Error> {
        let terms = terms(wanted, "`hosts` of the `[[listener]]`")?;
        let mut open = open.iter().enumerate();
        let kept =
            open.find(|(index, open)| open.configured == wanted.listen && !self.keeps(*index));
        let planned = match kept {
            Some((index, _)) => Planned::Kept(index, terms),
            None => Planned::New(wanted.listen, Listener::open_with(wanted, terms).await?),
        };
        self.0.push(planned);
        Ok(())
    }

    fn keeps(&self, index: usize) -> bool {
        let same = |one: &Planned| matches!(one, Planned::Kept(other, _) if *other == index);
        self.0.iter().any(same)
    }
}

impl Listeners {
    /// None yet. `connections` is what the connections of all of them share.
    #[must_use]
    pub fn new(core: Arc<Core>, connections: Connections) -> Self {
        Self {
            open: Vec::new(),
            core,
            connections,
        }
    }

    /// The addresses in the order of the configuration, with the ports that were taken.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.open.iter().map(|open| open.address).collect()
    }

    /// Opens those that are not open yet, and reads the certificates of all. What serves goes on as it was.
    ///
    /// # Errors
    /// As [`Change::first`].
    pub async fn plan(&self, wanted: &[config::Listener]) -> Result<Change, (usize, Error)> {
        Change::plan(&self.open, wanted).await
    }

    /// Puts a plan into force: new listeners accept, those that are kept have their new terms, and the others drain.
    pub fn apply(&mut self, Change(planned): Change) {
        let mut before: Vec<Option<Open>> = self.open.drain(..).map(Some).collect();
        let mut now = Vec::new();
        for one in planned {
            match one {
                Planned::Kept(index, terms) => {
                    if let Some(open) = before.get_mut(index).and_then(Option::take) {
                        open.terms.store(Arc::new(terms));
                        now.push(open);
                    }
                }
                Planned::New(configured, listener) => now.push(self.start(configured, listener)),
            }
        }
        for removed in before.into_iter().flatten() {
            tracing::info!(address = %removed.address, "this listener is no longer in the configuration; draining");
            removed.drain.cancel();
        }
        self.open = now;
    }

    fn start(&self, configured: SocketAddr, listener: Listener) -> Open {
        let connections = Connections {
            drain: self.connections.drain.child_token(),
            ..self.connections.clone()
        };
        let open = Open {
            configured,
            address: listener.address(),
            terms: listener.terms(),
            drain: connections.drain.clone(),
        };
        let core = self.core.clone();
        let handler = move |client, request| exchange::serve(core.clone(), client, request);
        let tasks = self.connections.tasks.clone();
        tasks.spawn(serve::accept(listener, connections, handler));
        open
    }

    /// Applies limits to connections that come from now on.
    pub fn limit(&self, limits: config::Limits) {
        let before = self.connections.limits.load().connections;
        self.connections.resize(before, limits.connections);
        self.connections.limits.store(Arc::new(limits));
    }
}

/// The terms of the admin interface.
///
/// # Errors
/// None: it has no certificate.
pub(crate) fn admin_terms(admin: &config::Admin) -> Result<Terms, Error> {
    let listener = config::Listener {
        hosts: admin.hosts.clone(),
        ..config::Listener::at(admin.listen)
    };
    terms(&listener, "`hosts` of `[admin]`")
}

/// What holds for a listener's connections. `key` is what to change to let other hosts in.
fn terms(listener: &config::Listener, key: &'static str) -> Result<Terms, Error> {
    let hosts = listener.hosts.as_deref();
    Terms::new(listener, hosts.map(|names| Hosts::new(names, key)))
}
