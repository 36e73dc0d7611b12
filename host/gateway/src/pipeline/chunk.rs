//! Chunks of a response body between the stages, and how the body ends.

use super::data::Data;
use super::stop::Stop;
use crate::failure::Failure;
use sluicegate_plugin_host::ExchangeContext;

/// Some of a body on its way outward, and whether more follows.
#[derive(Debug)]
pub struct Chunk {
    /// The data.
    pub data: Data,
    /// What comes after it.
    pub end: End,
}

/// What comes after some of a body.
#[derive(Debug)]
pub enum End {
    /// More.
    Open,
    /// Nothing: the body is complete.
    Last,
    /// Nothing, although the body is incomplete.
    Stopped(Box<Stopped>),
}

/// Why a body is incomplete, and how the stages so far show that.
#[derive(Debug)]
pub struct Stopped {
    /// The first reason, or that of a stage that replaced it.
    pub stop: Stop,
    /// The error as the next stage sees it: one event, or what the stages before made of that.
    pub shown: Data,
    /// Whether it has already taken the place of the response: a stage may have changed status and fields since.
    pub seen: bool,
}

impl Stopped {
    /// Puts the failure in the place of the response, unless it is there already.
    pub(super) fn take_place(&self, context: &mut ExchangeContext) {
        if let Stop::Failure(failure) = &self.stop
            && !self.seen
        {
            context.fail((Some(failure.status()), failure.head()));
        }
    }
}

impl Chunk {
    /// A whole body, or the end of one.
    #[must_use]
    pub fn last(data: Data) -> Self {
        Self {
            data,
            end: End::Last,
        }
    }

    /// Some of a body.
    #[must_use]
    pub fn open(data: Data) -> Self {
        Self {
            data,
            end: End::Open,
        }
    }

    /// Some of a body that cannot be completed.
    #[must_use]
    pub fn stopped(data: Data, stop: Stop) -> Self {
        let shown = match &stop {
            Stop::Failure(failure) => Data::event(failure.body()),
            Stop::Reply(_) => Data::default(),
        };
        Self {
            data,
            end: End::Stopped(Box::new(Stopped {
                stop,
                shown,
                seen: false,
            })),
        }
    }

    /// Nothing of a body that cannot be completed.
    #[must_use]
    pub fn failed(failure: Failure) -> Self {
        Self::stopped(Data::default(), failure.into())
    }
}
