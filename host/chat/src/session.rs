//! One actor per session that somebody uses: it owns the session's position, its watchers, its run and its waiting messages.
//!
//! Everything that changes a session goes through its actor, one thing after another: a change is written, then told to all
//! watchers, then the next one begins. So positions have no holes, and a client that starts to watch sees each change either in
//! its first answer or as an event, never twice and never not at all.
//!
//! An actor ends when nobody watches and nothing runs; the next request starts a new one from the database.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::buffer::Buffer;
use super::core::Core;
use super::outbox::{Frame, Outbox};
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

/// How often an actor looks whether anybody still watches, at most and at least.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));
/// How long an actor stays without watchers, run and requests.
const LINGER: Duration = Duration::from_secs(60);

/// A session in use.
pub(crate) struct Actor {
    core: Arc<Core>,
    row: SessionRow,
    /// Whether the row is in the database: a session that a first message makes is stored with that message.
    stored: bool,
    watchers: Vec<Weak<Outbox>>,
    live: Option<Live>,
    /// Messages that wait for the run, next first, with the time they came.
    queue: Vec<(Send, u64)>,
    mailbox: mpsc::Receiver<Command>,
    /// Since when nobody watches.
    alone: Option<Instant>,
    /// What the last one got who began to watch; whoever begins before anything changes gets the same.
    snapshot: watch::Snapshot,
}

/// The run of a session.
struct Live {
    start: RunStart,
    buffer: Arc<Buffer>,
    phase: RunPhase,
    stop: CancellationToken,
    /// Nobody watched for too long; tells the end from one that a user asked for.
    abandoned: bool,
    /// A user has stopped it: what waits behind it is not to begin at once.
    hold: bool,
    /// Times that somebody came back to it.
    resumes: u32,
}

impl Actor {
    /// An actor over a session's row; `stored` says whether the row is in the database already.
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

    /// Works until nobody needs it.
    pub(crate) async fn run(mut self) {
        let mut idle_since = Instant::now();
        let mut next_check = Instant::now();
        loop {
            let command = tokio::select! {
                command = self.mailbox.recv() => command,
                () = tokio::time::sleep_until(next_check) => {
                    self.check_idle();
                    // A short patience with abandoned runs needs a short look; none at all does not.
                    let patience = Some(self.core.settings.orphan_timeout / 4).filter(|patience| !patience.is_zero());
                    next_check = Instant::now() + patience.map_or(LOOK.1, |patience| patience.clamp(LOOK.0, LOOK.1));
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
            let patience = if self.stored && !self.core.is_stopping() {
                LINGER
            } else {
                Duration::ZERO
            };
            if unused
                && idle_since.elapsed() >= patience
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

    /// Forgets watchers that are gone, and stops a run that nobody watched for long.
    fn check_idle(&mut self) {
        self.watchers
            .retain(|watcher| watcher.upgrade().is_some_and(|outbox| !outbox.closing()));
        if !self.watchers.is_empty() {
            self.alone = None;
            return;
        }
        let since = *self.alone.get_or_insert_with(Instant::now);
        let patience = self.core.settings.orphan_timeout;
        if !patience.is_zero()
            && since.elapsed() >= patience
            && let Some(live) = &mut self.live
        {
            live.abandoned = true;
            live.stop.cancel();
        }
    }

    /// That the session is this user's. Another user's is as good as none.
    fn owned(&self, user: &str) -> Result<(), ErrorBody> {
        if self.row.user == user {
            Ok(())
        } else {
            Err(not_found("session"))
        }
    }

    /// That the session is this user's and not in the bin.
    fn usable(&self, user: &str) -> Result<(), ErrorBody> {
        self.owned(user)?;
        if self.row.session.deleted_at.is_none() {
            Ok(())
        } else {
            Err(not_found("session"))
        }
    }

    /// Tells a stored change to all watchers.
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

    /// Tells watchers something of the moment.
    fn broadcast_notice(&mut self, notice: &Notice) {
        let frame = Frame::from(wire::text(notice));
        self.each_watcher(|outbox| outbox.push(frame.clone()));
    }

    fn each_watcher(&mut self, give: impl Fn(&Arc<Outbox>)) {
        self.watchers
            .retain(|watcher| watcher.upgrade().map(|outbox| give(&outbox)).is_some());
    }

    /// Tells the session's line to all of its user's connections.
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

    /// A copy of the row to be changed and stored: the next position, the time of now.
    fn next_row(&self) -> SessionRow {
        let mut row = self.row.clone();
        row.session.seq += 1;
        row.session.updated_at = clock::unix_ms();
        row
    }
}
