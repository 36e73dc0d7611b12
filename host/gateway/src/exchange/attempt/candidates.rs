//! Which target to ask, and which next: those of an upstream and its fallbacks, and which failures lead from one to another.

use std::sync::Arc;

use hyper::header::HeaderValue;

use crate::exchange::Exchange;
use crate::failure::{Failure, Kind};
use sluicegate_upstream::{Target, Upstream};

/// The targets that can still be asked: those of the chosen upstream and of its fallbacks.
pub(super) struct Candidates {
    /// Each with the index in its list of targets at which this exchange begins.
    upstreams: Vec<(Arc<Upstream>, usize)>,
    tried: Vec<Arc<Target>>,
    left: u32,
}

/// The target of an attempt.
pub(super) struct Candidate {
    pub(super) upstream: Arc<Upstream>,
    pub(super) target: Arc<Target>,
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
        upstreams.find_map(|(index, (upstream, turn))| {
            Some(Candidate {
                upstream: upstream.clone(),
                target: pick(upstream, *turn)?,
                chosen: index == 0,
            })
        })
    }
}

impl Exchange {
    /// The targets that can be asked: those of the upstream that the route or a stage chose, and of its fallbacks.
    pub(super) fn candidates(&self) -> Result<Candidates, Failure> {
        let find = |name: &Arc<str>| {
            self.snapshot.upstreams.get(name).cloned().ok_or_else(|| {
                Failure::new(Kind::Internal, format!("There is no upstream `{name}`."))
            })
        };
        let chosen = find(&self.context.upstream)?;
        let left = chosen.attempts;
        let mut upstreams = vec![chosen];
        for name in &self.record.route.fallback {
            if *name != self.context.upstream {
                upstreams.push(find(name)?);
            }
        }
        let with_turn = |upstream: Arc<Upstream>| {
            let turn = upstream.next_turn();
            (upstream, turn)
        };
        Ok(Candidates {
            upstreams: upstreams.into_iter().map(with_turn).collect(),
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
