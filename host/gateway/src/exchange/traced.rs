//! What the record of an exchange keeps for its trace, if traces or metrics are sent to a collector.

use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use sluicegate_otlp::{Attempt, Otlp, TraceContext};
use sluicegate_upstream::{Target, Upstream};

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");

/// The trace of one exchange so far.
pub(super) struct Traced {
    pub(super) context: TraceContext,
    pub(super) began: SystemTime,
    pub(super) attempts: Vec<Attempt>,
}

/// Who is asked in an attempt.
pub(super) struct Asked<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) target: &'a Target,
    /// What kind of server its adapter is for; "" without one.
    pub(super) vendor: &'a str,
    /// The model that is asked for, as JSON text.
    pub(super) model: Option<&'a str>,
}

impl Traced {
    /// The trace of an exchange whose request has these fields.
    pub(super) fn begin(otlp: &Otlp, request: &HeaderMap) -> Self {
        Self {
            context: otlp.context(request),
            began: SystemTime::now(),
            attempts: Vec::new(),
        }
    }

    pub(super) fn begin_attempt(&mut self, asked: &Asked<'_>, after: Duration) {
        let model = asked.model.and_then(|json| serde_json::from_str(json).ok());
        let model: String = model.unwrap_or_default();
        self.attempts.push(Attempt {
            span: self.context.attempt(),
            began: after,
            ended: None,
            upstream: asked.upstream.name.clone(),
            server: asked.target.host_and_port(),
            vendor: asked.vendor.into(),
            model: model.into(),
            status: None,
            error: String::new(),
        });
    }

    /// The last attempt has not decided the exchange.
    pub(super) fn end_attempt(&mut self, reason: &str, after: Duration) {
        if let Some(attempt) = self.attempts.last_mut() {
            let status = reason.strip_prefix("status ");
            attempt.status = status.and_then(|status| status.parse().ok());
            attempt.error = status.unwrap_or(reason).to_owned();
            attempt.ended = Some(after);
        }
    }

    /// Sets the fields that continue the trace in the last attempt's request.
    pub(super) fn continue_in(&self, request: &mut HeaderMap) {
        let Some(attempt) = self.attempts.last() else {
            return;
        };
        let (parent, state) = self.context.fields(attempt.span);
        let mut set = |name, value: Option<HeaderValue>| match value {
            Some(value) => drop(request.insert(name, value)),
            None => drop(request.remove(name)),
        };
        set(TRACE_PARENT, Some(parent));
        set(TRACE_STATE, state);
    }

    /// The exchange is over: the last attempt has decided it.
    pub(super) fn end(&mut self, status: Option<u16>, error: &str) {
        if let Some(attempt) = self.attempts.last_mut().filter(|it| it.ended.is_none()) {
            attempt.status = status;
            error.clone_into(&mut attempt.error);
        }
    }
}
