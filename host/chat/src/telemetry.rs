//! What operators are told: one log line per run, and figures for the metrics endpoint. Never the text of a message.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::wire::debug::{LayerTime, RequestLine};
use super::wire::event::RunEnd;

mod figures;

pub(crate) use figures::{Figures, Gauges};

/// Runs that are remembered for `/debug`.
const RECENT: usize = 64;
/// Figures and the last runs of one gateway.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    pub figures: Figures,
    recent: Mutex<VecDeque<(String, RequestLine)>>,
}

/// A run that is over.
pub(crate) struct Ended<'a> {
    pub end: &'a RunEnd,
    pub user: &'a str,
    pub session: &'a str,
    pub model: &'a str,
    pub viewers: usize,
    pub resumes: u32,
    /// When it began, in milliseconds since 1970.
    pub at: u64,
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
        self.figures.count(end);
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

    fn recent(&self) -> MutexGuard<'_, VecDeque<(String, RequestLine)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::wire::message::{Finish, Position, Usage};

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
        let text = telemetry.figures.encode(&gauges);
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
