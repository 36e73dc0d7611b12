//! The context of an exchange, which its sandboxes borrow in turn.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sluicegate_contract::Context;

/// An exchange's context, which is in the sandbox while a guest runs and here the rest of the time.
#[derive(Debug)]
pub struct ExchangeContext(Option<Box<Context>>);

impl ExchangeContext {
    /// Wraps a context.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self(Some(Box::new(context)))
    }

    /// The context, for a sandbox whose guest is to run.
    pub(super) fn lend(&mut self) -> Option<Box<Context>> {
        self.0.take()
    }

    /// The context, back from a sandbox.
    pub(super) fn give_back(&mut self, context: Box<Context>) {
        self.0 = Some(context);
    }

    /// Time spent in the stages so far; zero if the exchange was dropped in the middle of a call.
    #[must_use]
    pub fn spent(&self) -> Duration {
        self.0
            .as_ref()
            .map_or(Duration::ZERO, |context| context.spent)
    }

    /// The notes so far; none if the exchange was dropped in the middle of a call.
    #[must_use]
    pub fn take_notes(&mut self) -> Vec<(String, String)> {
        self.0
            .as_mut()
            .map(|context| context.notes.take())
            .unwrap_or_default()
    }
}

impl Deref for ExchangeContext {
    type Target = Context;
    fn deref(&self) -> &Context {
        self.0
            .as_ref()
            .expect("a context is lent only while its exchange awaits the call")
    }
}

impl DerefMut for ExchangeContext {
    fn deref_mut(&mut self) -> &mut Context {
        self.0
            .as_mut()
            .expect("a context is lent only while its exchange awaits the call")
    }
}
