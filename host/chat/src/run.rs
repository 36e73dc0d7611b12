//! One run: waits for its slot, asks the proxy, fills its buffer, saves the text so far to disk, and reports its end.
//!
//! A run belongs to its session, not to a connection: it goes on while nobody watches. It ends when the model ends, when
//! somebody stops it, when something fails, or when the gateway stops. Stopping drops the connection to the proxy at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::buffer::Buffer;
use super::core::Core;
use super::outbox::Frame;
use super::proxy::Item;
use super::session::command::{Command, Outcome};
use super::slots::{Entry, QueueObserver, Slot, Ticket};
use super::store;
use super::store::message::Turn;
use super::wire::event::{Channel, Notice, RunKind, RunStart};
use super::wire::message::{Finish, Position, Role, RunPhase, Usage};
use super::wire::params::Options;
use super::wire::{self, Code, ErrorBody, Layer};

/// Text is saved to disk after this time, or this many bytes.
const KEEP: Duration = Duration::from_secs(1);
const KEEP_BYTES: usize = 4 * 1024;

/// All that a run needs.
pub(crate) struct Task {
    pub core: Arc<Core>,
    pub session: String,
    pub start: RunStart,
    pub system: Option<String>,
    pub turns: Vec<Turn>,
    pub options: Options,
    pub buffer: Arc<Buffer>,
    /// Cancelled when a user, or the end of the gateway, stops the run.
    pub stop: CancellationToken,
}

/// Starts a run in a task of its own.
pub(crate) fn spawn(task: Task, entry: Entry) {
    let tracker = task.core.tracker.clone();
    let span = tracing::info_span!("chat_run", req = %task.start.request_id);
    tracker.spawn(task.work(entry).instrument(span));
}

impl Task {
    async fn work(self, entry: Entry) {
        let outcome = match self.slot(entry).await {
            Some(_slot) => self.ask().await,
            None => Outcome::new(self.stopped(), Instant::now()),
        };
        let run = self.start.run.clone();
        self.core
            .directory
            .report(
                &self.session,
                Command::Ended {
                    run,
                    outcome: Box::new(outcome),
                },
            )
            .await;
    }

    /// Waits for the slot; `None` if stopped before.
    async fn slot(&self, entry: Entry) -> Option<Slot> {
        let ticket: Ticket = match entry {
            Entry::Now(slot) => return Some(slot),
            Entry::Later(ticket, _) => ticket,
            Entry::Full => return None,
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            slot = ticket.wait() => {
                self.core.directory.report(&self.session, Command::Started { run: self.start.run.clone() }).await;
                Some(slot)
            }
        }
    }

    /// Asks the model and reads its answer to the end, or until stopped.
    async fn ask(&self) -> Outcome {
        let mut progress = Progress::new(self.buffer.end());
        let read = self.read(&mut progress);
        let result = tokio::select! {
            biased;
            // Everything that belongs to the connection is in the other future and is dropped here.
            () = self.stop.cancelled() => Ok(self.stopped()),
            result = read => result,
        };
        // Text since the last save is stored with the end of the run.
        let (finish, error) = match result {
            Ok(finish) => (finish, None),
            Err(error) => (Finish::Error, Some(error)),
        };
        Outcome {
            finish,
            error,
            ..progress.outcome()
        }
    }

    async fn read(&self, progress: &mut Progress) -> Result<Finish, ErrorBody> {
        let prefix = self.start.kind == RunKind::Continue && self.start.base.text > 0;
        let mut completion = self
            .core
            .proxy
            .chat(self.body()?, &self.start.request_id, prefix)
            .await?;
        let mut finish = Finish::Stop;
        loop {
            let item = match progress.unkept {
                None => completion.next().await,
                Some(since) => tokio::select! {
                    item = completion.next() => item,
                    () = tokio::time::sleep_until(since + KEEP) => {
                        self.keep(progress).await;
                        continue;
                    }
                },
            };
            match item? {
                None => return Ok(finish),
                Some(Item::Finish(reason)) => finish = reason,
                Some(Item::Usage(usage)) => progress.usage = Some(usage),
                Some(Item::Text(channel, text)) => {
                    if !self.buffer.append(channel, &text) {
                        return Ok(Finish::Length);
                    }
                    progress.came(channel, Instant::now());
                    let end = self.buffer.end();
                    if end.text + end.reasoning
                        >= progress.kept.text + progress.kept.reasoning + KEEP_BYTES
                    {
                        self.keep(progress).await;
                    }
                }
            }
        }
    }

    /// Saves the text so far to disk, so that it survives the end of this process.
    async fn keep(&self, progress: &mut Progress) {
        progress.unkept = None;
        let (text, reasoning) = self.buffer.since(progress.kept);
        let kept = Position {
            text: progress.kept.text + text.len(),
            reasoning: progress.kept.reasoning + reasoning.len(),
        };
        let run = self.start.run.clone();
        match self
            .core
            .store
            .write(move |c| store::run::keep(c, &run, &text, &reasoning))
            .await
        {
            Ok(()) => progress.kept = kept,
            Err(error) => {
                // The text is still in memory. Trying again with the next item would be too often.
                progress.unkept = Some(Instant::now());
                tracing::warn!(%error, "chat: text of a run was not saved");
            }
        }
    }

    fn stopped(&self) -> Finish {
        if self.core.interrupted.is_cancelled() {
            Finish::Interrupted
        } else {
            Finish::Stopped
        }
    }

    /// The request as JSON.
    fn body(&self) -> Result<Bytes, ErrorBody> {
        if self.start.model.is_empty() {
            return Err(self.core.no_model());
        }
        let system = self.system.as_deref().map(|content| ChatMessage {
            role: "system",
            content,
        });
        let turns = self.turns.iter().map(|turn| ChatMessage {
            role: role(turn.role),
            content: &turn.text,
        });
        let request = Request {
            model: &self.start.model,
            messages: system.into_iter().chain(turns).collect(),
            stream: true,
            stream_options: StreamOptions {
                include_usage: true,
            },
            options: &self.options,
        };
        serde_json::to_vec(&request).map(Bytes::from).map_err(|_| {
            ErrorBody::new(Code::Internal, "the request cannot be written as JSON")
                .layer(Layer::Gateway)
        })
    }
}

/// What a run has seen so far.
struct Progress {
    started: Instant,
    first: Option<Instant>,
    reasoned: Option<Instant>,
    answered: Option<Instant>,
    usage: Option<Usage>,
    /// How much is on disk.
    kept: Position,
    /// Since when there is more than that.
    unkept: Option<Instant>,
}

impl Progress {
    fn new(kept: Position) -> Self {
        Self {
            started: Instant::now(),
            first: None,
            reasoned: None,
            answered: None,
            usage: None,
            kept,
            unkept: None,
        }
    }

    fn came(&mut self, channel: Channel, now: Instant) {
        self.first.get_or_insert(now);
        self.unkept.get_or_insert(now);
        match channel {
            Channel::Reasoning => self.reasoned.get_or_insert(now),
            Channel::Text => self.answered.get_or_insert(now),
        };
    }

    fn outcome(&self) -> Outcome {
        let reasoning = self.reasoned.map(|from| {
            self.answered
                .unwrap_or_else(Instant::now)
                .saturating_duration_since(from)
        });
        Outcome {
            usage: self.usage,
            ttft: self.first.map(|first| first - self.started),
            reasoning,
            ..Outcome::new(Finish::Stop, self.started)
        }
    }
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: Vec<ChatMessage<'a>>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(flatten)]
    options: &'a Options,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct ChatMessage<'a> {
    role: &'static str,
    content: &'a str,
}

fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// Tells the user's connections when a waiting run moves up in the queue.
#[derive(Debug)]
pub(crate) struct PositionNotice {
    core: std::sync::Weak<Core>,
    /// The user and the run; not known yet when the run enters the queue.
    run: Mutex<Option<(String, String)>>,
}

impl PositionNotice {
    /// Notices about a run that has no id yet.
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self {
            core: Arc::downgrade(core),
            run: Mutex::new(None),
        }
    }

    /// Sets the run's id and user.
    pub(crate) fn attach(&self, user: &str, run: &str) {
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((user.to_owned(), run.to_owned()));
    }
}

impl QueueObserver for PositionNotice {
    fn moved(&self, place: usize) {
        let named = self
            .run
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let (Some(core), Some((user, run))) = (self.core.upgrade(), named) {
            let notice = Notice::Position {
                run,
                state: RunPhase::Queued,
                position: Some(place),
            };
            core.connections
                .to_user(&user, &Frame::from(wire::text(&notice)));
        }
    }
}
