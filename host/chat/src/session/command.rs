//! The commands that the actor of a session takes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::outbox::Outbox;
use crate::wire::ErrorBody;
use crate::wire::event::RunKind;
use crate::wire::message::{Finish, Usage};
use crate::wire::params::{Again, Send, Sent, SessionPatch, Sub};
use crate::wire::session::Session;

/// Where the reply to a command goes.
#[derive(Debug)]
pub(crate) struct Reply<T>(pub(crate) oneshot::Sender<Result<T, ErrorBody>>);

impl<T> Reply<T> {
    /// Replies. If nobody waits any more, the change stands all the same.
    pub(super) fn send(self, result: Result<T, ErrorBody>) {
        drop(self.0.send(result));
    }
}

/// One command. `user` is who sends it.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send this connection all changes; the response goes there as the `res` of request `id`.
    Watch {
        outbox: Arc<Outbox>,
        id: String,
        params: Sub,
        user: String,
    },
    /// Stop that for this connection.
    Unwatch { conn: String },
    /// A new message.
    Send {
        send: Box<Send>,
        user: String,
        reply: Reply<Sent>,
    },
    /// Another answer, or more of one.
    Again {
        kind: RunKind,
        again: Again,
        user: String,
        reply: Reply<Sent>,
    },
    /// Stop this run, or any run. The reply says whether one was under way.
    Stop {
        run: Option<String>,
        user: String,
        reply: Reply<bool>,
    },
    /// Change the waiting messages. The reply is the position.
    Queue {
        change: QueueOp,
        user: String,
        reply: Reply<u64>,
    },
    /// Show another branch. The reply is its leaf and the position.
    Select {
        leaf: String,
        user: String,
        reply: Reply<(String, u64)>,
    },
    /// Change settings; with `at` only if the session is still at that position.
    Patch {
        patch: SessionPatch,
        at: Option<u64>,
        user: String,
        reply: Reply<Session>,
    },
    /// Move into the trash, or out of it.
    Trash {
        deleted: bool,
        user: String,
        reply: Reply<Session>,
    },
    /// The user has seen everything up to this position.
    Read {
        seq: u64,
        user: String,
        reply: Reply<Session>,
    },
    /// A run that waited has its slot.
    Started { run: String },
    /// A run is over.
    Ended { run: String, outcome: Box<Outcome> },
}

/// A change of the waiting messages.
#[derive(Debug)]
pub(crate) enum QueueOp {
    /// Remove this message.
    Remove(String),
    /// Move this message to that place, from 0.
    Move(String, usize),
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub finish: Finish,
    pub error: Option<ErrorBody>,
    pub usage: Option<Usage>,
    /// From the request to the first text.
    pub ttft: Option<Duration>,
    /// From the first reasoning to the first text of the answer.
    pub reasoning: Option<Duration>,
    /// From the request to the end.
    pub took: Duration,
}

impl Outcome {
    /// An end without further facts; `started` is when the request was sent.
    pub(crate) fn new(finish: Finish, started: Instant) -> Self {
        Self {
            finish,
            error: None,
            usage: None,
            ttft: None,
            reasoning: None,
            took: started.elapsed(),
        }
    }
}
