//! Starts a run: everything is stored in one transaction, then sent to the watchers, then the run begins.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::plan::Plan;
use super::{Actor, Live};
use crate::buffer::Buffer;
use crate::run::{self, PositionNotice};
use crate::slots::Entry;
use crate::store::message::Turn;
use crate::store::{self, event, message, session};
use crate::wire::event::{Event, RunKind, RunStart};
use crate::wire::message::{Message, Position, QueueItem, Role, RunPhase, RunSummary, Status};
use crate::wire::params::{Accepted, Sent};
use crate::wire::{Code, ErrorBody};

impl Actor {
    /// Stores all that a new run changes, sends it to the watchers, and starts the run.
    pub(super) async fn start_run(&mut self, plan: Plan, cid: &str) -> Result<Sent, ErrorBody> {
        let notice = Arc::new(PositionNotice::new(&self.core));
        let entry = self.core.slots.enter(&self.row.user, notice.clone());
        let place = match &entry {
            Entry::Now(_) => None,
            Entry::Later(_, place) => Some(*place),
            Entry::Full => {
                let message = "too many answers of this user wait already";
                return Err(ErrorBody::new(Code::QueueFull, message).after(Duration::from_secs(5)));
            }
        };
        let start = plan.start(place);
        let mut row = self.next_row();
        plan.touch(&mut row, self.live.is_some());
        let first = self.row.session.seq + 1;
        let write = Write {
            stored: self.stored,
            first,
            queue: plan
                .queued
                .then(|| self.queue_items().into_iter().skip(1).collect()),
            plan,
            start: start.clone(),
            row,
        };
        let written = self.core.store.write(move |c| write.store(c)).await;
        let written = match written {
            Ok(written) => written,
            // The same client id came to two sessions at the same time: the other one was first.
            Err(error) if error.conflict() => {
                return self.known(cid).await?.ok_or_else(|| error.into());
            }
            Err(error) => return Err(error.into()),
        };
        self.stored = true;
        self.row = written.row;
        if written.plan.queued {
            self.queue.remove(0);
        }
        let sent = self.spawn_run(entry, &notice, start, &written.plan, written.turns, place);
        for (seq, event) in (first..).zip(&written.events) {
            self.broadcast(seq, event);
        }
        if let Some(live) = &self.live {
            let (buffer, base) = (live.buffer.clone(), live.buffer.base);
            self.each_watcher(|outbox| outbox.follow(&buffer, base));
        }
        self.broadcast_summary();
        Ok(sent)
    }

    fn spawn_run(
        &mut self,
        entry: Entry,
        notice: &PositionNotice,
        start: RunStart,
        plan: &Plan,
        turns: Vec<Turn>,
        place: Option<usize>,
    ) -> Sent {
        let (text, reasoning) = plan.before();
        let limit = self.core.settings.limits.answer;
        let buffer = Buffer::new(&start.run, &start.message, text, reasoning, limit);
        let stop = self.core.interrupted.child_token();
        let task = run::Task {
            core: Arc::clone(&self.core),
            session: self.row.session.id.clone(),
            start: start.clone(),
            system: self.row.session.system.clone(),
            turns,
            options: plan.options.clone(),
            buffer: Arc::clone(&buffer),
            stop: stop.clone(),
        };
        notice.attach(&self.row.user, &start.run);
        self.core.live.add(&self.row.session.id, &buffer);
        run::spawn(task, entry);
        let sent = Sent {
            session: Some(self.row.session.id.clone()),
            message: plan.asked.as_ref().map(|message| message.id.clone()),
            reply: Some(start.message.clone()),
            run: Some(start.run.clone()),
            request_id: Some(start.request_id.clone()),
            seq: self.row.session.seq,
            status: if place.is_some() {
                Accepted::Waiting
            } else {
                Accepted::Started
            },
            dup: false,
            card: None,
        };
        let phase = if place.is_some() {
            RunPhase::Queued
        } else {
            RunPhase::Running
        };
        self.live = Some(Live {
            start,
            buffer,
            phase,
            stop,
            abandoned: false,
            hold: false,
            resumes: 0,
        });
        sent
    }
}

/// All that is stored when a run starts.
struct Write {
    stored: bool,
    first: u64,
    plan: Plan,
    start: RunStart,
    row: session::SessionRow,
    /// What still waits, if the message was in the queue.
    queue: Option<Vec<QueueItem>>,
}

/// What was stored, and the messages for the model.
struct Written {
    plan: Plan,
    row: session::SessionRow,
    events: Vec<Event>,
    turns: Vec<Turn>,
}

impl Write {
    fn store(mut self, c: &Connection) -> Result<Written, store::Error> {
        let (owner, user, now) = (
            self.row.session.id.clone(),
            self.row.user.clone(),
            self.start.created_at,
        );
        let mut events = Vec::new();
        if !self.stored {
            session::insert(c, &self.row)?;
        }
        if let Some(queue) = self.queue.take() {
            store::run::dequeue(c, &owner, &self.plan.cid)?;
            events.push(Event::QueueChanged { queue });
        }
        if let Some(asked) = &self.plan.asked {
            message::insert(c, &owner, &user, asked)?;
            let siblings = message::siblings(c, &owner, asked.parent.as_deref(), Role::User)?;
            events.push(Event::MessageAdded {
                message: Message {
                    siblings,
                    ..asked.clone()
                },
            });
        }
        let run = &self.start;
        let waiting = run.position.is_some();
        if self.plan.fresh {
            message::insert(c, &owner, &user, &self.reply())?;
        }
        store::run::insert(c, &self.plan.new_run(&owner, &user, run))?;
        store::run::open(c, &run.message, &run.run, waiting)?;
        if run.base == Position::default() {
            message::clear(c, &run.message)?;
        }
        let mut started = run.clone();
        started.siblings = message::siblings(c, &owner, Some(&run.parent), Role::Assistant)?;
        events.push(if waiting {
            Event::RunQueued(started)
        } else {
            Event::RunStarted(started)
        });
        for (seq, event) in (self.first..).zip(&events) {
            event::append(c, &owner, seq, event, now)?;
        }
        session::save(c, &self.row)?;
        let from = if self.plan.kind == RunKind::Continue {
            &run.message
        } else {
            &run.parent
        };
        let turns = message::context(c, &owner, from)?;
        Ok(Written {
            plan: self.plan,
            row: self.row,
            events,
            turns,
        })
    }

    /// The run's message, as it is before the first word.
    fn reply(&self) -> Message {
        let run = &self.start;
        Message {
            status: if run.position.is_some() {
                Status::Queued
            } else {
                Status::Streaming
            },
            run: Some(RunSummary {
                id: run.run.clone(),
                request_id: run.request_id.clone(),
                finish: None,
                error: None,
                usage: None,
                ttft_ms: None,
                duration_ms: None,
            }),
            ..self.plan.reply.clone()
        }
    }
}
