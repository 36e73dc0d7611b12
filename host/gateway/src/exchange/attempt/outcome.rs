//! What an attempt shows: whether another model server may do better, and what to think of the one that was asked.

use std::borrow::Cow;

use hyper::header::HeaderValue;

use super::{AttemptError, UpstreamResponse};
use crate::exchange::Exchange;
use crate::exchange::halt::Halt;
use crate::failure::{Failure, Kind};
use crate::pipeline::Stop;
use sluicegate_upstream::stall::Verdict;
use sluicegate_upstream::{self as upstream, Visit};

/// What an attempt shows.
pub(super) struct Outcome {
    /// Why another model server may do better, if it may.
    pub(super) reason: Option<Cow<'static, str>>,
    /// The seconds of its `retry-after`.
    pub(super) retry_after: Option<u64>,
    /// Whether a model server may have worked for it: then the next one counts as further load.
    pub(super) has_cost: bool,
    target: Shows,
}

/// What it shows of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    Nothing,
    /// It has begun the response that was asked for.
    Response,
    /// It works, but not for this request.
    Works,
    /// It is busy, which is no failure.
    Busy,
    /// It cannot, and says so.
    BusyOrBroken,
    Failure,
}

impl Outcome {
    const fn of(target: Shows) -> Self {
        Self {
            reason: None,
            retry_after: None,
            has_cost: false,
            target,
        }
    }

    /// A response whose status may lead to another model server.
    fn of_status(status: u16, retry_after: Option<u64>) -> Self {
        Self {
            reason: Some(format!("status {status}").into()),
            retry_after,
            has_cost: !matches!(status, 429 | 503),
            target: match status {
                429 => Shows::Busy,
                503 => Shows::BusyOrBroken,
                _ => Shows::Failure,
            },
        }
    }

    fn of_failure(failure: &Failure) -> Self {
        let reason = may_be_mended(failure).then(|| failure.code().to_owned().into());
        let target = match failure.kind() {
            Kind::UpstreamUnreachable
            | Kind::UpstreamConnectTimeout
            | Kind::UpstreamBroken
            | Kind::UpstreamInvalid
            | Kind::UpstreamFirstByteTimeout
            | Kind::UpstreamIdleTimeout => Shows::Failure,
            Kind::Refused => match failure.status().as_u16() {
                429 => Shows::Busy,
                503 => Shows::BusyOrBroken,
                _ if reason.is_some() => Shows::Failure,
                _ => Shows::Works,
            },
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
            | Kind::UpstreamBusy
            | Kind::UpstreamStalled
            | Kind::UpstreamTotalTimeout
            | Kind::PluginFault
            | Kind::Internal => Shows::Nothing,
        };
        Self {
            reason,
            retry_after: failure.field("retry-after").and_then(seconds_of),
            has_cost: failure.kind() == Kind::UpstreamBroken,
            target,
        }
    }

    /// Tells the target.
    pub(super) fn tell(&self, visit: &mut Visit) {
        match self.target {
            Shows::Nothing => {}
            Shows::Response => visit.responded(),
            Shows::Works => visit.refused_the_request(),
            Shows::Busy => visit.refused(self.retry_after),
            Shows::BusyOrBroken => {
                visit.refused(self.retry_after);
                visit.failed();
            }
            Shows::Failure => visit.failed(),
        }
    }
}

impl Exchange {
    /// What an attempt shows.
    pub(super) fn outcome(&self, tried: &Result<UpstreamResponse, AttemptError>) -> Outcome {
        match tried {
            Ok(response) => match self.head_of(response) {
                Some((status, retry_after)) => Outcome::of_status(status, retry_after),
                None if self.attempt_context().status() >= 400 => Outcome::of(Shows::Works),
                None => Outcome::of(Shows::Response),
            },
            Err(AttemptError::Halt(Halt::Stop(Stop::Failure(failure)))) => {
                Outcome::of_failure(failure)
            }
            Err(AttemptError::Stalled(Verdict::Stalled { .. })) => Outcome {
                reason: Some(super::STALLED.into()),
                ..Outcome::of(Shows::Nothing)
            },
            Err(AttemptError::Lost) => Outcome {
                reason: Some("its health checks fail".into()),
                ..Outcome::of(Shows::Failure)
            },
            Err(
                AttemptError::Halt(Halt::Stop(Stop::Reply(_)) | Halt::Gone)
                | AttemptError::Stalled(Verdict::TakenBack),
            ) => Outcome::of(Shows::Nothing),
        }
    }
}

/// Whether another model server may do better.
fn may_be_mended(failure: &Failure) -> bool {
    match failure.kind() {
        Kind::UpstreamUnreachable
        | Kind::UpstreamConnectTimeout
        | Kind::UpstreamBroken
        | Kind::UpstreamBusy
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

/// Whether a response that breaks off is the target's fault.
pub(super) const fn is_fault_of_target(error: &upstream::Error) -> bool {
    use upstream::Error;
    match error {
        Error::Unreachable { .. }
        | Error::ConnectTimeout { .. }
        | Error::Broken { .. }
        | Error::Invalid { .. } => true,
        Error::RequestBody(_) | Error::Request { .. } => false,
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
