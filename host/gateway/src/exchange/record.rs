//! What is recorded of an exchange, and given to metrics and observers when it is over, however it ends.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::{HeaderMap, Method, StatusCode};
use sluicegate_contract::Context;
use sluicegate_otlp::Usage;
use tokio::time::Instant;

use super::Core;
use super::traced::{Asked, Traced};
use crate::pipeline::FailureReport;
use crate::pipeline::observer::{CLIENT_CLOSED, Queue, Summary};
use crate::route::Route;

/// The record of one exchange.
pub(super) struct Record {
    core: Arc<Core>,
    pub(super) id: Arc<str>,
    received_ms: u64,
    pub(super) route: Arc<Route>,
    client: IpAddr,
    method: Method,
    /// What the client asked for, before any stage changed it.
    path: String,
    pub(super) status: Option<StatusCode>,
    upstream: Arc<str>,
    target: Arc<str>,
    pub(super) attempts: u32,
    pub(super) request_bytes: u64,
    response_bytes: u64,
    pub(super) events: u64,
    first_byte: Option<Duration>,
    last_byte: Option<Instant>,
    began: Instant,
    /// The error code and, for metrics, its label in the closed set.
    error: Option<(String, &'static str)>,
    ended: bool,
    /// Its trace, if there is somebody to send it to.
    traced: Option<Box<Traced>>,
}

impl Record {
    pub(super) fn open(
        core: Arc<Core>,
        route: Arc<Route>,
        context: &Context,
        path: String,
    ) -> Self {
        route.metrics.begin();
        let traced = core.otlp.as_ref();
        let traced = traced.map(|otlp| Box::new(Traced::begin(otlp, &context.request)));
        Self {
            core,
            traced,
            received_ms: context.identity.received_ms,
            id: context.identity.id.clone(),
            client: context.identity.client,
            method: context.method.clone(),
            route,
            path,
            status: None,
            upstream: "".into(),
            target: "".into(),
            attempts: 0,
            request_bytes: 0,
            response_bytes: 0,
            events: 0,
            first_byte: None,
            last_byte: None,
            began: Instant::now(),
            error: None,
            ended: false,
        }
    }

    /// A model server is asked.
    pub(super) fn begin_attempt(&mut self, asked: &Asked<'_>) {
        self.upstream = asked.upstream.name.clone();
        self.target = asked.target.label.clone();
        self.attempts += 1;
        if let Some(traced) = &mut self.traced {
            traced.begin_attempt(asked, self.began.elapsed());
        }
    }

    /// Continues the trace in the request of the attempt.
    pub(super) fn continue_trace(&self, request: &mut HeaderMap) {
        if let Some(traced) = &self.traced {
            traced.continue_in(request);
        }
    }

    /// The attempt has not decided the exchange, for this reason.
    pub(super) fn end_attempt(&mut self, reason: &str) {
        if let Some(traced) = &mut self.traced {
            traced.end_attempt(reason, self.began.elapsed());
        }
    }

    /// Counts bytes of the body on their way to the client. Those of an error do not count as its first byte.
    pub(super) fn sends(&mut self, bytes: usize) {
        self.response_bytes += bytes as u64;
        if self.error.is_some() {
            return;
        }
        let now = Instant::now();
        match self.last_byte.replace(now) {
            None => {
                let waited = now.duration_since(self.began);
                self.first_byte = Some(waited);
                self.route.metrics.first_byte(waited);
            }
            Some(before) => self.route.metrics.gap(now.duration_since(before)),
        }
    }

    /// The exchange has failed. Logs it; nothing else does. That the client has left before stays the error.
    pub(super) fn fail(&mut self, report: &FailureReport) {
        report.log(&self.id, &self.route.label);
        if self.error() != CLIENT_CLOSED {
            self.error = Some((report.code.clone(), report.label));
        }
    }

    /// The client has left before the end. An earlier error stays the error.
    pub(super) fn client_left(&mut self) {
        self.error
            .get_or_insert_with(|| (CLIENT_CLOSED.into(), "cancelled"));
    }

    /// The error code, or "".
    pub(super) fn error(&self) -> &str {
        self.error.as_ref().map_or("", |(code, _)| code)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The exchange is over: tells metrics, observers and the list of recent exchanges. Takes no lock that is held for long
    /// and never waits.
    pub(super) fn end<'q>(
        &mut self,
        overhead: Duration,
        notes: Vec<(String, String)>,
        watching: impl Iterator<Item = &'q Queue>,
    ) {
        self.ended = true;
        let duration = self.began.elapsed();
        let (error, label) = self.error.take().unwrap_or((String::new(), "none"));
        let status = self.status.map_or(0, |status| status.as_u16());
        self.route.metrics.end(status, label, duration, overhead);
        let usage = notes.iter().find(|(name, _)| name == "usage");
        let usage = usage.map(|(_, usage)| tokens(usage));
        if let Some((input, output)) = usage {
            self.route.metrics.tokens(input, output);
        }
        self.trace(&error, duration, usage);
        let summary = Arc::new(Summary {
            id: self.id.clone(),
            received_ms: self.received_ms,
            route: self.route.label.clone(),
            method: std::mem::take(&mut self.method),
            path: std::mem::take(&mut self.path),
            client: self.client,
            status,
            error,
            upstream: self.upstream.clone(),
            target: self.target.clone(),
            attempts: self.attempts,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            events: self.events,
            duration,
            first_byte: self.first_byte,
            overhead,
            facts: notes,
        });
        for queue in &self.route.pipeline.observers {
            queue.tell(summary.clone());
        }
        for queue in watching {
            queue.tell(summary.clone());
        }
        self.core.recent.add(summary);
    }
}

impl Record {
    /// Hands the exchange over to be sent to the collector.
    fn trace(&mut self, error: &str, took: Duration, usage: Option<(u64, u64)>) {
        let Some((otlp, mut traced)) = self.core.otlp.as_ref().zip(self.traced.take()) else {
            return;
        };
        let status = self.status.map(|status| status.as_u16());
        traced.end(status, error);
        otlp.record(&sluicegate_otlp::Exchange {
            context: traced.context,
            id: self.id.clone(),
            route: self.route.label.clone(),
            method: self.method.to_string(),
            path: self.path.clone(),
            client: self.client,
            began: traced.began,
            took,
            first_byte: self.first_byte,
            status: status.unwrap_or(0),
            error: error.to_owned(),
            bytes: [self.request_bytes, self.response_bytes],
            attempts: traced.attempts,
            usage: usage.map(|(input, output)| Usage { input, output }),
        });
    }
}

/// Input and output tokens of a `usage` note in OpenAI's form; 0 where a figure is missing.
fn tokens(usage: &str) -> (u64, u64) {
    #[derive(serde::Deserialize)]
    struct Usage {
        #[serde(default)]
        prompt_tokens: u64,
        #[serde(default)]
        completion_tokens: u64,
    }
    serde_json::from_str(usage).map_or((0, 0), |usage: Usage| {
        (usage.prompt_tokens, usage.completion_tokens)
    })
}

#[cfg(test)]
mod tests {
    use super::tokens;

    #[test]
    fn tokens_of_a_usage_note_are_read_leniently() {
        assert_eq!(
            tokens(r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}"#),
            (3, 4)
        );
        assert_eq!(tokens(r#"{"prompt_tokens":3}"#), (3, 0));
        assert_eq!(tokens("null"), (0, 0));
    }
}
