//! Messages, runs and positions as the page sees them.

use serde::{Deserialize, Serialize};

use super::ErrorBody;

/// Whose message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// The state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Complete.
    Done,
    /// Its run waits for a free slot.
    Queued,
    /// Its run is under way; `text` is the text so far.
    Streaming,
    /// Somebody stopped it. Can be continued.
    Stopped,
    /// Its run failed; see `run.error`. Can be continued or regenerated.
    Error,
    /// The gateway ended while it was under way. Can be continued or regenerated.
    Interrupted,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Finish {
    /// The model finished.
    Stop,
    /// The limit of length, the model's or ours.
    Length,
    /// Withheld by the model server.
    ContentFilter,
    /// The model wanted to call a tool, which this page cannot do.
    ToolCalls,
    /// Stopped by a user.
    Stopped,
    /// Failed; see the error.
    Error,
    /// The gateway ended.
    Interrupted,
    /// Nobody watched for a long time.
    Abandoned,
}

impl Finish {
    /// The state of a message whose run ended like this.
    pub(crate) fn status(self) -> Status {
        match self {
            Self::Stop | Self::Length | Self::ContentFilter | Self::ToolCalls => Status::Done,
            Self::Stopped | Self::Abandoned => Status::Stopped,
            Self::Error => Status::Error,
            Self::Interrupted => Status::Interrupted,
        }
    }

    /// The word for logs, metrics and the database.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ContentFilter => "content_filter",
            Self::ToolCalls => "tool_calls",
            Self::Stopped => "stopped",
            Self::Error => "error",
            Self::Interrupted => "interrupted",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Tokens of a run.
///
/// # Units
/// Tokens as the model server counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Tokens read.
    #[serde(rename = "in")]
    pub input: u64,
    /// Tokens written.
    #[serde(rename = "out")]
    pub output: u64,
}

/// A position in the two texts of a message.
///
/// # Units
/// Bytes of UTF-8 from the start of the message. Opaque to the client, which only stores and compares them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The position in the answer.
    #[serde(default)]
    pub text: usize,
    /// The position in the reasoning.
    #[serde(default)]
    pub reasoning: usize,
}

/// The last run that wrote a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunSummary {
    /// `run_…`.
    pub id: String,
    /// `req_…`, the same in every layer's log.
    pub request_id: String,
    /// Absent while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<Finish>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// Tokens, if the model server reported them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// From sending to the first token, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<u64>,
    /// From sending to the end, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// One message.
///
/// # Shape
/// `parent` is absent for a first message. `siblings` lists all messages with the same parent and role, oldest first, this
/// one included; it is absent when there is no other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// `msg_…`.
    pub id: String,
    /// The message before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Whose message it is.
    pub role: Role,
    /// Its state.
    pub status: Status,
    /// The text, Markdown if it is the model's.
    pub text: String,
    /// The model's reasoning, never part of what is sent back to the model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    /// How long the reasoning took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_ms: Option<u64>,
    /// The model that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The last run that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunSummary>,
    /// The client's id of a user message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cid: Option<String>,
    /// The message of which this one is an edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit_of: Option<String>,
    /// All answers to the same question, or all edits of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub siblings: Vec<String>,
    /// Milliseconds since 1970.
    pub created_at: u64,
}

/// A run that is waiting or under way, in snapshots.
///
/// # Shape
/// In a snapshot `to` is the end of the text that the snapshot's message holds. In a resume it is where the text will continue;
/// with `reset` the client must first clear its copy of that message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RunState {
    /// `run_…`.
    pub run: String,
    /// The message that it writes.
    pub message: String,
    /// `queued`, `running` or `stopping`.
    pub state: RunPhase,
    /// Where the next delta will start.
    pub to: Position,
    /// The client's position cannot be used: it must start from the beginning.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
    /// Place in the queue, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
    /// `req_…`.
    pub request_id: String,
    /// Milliseconds since 1970.
    pub started_at: u64,
}

/// The phases of a live run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RunPhase {
    /// Waits for a slot.
    Queued,
    /// Under way.
    Running,
    /// Asked to stop.
    Stopping,
}

/// A message that waits for the session's current run to end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct QueueItem {
    /// The client's id.
    pub cid: String,
    /// The text that will be sent.
    pub text: String,
    /// Milliseconds since 1970.
    pub created_at: u64,
}
