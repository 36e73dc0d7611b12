//! What flows between the links of a chain: octets, or events with the octets they were read from.

use bytes::{Bytes, BytesMut};

use super::{BATCH_EVENTS, unreadable};
use crate::failure::Failure;
use crate::framing::{self, Batch, Decoder, Event, Framing};
use crate::plugin::abi::EventResult;

/// What comes out of a link or of the chain.
pub(super) enum Data {
    Octets(Bytes),
    Events {
        events: Vec<Event>,
        /// The octets from which these events were read, if they stand for them exactly.
        raw: Option<Bytes>,
    },
}

impl Data {
    /// As octets, in the framing of the link that gave it.
    pub(super) fn into_octets(self, framing: Framing) -> Bytes {
        match self {
            Self::Octets(bytes)
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
}

/// What a link gives for one input.
#[derive(Default)]
pub(super) struct Given {
    events: Vec<Event>,
    raw: Raw,
}

/// Whether the events still stand for the octets from which they were read.
#[derive(Default)]
enum Raw {
    #[default]
    Nothing,
    Exactly(Bytes),
    Changed,
}

impl Given {
    /// Adds an unchanged batch.
    pub(super) fn pass(&mut self, batch: Batch, same: bool) {
        self.raw = match (std::mem::replace(&mut self.raw, Raw::Changed), batch.raw) {
            (Raw::Nothing, raw) if same && !raw.is_empty() => Raw::Exactly(raw),
            (Raw::Exactly(before), raw) if same && !raw.is_empty() => {
                Raw::Exactly([before, raw].concat().into())
            }
            (Raw::Nothing | Raw::Exactly(_) | Raw::Changed, _) => Raw::Changed,
        };
        self.events.extend(batch.events);
    }

    /// Adds a stage's own events.
    pub(super) fn replace(&mut self, events: Vec<EventResult>) {
        self.raw = Raw::Changed;
        self.events.extend(events.into_iter().map(|event| Event {
            name: event.name,
            data: event.data.into(),
        }));
    }

    pub(super) fn into_data(self) -> Data {
        let raw = match self.raw {
            Raw::Exactly(raw) => Some(raw),
            Raw::Nothing | Raw::Changed => None,
        };
        Data::Events {
            events: self.events,
            raw,
        }
    }
}

/// The batches that wait for a stage: a predecessor's events, or what a decoder makes of octets.
pub(super) enum Waiting<'a> {
    Events {
        events: Vec<Event>,
        raw: Option<Bytes>,
    },
    Octets {
        decoder: &'a mut Decoder,
        last: bool,
    },
}

impl<'a> Waiting<'a> {
    pub(super) fn new(data: Data, decoder: Option<&'a mut Decoder>, last: bool) -> Self {
        match data {
            Data::Events { events, raw } => Self::Events { events, raw },
            Data::Octets(bytes) => {
                let decoder = decoder.expect("octets come only where a decoder was made");
                decoder.feed(bytes);
                Self::Octets { decoder, last }
            }
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Batch>, Failure> {
        match self {
            Self::Octets { decoder, last } => {
                let batch = decoder.next_batch().map_err(unreadable)?;
                if batch.is_some() || !*last {
                    Ok(batch)
                } else {
                    decoder.finish().map_err(unreadable)
                }
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
