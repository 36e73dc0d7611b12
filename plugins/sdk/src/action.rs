//! What a gate or a filter answers in each phase. A fault is the `Err` of the phase's `Result`, so `?` works.

use crate::types::{Event, Framing, Reply};

/// A gate's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on with the next stage. Changes made through the context stand.
    Allow,
    /// Answer the client with this; nothing is sent to the model server.
    Reply(Reply),
}

/// How a filter wants to see a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Not at all. A body that every stage skips is forwarded as it comes.
    Skip,
    /// As one piece, when it is complete.
    Whole,
    /// In the pieces in which it arrives; only in the response.
    Chunks,
    /// As records; only in the response. The framing is the one that the stage puts out.
    Events(Framing),
}

/// The answer of `request_head` and `response_head`. A [`Plan`] converts into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadAction {
    /// Go on, and show me the body so.
    Proceed(Plan),
    /// Answer the client with this.
    Reply(Reply),
}

impl From<Plan> for HeadAction {
    fn from(plan: Plan) -> Self {
        Self::Proceed(plan)
    }
}

/// The answer of `request_body` and `response_body`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyAction {
    /// Leave the body as it is; costs no copy.
    Pass,
    /// Put this in its place.
    Replace(Vec<u8>),
    /// Answer the client with this.
    Reply(Reply),
}

/// The answer of `response_chunk`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkAction {
    /// Leave the piece as it is.
    Pass,
    /// Put this in its place; may be empty.
    Replace(Vec<u8>),
}

/// The answer of `response_events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventsAction {
    /// Leave the batch as it is.
    Pass,
    /// Any number of events in place of the batch, none included.
    Replace(Vec<Event>),
    /// Send these, then end the body and let go of the model server. `response_end` is still called.
    Finish(Vec<Event>),
}

/// The answer of `response_end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndAction {
    /// Nothing to add.
    Pass,
    /// Last events; only where the plan was `Events(Sse)` or `Events(Ndjson)`.
    Events(Vec<Event>),
    /// The body; only where the plan was `Events(Document)`, and there it is required.
    Body(Vec<u8>),
}
