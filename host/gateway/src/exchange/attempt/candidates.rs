//! Which target to ask, and which next: those of an upstream and its fallbacks, and which failures lead from one to another.

use std::sync::Arc;

use hyper::header::HeaderValue;

use crate::exchange::Exchange;
use crate::failure::{Failure, Kind};
use sluicegate_plugin_host::Plugin;
use sluicegate_upstream::{Target, Upstream};

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
    /// The index in its list of targets at which this exchange begins.
    turn: usize,
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

impl Candidates {
    /// The next target that is not known to be down, in the order of the upstreams; a stalled one only if no other is left. If
    /// all are down and none was tried, the first one.
    pub(super) fn next(&mut self) -> Option<Candidate> {
        let left = self.left.checked_sub(1)?;
        let any = || self.find(|upstream, turn| Some(upstream.in_turn(turn)));
        let candidate = match self.up(false).or_else(|| self.up(true)) {
            Some(candidate) => candidate,
            None if self.tried.is_empty() => any()?,
            None => return None,
        };
        self.left = left;
        self.tried.push(candidate.target.clone());
        Some(candidate)
    }

    /// Whether a target is left that is neither known to be down nor stalled.
    pub(super) fn has_better(&self) -> bool {
        self.left > 0 && self.up(false).is_some()
    }

    fn up(&self, stalled: bool) -> Option<Candidate> {
        self.find(|upstream, turn| upstream.pick(turn, &self.tried, stalled))
    }

    fn find(&self, pick: impl Fn(&Upstream, usize) -> Option<Arc<Target>>) -> Option<Candidate> {
        let mut upstreams = self.upstreams.iter().enumerate();
        upstreams.find_map(|(index, asked)| {
            Some(Candidate {
                upstream: asked.upstream.clone(),
                adapter: asked.adapter.clone(),
                target: pick(&asked.upstream, asked.turn)?,
                model: asked.model.clone(),
                chosen: index == 0 && asked.upstream.name == self.chosen,
            })
        })
    }
}

impl Exchange {
    /// The targets that can be asked: those of the upstreams that serve the model, or else of the upstream that the route or a stage
    /// chose, and of its fallbacks. The adapters of others are not needed any more.
    pub(super) fn candidates(&mut self) -> Result<Candidates, Failure> {
        let adapters = self.adapters.take();
        let find = |name: &Arc<str>, model: Option<&Arc<str>>| {
            let upstream = self.upstreams.get(name).ok_or_else(|| {
                Failure::new(Kind::Internal, format!("There is no upstream `{name}`."))
            })?;
            let adapter = adapters.as_ref().and_then(|adapters| adapters.get(name));
            Ok::<_, Failure>(Asked {
                upstream: upstream.clone(),
                adapter: adapter.cloned(),
                model: model.cloned(),
                turn: upstream.next_turn(),
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
        let left = upstreams.first().map_or(0, |first| first.upstream.attempts);
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

/// Whether another model server may do better.
pub(super) fn may_be_mended(failure: &Failure) -> bool {
    match failure.kind() {
        Kind::UpstreamUnreachable
        | Kind::UpstreamConnectTimeout
        | Kind::UpstreamBroken
        | Kind::UpstreamStalled => true,
        Kind::Refused => {
            matches!(failure.status().as_u16(), 429 | 503)
                || failure.code() == "upstream_unauthorized"
        }
        Kind::InvalidRequest
        | Kind::Foreign
        | Kind::ShuttingDown
        | Kind::VersionDrained
        | Kind::NotFound
        | Kind::MethodNotAllowed
        | Kind::RequestTimeout
        | Kind::BodyTooLarge
        | Kind::UnsupportedCoding
        | Kind::HeadTooLarge
        | Kind::Overloaded
        | Kind::UpstreamFirstByteTimeout
        | Kind::UpstreamIdleTimeout
        | Kind::UpstreamTotalTimeout
        | Kind::UpstreamInvalid
        | Kind::PluginFault
        | Kind::Internal => false,
    }
}

/// The failure of the last attempt, with the shortest `retry-after` of all attempts.
pub(super) fn last_of(failure: Failure, soonest: Option<u64>) -> Failure {
    match soonest {
        Some(seconds) if matches!(failure.status().as_u16(), 429 | 503) => {
            failure.with_field("retry-after", &seconds.to_string())
        }
        Some(_) | None => failure,
    }
}

pub(super) fn sooner(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Seconds of a `retry-after`; a date is left alone.
pub(super) fn seconds_of(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.trim().parse().ok()
}
