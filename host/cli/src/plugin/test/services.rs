//! What lies behind the capabilities in a case: state in memory, for which time stands still, and the responses of the case.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper::{Request, Response};
use sluicegate_config::{HttpGrant, Origin};
use sluicegate_outbound::{Answer, Client, Error, Outbound};
use sluicegate_plugin_host::Services;
use sluicegate_state::shared::Memory;

/// What all cases share, but not what is in it.
#[derive(Debug)]
pub(in crate::plugin) struct CaseServices {
    memory: Arc<Memory>,
    answers: Arc<Answers>,
}

/// The responses that are left.
#[derive(Debug, Default)]
struct Answers(Mutex<VecDeque<Response<Bytes>>>);

impl CaseServices {
    pub(in crate::plugin) fn new() -> Self {
        Self {
            memory: Arc::new(Memory::new(|| 0)),
            answers: Arc::default(),
        }
    }

    /// For a plugin that is loaded.
    pub(in crate::plugin) fn services(&self) -> Services {
        let outbound = Requests(self.answers.clone());
        Services::new(self.memory.clone(), Arc::new(outbound))
    }

    /// A run begins: nothing is left of the one before.
    pub(in crate::plugin) fn begin(&self, answers: &[Response<Bytes>]) {
        self.memory.clear();
        let mut left = self
            .answers
            .0
            .lock()
            .expect("no panic while the lock is held");
        *left = answers.iter().cloned().collect();
    }
}

/// Where requests go.
#[derive(Debug)]
struct Requests(Arc<Answers>);

impl Outbound for Requests {
    fn client(&self, _: &HttpGrant) -> Arc<dyn Client> {
        self.0.clone()
    }
}

impl Client for Answers {
    fn send(&self, origin: Origin, _: Request<Bytes>) -> Answer<'_> {
        let next = self
            .0
            .lock()
            .expect("no panic while the lock is held")
            .pop_front();
        Box::pin(std::future::ready(next.ok_or_else(|| Error::Broken {
            origin,
            reason: "the case has no response for it".to_owned(),
        })))
    }
}
