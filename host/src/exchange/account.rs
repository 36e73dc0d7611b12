//! What is counted of an exchange, and told to metrics and observers when it is over, however it ends.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};

use super::Core;
use crate::failure::Failure;
use crate::pipeline::observer::Summary;
use crate::plugin::instance::Loan;
use crate::route::Route;

/// The running account of one exchange.
///
/// It is closed when it is dropped, so that an exchange whose client has left is accounted for too; closing takes no lock
/// that is held for long and never waits.
pub(super) struct Account {
    core: Arc<Core>,
    pub(super) id: Arc<str>,
    received_ms: u64,
    pub(super) route: Arc<Route>,
    pub(super) client: IpAddr,
    pub(super) method: Method,
    /// What the client asked for, before any stage changed it.
    pub(super) path: String,
    pub(super) loan: Loan,
    pub(super) status: Option<StatusCode>,
    pub(super) target: Arc<str>,
    pub(super) attempts: u32,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) events: u64,
    pub(super) first_byte: Option<Duration>,
    pub(super) last_byte: Option<Instant>,
    pub(super) began: Instant,
    /// The error code and, for metrics, its label in the closed set.
    error: Option<(String, &'static str)>,
    finished: bool,
}

impl Account {
    pub(super) fn open(core: Arc<Core>, route: Arc<Route>, loan: Loan, path: String) -> Self {
        route.metrics.begin();
        Self {
            core,
            received_ms: loan.received_ms,
            id: loan.id.clone(),
            client: loan.client,
            method: loan.method.clone(),
            route,
            path,
            loan,
            status: None,
            target: "".into(),
            attempts: 0,
            request_bytes: 0,
            response_bytes: 0,
            events: 0,
            first_byte: None,
            last_byte: None,
            began: Instant::now(),
            error: None,
            finished: false,
        }
    }

    /// Octets of the body go to the client.
    pub(super) fn sends(&mut self, bytes: usize) {
        let now = Instant::now();
        match self.last_byte.replace(now) {
            None => {
                let waited = now.duration_since(self.began);
                self.first_byte = Some(waited);
                self.route.metrics.first_byte(waited);
            }
            Some(before) => self.route.metrics.gap(now.duration_since(before)),
        }
        self.response_bytes += bytes as u64;
    }

    /// The exchange has failed; says so in the log, which is the only place that does.
    pub(super) fn fails(&mut self, failure: &Failure) {
        self.error = Some((failure.code().to_owned(), failure.kind().label()));
        let (status, code, cause) = (failure.status().as_u16(), failure.code(), failure.cause());
        let (req, route) = (&*self.id, &*self.route.label);
        if failure.status().is_server_error() {
            tracing::warn!(
                req,
                route,
                status,
                code,
                error = cause,
                "{}",
                failure.message()
            );
        } else {
            tracing::debug!(
                req,
                route,
                status,
                code,
                error = cause,
                "{}",
                failure.message()
            );
        }
    }

    /// The exchange has come to its end; without this, the client has left before.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let duration = self.began.elapsed();
        let (error, label) = match self.error.take() {
            Some((code, label)) => (code, label),
            None if self.finished => (String::new(), "none"),
            None => (String::new(), "cancelled"),
        };
        let status = self.status.map_or(0, |status| status.as_u16());
        let overhead = self.loan.spent();
        self.route.metrics.end(status, label, duration, overhead);
        let notes = self.loan.take_notes();
        if let Some((_, usage)) = notes.iter().find(|(name, _)| name == "usage") {
            let (input, output) = tokens(usage);
            self.route.metrics.tokens(input, output);
        }
        let summary = Arc::new(Summary {
            id: self.id.clone(),
            received_ms: self.received_ms,
            route: self.route.label.clone(),
            method: std::mem::take(&mut self.method),
            path: std::mem::take(&mut self.path),
            client: self.client,
            status,
            error,
            cancelled: !self.finished,
            target: self.target.clone(),
            attempts: self.attempts,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            events: self.events,
            duration,
            first_byte: self.first_byte,
            overhead,
            notes,
        });
        for observer in &self.route.pipeline.observers {
            observer.tell(summary.clone());
        }
        self.core.recent.add(summary);
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
