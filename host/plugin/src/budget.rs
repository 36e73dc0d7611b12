//! Running one call of a guest within its budgets.

use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout};
use wasmtime::Store;

use super::error::Error;
use super::loaded::Plugin;
use super::store::{Place, State};

/// The wall-clock limit of a call. A guest that computes is stopped by its CPU budget long before; this limit is for a guest
/// that sleeps, or that waits for its turn to compute.
const WALL: Duration = Duration::from_secs(5);

/// Runs one call within its budgets, times it, and returns the result and the time spent.
pub(super) async fn run<R>(
    store: &mut Store<State>,
    plugin: &Plugin,
    call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<R>,
) -> (Result<R, Error>, Duration) {
    let mut began = Instant::now();
    let owner = &plugin.owner;
    let result = if owner.calls.run_long() {
        match timeout(WALL, plugin.engine.computing().acquire()).await {
            Ok(permit) => {
                let _permit = permit.expect("the semaphore is never closed");
                began = Instant::now();
                let result = aside(|| within_budget(store, plugin, began, call));
                if store.data().ran_short() {
                    owner.calls.ran_short();
                }
                result
            }
            Err(_) => Err(Error::Exhausted),
        }
    } else {
        within_budget(store, plugin, began, call)
    };
    let spent = began.elapsed();
    owner.record(spent, result.as_ref().err());
    (result, spent)
}

fn within_budget<R>(
    store: &mut Store<State>,
    plugin: &Plugin,
    began: Instant,
    call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<R>,
) -> Result<R, Error> {
    State::begin_call(store, plugin.owner.limits.cpu, began + WALL, Place::Serving);
    call(store).map_err(|error| store.data().explain(&error))
}

/// Runs one call on a stack of its own: it is suspended while it waits for a capability, and whenever it has computed for a
/// moment, so that it never holds up others. What it waits for capabilities does not count for its wall-clock limit; they have
/// one of their own. Otherwise as [`run`].
///
/// # Cancel safety
/// Dropping the future ends the guest in the middle of its call.
pub(super) async fn run_on_stack<R>(
    store: &mut Store<State>,
    plugin: &Plugin,
    call: impl AsyncCall<R>,
) -> (Result<R, Error>, Duration) {
    let began = Instant::now();
    let result = match plugin.engine.stacks().try_acquire() {
        Ok(permit) => {
            let _permit = permit;
            let limits = &plugin.owner.limits;
            State::begin_call(store, limits.cpu, began + WALL, Place::OnStack);
            let called = call.run(store).await;
            store.data_mut().end_call();
            called.map_err(|error| store.data().explain(&error))
        }
        Err(_) => Err(Error::Exhausted),
    };
    let spent = began.elapsed();
    plugin.owner.record(spent, result.as_ref().err());
    (result, spent)
}

/// A call that may be suspended.
pub(super) trait AsyncCall<R> {
    /// Makes it.
    fn run(self, store: &mut Store<State>) -> impl Future<Output = wasmtime::Result<R>> + Send;
}

/// Computes on this thread while another thread takes over the exchanges that it would have served. With a single thread, those
/// exchanges wait.
fn aside<R>(compute: impl FnOnce() -> R) -> R {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => compute(),
        _ => block_in_place(compute),
    }
}
