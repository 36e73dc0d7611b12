//! The response body on its way through the stages, last to first.
//!
//! Each stage is a [`Link`]: it takes what its predecessor gives, octets or events, and gives one or the other. What no
//! stage changed leaves as the octets that came in.

mod data;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use self::data::{Data, Given, Waiting};
use super::{Stop, answer, failed, fault, keeps_promise, refusal};
use crate::failure::{Failure, Kind};
use crate::framing::{self, Batch, Decoder, Framing};
use crate::plugin::abi::{
    BodyAction, ChunkAction, EndAction, EventParam, EventResult, EventsAction,
};
use crate::plugin::instance::{Filter, Loan};
use crate::plugin::{self, Version};

/// Events handed to a stage in one call; see `response-events` in `wit/filter.wit`.
const BATCH_EVENTS: usize = 32;
/// Octets of events handed to a stage in one call.
const BATCH_BYTES: usize = 64 * 1024;

/// The bounds of a response body.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets of a body that is collected for a stage.
    pub body: u64,
    /// Octets of one event.
    pub event: usize,
}

/// How a link works.
pub(super) enum Mode {
    Whole(BytesMut),
    Chunks,
    Events {
        /// Turns octets into events; none where the predecessor gives events.
        decoder: Option<Box<Decoder>>,
        incoming: Framing,
        out: Framing,
    },
}

impl Mode {
    pub(super) fn whole() -> Self {
        Self::Whole(BytesMut::new())
    }

    pub(super) fn events(incoming: Framing, out: Framing, batches: bool, limits: &Limits) -> Self {
        // A document is one event, so it has the body's limit.
        let event_bytes = match incoming {
            Framing::Document => usize::try_from(limits.body).unwrap_or(usize::MAX),
            Framing::Sse | Framing::Ndjson => limits.event,
        };
        let limits = framing::Limits {
            event_bytes,
            batch_events: BATCH_EVENTS,
            batch_bytes: BATCH_BYTES,
        };
        let decoder = (!batches).then(|| Box::new(Decoder::new(incoming, limits)));
        Self::Events {
            decoder,
            incoming,
            out,
        }
    }
}

/// One stage at work on the body.
pub(super) struct Link {
    version: Arc<Version>,
    /// `None` after the stage has failed open: everything passes.
    filter: Option<Filter>,
    mode: Mode,
    /// Events that it was shown.
    seen: u64,
}

/// The stages that want to see the response body, the model server's side first.
pub struct Chain {
    links: Vec<Link>,
    /// The framing of what the client gets.
    framing: Framing,
    limits: Limits,
}

/// What the chain gives for one piece of input.
#[derive(Debug, Default)]
pub struct Output {
    /// Octets for the client; may be empty.
    pub bytes: Bytes,
    /// Whether the body is complete: the input has ended, or a stage has ended it.
    pub last: bool,
    /// Why nothing more can come, although the body is not complete; `bytes` come before it.
    pub stop: Option<Stop>,
}

impl Chain {
    pub(super) fn new(links: Vec<Link>, framing: Framing, limits: Limits) -> Self {
        Self {
            links,
            framing,
            limits,
        }
    }

    /// The framing of what the client gets.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether no stage wants to see the body: it can be passed on as it comes, with its length.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Whether what comes out always ends where an event ends.
    #[must_use]
    pub fn gives_events(&self) -> bool {
        self.links
            .last()
            .is_some_and(|link| link.batches().is_some())
    }

    /// Events that have come from the model server so far; 0 if no stage wants events.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.links.first().map_or(0, |link| link.seen)
    }

    /// Takes a piece of the body, which may be empty; `last` says that none follows.
    ///
    /// # Shape
    /// What a stage gave before it stopped still comes out, so that the client gets the same however its stream was cut into
    /// pieces. After a [`Output::stop`] the chain must not be used again.
    pub async fn push(&mut self, loan: &mut Loan, piece: Bytes, last: bool) -> Output {
        let mut passed = Passed {
            data: Data::Octets(piece),
            last,
            stop: None,
        };
        let mut framing = Framing::Document;
        for link in &mut self.links {
            let before = passed.stop;
            passed = link
                .accept(loan, passed.data, framing, passed.last, &self.limits)
                .await;
            // The first reason is the one that matters.
            passed.stop = before.or(passed.stop);
            framing = link.batches().unwrap_or(Framing::Document);
        }
        Output {
            bytes: passed.data.into_octets(framing),
            last: passed.last && passed.stop.is_none(),
            stop: passed.stop,
        }
    }
}

/// What a link passes on.
struct Passed {
    data: Data,
    last: bool,
    stop: Option<Stop>,
}

impl Passed {
    fn octets(bytes: Bytes, last: bool) -> Self {
        Self {
            data: Data::Octets(bytes),
            last,
            stop: None,
        }
    }

    fn events(given: Given, last: bool) -> Self {
        Self {
            data: given.into_data(),
            last,
            stop: None,
        }
    }

    fn stopped(data: Data, stop: Stop) -> Self {
        Self {
            data,
            last: false,
            stop: Some(stop),
        }
    }
}

impl Link {
    pub(super) fn new(version: Arc<Version>, filter: Filter, mode: Mode) -> Self {
        Self {
            version,
            filter: Some(filter),
            mode,
            seen: 0,
        }
    }

    /// The framing of the events that this link gives, if it gives events.
    pub(super) fn batches(&self) -> Option<Framing> {
        match &self.mode {
            Mode::Events { out, .. } if *out != Framing::Document => Some(*out),
            Mode::Events { .. } | Mode::Whole(_) | Mode::Chunks => None,
        }
    }

    async fn accept(
        &mut self,
        loan: &mut Loan,
        data: Data,
        framing: Framing,
        last: bool,
        limits: &Limits,
    ) -> Passed {
        let Self {
            version,
            filter,
            mode,
            seen,
        } = self;
        let mut stage = Stage {
            version,
            filter,
            loan,
        };
        let result = match mode {
            Mode::Whole(buffer) => {
                let collected = collect(buffer, &data.into_octets(framing), limits.body);
                match collected {
                    Ok(()) if last => stage.whole(std::mem::take(buffer).freeze()).await,
                    Ok(()) => Ok(Bytes::new()),
                    Err(failure) => Err(failure.into()),
                }
            }
            Mode::Chunks => {
                let bytes = data.into_octets(framing);
                if bytes.is_empty() && !last {
                    Ok(bytes)
                } else {
                    stage.chunk(bytes, last).await
                }
            }
            Mode::Events {
                decoder,
                incoming,
                out,
            } => {
                let flow = Flow {
                    same: incoming == out,
                    out: *out,
                    last,
                };
                let mut given = Given::default();
                let waiting = Waiting::new(data, decoder.as_deref_mut(), last);
                return match stage.stream(waiting, flow, seen, &mut given).await {
                    Ok(End::Open) => Passed::events(given, false),
                    Ok(End::Events) => Passed::events(given, true),
                    Ok(End::Document(body)) => Passed::octets(body, true),
                    Err(stop) => Passed::stopped(given.into_data(), stop),
                };
            }
        };
        match result {
            Ok(bytes) => Passed::octets(bytes, last),
            Err(stop) => Passed::stopped(Data::Octets(Bytes::new()), stop),
        }
    }
}

/// What a link is told of a stream of events.
#[derive(Clone, Copy)]
struct Flow {
    /// Whether the framing stays the same.
    same: bool,
    out: Framing,
    /// Whether nothing follows.
    last: bool,
}

/// How a stream of events stands after a piece of it.
enum End {
    Open,
    Events,
    Document(Bytes),
}

/// A stage during one call of [`Link::accept`].
struct Stage<'a> {
    version: &'a Arc<Version>,
    filter: &'a mut Option<Filter>,
    loan: &'a mut Loan,
}

impl Stage<'_> {
    /// What a failure of the stage means; if the exchange goes on, the stage is out of it.
    fn failed(&mut self, error: plugin::Error) -> Result<(), Failure> {
        failed(self.version, error)?;
        *self.filter = None;
        Ok(())
    }

    async fn whole(&mut self, body: Bytes) -> Result<Bytes, Stop> {
        let Some(filter) = self.filter else {
            return Ok(body);
        };
        let action = filter.response_body(self.loan, &body).await;
        match action.and_then(|action| keeps_promise(self.version, action)) {
            Ok(BodyAction::Pass) => Ok(body),
            Ok(BodyAction::Replace(new)) => Ok(new.into()),
            Ok(BodyAction::Reply(reply)) => Err(answer(self.version, reply)),
            Ok(BodyAction::Fail(fault)) => Err(refusal(self.version, fault).into()),
            Err(error) => {
                self.failed(error)?;
                Ok(body)
            }
        }
    }

    async fn chunk(&mut self, bytes: Bytes, last: bool) -> Result<Bytes, Stop> {
        let Some(filter) = self.filter else {
            return Ok(bytes);
        };
        match filter.response_chunk(self.loan, &bytes, last).await {
            Ok(ChunkAction::Pass) => Ok(bytes),
            Ok(ChunkAction::Replace(new)) if self.version.manifest().transforms => Ok(new.into()),
            Ok(ChunkAction::Replace(_)) => {
                self.failed(broken_promise())?;
                Ok(bytes)
            }
            Ok(ChunkAction::Fail(fault)) => Err(refusal(self.version, fault).into()),
            Err(error) => {
                self.failed(error)?;
                Ok(bytes)
            }
        }
    }

    /// Shows the stage all that waits, and the end if this is it; `given` has what came of it, also when it stops.
    async fn stream(
        &mut self,
        mut waiting: Waiting<'_>,
        flow: Flow,
        seen: &mut u64,
        given: &mut Given,
    ) -> Result<End, Stop> {
        let mut finished = false;
        while !finished && let Some(batch) = waiting.next()? {
            *seen += batch.events.len() as u64;
            finished = self.events(batch, flow.same, flow.out, given).await?;
        }
        if !flow.last && !finished {
            return Ok(End::Open);
        }
        let body = self.end(flow.out, given).await?;
        Ok(body.map_or(End::Events, End::Document))
    }

    /// Shows the stage a batch and adds what comes of it; true if the stage ends the body.
    async fn events(
        &mut self,
        batch: Batch,
        same: bool,
        out: Framing,
        given: &mut Given,
    ) -> Result<bool, Stop> {
        if batch.events.is_empty() {
            return Ok(false);
        }
        let Some(filter) = self.filter else {
            given.pass(batch, same);
            return Ok(false);
        };
        let view: Vec<EventParam<'_>> = batch
            .events
            .iter()
            .map(|event| EventParam {
                name: &event.name,
                data: &event.data,
            })
            .collect();
        let action = filter.response_events(self.loan, &view).await;
        let changes = matches!(
            &action,
            Ok(EventsAction::Replace(_) | EventsAction::Finish(_))
        );
        let action = if changes && !self.version.manifest().transforms {
            Err(broken_promise())
        } else {
            action
        };
        match action {
            Ok(EventsAction::Pass) => {
                // Towards a document there is nothing to pass on: the stage has taken the events in.
                if out != Framing::Document {
                    given.pass(batch, same);
                }
                Ok(false)
            }
            Ok(EventsAction::Replace(events)) => {
                self.check_document(out, &events)?;
                given.replace(events);
                Ok(false)
            }
            Ok(EventsAction::Finish(events)) => {
                self.check_document(out, &events)?;
                given.replace(events);
                Ok(true)
            }
            Ok(EventsAction::Fail(fault)) => Err(refusal(self.version, fault).into()),
            Err(error) => {
                self.failed(error)?;
                given.pass(batch, same);
                Ok(false)
            }
        }
    }

    /// The end of the body: adds last events, or gives the document.
    async fn end(&mut self, out: Framing, given: &mut Given) -> Result<Option<Bytes>, Stop> {
        let Some(filter) = self.filter else {
            return Ok(None);
        };
        match filter.response_end(self.loan).await {
            Ok(EndAction::Pass) if out != Framing::Document => Ok(None),
            Ok(EndAction::Events(events)) if out != Framing::Document => {
                if events.is_empty() || self.version.manifest().transforms {
                    given.replace(events);
                } else {
                    self.failed(broken_promise())?;
                }
                Ok(None)
            }
            Ok(EndAction::Body(body)) if out == Framing::Document => Ok(Some(body.into())),
            Ok(EndAction::Fail(fault)) => Err(refusal(self.version, fault).into()),
            Ok(EndAction::Pass | EndAction::Events(_) | EndAction::Body(_)) => {
                let error = plugin::Error::Contract(
                    "`response-end` must give a body if the plan was `events(document)`, and cannot otherwise".into(),
                );
                Err(fault(self.version, error).into())
            }
            Err(error) => {
                self.failed(error)?;
                Ok(None)
            }
        }
    }

    fn check_document(&self, out: Framing, events: &[EventResult]) -> Result<(), Stop> {
        if out == Framing::Document && !events.is_empty() {
            let error = plugin::Error::Contract(
                "a document is given by `response-end`, not as events".into(),
            );
            return Err(fault(self.version, error).into());
        }
        Ok(())
    }
}

fn broken_promise() -> plugin::Error {
    plugin::Error::Contract("its manifest says that it changes no body, but it did".into())
}

/// Adds octets to a body of the model server's that is collected.
///
/// # Errors
/// A failure for the client if the body is then larger than `limit` octets.
pub(crate) fn collect(buffer: &mut BytesMut, bytes: &[u8], limit: u64) -> Result<(), Failure> {
    if (buffer.len() + bytes.len()) as u64 > limit {
        return Err(Failure::new(
            Kind::UpstreamInvalid,
            format!("The model server's answer is larger than {limit} octets."),
        ));
    }
    buffer.extend_from_slice(bytes);
    Ok(())
}

fn unreadable(error: framing::Error) -> Failure {
    Failure::new(
        Kind::UpstreamInvalid,
        "The model server's stream cannot be read.",
    )
    .caused_by(error)
}
