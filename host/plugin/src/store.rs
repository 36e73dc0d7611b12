//! The host's side of one sandbox: what a store holds, and the budgets of its calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sluicegate_contract::Context;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime::{FrameInfo, ResourceLimiter, Store, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use super::calls::LONG;
use super::context::{Lent, Limits, WAIT_MAX};
use super::error::Error;
use super::host::wasi::{Console, context as wasi_context};
use super::host::wasi_http::WasiHttp;
use super::outside::Outside;
use super::owner::Owner;
use super::turn::Turn;
use super::waiting::Caller;

/// How often a running guest is looked at. A CPU budget is a number of these.
///
/// A tick counts only when a guest has run past it, and at most once however long the thread was off the processor: a
/// crowded machine does not use up a guest's budget.
pub(super) const TICK: Duration = Duration::from_millis(2);

/// Log lines that one call may write. Arbitrary: enough to debug with, too few to flood a disk.
const LINES_PER_CALL: u32 = 100;

/// Bytes of log lines that one call may write. Arbitrary, for the same reasons.
const LOG_BYTES_PER_CALL: usize = 256 << 10;

/// Bytes from which on the host's work on them is timed: less takes microseconds, which the time of the timing would double.
const CHARGED: usize = 4 << 10;

/// Functions of a backtrace that are told. Arbitrary: enough to find a place.
const FRAMES: usize = 32;

/// Resources of WASI that a guest may have at a time: streams, requests, fields. Arbitrary; fifty requests at once need less.
const RESOURCES: usize = 512;

/// How a call runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On a thread that serves traffic, without a stack of its own. It cannot be suspended.
    Serving,
    /// On a stack of its own, for an exchange or an observer. It is suspended while it waits, and at every tick.
    OnStack,
    /// On a stack of its own, while a plugin is loaded.
    Loading,
}

/// The model server that an adapter's attempt asks.
#[derive(Debug)]
pub struct TargetInfo {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The target's address as configured.
    pub target: Arc<str>,
    /// What the target last said at the adapter's `info` path.
    pub info: Option<Bytes>,
}

/// What a store holds.
pub(super) struct State {
    pub(super) owner: Arc<Owner>,
    pub(super) outside: Outside,
    /// Random bytes that the guest was given, where these are fixed.
    pub(super) drawn: usize,
    /// What the exchange lends during a call.
    pub(super) lent: Option<Box<Lent>>,
    /// Capabilities are denied, although they are granted: this is the trial.
    pub(super) on_trial: bool,
    /// For an adapter: whom its attempt asks.
    pub(super) target: Option<Arc<TargetInfo>>,
    /// Log lines left in this call, and bytes of them.
    lines_left: u32,
    log_bytes_left: usize,
    /// The CPU budget of this call.
    cpu: Duration,
    /// Ticks left of it.
    ticks_left: u32,
    /// Ticks that this call has run past.
    ticks_run: u32,
    /// How this call runs.
    place: Place,
    /// When this call must have returned.
    deadline: Instant,
    /// Time that the host spent on behalf of this call and that no tick has counted.
    host_spent: Duration,
    /// When the guest went on after it had waited for a capability; `None` if a tick has passed since.
    resumed: Option<Instant>,
    /// How long this call may still wait for capabilities.
    wait_left: Duration,
    /// One permit for each guest that sleeps.
    waiting: Arc<Semaphore>,
    turn: Turn,
    memory_used: usize,
    memory_refused: bool,
    /// Made on first use, since most guests never ask.
    wasi: Option<Box<Wasi>>,
}

/// What a guest has of WASI.
pub(super) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    console: Arc<Console>,
    http: WasiHttp,
}

impl Wasi {
    /// Its resources, and the requests among them.
    pub(super) fn table_and_http(&mut self) -> (&mut ResourceTable, &mut WasiHttp) {
        (&mut self.table, &mut self.http)
    }
}

impl State {
    /// A store for one instance.
    pub(super) fn store(
        owner: &Arc<Owner>,
        outside: Outside,
        engine: &wasmtime::Engine,
        waiting: Arc<Semaphore>,
        computing: Arc<Semaphore>,
    ) -> Store<Self> {
        let state = Self {
            owner: owner.clone(),
            outside,
            drawn: 0,
            lent: None,
            on_trial: false,
            target: None,
            lines_left: LINES_PER_CALL,
            log_bytes_left: LOG_BYTES_PER_CALL,
            cpu: Duration::ZERO,
            ticks_left: 0,
            ticks_run: 0,
            place: Place::Loading,
            deadline: Instant::now(),
            host_spent: Duration::ZERO,
            resumed: None,
            wait_left: WAIT_MAX,
            waiting,
            turn: Turn::new(computing),
            memory_used: 0,
            memory_refused: false,
            wasi: None,
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| state);
        store.epoch_deadline_callback(|mut store| store.data_mut().tick());
        store
    }

    /// A tick has passed while the guest was running.
    fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        match self.resumed.take() {
            // Most of this tick passed while the guest waited.
            Some(resumed) => self.charge(resumed.elapsed().min(TICK))?,
            None => self.charge(TICK)?,
        }
        Ok(match self.place {
            Place::Serving => UpdateDeadline::Continue(1),
            Place::Loading => UpdateDeadline::Yield(1),
            // It is suspended at every tick, so on a busy machine its budget alone does not end it in time.
            Place::OnStack if Instant::now() >= self.deadline => {
                return Err(if self.turn.was_denied() {
                    wasmtime::Error::new(Exhausted)
                } else {
                    wasmtime::Error::new(TooLong)
                });
            }
            Place::OnStack => match self.turn.tick(self.deadline) {
                Some(turn) => UpdateDeadline::YieldCustom(1, turn),
                None => UpdateDeadline::Yield(1),
            },
        })
    }

    /// Charges time to the call, in whole ticks.
    fn charge(&mut self, time: Duration) -> wasmtime::Result<()> {
        if time == TICK {
            return self.charge_tick();
        }
        self.host_spent += time;
        while self.host_spent >= TICK {
            self.host_spent -= TICK;
            self.charge_tick()?;
        }
        Ok(())
    }

    fn charge_tick(&mut self) -> wasmtime::Result<()> {
        self.ticks_left = self
            .ticks_left
            .checked_sub(1)
            .ok_or_else(|| wasmtime::Error::new(OutOfTime))?;
        self.ticks_run += 1;
        if self.place == Place::Serving && self.ticks_run >= LONG {
            self.owner.calls.ran_long();
        }
        Ok(())
    }

    /// Gives the next call its budgets; it must return before `deadline`.
    pub(super) fn begin_call(
        store: &mut Store<Self>,
        cpu: Duration,
        deadline: Instant,
        place: Place,
    ) {
        let ticks = cpu.as_micros().div_ceil(TICK.as_micros());
        let state = store.data_mut();
        state.cpu = cpu;
        state.ticks_left = u32::try_from(ticks).unwrap_or(u32::MAX);
        state.ticks_run = 0;
        state.place = place;
        state.resumed = None;
        state.turn.end();
        state.wait_left = WAIT_MAX;
        state.deadline = deadline;
        state.host_spent = Duration::ZERO;
        state.lines_left = LINES_PER_CALL;
        state.log_bytes_left = LOG_BYTES_PER_CALL;
        if let Some(wasi) = &state.wasi {
            wasi.console.begin_call(LINES_PER_CALL);
        }
        store.set_epoch_deadline(1);
    }

    /// Whether this call may write one more log line with so many bytes.
    pub(super) fn may_log(&mut self, bytes: usize) -> bool {
        let (Some(lines), Some(bytes)) = (
            self.lines_left.checked_sub(1),
            self.log_bytes_left.checked_sub(bytes),
        ) else {
            return false;
        };
        self.lines_left = lines;
        self.log_bytes_left = bytes;
        true
    }

    /// Until when the guest may wait, whether that is on a thread that serves traffic, and the permits for it.
    pub(super) fn waiting(&self) -> (Instant, bool, Arc<Semaphore>) {
        let serving = match self.place {
            Place::Serving | Place::OnStack => true,
            Place::Loading => false,
        };
        (self.deadline, serving, self.waiting.clone())
    }

    /// Does work for the guest, in proportion to `bytes`, and charges the time to the call: a tick counts only once, however
    /// long the host works.
    ///
    /// # Errors
    /// [`OutOfTime`] once the budget is used up.
    pub(super) fn charged<T>(
        &mut self,
        bytes: usize,
        work: impl FnOnce(&mut Self) -> T,
    ) -> wasmtime::Result<T> {
        if bytes < CHARGED {
            return Ok(work(self));
        }
        let began = Instant::now();
        let value = work(self);
        // The bytes were copied from the guest before this, about four per nanosecond.
        self.charge(began.elapsed() + Duration::from_nanos(bytes as u64 / 4))?;
        Ok(value)
    }

    /// Takes what an exchange lends for a call.
    pub(super) fn borrow(&mut self, lent: Option<Box<Lent>>) {
        // A guest's library may have written something before, when there was no exchange yet.
        if let (Some(wasi), Some(lent)) = (&self.wasi, &lent) {
            wasi.console.set_request(&lent.context.identity.id);
        }
        self.lent = lent;
    }

    /// The exchange's context, during a call.
    pub(super) fn context(&self) -> Option<&Context> {
        self.lent.as_deref().map(|lent| &lent.context)
    }

    /// For whom this call is.
    pub(super) fn caller(&self) -> Caller {
        let context = self.context();
        Caller {
            client: context.map(|context| context.identity.client),
            phase: context.map(|context| context.phase),
        }
    }

    /// The exchange's context, to change it.
    pub(super) fn context_mut(&mut self) -> Option<&mut Context> {
        self.lent.as_deref_mut().map(|lent| &mut lent.context)
    }

    /// What the guest has of WASI.
    fn wasi(&mut self) -> &mut Wasi {
        let Self {
            owner,
            outside,
            lent,
            wasi,
            ..
        } = self;
        wasi.get_or_insert_with(|| {
            let req = lent.as_ref().map(|lent| lent.context.identity.id.clone());
            let console = Console::new(owner.clone(), req, LINES_PER_CALL);
            let mut table = ResourceTable::new();
            table.set_max_capacity(RESOURCES);
            Box::new(Wasi {
                ctx: wasi_context(&console, *outside),
                table,
                http: WasiHttp::new(console.clone()),
                console,
            })
        })
    }

    /// The guest's resources.
    pub(super) fn table(&mut self) -> &mut ResourceTable {
        &mut self.wasi().table
    }

    /// All of WASI, taken out while the guest waits for something in it.
    pub(super) fn take_wasi(&mut self) -> Box<Wasi> {
        self.wasi();
        self.wasi.take().expect("it was made")
    }

    /// Puts it back.
    pub(super) fn put_wasi(&mut self, wasi: Box<Wasi>) {
        self.wasi = Some(wasi);
    }

    /// Waits for a capability, at most as long as the call and its exchange allow; `None` if that was not long enough. What the
    /// guest has computed is charged to the call, and the wait is not.
    ///
    /// # Errors
    /// [`OutOfTime`] if the guest's budget was used up before.
    pub(super) async fn wait<T>(
        &mut self,
        future: impl Future<Output = T>,
    ) -> wasmtime::Result<Option<T>> {
        self.suspend()?;
        let began = Instant::now();
        let until = began + self.wait_left;
        let value = self.limits().wait(until, future).await;
        let waited = began.elapsed();
        self.wait_left = self.wait_left.saturating_sub(waited);
        // The rest of the call has as long as it would have had without.
        self.deadline += waited;
        self.resumed = Some(Instant::now());
        Ok(value)
    }

    /// Sleeps until the guest is woken, at most as long as the call may take; `None` if it was not. The time counts for the call.
    ///
    /// # Errors
    /// As [`State::wait`].
    pub(super) async fn sleep<T>(
        &mut self,
        future: impl Future<Output = T>,
    ) -> wasmtime::Result<Option<T>> {
        self.suspend()?;
        let value = self.limits().wait(self.deadline, future).await;
        self.resumed = Some(Instant::now());
        Ok(value)
    }

    /// The guest stops computing for now.
    fn suspend(&mut self) -> wasmtime::Result<()> {
        self.turn.end();
        match self.resumed.take() {
            Some(resumed) => self.charge(resumed.elapsed().min(TICK)),
            None => Ok(()),
        }
    }

    /// A call is over.
    pub(super) fn end_call(&mut self) {
        self.turn.end();
    }

    /// Until when the exchange may wait.
    fn limits(&self) -> Limits {
        let lent = self.lent.as_ref();
        lent.map(|lent| lent.limits.clone()).unwrap_or_default()
    }

    /// CPU time of the last call, as its budget counts it.
    pub(super) fn cpu_counted(&self) -> Duration {
        TICK * self.ticks_run
    }

    /// Bytes of the guest's memories.
    pub(super) fn memory_used(&self) -> usize {
        self.memory_used
    }

    /// Whether the last call was short.
    pub(super) fn ran_short(&self) -> bool {
        self.ticks_run < LONG
    }

    /// Translates an error of the engine. Looks at the store because refused memory appears as a plain trap.
    pub(super) fn explain(&self, error: &wasmtime::Error) -> Error {
        let limits = &self.owner.limits;
        if error.downcast_ref::<OutOfTime>().is_some() {
            return Error::Deadline { cpu: self.cpu };
        }
        if error.downcast_ref::<TooLong>().is_some() {
            return Error::Stalled;
        }
        if error.downcast_ref::<Exhausted>().is_some() {
            return Error::Exhausted;
        }
        if error
            .downcast_ref::<wasmtime::PoolConcurrencyLimitError>()
            .is_some()
        {
            return Error::Exhausted;
        }
        if self.memory_refused {
            return Error::Memory {
                limit: limits.memory,
            };
        }
        let frames = error.downcast_ref::<WasmBacktrace>();
        let frames = frames.map_or(&[][..], WasmBacktrace::frames);
        Error::Trap {
            reason: error.root_cause().to_string(),
            backtrace: frames.iter().take(FRAMES).map(name).collect(),
        }
    }
}

/// The function of a frame: its name, or where it is.
fn name(frame: &FrameInfo) -> String {
    frame
        .func_name()
        .map_or_else(|| format!("function {}", frame.func_index()), str::to_owned)
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.memory_used + desired.saturating_sub(current);
        let fits = used as u64 <= self.owner.limits.memory;
        if fits {
            self.memory_used = used;
        } else {
            self.memory_refused = true;
        }
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // The pool's own table size; a guest's function table is fixed in practice.
        Ok(desired <= 20_000)
    }
}

impl WasiView for State {
    /// WASI for what a guest's standard library needs: clocks, randomness, and output that goes to the log.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Wasi { ctx, table, .. } = self.wasi();
        WasiCtxView { ctx, table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (caller, on_trial) = (self.caller(), self.on_trial);
        let Wasi { table, http, .. } = self.wasi();
        http.view(table, caller, on_trial)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the CPU budget is used up")]
struct OutOfTime;

/// A guest waited until its call's time was over.
#[derive(Debug, thiserror::Error)]
#[error("the call's time is over")]
pub(super) struct TooLong;

/// No more threads may wait for guests.
#[derive(Debug, thiserror::Error)]
#[error("too many guests are waiting")]
pub(super) struct Exhausted;
