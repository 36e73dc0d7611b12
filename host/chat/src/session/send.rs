//! Handles `send`, `regenerate` and `continue`: decides whether a run starts, waits or is refused.

use super::{Actor, Live, change};
use crate::store;
use crate::store::run::Known;
use crate::wire::event::RunKind;
use crate::wire::message::RunPhase;
use crate::wire::params::{Accepted, Again, Send, Sent, SessionPatch, When};
use crate::wire::{Code, ErrorBody};

impl Actor {
    /// A new message: starts its run, lets it wait, or reports the earlier result if it came before.
    pub(super) async fn send(&mut self, send: Send, user: &str) -> Result<Sent, ErrorBody> {
        self.usable(user)?;
        if let Some(sent) = self.known(&send.cid).await? {
            return Ok(sent);
        }
        if self.core.is_stopping() {
            return Err(self.core.stopping_error());
        }
        if !self.stored {
            let patch = SessionPatch {
                system: send.system.clone().map(Some),
                ..SessionPatch::default()
            };
            change::check(&patch)?;
            change::apply(patch, &mut self.row);
        }
        self.core.take_send(&self.row.user)?;
        let result = self.accept(send).await;
        if result.is_err() {
            self.core.give_back_send(&self.row.user);
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
                self.stop(Some(run), false);
                Ok(sent)
            }
            (Some(_), When::Queue) => self.enqueue(send, false).await,
            // A run failed while messages waited: they come first.
            (None, When::Queue) if !self.queue.is_empty() => {
                let sent = self.enqueue(send, false).await?;
                self.next_in_queue().await;
                Ok(sent)
            }
            (None, When::Queue | When::Reject | When::Interrupt) => {
                let cid = send.cid.clone();
                let plan = self.plan_send(send, false).await?;
                self.start_run(plan, &cid).await
            }
        }
    }

    /// Another answer to an earlier question, or more of an answer.
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
        if self.core.is_stopping() {
            return Err(self.core.stopping_error());
        }
        if let Some(live) = &self.live {
            let details = serde_json::json!({ "run": live.start.run });
            return Err(ErrorBody::new(Code::RunActive, "the session is busy").details(details));
        }
        self.core.take_send(&self.row.user)?;
        let cid = again.cid.clone();
        let result = match self.plan_again(kind, again).await {
            Ok(plan) => self.start_run(plan, &cid).await,
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.core.give_back_send(&self.row.user);
        }
        result
    }

    /// Starts the next waiting message, if there is one. A message that cannot start any more is dropped.
    pub(super) async fn next_in_queue(&mut self) {
        while self.live.is_none() && !self.queue.is_empty() && !self.core.is_stopping() {
            let (send, _) = self.queue[0].clone();
            let cid = send.cid.clone();
            let result = match self.plan_send(send, true).await {
                Ok(plan) => self.start_run(plan, &cid).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(_) => return,
                // Tried again when something else happens in this session.
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

    /// The earlier result, if this client id came before.
    pub(super) async fn known(&self, cid: &str) -> Result<Option<Sent>, ErrorBody> {
        let (user, cid) = (self.row.user.clone(), cid.to_owned());
        let known = self
            .core
            .store
            .read(move |c| store::run::known(c, &user, &cid))
            .await;
        Ok(known?.map(|known| self.repeated(known)))
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
}
