//! One actor per session that somebody uses: it owns the session's position, its watchers, its run and its waiting messages.
//! All changes of a session go through its actor, one after another: a change is written, then sent to all watchers, then the
//! next one begins. So positions have no gaps, and a client that starts to watch sees each change exactly once, in its first
//! response or as an event.
//!
//! An actor ends when nobody watches and nothing runs; the next request starts a new one from the database.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::buffer::Buffer;
use super::core::Core;
use super::outbox::{Frame, Outbox};
use super::store;
use super::store::session::SessionRow;
use super::wire::event::{Event, EventFrame, Notice, RunStart};
use super::wire::message::RunPhase;
use super::wire::params::Send;
use super::wire::{self, ErrorBody, not_found};
use sluicegate_telemetry::clock;

mod change;
pub(crate) mod command;
mod deliver;
mod end;
mod plan;
mod queue;
mod send;
mod start;
mod watch;

pub(crate) use change::{apply, check};
pub(crate) use deliver::{ask, ask_new, send};

use command::Command;

/// The shortest and the longest time between checks whether anybody still watches.
const CHECK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));
/// How long an actor lives without watchers, run and commands.
const LINGER: Duration = Duration::from_secs(60);

/// The actor of a session.
pub(crate) struct Actor {
    core: Arc<Core>,
    row: SessionRow,
    /// Whether the row is in the database: a session created by a first message is stored with that message.
    stored: bool,
    watchers: Vec<Weak<Outbox>>,
    live: Option<Live>,
    /// Messages that wait for the run, next first, with their times of arrival.
    queue: Vec<(Send, u64)>,
    mailbox: mpsc::Receiver<Command>,
    /// Since when nobody watches.
    alone: Option<Instant>,
    /// The snapshot that was sent last; clients that begin to watch before anything changes get the same.
    snapshot: watch::Snapshot,
}

/// The run of a session.
struct Live {
    start: RunStart,
    buffer: Arc<Buffer>,
    phase: RunPhase,
    stop: CancellationToken,
    /// Stopped because nobody watched for too long, and not by a user.
    abandoned: bool,
    /// A user has stopped it: the waiting messages do not start on their own.
    hold: bool,
    /// Times that a client resumed it.
    resumes: u32,
}

impl Actor {
    /// An actor for a session's row; `stored` says whether the row is in the database already.
    pub(crate) fn new(
        core: Arc<Core>,
        row: SessionRow,
        stored: bool,
        queue: Vec<(Send, u64)>,
        mailbox: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            core,
            row,
            stored,
            watchers: Vec::new(),
            live: None,
            queue,
            mailbox,
            alone: None,
            snapshot: watch::Snapshot::default(),
        }
    }

    /// Takes commands until nobody needs the actor.
    pub(crate) async fn run(mut self) {
        let mut idle_since = Instant::now();
        let mut next_check = Instant::now();
        loop {
            let command = tokio::select! {
                command = self.mailbox.recv() => command,
                () = tokio::time::sleep_until(next_check) => {
                    self.check_idle();
                    next_check = Instant::now() + self.check_interval();
                    None
                }
                () = self.core.closed.cancelled() => return,
            };
            if let Some(command) = command {
                self.core.directory.taken(&self.row.session.id);
                self.handle(command).await;
                idle_since = Instant::now();
            }
            let unused = self.watchers.is_empty() && self.live.is_none();
            let linger = if self.stored && !self.core.is_stopping() {
                LINGER
            } else {
                Duration::ZERO
            };
            if unused
                && idle_since.elapsed() >= linger
                && self.core.directory.retire(&self.row.session.id)
            {
                return;
            }
        }
    }

    async fn handle(&mut self, command: Command) {
        match command {
            Command::Watch {
                outbox,
                id,
                params,
                user,
            } => self.watch(&outbox, &id, &params, &user).await,
            Command::Unwatch { conn } => self.unwatch(&conn),
            Command::Send { send, user, reply } => reply.send(self.send(*send, &user).await),
            Command::Again {
                kind,
                again,
                user,
                reply,
            } => reply.send(self.again(kind, again, &user).await),
            Command::Stop { run, user, reply } => {
                reply.send(self.owned(&user).map(|()| self.stop(run.as_deref(), true)))
            }
            Command::Queue {
                change,
                user,
                reply,
            } => reply.send(self.change_queue(change, &user).await),
            Command::Select { leaf, user, reply } => reply.send(self.select(&leaf, &user).await),
            Command::Patch {
                patch,
                at,
                user,
                reply,
            } => reply.send(self.patch(patch, at, &user).await),
            Command::Trash {
                deleted,
                user,
                reply,
            } => reply.send(self.trash(deleted, &user).await),
            Command::Read { seq, user, reply } => reply.send(self.read(seq, &user).await),
            Command::Started { run } => self.started(&run).await,
            Command::Ended { run, outcome } => self.ended(&run, *outcome).await,
        }
    }

    /// The time until the next check: short if abandoned runs are stopped soon.
    fn check_interval(&self) -> Duration {
        let timeout = self.core.settings.orphan_timeout;
        if timeout.is_zero() {
            CHECK.1
        } else {
            (timeout / 4).clamp(CHECK.0, CHECK.1)
        }
    }

    /// Forgets watchers that are gone, and stops a run that nobody has watched for too long.
    fn check_idle(&mut self) {
        self.watchers
            .retain(|watcher| watcher.upgrade().is_some_and(|outbox| !outbox.closing()));
        if !self.watchers.is_empty() {
            self.alone = None;
            return;
        }
        let since = *self.alone.get_or_insert_with(Instant::now);
        let timeout = self.core.settings.orphan_timeout;
        if !timeout.is_zero()
            && since.elapsed() >= timeout
            && let Some(live) = &mut self.live
        {
            live.abandoned = true;
            live.stop.cancel();
        }
    }

    /// Checks that the session is this user's. One of another user counts as missing.
    fn owned(&self, user: &str) -> Result<(), ErrorBody> {
        if self.row.user == user {
            Ok(())
        } else {
            Err(not_found("session"))
        }
    }

    /// Checks that the session is this user's and not in the trash.
    fn usable(&self, user: &str) -> Result<(), ErrorBody> {
        self.owned(user)?;
        if self.row.session.deleted_at.is_none() {
            Ok(())
        } else {
            Err(not_found("session"))
        }
    }

    /// Stores a change of the session with its row, after `change` if there is more to store, and sends it to all watchers.
    async fn commit(
        &mut self,
        row: SessionRow,
        event: Event,
        change: impl FnOnce(&Connection) -> Result<(), store::Error> + std::marker::Send + 'static,
    ) -> Result<(), store::Error> {
        let (new_row, sent) = (row.clone(), event.clone());
        self.core
            .store
            .write(move |c| {
                change(c)?;
                let (id, seq) = (&row.session.id, row.session.seq);
                store::event::append(c, id, seq, &event, clock::unix_ms())?;
                store::session::save(c, &row)
            })
            .await?;
        self.row = new_row;
        self.broadcast(self.row.session.seq, &sent);
        Ok(())
    }

    /// Sends a stored change to all watchers.
    fn broadcast(&mut self, seq: u64, event: &Event) {
        let frame = EventFrame {
            kind: "event",
            session: &self.row.session.id,
            seq,
            event,
        };
        let frame = Frame::from(wire::text(&frame));
        let ended = match event {
            Event::RunEnded(end) => Some(end.run.as_str()),
            Event::MessageAdded { .. }
            | Event::MessageUpdated { .. }
            | Event::RunQueued(_)
            | Event::RunStarted(_)
            | Event::SessionUpdated { .. }
            | Event::SessionDeleted { .. }
            | Event::BranchSelected { .. }
            | Event::QueueChanged { .. } => None,
        };
        self.each_watcher(|outbox| match ended {
            Some(run) => outbox.push_end(run, frame.clone()),
            None => outbox.push(frame.clone()),
        });
    }

    /// Sends watchers a notice, which is not stored.
    fn broadcast_notice(&mut self, notice: &Notice) {
        let frame = Frame::from(wire::text(notice));
        self.each_watcher(|outbox| outbox.push(frame.clone()));
    }

    fn each_watcher(&mut self, give: impl Fn(&Arc<Outbox>)) {
        self.watchers
            .retain(|watcher| watcher.upgrade().map(|outbox| give(&outbox)).is_some());
    }

    /// Sends the session's line in the list to all connections of its user.
    fn broadcast_summary(&self) {
        let session = Box::new(self.session_now());
        let frame = wire::text(&Notice::SessionsChanged { session });
        self.core
            .connections
            .to_user(&self.row.user, &Frame::from(frame));
    }

    /// The session as its user sees it now.
    fn session_now(&self) -> wire::session::Session {
        let mut session = self.row.session.clone();
        session.running = self.live.is_some();
        session.unread = self.row.answered > self.row.read;
        session
    }

    /// A copy of the row for a change: with the next position and the current time.
    fn next_row(&self) -> SessionRow {
        let mut row = self.row.clone();
        row.session.seq += 1;
        row.session.updated_at = clock::unix_ms();
        row
    }
}
