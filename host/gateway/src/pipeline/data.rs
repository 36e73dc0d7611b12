//! What flows between the stages of a response: bytes, or events with the bytes they were read from.

use bytes::{Bytes, BytesMut};

use super::limits::BATCH_EVENTS;
use crate::failure::{Failure, Kind};
use sluicegate_framing::{self as framing, Batch, Decoder, Event, Framing};
use sluicegate_plugin_host::wit::EventResult;

/// Some of a response body.
#[derive(Debug)]
pub enum Data {
    /// Bytes as they arrived, cut anywhere.
    Bytes(Bytes),
    /// Whole events.
    Events {
        /// The events, in order.
        events: Vec<Event>,
        /// The bytes from which these events were read, if both say exactly the same.
        raw: Option<Bytes>,
    },
}

impl Default for Data {
    fn default() -> Self {
        Self::Bytes(Bytes::new())
    }
}

impl Data {
    /// One event that has only data.
    #[must_use]
    pub fn event(data: Bytes) -> Self {
        Self::Events {
            events: vec![Event::data(data)],
            raw: None,
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Events { events, .. } => events.is_empty(),
        }
    }

    /// As bytes, in the framing of its source.
    #[must_use]
    pub fn into_bytes(self, framing: Framing) -> Bytes {
        match self {
            Self::Bytes(bytes)
            | Self::Events {
                raw: Some(bytes), ..
            } => bytes,
            Self::Events { events, raw: None } => {
                let mut out =
                    BytesMut::with_capacity(events.iter().map(|event| event.data.len() + 16).sum());
                framing::encode(framing, &events, &mut out);
                out.freeze()
            }
        }
    }

    /// As a complete body, with its framing: the data of a single event, or else a stream. `framing` is that of its source.
    #[must_use]
    pub fn into_whole(self, framing: Framing) -> (Bytes, Framing) {
        match self {
            Self::Bytes(bytes) if framing == Framing::Document || bytes.is_empty() => {
                (bytes, Framing::Document)
            }
            Self::Bytes(bytes) => match <[Event; 1]>::try_from(decoded(framing, bytes.clone())) {
                Ok([event]) => (event.data, Framing::Document),
                Err(_) => (bytes, framing),
            },
            Self::Events { mut events, .. } if events.len() <= 1 => {
                let data = events.pop().map(|event| event.data);
                (data.unwrap_or_default(), Framing::Document)
            }
            events @ Self::Events { .. } => (events.into_bytes(framing), framing),
        }
    }
}

/// The complete events in some bytes.
pub(super) fn decoded(framing: Framing, bytes: Bytes) -> Vec<Event> {
    let mut decoder = Decoder::new(framing, framing::Limits::default());
    decoder.feed(bytes);
    let mut events = Vec::new();
    // An event that is too large is left out.
    while let Ok(Some(batch)) = decoder.finish() {
        events.extend(batch.events);
    }
    events
}

/// What a stage gives for one input.
#[derive(Default)]
pub(super) struct StepOutput {
    events: Vec<Event>,
    raw: Verbatim,
}

/// Whether the events still say the same as the bytes from which they were read.
#[derive(Default)]
enum Verbatim {
    #[default]
    Empty,
    Unchanged(Bytes),
    Changed,
}

impl StepOutput {
    /// Adds an unchanged batch; `same` says that its framing stays the same too.
    pub(super) fn pass(&mut self, batch: Batch, same: bool) {
        self.raw = match (
            std::mem::replace(&mut self.raw, Verbatim::Changed),
            batch.raw,
        ) {
            (Verbatim::Empty, raw) if same && !raw.is_empty() => Verbatim::Unchanged(raw),
            (Verbatim::Unchanged(before), raw) if same && !raw.is_empty() => {
                Verbatim::Unchanged([before, raw].concat().into())
            }
            (Verbatim::Empty | Verbatim::Unchanged(_) | Verbatim::Changed, _) => Verbatim::Changed,
        };
        self.events.extend(batch.events);
    }

    /// Adds last events, if there are any.
    pub(super) fn replace_if_any(&mut self, events: Vec<EventResult>) {
        if !events.is_empty() {
            self.replace(events);
        }
    }

    /// Adds a stage's own events.
    pub(super) fn replace(&mut self, events: Vec<EventResult>) {
        self.raw = Verbatim::Changed;
        self.events.extend(events.into_iter().map(own));
    }

    pub(super) fn into_data(self) -> Data {
        let raw = match self.raw {
            Verbatim::Unchanged(raw) => Some(raw),
            Verbatim::Empty | Verbatim::Changed => None,
        };
        Data::Events {
            events: self.events,
            raw,
        }
    }
}

/// Converts a stage's event.
pub(super) fn own(event: EventResult) -> Event {
    Event {
        name: event.name,
        data: event.data.into(),
        id: event.id,
    }
}

/// The batches for a stage: events as they come in, or what a decoder makes of bytes.
pub(super) enum Batches<'a> {
    Events {
        events: Vec<Event>,
        raw: Option<Bytes>,
    },
    Bytes {
        decoder: &'a mut Decoder,
        last: bool,
        failed: bool,
    },
}

impl<'a> Batches<'a> {
    /// `decoder` is for input in bytes. `last` says that nothing follows.
    pub(super) fn new(data: Data, decoder: Option<&'a mut Decoder>, last: bool) -> Self {
        match (data, decoder) {
            (Data::Bytes(bytes), Some(decoder)) => {
                decoder.feed(bytes);
                Self::Bytes {
                    decoder,
                    last,
                    failed: false,
                }
            }
            // With input in events, the end may come without any.
            (Data::Bytes(_), None) => Self::Events {
                events: Vec::new(),
                raw: None,
            },
            (Data::Events { events, raw }, _) => Self::Events { events, raw },
        }
    }

    /// Whether the last call of `next` failed.
    pub(super) fn failed(&self) -> bool {
        matches!(self, Self::Bytes { failed: true, .. })
    }

    pub(super) fn next(&mut self) -> Result<Option<Batch>, Failure> {
        match self {
            Self::Bytes {
                decoder,
                last,
                failed,
            } => {
                let batch = match decoder.next_batch() {
                    Ok(None) if *last => decoder.finish(),
                    other => other,
                };
                *failed = batch.is_err();
                batch.map_err(unreadable)
            }
            Self::Events { events, .. } if events.is_empty() => Ok(None),
            Self::Events { events, raw } if events.len() <= BATCH_EVENTS => Ok(Some(Batch {
                events: std::mem::take(events),
                raw: raw.take().unwrap_or_default(),
            })),
            Self::Events { events, raw } => {
                *raw = None;
                let rest = events.split_off(BATCH_EVENTS);
                Ok(Some(Batch {
                    events: std::mem::replace(events, rest),
                    raw: Bytes::new(),
                }))
            }
        }
    }
}

/// Adds bytes to a body from the model server that is being collected.
///
/// # Errors
/// A failure for the client if the body is then larger than `limit` bytes.
pub(crate) fn collect(buffer: &mut BytesMut, bytes: &[u8], limit: u64) -> Result<(), Failure> {
    if (buffer.len() + bytes.len()) as u64 > limit {
        return Err(Failure::new(
            Kind::UpstreamInvalid,
            format!("The model server's response is larger than {limit} bytes."),
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
