//! W3C trace context: to which trace an exchange belongs, and what is passed on.

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// The trace of an exchange, and its span in it.
#[derive(Debug, Clone)]
pub struct TraceContext {
    pub(super) trace: TraceId,
    /// The client's span; [`SpanId::INVALID`] if the trace begins here.
    pub(super) parent: SpanId,
    pub(super) span: SpanId,
    sampled: bool,
    state: TraceState,
}

impl TraceContext {
    /// That of a request with these fields. A trace that begins here is recorded with the probability `sample`.
    pub(super) fn of(header: &HeaderMap, sample: f64) -> Self {
        let context = TraceContextPropagator::new().extract(&HeaderExtractor(header));
        let given = context.span();
        let given = given.span_context();
        if given.is_valid() {
            return Self {
                trace: given.trace_id(),
                parent: given.span_id(),
                span: new_span(),
                sampled: given.is_sampled(),
                state: given.trace_state().clone(),
            };
        }
        let trace = TraceId::from(u128::from_be_bytes(random()));
        // The upper 53 bits, as many as a double has.
        let chance = (u64::from_be_bytes(random()) >> 11) as f64 / (1_u64 << 53) as f64;
        Self {
            trace,
            parent: SpanId::INVALID,
            span: new_span(),
            sampled: chance < sample,
            state: TraceState::default(),
        }
    }

    /// Whether its spans are recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The id of one more span, such as that of an attempt.
    #[must_use]
    pub fn attempt(&self) -> AttemptSpan {
        AttemptSpan(new_span())
    }

    /// The fields `traceparent` and `tracestate` of an attempt's request.
    #[must_use]
    pub fn fields(&self, attempt: AttemptSpan) -> (HeaderValue, Option<HeaderValue>) {
        let flags = u8::from(self.sampled);
        let parent = format!("00-{}-{}-{flags:02x}", self.trace, attempt.0);
        let parent = HeaderValue::try_from(parent).expect("hexadecimal digits and hyphens");
        let state = HeaderValue::try_from(self.state.header()).ok();
        (parent, state.filter(|state| !state.is_empty()))
    }

    /// The context of one of its spans.
    pub(super) fn span_context(&self, span: SpanId) -> SpanContext {
        let flags = TraceFlags::default().with_sampled(self.sampled);
        SpanContext::new(self.trace, span, flags, false, self.state.clone())
    }
}

/// The id of an attempt's span.
#[derive(Debug, Clone, Copy)]
pub struct AttemptSpan(pub(super) SpanId);

fn new_span() -> SpanId {
    SpanId::from(u64::from_be_bytes(random()))
}

/// Random bytes. Without any, ids repeat; nothing else depends on them.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() || bytes == [0; N] {
        bytes[N - 1] = 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(parent: &'static str) -> HeaderMap {
        let mut header = HeaderMap::new();
        header.insert("traceparent", HeaderValue::from_static(parent));
        header.insert("tracestate", HeaderValue::from_static("a=b"));
        header
    }

    #[test]
    fn a_clients_trace_goes_on_with_its_choice() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        for (flag, sampled) in [("01", true), ("00", false)] {
            let parent = format!("00-{trace}-b7ad6b7169203331-{flag}").leak();
            let context = TraceContext::of(&header(parent), 1.0);
            assert_eq!(context.is_sampled(), sampled);
            assert_eq!(context.trace.to_string(), trace);
            assert_eq!(context.parent.to_string(), "b7ad6b7169203331");
            let attempt = context.attempt();
            let (parent, state) = context.fields(attempt);
            let expected = format!("00-{trace}-{}-{flag}", attempt.0);
            assert_eq!(parent.to_str().ok(), Some(&*expected));
            assert_eq!(state.as_ref().map(HeaderValue::as_bytes), Some(&b"a=b"[..]));
        }
    }

    #[test]
    fn a_trace_that_begins_here_is_recorded_by_chance() {
        for bad in [
            "",
            "00-0-0-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        ] {
            let context = TraceContext::of(&header(bad), 1.0);
            assert!(
                context.is_sampled() && context.parent == SpanId::INVALID,
                "{bad}"
            );
            assert_ne!(context.trace, TraceId::INVALID);
        }
        let sampled = |sample| {
            let contexts = (0..1_000).map(|_| TraceContext::of(&HeaderMap::new(), sample));
            contexts.filter(TraceContext::is_sampled).count()
        };
        assert_eq!((sampled(0.0), sampled(1.0)), (0, 1_000));
        // Ten standard deviations.
        assert!((340..=660).contains(&sampled(0.5)));
    }
}
