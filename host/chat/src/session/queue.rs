//! Messages that wait for the run of their session.

use rusqlite::Connection;

use super::Actor;
use super::command::QueueOp;
use crate::store;
use crate::wire::event::Event;
use crate::wire::params::{Accepted, Send, Sent};
use crate::wire::{self, Code, ErrorBody, not_found};
use sluicegate_telemetry::clock;

impl Actor {
    /// Adds a message to the end of the queue, or with `first` to its beginning.
    pub(super) async fn enqueue(&mut self, send: Send, first: bool) -> Result<Sent, ErrorBody> {
        if self.queue.len() >= self.core.settings.limits.queue {
            return Err(ErrorBody::new(
                Code::QueueFull,
                "too many messages wait in this session",
            ));
        }
        let now = clock::unix_ms();
        let mut queue = self.queue.clone();
        queue.insert(if first { 0 } else { queue.len() }, (send.clone(), now));
        let payload = wire::text(&send);
        let (owner, user, cid) = (
            self.row.session.id.clone(),
            self.row.user.clone(),
            send.cid.clone(),
        );
        let add = move |c: &Connection| store::run::enqueue(c, &owner, &user, &send, &payload, now);
        let seq = match self.store_queue(queue, add).await {
            Ok(seq) => seq,
            Err(error) if error.conflict() => {
                return self.known(&cid).await?.ok_or_else(|| error.into());
            }
            Err(error) => return Err(error.into()),
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

    /// Stores a changed queue after `change`, and sends it to all watchers.
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
        let id = row.session.id.clone();
        let store = move |c: &Connection| {
            change(c)?;
            store::run::reorder(c, &id, &order)
        };
        self.commit(row, event, store).await?;
        self.queue = queue;
        Ok(self.row.session.seq)
    }

    pub(super) async fn change_queue(
        &mut self,
        change: QueueOp,
        user: &str,
    ) -> Result<u64, ErrorBody> {
        self.usable(user)?;
        match change {
            QueueOp::Remove(cid) => self.drop_from_queue(&cid).await,
            QueueOp::Move(cid, to) => {
                let mut queue = self.queue.clone();
                let from = queue
                    .iter()
                    .position(|(send, _)| send.cid == cid)
                    .ok_or_else(|| not_found("waiting message"))?;
                let item = queue.remove(from);
                queue.insert(to.min(queue.len()), item);
                Ok(self.store_queue(queue, |_| Ok(())).await?)
            }
        }
    }

    pub(super) async fn drop_from_queue(&mut self, cid: &str) -> Result<u64, ErrorBody> {
        let mut queue = self.queue.clone();
        let from = queue
            .iter()
            .position(|(send, _)| send.cid == cid)
            .ok_or_else(|| not_found("waiting message"))?;
        queue.remove(from);
        let (owner, cid) = (self.row.session.id.clone(), cid.to_owned());
        let dequeue = move |c: &Connection| store::run::dequeue(c, &owner, &cid);
        Ok(self.store_queue(queue, dequeue).await?)
    }
}
