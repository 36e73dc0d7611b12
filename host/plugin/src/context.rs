//! The context of an exchange, which its sandboxes borrow in turn.

use std::fmt;
use std::future::poll_fn;
use std::mem::take;
use std::ops::{Deref, DerefMut};
use std::sync::Weak;
use std::task::Poll;
use std::time::Duration;

use sluicegate_contract::{Context, Phase};
use tokio::time::{Instant, sleep_until};

use super::called::{CallFailure, Called};
use super::held::Held;

/// How long all waits of one call for capabilities may take together, as in `wit/capabilities.wit`.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a wait may take that begins when the exchange should have ended, as in `wit/capabilities.wit`.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// An exchange that may be told to end.
pub trait Interruptible: Send + Sync {
    /// Whether it has been told: its client has left, or the gateway does not want to wait any longer.
    ///
    /// Nobody is woken when that changes: whoever tells an exchange to end also lets it run.
    fn is_interrupted(&self) -> bool;
}

/// When an exchange must not wait any longer.
#[derive(Clone, Default)]
pub(super) struct Limits {
    /// Nobody can tell an exchange that has none.
    interruptible: Option<Weak<dyn Interruptible>>,
    /// When it must have ended.
    pub(super) deadline: Option<Instant>,
}

impl Limits {
    /// Waits for something until then, or until the exchange must not wait any longer; `None` if it did not come. An exchange that
    /// must not wait any longer even before has a little time, so that it can end in good order.
    pub(super) async fn wait<T>(
        &self,
        until: Instant,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let now = Instant::now();
        let is_over = self.deadline.is_some_and(|deadline| now >= deadline);
        let (until, interrupted) = if is_over || self.is_interrupted() {
            (until.min(now + LAST_WAIT), false)
        } else {
            (self.deadline.map_or(until, |it| it.min(until)), true)
        };
        let interruption = poll_fn(|_| {
            if interrupted && self.is_interrupted() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        tokio::select! {
            biased;
            value = future => Some(value),
            () = interruption => None,
            () = sleep_until(until) => None,
        }
    }

    /// Whether the exchange was told to end.
    fn is_interrupted(&self) -> bool {
        match &self.interruptible {
            // What tells it is gone.
            Some(weak) => weak.upgrade().is_none_or(|it| it.is_interrupted()),
            None => false,
        }
    }
}

/// What a sandbox borrows while its guest runs.
pub(super) struct Lent {
    pub(super) context: Context,
    pub(super) limits: Limits,
    pub(super) held: Held,
    /// The calls so far, where they are kept.
    calls: Option<Vec<Called>>,
}

/// An exchange's context, which is in the sandbox while a guest runs and here the rest of the time. What its stages have
/// reserved is given back when it is dropped.
pub struct ExchangeContext(Option<Box<Lent>>);

impl fmt::Debug for ExchangeContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let context = self.0.as_ref().map(|lent| &lent.context);
        f.debug_tuple("ExchangeContext").field(&context).finish()
    }
}

impl ExchangeContext {
    /// Wraps a context.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self::limited(context, Limits::default())
    }

    fn limited(context: Context, limits: Limits) -> Self {
        Self(Some(Box::new(Lent {
            context,
            limits,
            held: Held::default(),
            calls: None,
        })))
    }

    /// The same, which keeps what is called from now on.
    #[must_use]
    pub fn keeping_calls(mut self) -> Self {
        self.lent_mut().calls = Some(Vec::new());
        self
    }

    /// The calls so far, in their order, if they are kept.
    #[must_use]
    pub fn take_calls(&mut self) -> Vec<Called> {
        self.lent_mut().calls.as_mut().map(take).unwrap_or_default()
    }

    /// A call is over.
    pub(super) fn called(&mut self, phase: Phase, memory: usize) {
        if let Some(calls) = &mut self.lent_mut().calls {
            calls.push(Called {
                phase,
                memory,
                failure: None,
            });
        }
    }

    /// The last call has failed, or its result cannot be taken.
    pub(super) fn call_failed(&mut self, failure: impl FnOnce() -> CallFailure) {
        let calls = self.lent_mut().calls.as_mut();
        if let Some(last) = calls.and_then(|calls| calls.last_mut()) {
            last.failure = Some(failure());
        }
    }

    /// Wraps a copy of the context for one attempt, which is interrupted when this exchange is.
    #[must_use]
    pub fn for_attempt(&self, copy: Context) -> Self {
        Self::limited(copy, self.lent().limits.clone())
    }

    /// This is told when the exchange is to end.
    pub fn interrupted_by(&mut self, interruptible: Weak<dyn Interruptible>) {
        self.lent_mut().limits.interruptible = Some(interruptible);
    }

    /// The exchange must have ended at this time.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.lent_mut().limits.deadline = deadline;
    }

    /// The context, for a sandbox whose guest is to run.
    pub(super) fn lend(&mut self) -> Option<Box<Lent>> {
        self.0.take()
    }

    /// The context, back from a sandbox.
    pub(super) fn give_back(&mut self, context: Box<Lent>) {
        self.0 = Some(context);
    }

    /// Time spent in the stages so far; zero if the exchange was dropped in the middle of a call.
    #[must_use]
    pub fn spent(&self) -> Duration {
        self.0
            .as_ref()
            .map_or(Duration::ZERO, |lent| lent.context.spent)
    }

    /// The notes so far; none if the exchange was dropped in the middle of a call.
    #[must_use]
    pub fn take_notes(&mut self) -> Vec<(String, String)> {
        self.0
            .as_mut()
            .map(|lent| lent.context.notes.take())
            .unwrap_or_default()
    }

    fn lent(&self) -> &Lent {
        self.0
            .as_ref()
            .expect("a context is lent only while its exchange awaits the call")
    }

    fn lent_mut(&mut self) -> &mut Lent {
        self.0
            .as_mut()
            .expect("a context is lent only while its exchange awaits the call")
    }
}

impl Deref for ExchangeContext {
    type Target = Context;
    fn deref(&self) -> &Context {
        &self.lent().context
    }
}

impl DerefMut for ExchangeContext {
    fn deref_mut(&mut self) -> &mut Context {
        &mut self.lent_mut().context
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    struct Told(AtomicBool);

    impl Interruptible for Told {
        fn is_interrupted(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// How many seconds a wait for something takes that never comes.
    async fn waited(limits: &Limits) -> u64 {
        let began = Instant::now();
        let value = limits.wait(began + MINUTE, pending::<()>()).await;
        assert!(value.is_none());
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_with_the_call_or_with_its_exchange() {
        let mut limits = Limits::default();
        assert_eq!(limits.wait(Instant::now(), ready(1)).await, Some(1));
        assert_eq!(waited(&limits).await, 60);
        limits.deadline = Some(Instant::now() + Duration::from_secs(5));
        assert_eq!(waited(&limits).await, 5);
        // It is over: what it still does has a moment.
        assert_eq!(waited(&limits).await, 1);
        assert_eq!(
            limits.wait(Instant::now() + MINUTE, ready(1)).await,
            Some(1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_that_is_told_to_end_does_not_wait() {
        let told = Arc::new(Told(AtomicBool::new(false)));
        let interruptible: Weak<dyn Interruptible> = Arc::downgrade(&told) as _;
        let limits = Limits {
            interruptible: Some(interruptible),
            deadline: None,
        };
        let tell = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            told.0.store(true, Ordering::Relaxed);
            // Whoever tells an exchange to end lets it run: here, the next poll of both.
            tokio::task::yield_now().await;
        };
        let (waiting, ()) = tokio::join!(waited(&limits), tell);
        assert_eq!(waiting, 3);
        assert_eq!(waited(&limits).await, 1);
        drop(told);
        assert_eq!(waited(&limits).await, 1, "what tells it is gone");
    }
}
