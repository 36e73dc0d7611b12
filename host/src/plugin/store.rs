//! The host's side of one sandbox: what a store holds, and the budgets of its calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sluicegate_contract::Context;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::engine::TICK;
use super::host::wasi::{Console, context as wasi_context};
use super::{Error, Owner};

/// Log lines that one call may write. Arbitrary: enough to debug with, too few to flood a disk.
const LINES_PER_CALL: u32 = 100;

/// Ticks after which a call without a stack of its own has run too long: it holds up all exchanges of its thread.
const LONG: u32 = 2;

/// The model server that an adapter's attempt asks.
#[derive(Debug)]
pub struct Asked {
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
    /// The context of the exchange during a call.
    pub(super) context: Option<Box<Context>>,
    /// For an adapter: whom its attempt asks.
    pub(super) asked: Option<Arc<Asked>>,
    /// Log lines left in this call.
    pub(super) lines_left: u32,
    /// The CPU budget of this call.
    cpu: Duration,
    /// Ticks left of it.
    ticks_left: u32,
    /// Ticks that this call has run past.
    ticks_run: u32,
    /// This call runs on the caller's own stack and cannot be suspended.
    direct: bool,
    memory_used: usize,
    memory_refused: bool,
    /// Made on first use, since most guests never ask.
    wasi: Option<Box<Wasi>>,
}

struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    console: Arc<Console>,
}

impl State {
    /// A store for one instance.
    pub(super) fn store(owner: &Arc<Owner>, engine: &wasmtime::Engine) -> Store<Self> {
        let state = Self {
            owner: owner.clone(),
            context: None,
            asked: None,
            lines_left: LINES_PER_CALL,
            cpu: Duration::ZERO,
            ticks_left: 0,
            ticks_run: 0,
            direct: false,
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
        if self.ticks_left == 0 {
            return Err(wasmtime::Error::new(OutOfTime));
        }
        self.ticks_left -= 1;
        self.ticks_run += 1;
        if !self.direct {
            return Ok(UpdateDeadline::Yield(1));
        }
        if self.ticks_run == LONG {
            self.owner.calls.ran_long();
        }
        Ok(UpdateDeadline::Continue(1))
    }

    /// Gives the next call its budgets. A `direct` one runs on the caller's stack.
    pub(super) fn begin_call(store: &mut Store<Self>, cpu: Duration, direct: bool) {
        let ticks = cpu.as_micros().div_ceil(TICK.as_micros());
        let state = store.data_mut();
        state.cpu = cpu;
        state.ticks_left = u32::try_from(ticks).unwrap_or(u32::MAX);
        state.ticks_run = 0;
        state.direct = direct;
        state.lines_left = LINES_PER_CALL;
        if let Some(wasi) = &state.wasi {
            wasi.console.begin_call(LINES_PER_CALL);
        }
        store.set_epoch_deadline(1);
    }

    /// Whether the last call stayed below what counts as long.
    pub(super) fn ran_short(&self) -> bool {
        self.ticks_run < LONG
    }

    /// What an error of the engine means. Looks at the store because a refused memory shows up as a plain trap.
    pub(super) fn explain(&self, error: &wasmtime::Error) -> Error {
        let limits = &self.owner.limits;
        if error.downcast_ref::<OutOfTime>().is_some() {
            return Error::Deadline { cpu: self.cpu };
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
        Error::Trap(format!("{error:#}"))
    }
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
        let Self {
            owner,
            context,
            wasi,
            ..
        } = self;
        let Wasi { ctx, table, .. } = &mut **wasi.get_or_insert_with(|| {
            let req = context.as_ref().map(|context| context.identity.id.clone());
            let console = Console::new(owner.clone(), req, LINES_PER_CALL);
            Box::new(Wasi {
                ctx: wasi_context(&console),
                table: ResourceTable::new(),
                console,
            })
        });
        WasiCtxView { ctx, table }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the CPU budget is used up")]
struct OutOfTime;
