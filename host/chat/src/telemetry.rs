//! What operators learn: one business log line per run, and figures for the metrics endpoint. Never any text of a message.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::wire::debug::{LayerTime, RequestLine};
use super::wire::event::RunEnd;
use super::wire::message::Finish;

/// Runs that `/debug` can show.
const RECENT: usize = 64;
/// Upper bounds of the histogram of times to the first token, in milliseconds.
const TTFT: [u64; 10] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 120_000,
];

/// Counters of one gateway.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    /// Runs by how they ended, in the order of [`FINISHES`].
    runs: [AtomicU64; FINISHES.len()],
    tokens_in: AtomicU64,
    tokens_out: AtomicU64,
    ttft: [AtomicU64; TTFT.len() + 1],
    ttft_sum_ms: AtomicU64,
    /// Sockets that were opened.
    pub opened: AtomicU64,
    /// Sockets that were refused or closed for a reason, by the gateway.
    pub refused: AtomicU64,
    /// Times that a session was watched again from a position.
    pub resumes: AtomicU64,
    /// Requests that were refused for their rate.
    pub limited: AtomicU64,
    /// Failed logins.
    pub login_failures: AtomicU64,
    recent: Mutex<VecDeque<(String, RequestLine)>>,
}

const FINISHES: [Finish; 8] = [
    Finish::Stop,
    Finish::Length,
    Finish::ContentFilter,
    Finish::ToolCalls,
    Finish::Stopped,
    Finish::Error,
    Finish::Interrupted,
    Finish::Abandoned,
];

/// A run that is over.
pub(crate) struct Ended<'a> {
    pub end: &'a RunEnd,
    pub user: &'a str,
    pub session: &'a str,
    pub model: &'a str,
    pub viewers: usize,
    pub resumes: u32,
    /// When it began. Milliseconds since 1970.
    pub at: u64,
}

/// What the gauges show at the moment of asking.
pub(crate) struct Gauges {
    pub connections: usize,
    pub sessions: usize,
    pub running: usize,
    pub waiting: usize,
    pub proxy_up: bool,
    pub model_up: bool,
    pub store_p95: Duration,
}

impl Gauges {
    fn encode(&self, text: &mut Text) {
        for (name, help, value) in [
            (
                "connections",
                "Open sockets and event streams.",
                self.connections,
            ),
            ("sessions_live", "Sessions in memory.", self.sessions),
            ("runs_active", "Runs under way.", self.running),
            ("runs_waiting", "Runs waiting for a slot.", self.waiting),
            (
                "proxy_up",
                "Whether the proxy answers.",
                usize::from(self.proxy_up),
            ),
            (
                "model_up",
                "Whether the model server answers.",
                usize::from(self.model_up),
            ),
        ] {
            let name = format!("sluicegate_chat_{name}");
            text.head(&name, "gauge", help);
            text.line(&name, "", value);
        }
        let name = "sluicegate_chat_store_write_p95_seconds";
        text.head(
            name,
            "gauge",
            "95th percentile of the last writes to the database.",
        );
        text.line(name, "", self.store_p95.as_secs_f64());
    }
}

impl Telemetry {
    /// Writes the log line of a run and counts it.
    pub(crate) fn run_ended(&self, ended: &Ended<'_>) {
        let end = ended.end;
        let error = end.error.as_ref();
        tracing::info!(
            target: "sluicegate::chat",
            layer = "gateway",
            ev = "run_end",
            req = %end.request_id,
            user = %ended.user,
            session = %ended.session,
            run = %end.run,
            model = %ended.model,
            finish = end.finish.word(),
            error = error.map(|error| format!("{:?}", error.code)),
            error_layer = error.map(|error| format!("{:?}", error.layer)),
            ttft_ms = end.ttft_ms,
            ms = end.duration_ms,
            r#in = end.usage.map(|usage| usage.input),
            out = end.usage.map(|usage| usage.output),
            viewers = ended.viewers,
            resumes = ended.resumes,
            "run ended"
        );
        self.count(end);
        let mut recent = self.recent();
        recent.truncate(RECENT - 1);
        let line = RequestLine {
            request_id: end.request_id.clone(),
            session: ended.session.to_owned(),
            model: ended.model.to_owned(),
            finish: Some(end.finish),
            at: ended.at,
            layers: vec![LayerTime {
                layer: "gateway",
                ttft_ms: end.ttft_ms,
                ms: Some(end.duration_ms),
            }],
        };
        recent.push_front((ended.user.to_owned(), line));
    }

    fn count(&self, end: &RunEnd) {
        if let Some(at) = FINISHES.iter().position(|finish| *finish == end.finish) {
            self.runs[at].fetch_add(1, Ordering::Relaxed);
        }
        if let Some(usage) = end.usage {
            self.tokens_in.fetch_add(usage.input, Ordering::Relaxed);
            self.tokens_out.fetch_add(usage.output, Ordering::Relaxed);
        }
        if let Some(ms) = end.ttft_ms {
            let at = TTFT
                .iter()
                .position(|bound| ms <= *bound)
                .unwrap_or(TTFT.len());
            self.ttft[at].fetch_add(1, Ordering::Relaxed);
            self.ttft_sum_ms.fetch_add(ms, Ordering::Relaxed);
        }
    }

    /// The last runs of a user, latest first.
    pub(crate) fn recent_of(&self, user: &str, most: usize) -> Vec<RequestLine> {
        let recent = self.recent();
        recent
            .iter()
            .filter(|(owner, _)| owner == user)
            .take(most)
            .map(|(_, line)| line.clone())
            .collect()
    }

    /// The 50th and 95th percentile of the times to the first token of the last runs, of all users, in milliseconds.
    pub(crate) fn ttft_percentiles(&self) -> Option<(u64, u64)> {
        let mut times: Vec<u64> = self
            .recent()
            .iter()
            .filter_map(|(_, line)| line.layers[0].ttft_ms)
            .collect();
        times.sort_unstable();
        let at = |percent: usize| {
            times
                .get((times.len() * percent / 100).min(times.len().checked_sub(1)?))
                .copied()
        };
        Some((at(50)?, at(95)?))
    }

    /// The time to the first token of the last run that had one.
    pub(crate) fn last_ttft(&self) -> Option<u64> {
        self.recent()
            .iter()
            .find_map(|(_, line)| line.layers[0].ttft_ms)
    }

    /// All figures in the OpenMetrics text format, without its end mark: another set may follow.
    pub(crate) fn encode(&self, gauges: &Gauges) -> String {
        let mut text = Text::default();
        let name = "sluicegate_chat_runs";
        text.head(name, "counter", "Runs by how they ended.");
        for (finish, count) in FINISHES.iter().zip(&self.runs) {
            let labels = format!("{{finish=\"{}\"}}", finish.word());
            text.count(name, &labels, count);
        }
        let name = "sluicegate_chat_tokens";
        text.head(name, "counter", "Tokens by direction.");
        for (direction, count) in [("in", &self.tokens_in), ("out", &self.tokens_out)] {
            let labels = format!("{{direction=\"{direction}\"}}");
            text.count(name, &labels, count);
        }
        self.encode_ttft(&mut text);
        self.encode_counters(&mut text);
        gauges.encode(&mut text);
        text.0
    }

    fn encode_counters(&self, text: &mut Text) {
        for (name, help, counter) in [
            (
                "connections_opened",
                "Sockets and event streams opened.",
                &self.opened,
            ),
            (
                "connections_refused",
                "Sockets refused or closed by the gateway.",
                &self.refused,
            ),
            (
                "resumes",
                "Sessions watched again from a position.",
                &self.resumes,
            ),
            ("limited", "Requests refused for their rate.", &self.limited),
            ("login_failures", "Failed logins.", &self.login_failures),
        ] {
            let name = format!("sluicegate_chat_{name}");
            text.head(&name, "counter", help);
            text.count(&name, "", counter);
        }
    }

    fn encode_ttft(&self, text: &mut Text) {
        let name = "sluicegate_chat_ttft_seconds";
        text.head(
            name,
            "histogram",
            "Time to the first token, as the web gateway saw it.",
        );
        let mut sum = 0;
        for (at, count) in self.ttft.iter().enumerate() {
            sum += count.load(Ordering::Relaxed);
            let bound = TTFT
                .get(at)
                // Bounds are floats, also whole ones: `1.0`.
                .map_or("+Inf".to_owned(), |ms| format!("{:?}", seconds(*ms)));
            text.line(
                &format!("{name}_bucket"),
                &format!("{{le=\"{bound}\"}}"),
                sum,
            );
        }
        text.line(
            &format!("{name}_sum"),
            "",
            seconds(self.ttft_sum_ms.load(Ordering::Relaxed)),
        );
        text.line(&format!("{name}_count"), "", sum);
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<(String, RequestLine)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// A counter's line; its name has a suffix there and not in its head.
    fn count(&mut self, name: &str, labels: &str, count: &AtomicU64) {
        self.line(
            &format!("{name}_total"),
            labels,
            count.load(Ordering::Relaxed),
        );
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::{Position, Usage};

    fn end(finish: Finish, ttft_ms: Option<u64>) -> RunEnd {
        RunEnd {
            run: "run_1".into(),
            message: "msg_1".into(),
            finish,
            error: None,
            to: Position::default(),
            usage: Some(Usage {
                input: 2,
                output: 3,
            }),
            ttft_ms,
            reasoning_ms: None,
            duration_ms: 10,
            request_id: "req_1".into(),
        }
    }

    fn ended(end: &RunEnd) -> Ended<'_> {
        Ended {
            end,
            user: "u_1",
            session: "ses_1",
            model: "m",
            viewers: 1,
            resumes: 0,
            at: 0,
        }
    }

    #[test]
    fn runs_are_counted_by_their_end_and_shown_to_their_user_only() {
        let telemetry = Telemetry::default();
        for ttft in [Some(40), Some(70), None] {
            telemetry.run_ended(&ended(&end(Finish::Stop, ttft)));
        }
        telemetry.run_ended(&ended(&end(Finish::Abandoned, Some(999_999))));
        let gauges = Gauges {
            connections: 1,
            sessions: 2,
            running: 3,
            waiting: 4,
            proxy_up: true,
            model_up: false,
            store_p95: Duration::from_millis(5),
        };
        let text = telemetry.encode(&gauges);
        for line in [
            "# TYPE sluicegate_chat_runs counter",
            "sluicegate_chat_runs_total{finish=\"stop\"} 3",
            "sluicegate_chat_runs_total{finish=\"abandoned\"} 1",
            "sluicegate_chat_tokens_total{direction=\"out\"} 12",
            "sluicegate_chat_ttft_seconds_bucket{le=\"0.05\"} 1",
            "sluicegate_chat_ttft_seconds_bucket{le=\"0.1\"} 2",
            "sluicegate_chat_ttft_seconds_bucket{le=\"1.0\"} 2",
            "sluicegate_chat_ttft_seconds_bucket{le=\"+Inf\"} 3",
            "sluicegate_chat_ttft_seconds_count 3",
            "sluicegate_chat_runs_waiting 4",
            "sluicegate_chat_store_write_p95_seconds 0.005",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        assert_eq!(telemetry.recent_of("u_1", 2).len(), 2);
        assert!(telemetry.recent_of("u_2", 2).is_empty());
        assert_eq!(telemetry.last_ttft(), Some(999_999));
        assert_eq!(telemetry.ttft_percentiles(), Some((70, 999_999)));
    }

    #[test]
    fn only_the_last_runs_are_remembered() {
        let telemetry = Telemetry::default();
        assert_eq!(telemetry.ttft_percentiles(), None);
        for _ in 0..RECENT + 5 {
            telemetry.run_ended(&ended(&end(Finish::Stop, None)));
        }
        assert_eq!(telemetry.recent_of("u_1", usize::MAX).len(), RECENT);
    }
}
