//! Event streams: bytes in, whole events out, and back.
//!
//! Cuts a streamed body into records: server-sent events, newline-delimited JSON, and bodies that are not streams. Thanks to
//! this module a plugin never sees half an event. Not responsible for what is inside an event, nor for reading or writing:
//! there is no IO here, and no clock.

mod buffer;
mod decoder;
mod document;
mod draft;
mod encode;
mod event;
mod ndjson;
mod scanner;
mod sse;

pub use self::decoder::Decoder;
pub use self::encode::encode;
pub use self::event::{Batch, Error, Event, Limits};
pub use sluicegate_contract::Framing;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
