//! Delivers commands to the actors of sessions, and starts an actor where none runs.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Actor;
use super::command::{Command, Reply};
use crate::core::Core;
use crate::store;
use crate::store::session::SessionRow;
use crate::wire::params::Send;
use crate::wire::{Code, ErrorBody, not_found};
use sluicegate_telemetry::clock;

/// Commands that wait for one actor. When it is full the senders wait, which slows only those who use this session.
const MAILBOX: usize = 64;

/// Sends a command to a session's actor and waits for its reply.
///
/// # Errors
/// What the actor replied; `NOT_FOUND` if there is no such session.
pub(crate) async fn ask<T>(
    core: &Arc<Core>,
    session: &str,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, ErrorBody> {
    let (sender, reply) = oneshot::channel();
    send(core, session, command(Reply(sender))).await?;
    reply.await.map_err(|_| lost(core))?
}

/// The same for a session that does not exist yet; its first message creates it.
pub(crate) async fn ask_new<T>(
    core: &Arc<Core>,
    row: SessionRow,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, ErrorBody> {
    let (sender, reply) = oneshot::channel();
    let session = row.session.id.clone();
    let mailbox = start(core, row, false, Vec::new());
    mailbox
        .send(command(Reply(sender)))
        .await
        .map_err(|_| lost(core))?;
    tracing::trace!(session, "chat: a new session");
    reply.await.map_err(|_| lost(core))?
}

/// Sends a command to a session's actor without waiting for a reply.
///
/// # Errors
/// `NOT_FOUND` if there is no such session.
pub(crate) async fn send(
    core: &Arc<Core>,
    session: &str,
    command: Command,
) -> Result<(), ErrorBody> {
    let mailbox = match core.directory.reserve(session) {
        Some(mailbox) => mailbox,
        None => load(core, session).await?,
    };
    mailbox.send(command).await.map_err(|_| lost(core))
}

/// Starts the actor of a session that is in the database.
async fn load(core: &Arc<Core>, session: &str) -> Result<mpsc::Sender<Command>, ErrorBody> {
    let _alone = core.directory.loading.lock().await;
    if let Some(mailbox) = core.directory.reserve(session) {
        return Ok(mailbox);
    }
    let id = session.to_owned();
    let now = clock::unix_ms();
    let loaded = core.store.write(move |c| {
        // Ends runs of an actor that broke. All others were ended when the gateway started.
        store::run::repair(c, Some(&id), now)?;
        let row = store::session::any(c, &id)?;
        let queue = store::run::waiting(c, &id)?;
        Ok(row.map(|row| (row, queue)))
    });
    let (row, queue) = loaded.await?.ok_or_else(|| not_found("session"))?;
    let queue = queue
        .into_iter()
        .filter_map(|(_, json, at)| Some((serde_json::from_str(&json).ok()?, at)));
    Ok(start(core, row, true, queue.collect()))
}

fn start(
    core: &Arc<Core>,
    row: SessionRow,
    stored: bool,
    queue: Vec<(Send, u64)>,
) -> mpsc::Sender<Command> {
    let (mailbox, commands) = mpsc::channel(MAILBOX);
    let id = row.session.id.clone();
    let actor = Actor::new(Arc::clone(core), row, stored, queue, commands);
    core.directory.insert(id, mailbox.clone());
    core.tracker.spawn(actor.run());
    mailbox
}

fn lost(core: &Core) -> ErrorBody {
    if core.is_stopping() {
        return core.stopping_error();
    }
    ErrorBody::new(Code::Internal, "the session's worker is gone; try again")
}
