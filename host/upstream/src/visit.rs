//! One attempt at its target: it has a place there, and what becomes of it says whether others should go there too.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::time::Instant;

use super::breaker::Permit;
use super::places::Place;
use super::target::Target;
use sluicegate_config as config;

/// An attempt that has its place at a target, until it is dropped. It has ended well if that is after its response began, and
/// says nothing about the target if it is before.
#[derive(Debug)]
pub struct Visit {
    target: Arc<Target>,
    settings: config::Breaker,
    permit: Permit,
    began: Instant,
    has_response: bool,
    has_failed: bool,
    _place: Place,
}

impl Visit {
    /// An attempt has its place. Boxed because it moves with the response, which every exchange has room for.
    pub(super) fn begin(
        target: &Arc<Target>,
        settings: config::Breaker,
        place: Place,
    ) -> Box<Self> {
        let now = Instant::now();
        target.metrics.visit_begins();
        Box::new(Self {
            permit: target.breaker.begin(now),
            target: target.clone(),
            settings,
            began: now,
            has_response: false,
            has_failed: false,
            _place: place,
        })
    }

    /// The response that was asked for begins.
    pub fn responded(&mut self) {
        let now = Instant::now();
        self.target.load.responded(now, now - self.began);
        self.refused_the_request();
    }

    /// The target works, though it does not respond as was asked: the request is to blame. How quickly it said so does not
    /// count: a target that refuses everything would look like the fastest.
    pub fn refused_the_request(&mut self) {
        self.has_response = true;
        if self.target.breaker.responded(&mut self.permit) {
            self.target.is_back();
        }
    }

    /// The target has failed: no connection, no response in time, an error that another one may not have, or a response that
    /// broke off. Only the first call counts.
    pub fn failed(&mut self) {
        if std::mem::replace(&mut self.has_failed, true) {
            return;
        }
        let now = Instant::now();
        let breaker = &self.target.breaker;
        let wait = breaker.failed(&self.permit, &self.settings, now, chance());
        if let Some(wait) = wait {
            self.target.is_left_alone(wait);
        }
    }

    /// The target is busy, and wants to be asked again after so many seconds, if it says that.
    pub fn refused(&mut self, seconds: Option<u64>) {
        self.target.load.pause(Instant::now(), seconds);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.target.metrics.visit_ends();
        let breaker = &self.target.breaker;
        match (self.has_failed, self.has_response) {
            (true, _) => {}
            (false, true) => breaker.succeeded(&self.permit, Instant::now()),
            (false, false) => breaker.cancelled(&self.permit),
        }
    }
}

/// A random number; the standard library seeds each state anew.
pub(super) fn chance() -> u64 {
    RandomState::new().hash_one(0)
}
