//! Frames that the server sends on its own.

use serde::{Deserialize, Serialize};

use super::ErrorBody;
use super::message::{Finish, Message, Position, QueueItem, RunPhase, Usage};
use super::session::{Health, Model, Session};

/// A change of a session, stored with its position before it is sent.
///
/// # Shape
/// `{"type":"event","session":"ses_A","seq":42,"ev":"run.started","data":{…}}`. Positions of a session have no gaps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct EventFrame<'a> {
    /// Always `event`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The session that changed.
    pub session: &'a str,
    /// The position of this change.
    pub seq: u64,
    /// What changed.
    #[serde(flatten)]
    pub event: &'a Event,
}

/// What can change in a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ev", content = "data")]
pub(crate) enum Event {
    /// A user's message was added; it is now the leaf.
    #[serde(rename = "message.added")]
    MessageAdded {
        /// The message, with its siblings.
        message: Message,
    },
    /// A stored message changed outside of a run.
    #[serde(rename = "message.updated")]
    MessageUpdated {
        /// The message as it is now.
        message: Message,
    },
    /// A run waits for a slot. Its message exists from now on.
    #[serde(rename = "run.queued")]
    RunQueued(RunStart),
    /// A run is under way. Its message exists from now on.
    #[serde(rename = "run.started")]
    RunStarted(RunStart),
    /// A run is over.
    #[serde(rename = "run.ended")]
    RunEnded(RunEnd),
    /// Title, model, system prompt, pin or archive mark changed, or a delete was undone.
    #[serde(rename = "session.updated")]
    SessionUpdated {
        /// The session as it is now.
        session: Session,
    },
    /// The session was moved to the trash.
    #[serde(rename = "session.deleted")]
    SessionDeleted {
        /// When it will be removed for good, in milliseconds since 1970.
        purge_at: u64,
    },
    /// Another branch is shown. Watch the session again without a position to get its messages.
    #[serde(rename = "branch.selected")]
    BranchSelected {
        /// The last message of that branch.
        leaf: String,
    },
    /// The messages that wait for the current run changed.
    #[serde(rename = "queue.changed")]
    QueueChanged {
        /// All of them, next first.
        queue: Vec<QueueItem>,
    },
}

/// The beginning of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunStart {
    /// `run_…`.
    pub run: String,
    /// The message that it writes: a new one, or with `kind` `continue` an existing one.
    pub message: String,
    /// The message that it answers.
    pub parent: String,
    /// All answers to `parent`, oldest first, `message` included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub siblings: Vec<String>,
    /// The model.
    pub model: String,
    /// The kind of run.
    pub kind: RunKind,
    /// Where the first delta starts; not zero only when an answer is continued.
    pub base: Position,
    /// Place in the queue, from 1; only in `run.queued`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
    /// `req_…`.
    pub request_id: String,
    /// Milliseconds since 1970.
    pub created_at: u64,
}

/// The kinds of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RunKind {
    /// The answer to a new message.
    Answer,
    /// Another answer to an old one.
    Regenerate,
    /// More of an answer that was cut off.
    Continue,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunEnd {
    /// `run_…`.
    pub run: String,
    /// The message that it wrote.
    pub message: String,
    /// How it ended.
    pub finish: Finish,
    /// Why it failed; only with `finish` `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// Where its text ends. A client at another position asks for the message (`messages.get`).
    pub to: Position,
    /// Tokens, if the model server reported them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// From sending to the first token, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<u64>,
    /// How long the reasoning took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_ms: Option<u64>,
    /// From sending to the end, in milliseconds.
    pub duration_ms: u64,
    /// `req_…`.
    pub request_id: String,
}

/// The two texts of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Channel {
    /// The answer.
    Text,
    /// The reasoning before it.
    Reasoning,
}

/// More text of a run.
///
/// # Shape
/// `{"type":"delta","run":"run_3","ch":"text","from":0,"to":9,"text":"你好，"}`. Per run and channel, `from` is the `to` of the
/// previous delta. At most 16 KiB of text.
#[derive(Debug, Serialize)]
pub(crate) struct Delta<'a> {
    /// Always `delta`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `run_…`.
    pub run: &'a str,
    /// Which text grows.
    pub ch: Channel,
    /// Its position before.
    pub from: usize,
    /// Its position after.
    pub to: usize,
    /// The text between them.
    pub text: &'a str,
}

/// Frames without a position: they are about the current state, not about history.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type")]
pub(crate) enum Notice {
    /// Nothing else was sent for a while.
    #[serde(rename = "tick")]
    Tick {
        /// Milliseconds since 1970.
        ts: u64,
    },
    /// The chain below or the load changed.
    #[serde(rename = "system")]
    System {
        /// The layers below.
        health: Health,
        /// Runs under way, of all users.
        running: usize,
        /// Runs waiting for a slot, of all users.
        waiting: usize,
        /// The models that can be chosen.
        models: Vec<Model>,
    },
    /// A line of the session list changed or is new.
    #[serde(rename = "sessions.changed")]
    SessionsChanged {
        /// The session as it is now; with `deleted_at` it leaves the list.
        session: Box<Session>,
    },
    /// A waiting run moved up, or changed its phase.
    #[serde(rename = "position")]
    Position {
        /// `run_…`.
        run: String,
        /// Queued, running or stopping.
        state: RunPhase,
        /// Place in the queue, from 1.
        #[serde(skip_serializing_if = "Option::is_none")]
        position: Option<usize>,
    },
    /// The server will close this socket.
    #[serde(rename = "bye")]
    Bye {
        /// `restart`.
        reason: &'static str,
        /// When to reconnect, in milliseconds.
        reconnect_after_ms: u64,
    },
}
