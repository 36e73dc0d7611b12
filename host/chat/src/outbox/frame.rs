//! The text of one frame, whose copies share it.

use std::sync::Arc;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::share::Charge;

/// A frame's text. Cloning it copies nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    own: Utf8Bytes,
    payload: Option<Arc<Payload>>,
}

/// A payload that several readers get, serialised once.
#[derive(Debug)]
pub(crate) struct Payload {
    text: Utf8Bytes,
    /// Returned when the last reader has got it.
    _charge: Charge,
}

/// What follows a shared payload.
const TAIL: &str = "}";

impl Frame {
    /// A response with a shared payload: `head` is all of the frame up to the payload, which is its last member.
    pub(crate) fn with_payload(head: String, payload: Arc<Payload>) -> Self {
        Self {
            own: head.into(),
            payload: Some(payload),
        }
    }

    /// How long it is, in bytes.
    pub(crate) fn len(&self) -> usize {
        let shared = self.payload.as_ref().map(|payload| payload.text.len());
        self.own.len() + shared.map_or(0, |length| length + TAIL.len())
    }

    /// Its length without a shared payload, which is counted once elsewhere.
    pub(super) fn own_len(&self) -> usize {
        self.own.len()
    }

    /// The text, or what comes before a shared payload.
    pub(crate) fn beginning(&self) -> &str {
        &self.own
    }

    /// The whole text in chunks, none of them empty.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Bytes> {
        let payload = self.payload.as_ref().map(|payload| payload.text.clone());
        let tail = payload
            .is_some()
            .then(|| Bytes::from_static(TAIL.as_bytes()));
        std::iter::once(Bytes::from(self.own.clone()))
            .chain(payload.map(Bytes::from))
            .chain(tail)
    }

    /// The whole text, if it is in one chunk.
    pub(crate) fn whole(&self) -> Option<&Utf8Bytes> {
        self.payload.is_none().then_some(&self.own)
    }
}

impl Payload {
    /// A payload that is held against a user's share.
    pub(super) fn new(text: String, charge: Charge) -> Self {
        Self {
            text: text.into(),
            _charge: charge,
        }
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Payload {}

impl From<String> for Frame {
    fn from(text: String) -> Self {
        Self {
            own: text.into(),
            payload: None,
        }
    }
}
