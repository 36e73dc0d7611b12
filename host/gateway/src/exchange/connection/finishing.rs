//! Exchanges that their connections do not poll any more, and those that must end.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::retired::Retired;
use super::slot::{CHECK_INTERVAL, Interrupt, Slot, lock};
use sluicegate_plugin_host::Plugin;

/// Finds exchanges that no connection polls any more, and runs them to their end.
#[derive(Clone, Debug)]
pub struct Finishing {
    tasks: TaskTracker,
    runtime: Handle,
    exchanges: Arc<Mutex<Live>>,
    /// Cancelled when all exchanges must end.
    stopping: CancellationToken,
    /// Plugin versions that were replaced.
    retired: Arc<Mutex<Retired<Plugin>>>,
    /// Cancelled when there is nothing left to find.
    over: CancellationToken,
}

/// The exchanges that are in a slot, by number.
#[derive(Debug, Default)]
struct Live {
    next: u64,
    slots: HashMap<u64, Weak<Slot>>,
}

impl Finishing {
    /// Starts on the current runtime. A client may take nothing for at most `write_timeout`.
    ///
    /// # Panics
    /// Outside a runtime.
    #[must_use]
    pub fn start(write_timeout: Duration) -> Self {
        let finishing = Self {
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            exchanges: Arc::default(),
            stopping: CancellationToken::new(),
            retired: Arc::default(),
            over: CancellationToken::new(),
        };
        let (keeper, over) = (finishing.clone(), finishing.over.clone());
        let keep = async move { keeper.keep(write_timeout).await };
        finishing
            .tasks
            .spawn(async move { over.run_until_cancelled(keep).await });
        finishing
    }

    /// Waits until all exchanges have ended. Every wait of an exchange that was taken out and every call of a plugin has a
    /// limit, so this ends too.
    pub async fn wait(&self) {
        self.over.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Ends all exchanges, those that begin later too: each tells its client so, which takes a moment.
    pub fn stop(&self) {
        self.stopping.cancel();
        for slot in self.live() {
            self.take_out(&slot, Interrupt::Shutdown);
        }
    }

    /// Is cancelled when all exchanges must end.
    pub(in crate::exchange) fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Other plugin versions are in force. Exchanges that hold one of those before that is not in force any more may go on for
    /// `drain`; without it, until they end by themselves, or too many old versions are in use.
    pub fn replace(
        &self,
        before: &BTreeMap<String, Arc<Plugin>>,
        after: &BTreeMap<String, Arc<Plugin>>,
        drain: Option<Duration>,
    ) {
        lock(&self.retired).replace(before, after, drain, Instant::now());
    }

    /// How many exchanges hold this plugin version, or may yet need it.
    #[must_use]
    pub fn holding(&self, version: &Arc<Plugin>) -> usize {
        let version = [Arc::downgrade(version)];
        let slots = self.live();
        slots.iter().filter(|slot| slot.holds_any(&version)).count()
    }

    /// Checks periodically for exchanges that exceed a limit while nobody polls them, for those that hold a plugin version that
    /// has had its time, and for those that must stop but were being polled.
    async fn keep(&self, write_timeout: Duration) {
        let mut ticks = tokio::time::interval(CHECK_INTERVAL);
        loop {
            ticks.tick().await;
            let (now, stops) = (Instant::now(), self.stopping.is_cancelled());
            let stop = stops.then_some(Interrupt::Shutdown);
            let versions = lock(&self.retired).overdue(now);
            for slot in self.live() {
                let replaced = || slot.holds_any(&versions).then_some(Interrupt::Replaced);
                let why = slot.overdue(now, write_timeout).or(stop);
                if let Some(why) = why.or_else(replaced) {
                    self.take_out(&slot, why);
                }
            }
        }
    }

    fn live(&self) -> Vec<Arc<Slot>> {
        let exchanges = self.lock();
        let slots = exchanges.slots.values();
        slots.filter_map(Weak::upgrade).collect()
    }

    /// Takes an exchange out of its slot. One that is being polled or has ended is left alone.
    fn take_out(&self, slot: &Arc<Slot>, why: Interrupt) {
        let Ok(mut place) = slot.drive.try_lock() else {
            return;
        };
        let Some(drive) = place.take() else {
            // It has ended, but its client does not take the rest.
            if why == Interrupt::Gone {
                slot.connection.reset();
            }
            return;
        };
        // Before the slot is unlocked: an exchange that is neither there nor marked as taken out counts as ended.
        let mut state = slot.state();
        if state.interrupt != Some(Interrupt::Gone) {
            state.interrupt = Some(why);
        }
        state.taken_out = true;
        drop(state);
        drop(place);
        let ended = Ended(slot.clone());
        let finish = async move {
            drive.await;
            drop(ended);
        };
        self.finish(finish);
    }

    /// Registers a new exchange; returns its number.
    pub(super) fn register(&self, slot: &Arc<Slot>) -> u64 {
        let mut exchanges = self.lock();
        exchanges.next += 1;
        let number = exchanges.next;
        exchanges.slots.insert(number, Arc::downgrade(slot));
        number
    }

    /// Removes an exchange whose connection is gone.
    pub(super) fn forget(&self, number: u64) {
        self.lock().slots.remove(&number);
    }

    /// Runs an exchange to its end on a task of its own.
    pub(super) fn finish(&self, exchange: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(exchange, &self.runtime);
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        lock(&self.exchanges)
    }
}

/// Tells the connection that an exchange that was taken out is over, even if it panicked.
struct Ended(Arc<Slot>);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.end();
        let aborted = state.aborted;
        drop(state);
        if aborted {
            // Over HTTP/2 nothing else ends a stream from which the client takes nothing.
            self.0.connection.reset();
        }
    }
}
