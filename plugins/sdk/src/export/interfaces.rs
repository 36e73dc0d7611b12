//! The exports of a plugin for the test bench: a table of functions.

use sluicegate_contract::Exports;

use crate::context::Context;
use crate::interface::{
    ChunkStage, Closing, EventStage, Gate, Observer, Plugin, RequestStage, ResponseStage,
};
use crate::plan::{RequestPlan, ResponsePlan};
use crate::summary::Summary;
use crate::types::{Event, Fault, Stop};

/// An exported plugin; [`export!`](crate::export!) implements this.
pub trait Exported: Plugin {
    /// The interfaces that it exports.
    fn interfaces() -> Interfaces<Self>;
}

/// A phase that gets only the exchange.
type Call<P, T> = fn(&P, &mut <P as Plugin>::State, &Context<'_>) -> T;
/// A phase that is shown something and may replace it.
type Replace<P, V, E> = fn(&P, &mut <P as Plugin>::State, &Context<'_>, V) -> Result<Option<V>, E>;
type Chunk<P> = fn(
    &P,
    &mut <P as Plugin>::State,
    &Context<'_>,
    Vec<u8>,
    bool,
) -> Result<Option<Vec<u8>>, Fault>;
type Closed<P> = fn(&P, &mut <P as Plugin>::State, &Context<'_>, &str);

/// The functions of each interface that a plugin exports.
pub struct Interfaces<P: Plugin> {
    pub(crate) gate: Option<Call<P, Result<(), Stop>>>,
    pub(crate) request: Option<RequestCalls<P>>,
    pub(crate) response: Option<ResponseCalls<P>>,
    pub(crate) chunks: Option<Chunk<P>>,
    pub(crate) events: Option<EventCalls<P>>,
    pub(crate) closing: Option<Closed<P>>,
    pub(crate) observer: Option<fn(&P, &[Summary])>,
}

pub(crate) struct RequestCalls<P: Plugin> {
    pub(crate) head: Call<P, Result<RequestPlan, Stop>>,
    pub(crate) body: Replace<P, Vec<u8>, Stop>,
}

pub(crate) struct ResponseCalls<P: Plugin> {
    pub(crate) head: Call<P, Result<ResponsePlan, Stop>>,
    pub(crate) body: Replace<P, Vec<u8>, Stop>,
}

pub(crate) struct EventCalls<P: Plugin> {
    pub(crate) batch: Replace<P, Vec<Event>, Fault>,
    pub(crate) end: Call<P, Result<Vec<Event>, Fault>>,
}

impl<P: Plugin> Default for Interfaces<P> {
    fn default() -> Self {
        Self {
            gate: None,
            request: None,
            response: None,
            chunks: None,
            events: None,
            closing: None,
            observer: None,
        }
    }
}

impl<P: Plugin> Interfaces<P> {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn gate(mut self) -> Self
    where
        P: Gate,
    {
        self.gate = Some(P::check);
        self
    }

    #[must_use]
    pub fn request(mut self) -> Self
    where
        P: RequestStage,
    {
        self.request = Some(RequestCalls {
            head: P::request_head,
            body: P::request_body,
        });
        self
    }

    #[must_use]
    pub fn response(mut self) -> Self
    where
        P: ResponseStage,
    {
        self.response = Some(ResponseCalls {
            head: P::response_head,
            body: P::response_body,
        });
        self
    }

    #[must_use]
    pub fn chunks(mut self) -> Self
    where
        P: ChunkStage,
    {
        self.chunks = Some(P::chunk);
        self
    }

    #[must_use]
    pub fn events(mut self) -> Self
    where
        P: EventStage,
    {
        self.events = Some(EventCalls {
            batch: P::events,
            end: P::end,
        });
        self
    }

    #[must_use]
    pub fn closing(mut self) -> Self
    where
        P: Closing,
    {
        self.closing = Some(P::closed);
        self
    }

    #[must_use]
    pub fn observer(mut self) -> Self
    where
        P: Observer,
    {
        self.observer = Some(P::observe);
        self
    }

    pub(crate) fn exports(&self) -> Exports {
        Exports {
            gate: self.gate.is_some(),
            request: self.request.is_some(),
            response: self.response.is_some(),
            chunks: self.chunks.is_some(),
            events: self.events.is_some(),
            closing: self.closing.is_some(),
            observer: self.observer.is_some(),
        }
    }
}
