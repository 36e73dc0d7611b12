//! Names whose addresses are targets, each with a breaker, a queue and a health of its own: servers join and leave when the name's
//! addresses change.
//!
//! # The rule
//! What a lookup finds is what is asked from then on. An address that is new is a new target, which begins with less than its
//! share; one that is gone gets no further attempts, not even those
//! that wait for it, and its target ends with the last exchange that has it. A lookup that fails,
//! or finds nothing, changes nothing: the addresses that were known stay in use.
//!
//! Who looks the name up, and how often, is up to the caller.

use std::cmp::Reverse;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;
use tokio::time::Instant;

use super::target::{Error, Plan, Target};
use sluicegate_config as config;
use sluicegate_telemetry::metrics::{Metrics, NameMetrics};

/// The most addresses of a name that are asked. Arbitrary: each has a health check and connections of its own.
pub const MOST: usize = 256;

/// How many addresses a log line lists.
const LISTED: usize = 8;

/// A lookup that is on its way.
pub type LookingUp<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Looks names up.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// All addresses of a name.
    ///
    /// # Errors
    /// What the resolver says, also if there is no such name.
    fn look_up<'a>(&'a self, host: &'a str) -> LookingUp<'a>;
}

/// The system's resolver. A lookup takes a thread for blocking work until it ends, even if nobody waits for it any more.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Resolve for System {
    fn look_up<'a>(&'a self, host: &'a str) -> LookingUp<'a> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// The targets of a name.
pub type Targets = Arc<[Arc<Target>]>;

/// A name, and the targets that are its addresses.
#[derive(Debug)]
pub struct Name {
    /// As configured, for logs: `dns+http://vllm.ns.svc:8000`.
    pub label: Arc<str>,
    upstream: Arc<str>,
    plan: Plan,
    pub(super) targets: watch::Sender<Targets>,
    state: Mutex<State>,
    metrics: Arc<NameMetrics>,
}

/// What lookups have shown.
#[derive(Debug, Default)]
struct State {
    was_looked_up: bool,
    problem: Option<String>,
}

impl Name {
    /// A name as configured, without any address yet.
    ///
    /// # Errors
    /// As [`Target::new`].
    pub(super) fn new(
        upstream: &str,
        target: &config::Target,
        metrics: &Metrics,
    ) -> Result<Self, Error> {
        let label = target.to_string();
        Ok(Self {
            metrics: metrics.name(upstream, &label),
            label: label.into(),
            upstream: upstream.into(),
            plan: Plan::new(target)?,
            targets: watch::Sender::new(Arc::default()),
            state: Mutex::default(),
        })
    }

    /// Whether a configuration means this name.
    pub(super) fn is(&self, target: &config::Target) -> bool {
        self.plan.is_for(target)
    }

    /// The name alone.
    #[must_use]
    pub fn host(&self) -> &str {
        self.plan.host()
    }

    /// The targets of the addresses that are known.
    #[must_use]
    pub fn targets(&self) -> Targets {
        self.targets.borrow().clone()
    }

    /// The targets as they come and go. Also tells of lookups that change nothing.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Targets> {
        self.targets.subscribe()
    }

    /// What is wrong with it, as far as the last lookup shows.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.state().problem.clone()
    }

    /// Why it has no targets, as far as it has none.
    #[must_use]
    pub fn why_unknown(&self) -> String {
        let not_yet = || "it has not been looked up yet".to_owned();
        self.problem().unwrap_or_else(not_yet)
    }

    /// Whether a lookup has ended, with or without addresses.
    #[must_use]
    pub fn was_looked_up(&self) -> bool {
        self.state().was_looked_up
    }

    /// Takes what a lookup has found. One lookup follows the other: no two may be on their way.
    pub fn update(&self, found: io::Result<Vec<IpAddr>>, metrics: &Metrics) {
        let addresses = match found {
            Ok(addresses) if addresses.is_empty() => Err("it has no address".to_owned()),
            Ok(addresses) => Ok(addresses),
            Err(error) => Err(error.to_string()),
        };
        self.metrics.looked_up(addresses.is_ok());
        let before = self.targets();
        let now = match addresses {
            Ok(addresses) => self.take(&before, &addresses, metrics),
            Err(reason) => {
                self.has_problem(Some(reason), before.len());
                before
            }
        };
        self.metrics.set_addresses(now.len());
        self.targets.send_replace(now);
        self.state().was_looked_up = true;
    }

    /// The targets of these addresses: those that are known already, and new ones.
    fn take(&self, before: &Targets, addresses: &[IpAddr], metrics: &Metrics) -> Targets {
        let known = |address: &IpAddr| {
            let mut targets = before.iter();
            targets.find(|target| target.address() == Some(*address))
        };
        let mut addresses: Vec<_> = addresses.iter().map(IpAddr::to_canonical).collect();
        // If there are too many, those that are in use stay, and the choice among the others is always the same.
        addresses.sort_unstable_by_key(|address| (Reverse(known(address).is_some()), *address));
        addresses.dedup();
        let count = addresses.len();
        addresses.truncate(MOST);
        let problem = (count > MOST)
            .then(|| format!("it has {count} addresses, of which only {MOST} are used"));
        self.has_problem(problem, addresses.len());

        let joined: Vec<_> = addresses.iter().filter(|it| known(it).is_none()).collect();
        let own: Vec<_> = before.iter().filter_map(|it| it.address()).collect();
        let left: Vec<_> = own.iter().filter(|it| !addresses.contains(it)).collect();
        if !joined.is_empty() || !left.is_empty() {
            tracing::info!(
                upstream = &*self.upstream,
                name = &*self.label,
                addresses = addresses.len(),
                joined = list(&joined),
                left = list(&left),
                "model servers have joined or left: the addresses of their name have changed"
            );
        }
        for target in before.iter() {
            if target.address().is_some_and(|it| !addresses.contains(&it)) {
                target.gone.cancel();
            }
        }
        let now = Instant::now();
        let target = |address: &IpAddr| {
            known(address).cloned().unwrap_or_else(|| {
                let new = self.plan.target(&self.upstream, Some(*address), metrics);
                // The first ones have nobody beside them who could take the rest.
                if !before.is_empty() {
                    new.joins(now);
                }
                Arc::new(new)
            })
        };
        addresses.iter().map(target).collect()
    }

    /// Notes whether something is wrong, and logs a change. `left` is how many targets there are nevertheless.
    fn has_problem(&self, problem: Option<String>, left: usize) {
        let (upstream, name) = (&*self.upstream, &*self.label);
        let mut state = self.state();
        match (&state.problem, &problem) {
            (before, now) if before == now => {}
            (_, Some(problem)) => tracing::warn!(
                upstream,
                name,
                error = problem,
                targets = left,
                "the name of model servers is not resolved as it should be: what is known of it stays in use"
            ),
            (Some(_), None) => {
                tracing::info!(
                    upstream,
                    name,
                    "the name of model servers is resolved again"
                )
            }
            (None, None) => {}
        }
        state.problem = problem;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the lock is held")
    }
}

/// Addresses for a log line.
fn list(addresses: &[&IpAddr]) -> String {
    let mut listed: Vec<_> = addresses
        .iter()
        .take(LISTED)
        .map(|it| it.to_string())
        .collect();
    if addresses.len() > LISTED {
        listed.push(format!("and {} more", addresses.len() - LISTED));
    }
    listed.join(", ")
}

#[cfg(test)]
mod tests;
