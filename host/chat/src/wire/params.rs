//! Parameters and payloads of the requests.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::event::Event;
use super::message::{Message, Position, QueueItem, RunState};
use super::session::{Health, Model, Session};
use super::user::User;

/// Parameters of `hello`.
#[derive(Debug, Deserialize)]
pub(crate) struct Hello {
    /// Lowest protocol version that the client speaks.
    pub min: u32,
    /// Highest.
    pub max: u32,
    /// The second secret; needed with a cookie.
    #[serde(default)]
    pub bind: Option<String>,
    /// A program's token; refused when the request had an `Origin`.
    #[serde(default)]
    pub token: Option<String>,
    /// Whether the page is visible now.
    #[serde(default = "yes")]
    pub visible: bool,
}

fn yes() -> bool {
    true
}

/// Payload of `hello`.
#[derive(Debug, Serialize)]
pub(crate) struct Welcome {
    /// The protocol version in use.
    pub v: u32,
    /// The name of this connection in `/debug` and logs.
    pub conn: String,
    /// Changes when earlier positions are no longer valid.
    pub epoch: String,
    /// Who is logged in.
    pub user: User,
    /// This server.
    pub server: Server,
    /// What is allowed.
    pub limits: Limits,
    /// How often the server shows that it is alive.
    pub heartbeat: Heartbeat,
    /// The models that can be chosen; empty while the proxy is down.
    pub models: Vec<Model>,
    /// The layers below.
    pub health: Health,
}

/// The server.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Server {
    /// Version of the program.
    pub version: String,
    /// Hash of all page files. A page with another one should offer to reload.
    pub build: String,
}

/// What the server allows.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Limits {
    /// Bytes of one frame.
    pub frame_bytes: usize,
    /// Characters of one message.
    pub message_chars: usize,
    /// Messages per minute.
    pub sends_per_min: u32,
    /// Runs at a time; more wait.
    pub runs_per_user: usize,
    /// Messages that can wait in one session.
    pub queue: usize,
    /// Bytes of one `code.highlight`.
    pub highlight_bytes: usize,
    /// Days until a deleted session is gone for good.
    pub undo_days: u32,
}

/// Periods of liveness, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Heartbeat {
    /// WebSocket pings.
    pub ping_ms: u64,
    /// A `tick` is sent after this time without any other frame.
    pub tick_ms: u64,
}

/// Parameters of `ping`; the payload is the same with the server's time as `now`.
#[derive(Debug, Deserialize)]
pub(crate) struct Ping {
    /// Anything; it is returned.
    #[serde(default)]
    pub ts: f64,
}

/// Payload of `ping`.
#[derive(Debug, Serialize)]
pub(crate) struct Pong {
    /// The client's value.
    pub ts: f64,
    /// Milliseconds since 1970.
    pub now: u64,
}

/// Parameters of `visible`.
#[derive(Debug, Deserialize)]
pub(crate) struct Visible {
    /// Whether the page is visible.
    pub visible: bool,
}

/// Payload of requests without a result.
#[derive(Debug, Serialize)]
pub(crate) struct Empty {}

/// Parameters of `sessions.list`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ListSessions {
    /// From the previous page.
    #[serde(default)]
    pub cursor: Option<String>,
    /// 1 to 100, default 50.
    #[serde(default)]
    pub limit: Option<usize>,
    /// What to search for; blank means no search.
    #[serde(default)]
    pub q: Option<String>,
    /// The archive instead of the ordinary list.
    #[serde(default)]
    pub archived: bool,
    /// The trash instead of the ordinary list.
    #[serde(default)]
    pub deleted: bool,
}

/// Parameters that name a session.
#[derive(Debug, Deserialize)]
pub(crate) struct OneSession {
    /// `ses_…`.
    pub session: String,
}

/// Payload with a session.
#[derive(Debug, Serialize)]
pub(crate) struct SessionPayload {
    /// The session as it is now.
    pub session: Session,
}

/// Parameters of `sessions.create`, and of `POST /api/v1/sessions`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct CreateSession {
    /// Empty: named after the first message.
    #[serde(default)]
    pub title: Option<String>,
    /// Absent: the default model.
    #[serde(default)]
    pub model: Option<String>,
    /// The session's own system prompt.
    #[serde(default)]
    pub system: Option<String>,
}

/// Changes of a session. An absent member stays as it is; `null` clears.
#[derive(Debug, Default, Clone, Deserialize)]
pub(crate) struct SessionPatch {
    /// A new title; `null` or empty goes back to the automatic one.
    #[serde(default, deserialize_with = "present")]
    pub title: Option<Option<String>>,
    /// Another model.
    #[serde(default, deserialize_with = "present")]
    pub model: Option<Option<String>>,
    /// Another system prompt.
    #[serde(default, deserialize_with = "present")]
    pub system: Option<Option<String>>,
    /// Keep at the top.
    #[serde(default)]
    pub pinned: Option<bool>,
    /// Move out of the ordinary list.
    #[serde(default)]
    pub archived: Option<bool>,
}

/// Parameters of `sessions.patch`.
#[derive(Debug, Deserialize)]
pub(crate) struct PatchSession {
    /// `ses_…`.
    pub session: String,
    /// What to change.
    #[serde(flatten)]
    pub patch: SessionPatch,
}

/// Parameters of `sessions.read`.
#[derive(Debug, Deserialize)]
pub(crate) struct ReadSession {
    /// `ses_…`.
    pub session: String,
    /// The last position that was seen.
    pub seq: u64,
}

/// Parameters of `sub`.
#[derive(Debug, Deserialize)]
pub(crate) struct Sub {
    /// `ses_…`.
    pub session: String,
    /// The epoch of `after`.
    #[serde(default)]
    pub epoch: Option<String>,
    /// The last position that the client has; absent for a snapshot.
    #[serde(default)]
    pub after: Option<u64>,
    /// The client's position in each run that it knows to be under way.
    #[serde(default)]
    pub runs: HashMap<String, Position>,
}

/// Payload of `sub`.
#[derive(Debug, Serialize)]
#[serde(tag = "mode", rename_all = "lowercase")]
pub(crate) enum Subscribed {
    /// Everything needed to show the session; it replaces what the client has.
    Snapshot {
        /// The epoch of `seq`.
        epoch: String,
        /// The position of this snapshot.
        seq: u64,
        /// The session.
        session: Box<Session>,
        /// The last messages of the branch that is shown, oldest first.
        messages: Vec<Message>,
        /// Whether older ones exist (`messages.page`).
        more: bool,
        /// Runs waiting or under way.
        runs: Vec<RunState>,
        /// Messages that wait for the current run.
        queue: Vec<QueueItem>,
    },
    /// What happened since `after`.
    Events {
        /// The epoch of `seq`.
        epoch: String,
        /// The position after all of `events`.
        seq: u64,
        /// In order, without gaps.
        events: Vec<Replayed>,
        /// The messages whose runs ended within `events`, as they are stored: replace the client's copies.
        messages: Vec<Message>,
        /// Runs waiting or under way, and where their text continues.
        runs: Vec<RunState>,
    },
}

/// A replayed event.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Replayed {
    /// Its position.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Parameters of `messages.page`, and the query of `GET …/messages`.
#[derive(Debug, Deserialize)]
pub(crate) struct PageMessages {
    /// `ses_…`.
    pub session: String,
    /// Only messages above this one on its branch; absent: from the leaf.
    #[serde(default)]
    pub before: Option<String>,
    /// Another branch than the one shown: its last message.
    #[serde(default)]
    pub leaf: Option<String>,
    /// 1 to 200, default 50.
    #[serde(default)]
    pub limit: Option<usize>,
}

/// Payload of `messages.page`.
#[derive(Debug, Serialize)]
pub(crate) struct MessagesPage {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Whether older ones exist.
    pub more: bool,
}

/// Parameters of `messages.get`.
#[derive(Debug, Deserialize)]
pub(crate) struct OneMessage {
    /// `ses_…`.
    pub session: String,
    /// `msg_…`.
    pub message: String,
}

/// Payload of `messages.get`.
#[derive(Debug, Serialize)]
pub(crate) struct MessagePayload {
    /// The message; if its run is under way, with the text so far.
    pub message: Message,
    /// Where `text` ends.
    pub to: Position,
}

/// What to do with a message while the session is busy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum When {
    /// Wait for the current run.
    #[default]
    Queue,
    /// Refuse with `RUN_ACTIVE`.
    Reject,
    /// Stop the current run first.
    Interrupt,
}

/// Parameters of the model that a client may set. Anything else in `options` is ignored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Options {
    /// 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Tokens of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// `none`, `low`, `medium` or `high`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
}

/// Parameters of `chat.send`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Send {
    /// Absent or `null`: a new session.
    #[serde(default)]
    pub session: Option<String>,
    /// The client's id of this message, 1 to 64 bytes. The same id never creates a second message.
    pub cid: String,
    /// The message that it follows. Absent: the leaf; `null`: none, it is a new first message.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub parent: Option<Option<String>>,
    /// The leaf that the client knows; if it is another one, the error is `LEAF_CHANGED`.
    #[serde(default)]
    pub expected_leaf: Option<String>,
    /// What the user wrote.
    pub text: String,
    /// Another model for this answer only.
    #[serde(default)]
    pub model: Option<String>,
    /// The model's parameters for this answer only.
    #[serde(default)]
    pub options: Options,
    /// The user message that this one replaces, on a new branch.
    #[serde(default)]
    pub edit_of: Option<String>,
    /// What to do while the session is busy.
    #[serde(default)]
    pub when: When,
    /// The system prompt of a session that this message creates.
    #[serde(default)]
    pub system: Option<String>,
}

/// Parameters of `chat.regenerate` and `chat.continue`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Again {
    /// `ses_…`.
    pub session: String,
    /// The answer to write again or to continue. For `chat.regenerate` also a user's message.
    pub message: String,
    /// The client's id of this request. The same id never starts a second run.
    pub cid: String,
    /// Another model; for `chat.regenerate` only.
    #[serde(default)]
    pub model: Option<String>,
    /// The model's parameters for this answer only.
    #[serde(default)]
    pub options: Options,
}

/// The result of sending a message or asking for another answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Accepted {
    /// Its run is under way.
    Started,
    /// Its run waits for a slot.
    Waiting,
    /// The message waits for the session's current run; there is no run yet.
    Queued,
    /// It was a command; see `card`. Nothing was stored.
    Card,
    /// A repeated `cid` whose run is over.
    Ended,
}

/// Payload of `chat.send`, `chat.regenerate` and `chat.continue`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sent {
    /// `ses_…`; absent for a command outside of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The user's message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The message that the run writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// `run_…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// `req_…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Position of the last change by this request.
    pub seq: u64,
    /// The result.
    pub status: Accepted,
    /// This `cid` was used before: nothing was done, and the ids are those of the first time.
    pub dup: bool,
    /// The card of a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card: Option<super::debug::Card>,
}

/// Parameters of `chat.stop`: a run, or any run of a session.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Stop {
    /// `run_…`.
    #[serde(default)]
    pub run: Option<String>,
    /// `ses_…`.
    #[serde(default)]
    pub session: Option<String>,
}

/// Payload of `chat.stop`.
#[derive(Debug, Serialize)]
pub(crate) struct Stopped {
    /// Whether a run was under way.
    pub stopping: bool,
}

/// Parameters of `chat.queue.remove` and `chat.queue.move`.
#[derive(Debug, Deserialize)]
pub(crate) struct QueueChange {
    /// `ses_…`.
    pub session: String,
    /// The waiting message.
    pub cid: String,
    /// Its new place, from 0; for `chat.queue.move` only.
    #[serde(default)]
    pub to: usize,
}

/// Payload of requests whose effect is sent as an event.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    /// Position of the change.
    pub seq: u64,
}

/// Parameters of `branch.select`.
#[derive(Debug, Deserialize)]
pub(crate) struct SelectBranch {
    /// `ses_…`.
    pub session: String,
    /// Any message of the branch. The newest messages below it are followed to the end.
    pub leaf: String,
}

/// Payload of `branch.select`.
#[derive(Debug, Serialize)]
pub(crate) struct Selected {
    /// The last message of the current branch.
    pub leaf: String,
    /// Position of the change.
    pub seq: u64,
}

/// Parameters of `code.highlight`, and the body of `POST /api/v1/highlight`.
#[derive(Debug, Deserialize)]
pub(crate) struct Highlight {
    /// The word after the fence; may be empty or unknown.
    #[serde(default)]
    pub lang: String,
    /// The code.
    pub text: String,
}

/// Payload of `code.highlight`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Highlighted {
    /// The grammar's name, empty if none fits.
    pub lang: String,
    /// `[start, end, class]` in UTF-16 code units, in order, without overlap; uncoloured text is left out.
    pub ranges: Vec<(usize, usize, &'static str)>,
}

/// Payload of `models.list`.
#[derive(Debug, Serialize)]
pub(crate) struct Models {
    /// Empty while the proxy is down.
    pub models: Vec<Model>,
    /// The layers below.
    pub health: Health,
}

/// Parameters of `cmd`.
#[derive(Debug, Deserialize)]
pub(crate) struct SlashCommand {
    /// `debug`.
    pub name: String,
    /// Nothing, `json`, `watch` or a request id.
    #[serde(default)]
    pub args: Option<String>,
}

/// Payload of `cmd`.
#[derive(Debug, Serialize)]
pub(crate) struct CardPayload {
    /// What to show; never stored.
    pub card: super::debug::Card,
}

/// Tells an absent field (`None`) from `null` (`Some(None)`).
fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}
