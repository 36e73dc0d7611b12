//! What a run will be, before anything of it is stored.

use super::Actor;
use crate::id;
use crate::store::run::NewRun;
use crate::store::{message, session};
use crate::wire::event::{RunKind, RunStart};
use crate::wire::message::{Finish, Message, Position, Role, Status};
use crate::wire::params::{Again, Options, Send};
use crate::wire::{Code, ErrorBody, bad_param, not_found};
use sluicegate_telemetry::{clock, request_id};

/// Characters of a title made from a message.
const TITLE: usize = 48;
/// Characters of a preview.
pub(super) const PREVIEW: usize = 80;

/// Everything about a run that is decided before anything is stored.
pub(super) struct Plan {
    pub(super) kind: RunKind,
    pub(super) cid: String,
    /// The user's message, if there is a new one.
    pub(super) asked: Option<Message>,
    /// The message that the run writes: new, or with `Continue` the existing one.
    pub(super) reply: Message,
    /// Whether it is new.
    pub(super) fresh: bool,
    pub(super) model: String,
    /// Whether the user chose the model, so that it becomes the session's.
    pub(super) chosen: bool,
    pub(super) options: Options,
    /// Whether the user's message waited in the queue.
    pub(super) queued: bool,
}

impl Actor {
    pub(super) async fn plan_send(&self, send: Send, queued: bool) -> Result<Plan, ErrorBody> {
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
                ErrorBody::new(Code::LeafChanged, "the session has changed meanwhile")
                    .details(details),
            );
        }
        let now = clock::unix_ms();
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
            fresh: true,
            model,
            chosen,
            options,
            queued,
        })
    }

    pub(super) async fn plan_again(&self, kind: RunKind, again: Again) -> Result<Plan, ErrorBody> {
        let target = self.message(&again.message).await?;
        let leaf = self.row.session.leaf.as_deref();
        let (model, reply, fresh) = match (kind, target.role) {
            (RunKind::Continue, Role::User) => {
                return Err(bad_param("message", "only an answer can be continued"));
            }
            (RunKind::Continue, Role::Assistant) if leaf == Some(target.id.as_str()) => {
                (self.model(target.model.clone()).await, target, false)
            }
            // An answer that others follow stays as it is: another answer begins with its text.
            (RunKind::Continue, Role::Assistant) if is_cut(&target) => {
                let model = self.model(target.model.clone()).await;
                let question = target.parent.ok_or_else(|| not_found("message"))?;
                let reply = Message {
                    text: target.text,
                    reasoning: target.reasoning,
                    reasoning_ms: target.reasoning_ms,
                    ..answer_to(&question, &model, clock::unix_ms())
                };
                (model, reply, true)
            }
            (RunKind::Continue, Role::Assistant) => {
                let details = serde_json::json!({ "leaf": leaf });
                let message = "only the last answer, or one that was cut, can be continued";
                return Err(ErrorBody::new(Code::LeafChanged, message).details(details));
            }
            (RunKind::Regenerate | RunKind::Answer, role) => {
                let question = match role {
                    Role::User => target.id,
                    Role::Assistant => target.parent.ok_or_else(|| not_found("message"))?,
                };
                let model = self.model(again.model).await;
                let reply = answer_to(&question, &model, clock::unix_ms());
                (model, reply, true)
            }
        };
        let (cid, options) = (again.cid, again.options);
        Ok(Plan {
            kind,
            cid,
            asked: None,
            reply,
            fresh,
            model,
            chosen: false,
            options,
            queued: false,
        })
    }

    async fn message(&self, id: &str) -> Result<Message, ErrorBody> {
        let (session, id) = (self.row.session.id.clone(), id.to_owned());
        self.core
            .store
            .read(move |c| message::find(c, &session, &id))
            .await?
            .ok_or_else(|| not_found("message"))
    }

    /// The model to ask; empty if none was chosen and none is known: the run then ends with that error.
    async fn model(&self, wanted: Option<String>) -> String {
        match wanted
            .filter(|model| !model.is_empty())
            .or_else(|| self.row.session.model.clone())
        {
            Some(model) => model,
            None => self.core.default_model().await.unwrap_or_default(),
        }
    }
}

impl Plan {
    pub(super) fn start(&self, place: Option<usize>) -> RunStart {
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
            request_id: request_id::new(),
            created_at: clock::unix_ms(),
        }
    }

    /// The text of the message before the run. An answer cut off before its first word starts over.
    pub(super) fn before(&self) -> (String, String) {
        match self.kind {
            RunKind::Continue if !self.reply.text.is_empty() => {
                (self.reply.text.clone(), self.reply.reasoning.clone())
            }
            RunKind::Continue | RunKind::Answer | RunKind::Regenerate => Default::default(),
        }
    }

    /// Applies what the run changes to its session's row.
    pub(super) fn touch(&self, row: &mut session::SessionRow, busy: bool) {
        debug_assert!(!busy, "a session has one run at a time");
        let session = &mut row.session;
        // One position for the run, one for the message if there is one, and one for the queue if it changes.
        session.seq += u64::from(self.asked.is_some()) + u64::from(self.queued);
        session.leaf = Some(self.reply.id.clone());
        if let Some(asked) = &self.asked {
            session.preview = one_line(&asked.text, PREVIEW);
            if session.title.is_empty() {
                session.title = one_line(&asked.text, TITLE);
            }
        }
        // A model that the user chose for one message is used for the next ones too, until another is chosen.
        if session.model.is_none() && self.chosen {
            session.model = Some(self.model.clone());
        }
    }
}

impl Plan {
    pub(super) fn new_run<'a>(
        &'a self,
        session: &'a str,
        user: &'a str,
        start: &'a RunStart,
    ) -> NewRun<'a> {
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

/// Whether an answer may be incomplete.
fn is_cut(message: &Message) -> bool {
    let finish = message.run.as_ref().and_then(|run| run.finish);
    let ended = match message.status {
        Status::Stopped | Status::Error | Status::Interrupted => true,
        Status::Done => finish == Some(Finish::Length),
        Status::Queued | Status::Streaming => false,
    };
    ended && !message.text.is_empty()
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
