//! The body of a frozen request, which every attempt sends again if it can.

use bytes::Bytes;
use sluicegate_contract::canonical;

use crate::exchange::admission::Full;
use crate::failure::{Failure, Kind};
use sluicegate_upstream as upstream;
use sluicegate_upstream::body::{self, Limited};

/// The body of a frozen request.
pub(in crate::exchange) enum RequestBody {
    /// Kept in memory: every attempt can send it.
    Kept(Bytes),
    /// Passed on as it arrives, once; `None` if some of it may have been sent.
    Stream(Option<Box<Limited>>),
}

impl RequestBody {
    /// Whether the whole body can still be sent.
    pub(in crate::exchange) fn is_whole(&self) -> bool {
        !matches!(self, Self::Stream(None))
    }

    /// Whether it can be sent again however the last attempt ended.
    pub(in crate::exchange) fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }

    /// The body for one attempt.
    pub(in crate::exchange) fn take(&mut self) -> upstream::Body {
        match self {
            Self::Kept(bytes) => upstream::Body::full(bytes.clone()),
            Self::Stream(limited) => match limited.take() {
                Some(limited) => upstream::Body::Stream(limited),
                None => upstream::Body::full(Bytes::new()),
            },
        }
    }

    /// The body of an attempt that asks for a model by another name, as JSON text; `None` if it stays as it is.
    pub(in crate::exchange) fn with_model(&self, model: Option<&str>) -> Option<Self> {
        match (self, model) {
            (Self::Kept(bytes), Some(model)) => {
                let renamed = canonical::with_model(bytes, model)?;
                Some(Self::Kept(renamed.into()))
            }
            (Self::Kept(_) | Self::Stream(_), _) => None,
        }
    }

    /// Takes back what was not sent.
    pub(in crate::exchange) fn give_back(&mut self, body: Option<upstream::Body>) {
        if let (Self::Stream(place), Some(upstream::Body::Stream(limited))) = (self, body) {
            *place = Some(limited);
        }
    }
}

/// The client's error when its body cannot be read.
pub(in crate::exchange) fn unreadable(error: body::Error) -> Failure {
    use body::Error;
    match error {
        Error::TooLarge { limit } => Failure::new(
            Kind::BodyTooLarge,
            format!("The request body is larger than the {limit} bytes that the gateway accepts."),
        ),
        Error::TimedOut { limit } => Failure::new(
            Kind::RequestTimeout,
            format!("No data of the request body arrived for {limit:?}."),
        ),
        Error::NoMemory => Full::Memory.into(),
        Error::Broken => Failure::new(
            Kind::InvalidRequest,
            "The request body ended early or is not valid HTTP.",
        ),
    }
}
