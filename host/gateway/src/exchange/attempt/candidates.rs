//! Which target to ask, and which next: those of an upstream and its fallbacks.
//!
//! # The rule
//! The upstreams come in the order of the configuration. In each of them a target is fit, or stalled, or to be left alone, or
//! down: `upstream::target::Standing`. Which of several that are fit is asked says `upstream::choice`.
//!
//! 1. A fit target of the first upstream that has one.
//! 2. If no upstream has one, a stalled target, then one to be left alone: it may serve a client that the others have refused.
//! 3. If no target has been asked yet, one that is down: an attempt that may fail is better than an error without any.
//!
//! No target is asked twice, and not more than `attempts.max` are.

use std::sync::Arc;

use crate::exchange::Exchange;
use crate::exchange::request::body::RequestBody;
use crate::failure::{Failure, Kind};
use sluicegate_plugin_host::Plugin;
use sluicegate_upstream::{Choice, Standing, Target, Upstream};

/// The targets that can still be asked: those of the chosen upstream and of its fallbacks.
pub(super) struct Candidates {
    upstreams: Vec<Asked>,
    /// The name of the upstream that the route or a stage chose.
    chosen: Arc<str>,
    tried: Vec<Arc<Target>>,
    left: u32,
}

/// An upstream that can be asked.
struct Asked {
    upstream: Arc<Upstream>,
    adapter: Option<Arc<Plugin>>,
    /// What the model is called there, as JSON text, if it is another name than the client's.
    model: Option<Arc<str>>,
    /// What decides among its targets.
    choice: Choice,
}

/// The target of an attempt.
pub(super) struct Candidate {
    pub(super) upstream: Arc<Upstream>,
    pub(super) adapter: Option<Arc<Plugin>>,
    pub(super) target: Arc<Target>,
    /// What the model is called there, as JSON text, if it is another name than the client's.
    pub(super) model: Option<Arc<str>>,
    /// Whether the upstream is the one that the route or a stage chose, and not a fallback.
    pub(super) chosen: bool,
}

impl Candidate {
    /// What kind of server its adapter is for; "" without one.
    pub(super) fn vendor(&self) -> &str {
        let manifest = self.adapter.as_ref().map(|plugin| plugin.manifest());
        let adapter = manifest.and_then(|manifest| manifest.adapter.as_ref());
        adapter.map_or("", |adapter| &adapter.vendor)
    }
}

impl Candidates {
    /// The next target, by the rule of this file.
    pub(super) fn next(&mut self) -> Option<Candidate> {
        let left = self.left.checked_sub(1)?;
        let usual = [Standing::Fit, Standing::Stalled, Standing::LeftAlone];
        let at_first = Some(Standing::Down).filter(|_| self.tried.is_empty());
        let mut standings = usual.into_iter().chain(at_first);
        let candidate = standings.find_map(|standing| self.with(standing))?;
        self.left = left;
        self.tried.push(candidate.target.clone());
        Some(candidate)
    }

    /// Why there is nobody to ask: the upstreams are names, and no address of them is known.
    pub(super) fn nobody(&self) -> Failure {
        let mut names = self.upstreams.iter().flat_map(|it| it.upstream.names());
        match names.find(|name| name.targets().is_empty()) {
            Some(name) => Failure::new(
                Kind::UpstreamUnreachable,
                format!(
                    "The name of the model servers, `{}`, has no known address.",
                    name.host()
                ),
            )
            .caused_by(name.why_unknown()),
            None => Failure::new(
                Kind::Internal,
                "There is no model server to send the request to.",
            ),
        }
    }

    /// Whether a fit target is left.
    pub(super) fn has_better(&self) -> bool {
        self.left > 0 && self.with(Standing::Fit).is_some()
    }

    /// Takes the next attempt from the budget of the first upstream; false if nothing is left of it.
    pub(super) fn may_ask_again(&self) -> bool {
        let first = self.upstreams.first();
        first.is_some_and(|first| first.upstream.may_ask_again())
    }

    fn with(&self, standing: Standing) -> Option<Candidate> {
        let mut upstreams = self.upstreams.iter().enumerate();
        upstreams.find_map(|(index, asked)| {
            Some(Candidate {
                upstream: asked.upstream.clone(),
                adapter: asked.adapter.clone(),
                target: asked.upstream.pick(standing, &asked.choice, &self.tried)?,
                model: asked.model.clone(),
                chosen: index == 0 && asked.upstream.name == self.chosen,
            })
        })
    }
}

impl Exchange {
    /// The targets that can be asked: those of the upstreams that serve the model, or else of the upstream that the route or a stage
    /// chose, and of its fallbacks. The adapters of others are not needed any more.
    pub(super) fn candidates(&mut self, body: &RequestBody) -> Result<Candidates, Failure> {
        let adapters = self.adapters.take();
        let find = |name: &Arc<str>, model: Option<&Arc<str>>| {
            let upstream = self.upstreams.get(name).ok_or_else(|| {
                Failure::new(Kind::Internal, format!("There is no upstream `{name}`."))
            })?;
            let adapter = adapters.as_ref().and_then(|adapters| adapters.get(name));
            let affinity = upstream.affinity.as_ref();
            let key = affinity.and_then(|affinity| self.affinity(affinity, body));
            Ok::<_, Failure>(Asked {
                upstream: upstream.clone(),
                adapter: adapter.cloned(),
                model: model.cloned(),
                choice: upstream.begin_exchange(key),
            })
        };
        let chosen = &self.context.upstream;
        let upstreams = match &self.served_by {
            Some(served) => served
                .iter()
                .map(|it| find(&it.upstream, it.name.as_ref()))
                .collect::<Result<Vec<_>, _>>()?,
            None => {
                let fallback = self.record.route.fallback.iter();
                std::iter::once(chosen)
                    .chain(fallback.filter(|name| *name != chosen))
                    .map(|name| find(name, None))
                    .collect::<Result<Vec<_>, _>>()?
            }
        };
        let first = upstreams.first().map(|first| &first.upstream);
        let left = first.map_or(0, |first| first.attempts);
        if let Some(first) = first {
            first.count_exchange();
        }
        let adapters = upstreams.iter().filter_map(|asked| asked.adapter.as_ref());
        self.client.keep_adapters(adapters);
        Ok(Candidates {
            upstreams,
            chosen: chosen.clone(),
            tried: Vec::new(),
            left,
        })
    }
}
