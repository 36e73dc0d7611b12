//! From a message, or a wish for another answer, to a run.

use std::sync::Arc;

use rusqlite::Connection;

use super::{Actor, Live, bad_param, change, not_found, store_failed};
use crate::chat::buffer::Buffer;
use crate::chat::run::{self, Moves};
use crate::chat::slots::Entry;
use crate::chat::store::message::Turn;
use crate::chat::store::run::{Known, NewRun};
use crate::chat::store::{self, event, message, session};
use crate::chat::wire::event::{Event, RunKind, RunStart};
use crate::chat::wire::message::{Message, Position, Role, RunPhase, RunSummary, Status};
use crate::chat::wire::params::{Accepted, Again, Options, Send, Sent, SessionPatch, When};
use crate::chat::wire::{Code, ErrorBody};
use crate::chat::{clock, id};

/// Characters of a title made from a message, and of a preview.
const TITLE: usize = 48;
const PREVIEW: usize = 80;

/// All that decides on a run before anything is stored.
struct Plan {
    kind: RunKind,
    cid: String,
    /// The user's message, if there is a new one.
    asked: Option<Message>,
    /// The message that the run writes: new, or for `Continue` the one that is there.
    reply: Message,
    model: String,
    /// Whether the user named the model, so that it becomes the session's.
    chosen: bool,
    options: Options,
    /// Whether the user's message waited in the queue.
    queued: bool,
}

impl Actor {
    /// A new message: runs it, lets it wait, or says what became of it when it came before.
    pub(super) async fn send(&mut self, send: Send, user: &str) -> Result<Sent, ErrorBody> {
        self.usable(user)?;
        if let Some(sent) = self.known(&send.cid).await? {
            return Ok(sent);
        }
        if self.hub.is_stopping() {
            return Err(self.hub.stopping_error());
        }
        if !self.stored {
            let patch = SessionPatch {
                system: send.system.clone().map(Some),
                ..SessionPatch::default()
            };
            change::check(&patch)?;
            change::apply(patch, &mut self.row);
        }
        self.hub.take_send(&self.row.user)?;
        let result = self.accept(send).await;
        if result.is_err() {
            self.hub.give_back_send(&self.row.user);
        }
        result
    }

    async fn accept(&mut self, send: Send) -> Result<Sent, ErrorBody> {
        let busy = self.live.as_ref().map(|live| live.start.run.clone());
        match (&busy, send.when) {
            (Some(run), When::Reject) => {
                let details = serde_json::json!({ "run": run });
                Err(ErrorBody::new(Code::RunActive, "the session is busy").details(details))
            }
            (Some(run), When::Interrupt) => {
                let sent = self.enqueue(send, true).await?;
                self.stop(Some(run));
                Ok(sent)
            }
            (Some(_), When::Queue) => self.enqueue(send, false).await,
            // An answer failed while messages waited: they come first.
            (None, When::Queue) if !self.queue.is_empty() => {
                let sent = self.enqueue(send, false).await?;
                self.next_in_queue().await;
                Ok(sent)
            }
            (None, When::Queue | When::Reject | When::Interrupt) => {
                let cid = send.cid.clone();
                let plan = self.plan_send(send, false).await?;
                self.launch(plan, &cid).await
            }
        }
    }

    /// Another answer to an old question, or more of an answer.
    pub(super) async fn again(
        &mut self,
        kind: RunKind,
        again: Again,
        user: &str,
    ) -> Result<Sent, ErrorBody> {
        self.usable(user)?;
        if let Some(sent) = self.known(&again.cid).await? {
            return Ok(sent);
        }
        if self.hub.is_stopping() {
            return Err(self.hub.stopping_error());
        }
        if let Some(live) = &self.live {
            let details = serde_json::json!({ "run": live.start.run });
            return Err(ErrorBody::new(Code::RunActive, "the session is busy").details(details));
        }
        self.hub.take_send(&self.row.user)?;
        let cid = again.cid.clone();
        let result = match self.plan_again(kind, again).await {
            Ok(plan) => self.launch(plan, &cid).await,
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.hub.give_back_send(&self.row.user);
        }
        result
    }

    /// Starts the next waiting message, if there is one. One that cannot start any more is left out.
    pub(super) async fn next_in_queue(&mut self) {
        while self.live.is_none() && !self.queue.is_empty() && !self.hub.is_stopping() {
            let (send, _) = self.queue[0].clone();
            let cid = send.cid.clone();
            let result = match self.plan_send(send, true).await {
                Ok(plan) => self.launch(plan, &cid).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(_) => return,
                // Tried again when something else in this session happens.
                Err(error) if error.retryable => return,
                Err(error) => {
                    tracing::warn!(code = ?error.code, "chat: a waiting message cannot be sent any more");
                    if self.drop_from_queue(&cid).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// The ids of the first time, if this client id came before.
    async fn known(&self, cid: &str) -> Result<Option<Sent>, ErrorBody> {
        let (user, cid) = (self.row.user.clone(), cid.to_owned());
        let known = self
            .hub
            .store
            .read(move |c| store::run::known(c, &user, &cid))
            .await;
        Ok(known
            .map_err(|error| store_failed(&error))?
            .map(|known| self.repeated(known)))
    }

    fn repeated(&self, known: Known) -> Sent {
        let waits = |live: &Live| {
            Some(&live.start.run) == known.run.as_ref() && live.phase == RunPhase::Queued
        };
        let status = match &known.run {
            None => Accepted::Queued,
            Some(_) if known.ended => Accepted::Ended,
            Some(_) if self.live.as_ref().is_some_and(waits) => Accepted::Waiting,
            Some(_) => Accepted::Started,
        };
        Sent {
            session: Some(known.session),
            message: known.message,
            reply: known.reply,
            run: known.run,
            request_id: known.request,
            seq: self.row.session.seq,
            status,
            dup: true,
            card: None,
        }
    }

    async fn plan_send(&self, send: Send, queued: bool) -> Result<Plan, ErrorBody> {
        let parent = match (&send.edit_of, &send.parent) {
            (Some(edited), _) => {
                let old = self.message(edited).await?;
                if old.role != Role::User {
                    return Err(bad_param("edit_of", "only a user's message can be edited"));
                }
                old.parent
            }
            (None, Some(parent)) => {
                if let Some(parent) = parent {
                    self.message(parent).await?;
                }
                parent.clone()
            }
            (None, None) => self.row.session.leaf.clone(),
        };
        let leaf = self.row.session.leaf.as_deref();
        if send.edit_of.is_none()
            && send.expected_leaf.is_some()
            && send.expected_leaf.as_deref() != leaf
            && !queued
        {
            let details = serde_json::json!({ "leaf": leaf });
            return Err(
                ErrorBody::new(Code::LeafChanged, "the session went on meanwhile").details(details),
            );
        }
        let now = clock::now_ms();
        let asked = Message {
            parent,
            cid: Some(send.cid.clone()),
            edit_of: send.edit_of,
            text: literal(send.text),
            ..blank(id::new("msg"), Role::User, now)
        };
        let chosen = send.model.is_some();
        let model = self.model(send.model).await;
        let reply = answer_to(&asked.id, &model, now);
        let (cid, options) = (send.cid, send.options);
        Ok(Plan {
            kind: RunKind::Answer,
            cid,
            asked: Some(asked),
            reply,
            model,
            chosen,
            options,
            queued,
        })
    }

    async fn plan_again(&self, kind: RunKind, again: Again) -> Result<Plan, ErrorBody> {
        let target = self.message(&again.message).await?;
        let (model, reply) = match (kind, target.role) {
            (RunKind::Continue, Role::User) => {
                return Err(bad_param("message", "only an answer can be continued"));
            }
            (RunKind::Continue, Role::Assistant) => {
                if self.row.session.leaf.as_deref() != Some(target.id.as_str()) {
                    let details = serde_json::json!({ "leaf": self.row.session.leaf });
                    return Err(ErrorBody::new(
                        Code::LeafChanged,
                        "only the last answer can be continued",
                    )
                    .details(details));
                }
                (self.model(target.model.clone()).await, target)
            }
            (RunKind::Regenerate | RunKind::Answer, role) => {
                let question = match role {
                    Role::User => target.id,
                    Role::Assistant => target.parent.ok_or_else(|| not_found("message"))?,
                };
                let model = self.model(again.model).await;
                (model.clone(), answer_to(&question, &model, clock::now_ms()))
            }
        };
        let (cid, options) = (again.cid, again.options);
        Ok(Plan {
            kind,
            cid,
            asked: None,
            reply,
            model,
            chosen: false,
            options,
            queued: false,
        })
    }

    async fn message(&self, id: &str) -> Result<Message, ErrorBody> {
        let (session, id) = (self.row.session.id.clone(), id.to_owned());
        let found = self
            .hub
            .store
            .read(move |c| message::find(c, &session, &id))
            .await;
        found
            .map_err(|error| store_failed(&error))?
            .ok_or_else(|| not_found("message"))
    }

    /// The model to ask; empty if none was chosen and none is known, and then the run says so.
    async fn model(&self, wanted: Option<String>) -> String {
        match wanted
            .filter(|model| !model.is_empty())
            .or_else(|| self.row.session.model.clone())
        {
            Some(model) => model,
            None => self.hub.default_model().await.unwrap_or_default(),
        }
    }

    /// Stores all that begins with a run, tells it, and starts the run.
    async fn launch(&mut self, plan: Plan, cid: &str) -> Result<Sent, ErrorBody> {
        let moves = Arc::new(Moves::new(&self.hub));
        let entry = self.hub.slots.enter(&self.row.user, moves.clone());
        let place = match &entry {
            Entry::Now(_) => None,
            Entry::Later(_, place) => Some(*place),
            Entry::Full => {
                let message = "too many answers of this user wait already";
                return Err(ErrorBody::new(Code::QueueFull, message)
                    .after(std::time::Duration::from_secs(5)));
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
        let written = self.hub.store.write(move |c| write.store(c)).await;
        let written = match written {
            Ok(written) => written,
            // The same client id came to two sessions, or to two new ones, at once: the other one won.
            Err(error) if error.conflict() => {
                return self.known(cid).await?.ok_or_else(|| store_failed(&error));
            }
            Err(error) => return Err(store_failed(&error)),
        };
        self.stored = true;
        self.row = written.row;
        if written.plan.queued {
            self.queue.remove(0);
        }
        let sent = self.begin(entry, moves, start, &written.plan, written.turns, place);
        for (seq, event) in (first..).zip(&written.events) {
            self.tell(seq, event);
        }
        if let Some(live) = &self.live {
            let (buffer, base) = (live.buffer.clone(), live.buffer.base);
            self.to_watchers(|outbox| outbox.follow(&buffer, base));
        }
        self.tell_list();
        Ok(sent)
    }

    fn begin(
        &mut self,
        entry: Entry,
        moves: Arc<Moves>,
        start: RunStart,
        plan: &Plan,
        turns: Vec<Turn>,
        place: Option<usize>,
    ) -> Sent {
        let (text, reasoning) = plan.before();
        let limit = self.hub.settings.limits.answer_bytes;
        let buffer = Buffer::new(&start.run, &start.message, text, reasoning, limit);
        let stop = self.hub.interrupted.child_token();
        let task = run::Task {
            hub: Arc::clone(&self.hub),
            session: self.row.session.id.clone(),
            user: self.row.user.clone(),
            start: start.clone(),
            system: self.row.session.system.clone(),
            turns,
            options: plan.options.clone(),
            buffer: Arc::clone(&buffer),
            stop: stop.clone(),
        };
        moves.attach(&self.row.user, &start.run);
        self.hub.begin_run(&self.row.session.id, &buffer);
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
            resumes: 0,
        });
        sent
    }

    /// Puts a message behind, or with `first` before, those that wait.
    async fn enqueue(&mut self, send: Send, first: bool) -> Result<Sent, ErrorBody> {
        if self.queue.len() >= self.hub.settings.limits.queue {
            return Err(ErrorBody::new(
                Code::QueueFull,
                "too many messages wait in this session",
            ));
        }
        let now = clock::now_ms();
        let mut queue = self.queue.clone();
        queue.insert(if first { 0 } else { queue.len() }, (send.clone(), now));
        let payload = crate::chat::wire::text(&send);
        let (owner, user, cid) = (
            self.row.session.id.clone(),
            self.row.user.clone(),
            send.cid.clone(),
        );
        let add = move |c: &Connection| store::run::enqueue(c, &owner, &user, &send, &payload, now);
        let seq = match self.store_queue(queue, add).await {
            Ok(seq) => seq,
            Err(error) if error.conflict() => {
                return self.known(&cid).await?.ok_or_else(|| store_failed(&error));
            }
            Err(error) => return Err(store_failed(&error)),
        };
        Ok(Sent {
            session: Some(self.row.session.id.clone()),
            message: None,
            reply: None,
            run: None,
            request_id: None,
            seq,
            status: Accepted::Queued,
            dup: false,
            card: None,
        })
    }

    /// Writes a changed queue after `change`, and tells it.
    pub(super) async fn store_queue(
        &mut self,
        queue: Vec<(Send, u64)>,
        change: impl FnOnce(&Connection) -> Result<(), store::Error> + std::marker::Send + 'static,
    ) -> Result<u64, store::Error> {
        let items = queue
            .iter()
            .map(|(send, at)| store::run::queue_item(send, *at))
            .collect();
        let event = Event::QueueChanged { queue: items };
        let order: Vec<String> = queue.iter().map(|(send, _)| send.cid.clone()).collect();
        let row = self.next_row();
        let (kept, told) = (row.clone(), event.clone());
        self.hub
            .store
            .write(move |c| {
                change(c)?;
                store::run::reorder(c, &row.session.id, &order)?;
                event::append(
                    c,
                    &row.session.id,
                    row.session.seq,
                    &event,
                    row.session.updated_at,
                )?;
                session::save(c, &row)
            })
            .await?;
        self.row = kept;
        self.queue = queue;
        self.tell(self.row.session.seq, &told);
        Ok(self.row.session.seq)
    }
}

impl Plan {
    fn start(&self, place: Option<usize>) -> RunStart {
        let (text, reasoning) = self.before();
        RunStart {
            run: id::new("run"),
            message: self.reply.id.clone(),
            parent: self.reply.parent.clone().unwrap_or_default(),
            siblings: Vec::new(),
            model: self.model.clone(),
            kind: self.kind,
            base: Position {
                text: text.len(),
                reasoning: reasoning.len(),
            },
            position: place,
            request_id: id::request(),
            created_at: clock::now_ms(),
        }
    }

    /// What the run's message holds before it. An answer that was cut before its first word begins anew.
    fn before(&self) -> (String, String) {
        match self.kind {
            RunKind::Continue if !self.reply.text.is_empty() => {
                (self.reply.text.clone(), self.reply.reasoning.clone())
            }
            RunKind::Continue | RunKind::Answer | RunKind::Regenerate => Default::default(),
        }
    }

    /// What the run changes in its session's row.
    fn touch(&self, row: &mut session::SessionRow, busy: bool) {
        debug_assert!(!busy, "a session has one run at a time");
        let session = &mut row.session;
        // Two positions: the message and the run, or the run alone; and one more for the queue.
        session.seq += u64::from(self.asked.is_some()) + u64::from(self.queued);
        session.leaf = Some(self.reply.id.clone());
        if let Some(asked) = &self.asked {
            session.preview = one_line(&asked.text, PREVIEW);
            if session.title.is_empty() {
                session.title = one_line(&asked.text, TITLE);
            }
        }
        // What the user chose for one message goes for the next ones too, until something else is chosen.
        if session.model.is_none() && self.chosen {
            session.model = Some(self.model.clone());
        }
    }
}

/// All that is stored when a run begins.
struct Write {
    stored: bool,
    first: u64,
    plan: Plan,
    start: RunStart,
    row: session::SessionRow,
    /// What still waits, if the message waited.
    queue: Option<Vec<crate::chat::wire::message::QueueItem>>,
}

/// What was stored, and what the model will be told.
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
        if self.plan.kind != RunKind::Continue {
            let mut reply = self.plan.reply.clone();
            reply.status = if waiting {
                Status::Queued
            } else {
                Status::Streaming
            };
            reply.run = Some(RunSummary {
                id: run.run.clone(),
                request_id: run.request_id.clone(),
                finish: None,
                error: None,
                usage: None,
                ttft_ms: None,
                duration_ms: None,
            });
            message::insert(c, &owner, &user, &reply)?;
        }
        store::run::insert(c, &self.plan.new_run(&owner, &user, run))?;
        store::run::open(c, &run.message, &run.run, waiting)?;
        if run.base == Position::default() {
            message::clear(c, &run.message)?;
        }
        let mut told = run.clone();
        told.siblings = message::siblings(c, &owner, Some(&run.parent), Role::Assistant)?;
        events.push(if waiting {
            Event::RunQueued(told)
        } else {
            Event::RunStarted(told)
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
}

impl Plan {
    fn new_run<'a>(&'a self, session: &'a str, user: &'a str, start: &'a RunStart) -> NewRun<'a> {
        NewRun {
            id: &start.run,
            session,
            message: &start.message,
            user,
            request: &start.request_id,
            cid: &self.cid,
            kind: self.kind,
            model: &self.model,
            now: start.created_at,
        }
    }
}

/// `//debug` means the text `/debug`.
fn literal(text: String) -> String {
    if text.starts_with("//") {
        text[1..].to_owned()
    } else {
        text
    }
}

fn answer_to(question: &str, model: &str, now: u64) -> Message {
    Message {
        parent: Some(question.to_owned()),
        model: (!model.is_empty()).then(|| model.to_owned()),
        ..blank(id::new("msg"), Role::Assistant, now)
    }
}

fn blank(id: String, role: Role, now: u64) -> Message {
    Message {
        id,
        parent: None,
        role,
        status: Status::Done,
        text: String::new(),
        reasoning: String::new(),
        reasoning_ms: None,
        model: None,
        run: None,
        cid: None,
        edit_of: None,
        siblings: Vec::new(),
        created_at: now,
    }
}

/// The start of a text in one line.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let mut line = String::new();
    for (count, word) in text.split_whitespace().take(most).enumerate() {
        if count > 0 {
            line.push(' ');
        }
        line.push_str(word);
        if line.chars().count() > most {
            return line.chars().take(most - 1).chain(['…']).collect();
        }
    }
    line
}
