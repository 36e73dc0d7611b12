//! Stall detection: finds model servers that are up but do nothing.
//!
//! # The rule
//! A client that leaves can take a model's slot with it (Ollama issue 17131): the server goes on answering health checks, and
//! every later request for the model waits for ever. The only sign is silence, but a model that reads a long prompt or is being
//! loaded is silent too. So a model counts as stalled if all of this holds:
//!
//! 1. It is loaded: some of a response has come from it since it was last loaded, as far as is known.
//! 2. We have hung up on it, and nothing has come from it since.
//! 3. An attempt has waited for its first byte for longer than `stall`, all of that time after the hang-up.
//!
//! What follows is in [`mend`]. If the server can be told to unload the model, the waiting attempts are taken back, the model
//! is unloaded, and they are repeated: they were only queued. There is one unload per hang-up. If it does not help, or the
//! server has no such request, the target is marked: it is passed over while another one is left, until it sends something, is
//! tried again after a while, or is restarted.
//!
//! # Hang-ups
//! Every response that is not read to its end is a hang-up, whoever gave it up. So is an attempt that is given up before its
//! first byte, unless others are in mid-stream: then it was queued behind them and held no slot. If the model has sent nothing
//! since it was loaded, it is not a hang-up.

pub mod mend;
mod model;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use model::{Model, Order};

/// The most models of a target that are remembered while nobody asks for them: those used last. Arbitrary; a server has a few
/// dozen.
const REMEMBERED: usize = 64;

/// How long a marked target is passed over. Then it is tried again, because nothing else would show that it has recovered.
/// Arbitrary.
const PASSED_OVER: Duration = Duration::from_secs(60);

/// What is known of the models of one target.
#[derive(Debug, Default)]
pub struct Stalls {
    models: Mutex<HashMap<String, Arc<Model>>>,
    /// Wakes the task that looks for stalled models.
    suspicion: Notify,
    mark: Mutex<Option<Mark>>,
}

/// A target is stalled.
#[derive(Debug)]
struct Mark {
    reason: String,
    since: Instant,
}

/// The verdict on an attempt that waits for its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It must let go and begin again: the model is being unloaded.
    TakenBack,
    /// The target does nothing.
    Stalled {
        /// Whether this is certain: without another target only an error is left.
        is_certain: bool,
    },
}

impl Stalls {
    /// Begins an attempt for a model; waits while the model is being unloaded. `key` is the same for all names of the model.
    ///
    /// # Cancel safety
    /// Nothing has begun if the future is dropped.
    pub async fn begin(self: &Arc<Self>, key: &str, name: &str, stall: Duration) -> (Call, Ticket) {
        loop {
            let (model, entered) = self.enter(key, name);
            let mut orders = model.orders();
            let Some((id, since)) = entered else {
                // The sender is in `model`.
                let _ = orders.wait_for(|order| *order != Order::StepBack).await;
                continue;
            };
            let ticket = Ticket {
                orders,
                due: since + stall,
                _model: model.clone(),
            };
            let call = Call {
                stalls: self.clone(),
                model,
                id,
                has_begun: false,
                is_over: false,
            };
            return (call, ticket);
        }
    }

    fn enter(&self, key: &str, name: &str) -> (Arc<Model>, Option<(u64, Instant)>) {
        let mut models = self.lock_models();
        let model = match models.get(key) {
            Some(model) => model.clone(),
            None => {
                if models.len() >= REMEMBERED {
                    forget_one(&mut models);
                }
                let model = Arc::new(Model::new(key, name));
                models.insert(key.to_owned(), model.clone());
                model
            }
        };
        let entered = model.enter();
        if model.is_suspected() {
            self.suspicion.notify_one();
        }
        (model, entered)
    }

    /// When the next model will count as stalled, if nothing comes from it.
    fn due(&self, stall: Duration) -> Option<Instant> {
        let models = self.lock_models();
        models.values().filter_map(|model| model.due(stall)).min()
    }

    /// The models that count as stalled.
    fn stalled(&self, stall: Duration) -> Vec<Arc<Model>> {
        let now = Instant::now();
        let models = self.lock_models();
        let stalled = models
            .values()
            .filter(|model| model.due(stall).is_some_and(|due| due <= now));
        stalled.cloned().collect()
    }

    /// The server has listed the models that are loaded, by `keys` as in [`Stalls::begin`]. Other models hold no slot.
    pub(super) fn listed(&self, keys: &[String]) {
        let models: Vec<_> = self.lock_models().values().cloned().collect();
        for model in models {
            if model.listed(keys.contains(&model.key), keys.is_empty()) {
                self.unmark();
            }
        }
    }

    /// The server is gone: when it comes back, nothing of this holds any more.
    pub(super) fn forget(&self) {
        let models: Vec<_> = self.lock_models().values().cloned().collect();
        for model in models {
            model.forget();
        }
        self.unmark();
    }

    /// Why the target counts as stalled, if it does.
    pub(super) fn reason(&self) -> Option<String> {
        let mark = self.lock_mark();
        mark.as_ref().map(|mark| mark.reason.clone())
    }

    /// Whether another target is better.
    pub(super) fn is_passed_over(&self) -> bool {
        let mark = self.lock_mark();
        mark.as_ref()
            .is_some_and(|mark| mark.since.elapsed() < PASSED_OVER)
    }

    fn mark(&self, reason: String) {
        let since = Instant::now();
        *self.lock_mark() = Some(Mark { reason, since });
    }

    fn unmark(&self) {
        *self.lock_mark() = None;
    }

    /// Forgets a model if nothing of it need be remembered.
    fn tidy(&self, model: &Arc<Model>) {
        let mut models = self.lock_models();
        let is_this = |known: &Arc<Model>| Arc::ptr_eq(known, model);
        if models.get(&model.key).is_some_and(is_this) && model.is_forgettable() {
            models.remove(&model.key);
        }
    }

    /// Locked before a model's `state`, never after it.
    fn lock_models(&self) -> MutexGuard<'_, HashMap<String, Arc<Model>>> {
        self.models.lock().expect("no panic while the lock is held")
    }

    fn lock_mark(&self) -> MutexGuard<'_, Option<Mark>> {
        self.mark.lock().expect("no panic while the lock is held")
    }
}

/// Makes room: forgets the model that was used longest ago and that nobody asks for.
fn forget_one(models: &mut HashMap<String, Arc<Model>>) {
    let idle = models
        .values()
        .filter_map(|model| Some((model.idle_since()?, model.key.clone())));
    if let Some((_, key)) = idle.min() {
        models.remove(&key);
    }
}

/// An attempt while its model may be at work for it. Dropping it is a hang-up, unless it is over.
#[derive(Debug)]
pub struct Call {
    stalls: Arc<Stalls>,
    model: Arc<Model>,
    id: u64,
    /// Whether some of the response has come.
    has_begun: bool,
    is_over: bool,
}

impl Call {
    /// Some of the response has come.
    pub(super) fn received(&mut self) {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        if !is_first && !self.model.is_suspected() {
            return;
        }
        if self.model.answered(is_first.then_some(self.id)) {
            self.stalls.unmark();
        }
    }

    /// The server has ended the response in some way, or the attempt has been taken back: dropping it is not a hang-up.
    pub fn over(&mut self) {
        self.is_over = true;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let hung_up = !self.is_over;
        if self.model.left(self.id, self.has_begun, hung_up) {
            self.stalls.suspicion.notify_one();
        }
        self.stalls.tidy(&self.model);
    }
}

/// Gives an attempt that waits for its first byte the verdict.
#[derive(Debug)]
pub struct Ticket {
    orders: watch::Receiver<Order>,
    /// When it has waited longer than `stall`.
    due: Instant,
    /// Keeps the sender of the orders alive.
    _model: Arc<Model>,
}

impl Ticket {
    /// Waits for a verdict that the attempt can follow. `again` says that it can be repeated, `elsewhere` that another target
    /// is left.
    ///
    /// # Cancel safety
    /// Nothing is lost if the future is dropped.
    pub async fn verdict(&mut self, again: bool, elsewhere: bool) -> Verdict {
        loop {
            let order = *self.orders.borrow_and_update();
            match order {
                Order::StepBack if again => return Verdict::TakenBack,
                Order::GiveUp { is_certain } if is_certain || elsewhere => {
                    tokio::select! {
                        () = sleep_until(self.due) => return Verdict::Stalled { is_certain },
                        _ = self.orders.changed() => continue,
                    }
                }
                Order::Wait | Order::StepBack | Order::GiveUp { .. } => {}
            }
            if self.orders.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
