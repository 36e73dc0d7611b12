//! The middle and the end of a run, as its session sees them.

use std::time::Duration;

use rusqlite::Connection;

use super::plan::{PREVIEW, one_line};
use super::{Actor, Live};
use crate::session::command::Outcome;
use crate::store::{self, event, session};
use crate::telemetry::Ended;
use crate::wire;
use crate::wire::event::{Event, Notice, RunEnd};
use crate::wire::message::{Finish, RunPhase};
use crate::wire::{Close, Layer};
use sluicegate_telemetry::clock;

/// Waits between attempts to store the end of a run. The text stays in memory meanwhile.
const RETRY: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
];

impl Actor {
    /// Asks the run to stop; with `hold` the messages behind it wait until somebody acts. Returns whether there was a run.
    pub(super) fn stop(&mut self, run: Option<&str>, hold: bool) -> bool {
        let Some(live) = self
            .live
            .as_mut()
            .filter(|live| run.is_none_or(|run| run == live.start.run))
        else {
            return false;
        };
        live.stop.cancel();
        live.hold = hold;
        live.phase = RunPhase::Stopping;
        let notice = Notice::Position {
            run: live.start.run.clone(),
            state: RunPhase::Stopping,
            position: None,
        };
        self.broadcast_notice(&notice);
        true
    }

    /// Notes that a waiting run has started.
    pub(super) async fn started(&mut self, run: &str) {
        let Some(live) = self.live.as_mut().filter(|live| live.start.run == run) else {
            return;
        };
        if live.phase == RunPhase::Queued {
            live.phase = RunPhase::Running;
        }
        live.start.position = None;
        let start = live.start.clone();
        let event = Event::RunStarted(start.clone());
        let row = self.next_row();
        let open = move |c: &Connection| store::run::open(c, &start.message, &start.run, false);
        if let Err(error) = self.commit(row, event, open).await {
            // Only the page learns of it late; the end of the run has all facts.
            tracing::error!(%error, "chat: the start of a run was not stored");
        }
    }

    /// Notes that a run is over: stores, sends and logs its text and figures, and starts the next waiting message.
    pub(super) async fn ended(&mut self, run: &str, outcome: Outcome) {
        let Some(live) = self.live.take_if(|live| live.start.run == run) else {
            return;
        };
        let (text, reasoning) = live.buffer.texts_now();
        let end = live.end(outcome);
        let mut row = self.next_row();
        row.answered = row.session.seq;
        if !text.is_empty() {
            row.session.preview = one_line(&text, PREVIEW);
        }
        let stored = self.store_end(&end, &row, text, reasoning).await;
        self.log(&live, &end);
        self.core.live.remove(&live.start.message);
        let below = |error: &wire::ErrorBody| error.layer != Layer::Gateway;
        if end.error.as_ref().is_some_and(below) {
            self.core.health.mark_stale();
        }
        if !stored {
            // Clients reconnect, a new actor loads what is stored, and the repair ends the run.
            self.each_watcher(|outbox| outbox.cut(Close::Internal));
            self.watchers.clear();
            return;
        }
        self.row = row;
        let hold = match end.finish {
            // The next message would probably fail too, or nobody would read its answer.
            Finish::Error | Finish::Interrupted | Finish::Abandoned => true,
            Finish::Stop
            | Finish::Length
            | Finish::ContentFilter
            | Finish::ToolCalls
            | Finish::Stopped => live.hold,
        };
        self.broadcast(self.row.session.seq, &Event::RunEnded(end));
        self.broadcast_summary();
        // Held messages wait until somebody acts. In the trash nothing runs.
        if !hold && self.row.session.deleted_at.is_none() {
            self.next_in_queue().await;
        }
    }

    async fn store_end(
        &self,
        end: &RunEnd,
        row: &session::SessionRow,
        text: String,
        reasoning: String,
    ) -> bool {
        let texts = std::sync::Arc::new((text, reasoning));
        for wait in RETRY.map(Some).into_iter().chain([None]) {
            let (end, row, texts) = (end.clone(), row.clone(), std::sync::Arc::clone(&texts));
            let written = self
                .core
                .store
                .write(move |c| {
                    let now = row.session.updated_at;
                    store::run::end(c, &end, &texts.0, &texts.1, now)?;
                    event::append(
                        c,
                        &row.session.id,
                        row.session.seq,
                        &Event::RunEnded(end),
                        now,
                    )?;
                    session::save(c, &row)
                })
                .await;
            match (written, wait) {
                (Ok(()), _) => return true,
                (Err(error), Some(wait)) => {
                    tracing::warn!(%error, "chat: the end of a run was not stored; trying again");
                    tokio::time::sleep(wait).await;
                }
                (Err(error), None) => {
                    tracing::error!(%error, "chat: the end of a run was not stored");
                    return false;
                }
            }
        }
        false
    }

    fn log(&self, live: &Live, end: &RunEnd) {
        self.core.telemetry.run_ended(&Ended {
            end,
            user: &self.row.user,
            session: &self.row.session.id,
            model: &live.start.model,
            viewers: self
                .watchers
                .iter()
                .filter(|watcher| watcher.strong_count() > 0)
                .count(),
            resumes: live.resumes,
            at: live.start.created_at,
        });
    }
}

impl Live {
    fn end(&self, outcome: Outcome) -> RunEnd {
        let finish = match outcome.finish {
            Finish::Stopped if self.abandoned => Finish::Abandoned,
            other => other,
        };
        RunEnd {
            run: self.start.run.clone(),
            message: self.start.message.clone(),
            finish,
            error: outcome
                .error
                .map(|error: wire::ErrorBody| error.request(&self.start.request_id)),
            to: self.buffer.end(),
            usage: outcome.usage,
            ttft_ms: outcome.ttft.map(clock::millis),
            reasoning_ms: outcome.reasoning.map(clock::millis),
            duration_ms: clock::millis(outcome.took),
            request_id: self.start.request_id.clone(),
        }
    }
}
