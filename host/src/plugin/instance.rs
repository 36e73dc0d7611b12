//! Sandboxes: one instance of a plugin, made from its image for one exchange and dropped with it.
//!
//! Every call has a CPU budget, a memory limit and an output limit. Whatever goes wrong inside is an [`Error`]; the
//! instance must not be called again after one.

use std::future::{Future as _, poll_fn};
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower, Resource, ResourceAny,
    ResourceTable,
};
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::abi::{
    BodyAction, ChunkAction, EndAction, EventParam, EventResult, EventsAction, HeadAction, Summary,
    Verdict,
};
use super::bindings::filter::FilterPlugin;
use super::context::Context;
use super::engine::TICK;
use super::host::wasi::{Console, context as wasi_context};
use super::image::{Functions, Phases};
use super::{Error, Owner, Version};

/// Log lines that one call may write. Arbitrary: enough to debug with, too few to flood a disk.
const LINES_PER_CALL: u32 = 100;

/// How long a call may take by the clock. A guest that computes is stopped by its CPU budget long before; this is for one
/// that sleeps. The timer costs nothing unless the call is suspended.
const WALL: Duration = Duration::from_secs(5);

/// An exchange's context, which is in the sandbox while a guest runs and here the rest of the time.
#[derive(Debug)]
pub struct Loan(Option<Box<Context>>);

impl Loan {
    /// Makes a context lendable.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self(Some(Box::new(context)))
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
            .map(|context| context.take_notes())
            .unwrap_or_default()
    }
}

impl Deref for Loan {
    type Target = Context;
    fn deref(&self) -> &Context {
        self.0
            .as_ref()
            .expect("a context is lent only while its exchange awaits the call")
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut Context {
        self.0
            .as_mut()
            .expect("a context is lent only while its exchange awaits the call")
    }
}

/// What a store holds: the host's side of one sandbox.
pub(super) struct State {
    pub(super) owner: Arc<Owner>,
    /// The context of the exchange during a call.
    pub(super) context: Option<Box<Context>>,
    /// Log lines left in this call.
    pub(super) lines_left: u32,
    /// The CPU budget of this call.
    cpu: Duration,
    /// Ticks left of it.
    ticks_left: u32,
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
            lines_left: LINES_PER_CALL,
            cpu: Duration::ZERO,
            ticks_left: 0,
            memory_used: 0,
            memory_refused: false,
            wasi: None,
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| state);
        store.epoch_deadline_callback(|mut store| {
            let state = store.data_mut();
            if state.ticks_left == 0 {
                return Err(wasmtime::Error::new(OutOfTime));
            }
            state.ticks_left -= 1;
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }

    /// Gives the next call its budgets.
    pub(super) fn begin_call(store: &mut Store<Self>, cpu: Duration) {
        let ticks = cpu.as_micros().div_ceil(TICK.as_micros());
        let state = store.data_mut();
        state.cpu = cpu;
        state.ticks_left = u32::try_from(ticks).unwrap_or(u32::MAX);
        state.lines_left = LINES_PER_CALL;
        if let Some(wasi) = &state.wasi {
            wasi.console.begin_call(LINES_PER_CALL);
        }
        store.set_epoch_deadline(1);
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
        let text = format!("{error:#}");
        if text.contains("borrow handles still remain") {
            return Error::Contract(
                "it kept the exchange context past the end of the call: drop the borrowed handle before returning".into(),
            );
        }
        Error::Trap(text)
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
            let req = context.as_ref().map(|context| context.id.clone());
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

/// The handle under which a guest sees its exchange. A store holds one exchange at most, so it needs no table.
fn handle() -> Resource<Context> {
    Resource::new_borrow(0)
}

/// Runs one call within its budgets, times it, and gives the time with what came of it.
async fn run<R>(
    store: &mut Store<State>,
    body: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<R>,
) -> (Result<R, Error>, Duration) {
    let began = Instant::now();
    let cpu = store.data().owner.limits.cpu;
    State::begin_call(store, cpu);
    let result = {
        let mut running = pin!(body(&mut *store));
        // Most calls are never suspended, and a timer costs more than some of them.
        match poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx))).await {
            Poll::Ready(result) => Ok(result),
            Poll::Pending => tokio::time::timeout(WALL, running).await,
        }
    };
    let state = store.data();
    let result = match result {
        Ok(result) => result.map_err(|error| state.explain(&error)),
        Err(_) => Err(Error::Stalled { limit: WALL }),
    };
    let spent = began.elapsed();
    state.owner.record(spent, result.as_ref().err());
    (result, spent)
}

/// Runs one call with the context lent to it, and takes the context back whatever happened.
async fn call<R>(
    store: &mut Store<State>,
    loan: &mut Loan,
    body: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<R>,
) -> Result<R, Error> {
    store.data_mut().context = loan.0.take();
    let (result, spent) = run(store, body).await;
    loan.0 = store.data_mut().context.take();
    loan.spent += spent;
    result
}

/// Makes the store and runs what the instance needs before its first phase.
fn prepare(version: &Arc<Version>) -> Store<State> {
    let mut store = State::store(&version.owner, version.engine.wasmtime());
    State::begin_call(&mut store, version.owner.limits.cpu);
    store
}

/// A fresh instance, configured.
async fn instantiate(version: &Version, store: &mut Store<State>) -> wasmtime::Result<Instance> {
    let instance = version
        .image
        .code
        .pre
        .instantiate_async(&mut *store)
        .await?;
    if let Some(configuration) = &version.image.unimaged {
        let configure = instance
            .get_typed_func::<(&str,), (Result<String, String>,)>(&mut *store, "configure")?;
        let (answer,) = configure.call_async(&mut *store, (configuration,)).await?;
        answer.map_err(wasmtime::Error::msg)?;
    }
    Ok(instance)
}

/// Calls a function that gives one value.
async fn invoke<P, R>(
    store: &mut Store<State>,
    instance: Instance,
    function: ComponentExportIndex,
    arguments: P,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower,
    R: Lift + Send + Sync + 'static,
{
    let function = instance.get_typed_func::<P, (R,)>(&mut *store, function)?;
    let (answer,) = function.call_async(&mut *store, arguments).await?;
    Ok(answer)
}

/// Runs a gate on the request head in a fresh instance.
///
/// # Errors
/// [`Error`] if the guest failed; its decision is a [`Verdict`].
pub async fn check(version: &Arc<Version>, loan: &mut Loan) -> Result<Verdict, Error> {
    let Functions::Gate(check) = version.image.code.functions else {
        return Err(Error::Contract("it is not a gate".into()));
    };
    let mut store = prepare(version);
    let verdict: Verdict = call(&mut store, loan, async |store| {
        let instance = instantiate(version, store).await?;
        invoke(store, instance, check, (handle(),)).await
    })
    .await?;
    if let Verdict::Reply(reply) = &verdict {
        version.owner.check_output(reply.body.len())?;
    }
    Ok(verdict)
}

/// Shows an observer a batch of finished exchanges, in a fresh instance.
///
/// # Errors
/// [`Error`] if the guest failed; the batch is lost then.
pub async fn observe(version: &Arc<Version>, batch: &[Summary<'_>]) -> Result<(), Error> {
    let Functions::Observer(observe) = version.image.code.functions else {
        return Err(Error::Contract("it is not an observer".into()));
    };
    let mut store = prepare(version);
    let (result, _) = run(&mut store, async |store| {
        let instance = instantiate(version, store).await?;
        let function = instance.get_typed_func::<(&[Summary<'_>],), ()>(&mut *store, observe)?;
        function.call_async(&mut *store, (batch,)).await
    })
    .await;
    result
}

/// A filter at work on one exchange.
pub struct Filter {
    store: Store<State>,
    version: Arc<Version>,
    instance: Instance,
    exchange: ResourceAny,
    /// The functions of an instance that is shown events, from its first batch on.
    functions: Option<Box<FilterPlugin>>,
}

impl Filter {
    /// A fresh instance with its `exchange` resource.
    ///
    /// # Errors
    /// [`Error::Exhausted`] if no sandbox is free; else what the guest did wrong.
    pub async fn new(version: &Arc<Version>, loan: &mut Loan) -> Result<Self, Error> {
        let phases = version.image.code.functions.filter()?;
        let mut store = prepare(version);
        let (instance, exchange) = call(&mut store, loan, async |store| {
            let instance = instantiate(version, store).await?;
            let exchange = invoke(store, instance, phases.constructor, ()).await?;
            Ok((instance, exchange))
        })
        .await?;
        Ok(Self {
            store,
            version: version.clone(),
            instance,
            exchange,
            functions: None,
        })
    }

    /// Runs one phase.
    async fn phase<P, R>(
        &mut self,
        loan: &mut Loan,
        place: impl FnOnce(&Phases) -> ComponentExportIndex,
        arguments: P,
    ) -> Result<R, Error>
    where
        P: ComponentNamedList + Lower,
        R: Lift + Send + Sync + 'static,
    {
        let phases = self.version.image.code.functions.filter()?;
        let (function, instance) = (place(phases), self.instance);
        call(&mut self.store, loan, async |store| {
            invoke(store, instance, function, arguments).await
        })
        .await
    }

    /// Phase `request-head`.
    ///
    /// # Errors
    /// [`Error`] if the guest failed, here and in all phases below.
    pub async fn request_head(&mut self, loan: &mut Loan) -> Result<HeadAction, Error> {
        self.phase(
            loan,
            |phases| phases.request_head,
            (self.exchange, handle()),
        )
        .await
    }

    /// Phase `request-body`.
    ///
    /// # Errors
    /// See [`Filter::request_head`].
    pub async fn request_body(
        &mut self,
        loan: &mut Loan,
        body: &[u8],
    ) -> Result<BodyAction, Error> {
        let action = self
            .phase(
                loan,
                |phases| phases.request_body,
                (self.exchange, handle(), body),
            )
            .await?;
        self.check_body(action)
    }

    /// Phase `response-head`.
    ///
    /// # Errors
    /// See [`Filter::request_head`].
    pub async fn response_head(&mut self, loan: &mut Loan) -> Result<HeadAction, Error> {
        self.phase(
            loan,
            |phases| phases.response_head,
            (self.exchange, handle()),
        )
        .await
    }

    /// Phase `response-body`.
    ///
    /// # Errors
    /// See [`Filter::request_head`].
    pub async fn response_body(
        &mut self,
        loan: &mut Loan,
        body: &[u8],
    ) -> Result<BodyAction, Error> {
        let action = self
            .phase(
                loan,
                |phases| phases.response_body,
                (self.exchange, handle(), body),
            )
            .await?;
        self.check_body(action)
    }

    /// Phase `response-chunk`.
    ///
    /// # Errors
    /// See [`Filter::request_head`].
    pub async fn response_chunk(
        &mut self,
        loan: &mut Loan,
        bytes: &[u8],
        last: bool,
    ) -> Result<ChunkAction, Error> {
        let action = self
            .phase(
                loan,
                |phases| phases.response_chunk,
                (self.exchange, handle(), bytes, last),
            )
            .await?;
        if let ChunkAction::Replace(bytes) = &action {
            self.owner().check_output(bytes.len())?;
        }
        Ok(action)
    }

    /// Phase `response-events`.
    ///
    /// # Errors
    /// See [`Filter::request_head`].
    pub async fn response_events(
        &mut self,
        loan: &mut Loan,
        batch: &[EventParam<'_>],
    ) -> Result<EventsAction, Error> {
        let phases = self.version.image.code.functions.filter()?;
        let (instance, exchange, functions) = (self.instance, self.exchange, &mut self.functions);
        let action = call(&mut self.store, loan, async |store| {
            let functions = match functions {
                Some(functions) => functions,
                None => functions.insert(Box::new(phases.all.load(&mut *store, &instance)?)),
            };
            let filter = functions.sluicegate_plugin_filter().exchange();
            filter
                .call_response_events(store, exchange, handle(), batch)
                .await
        })
        .await?;
        if let EventsAction::Replace(events) | EventsAction::Finish(events) = &action {
            self.check_events(events)?;
        }
        Ok(action)
    }

    /// Phase `response-end`.
    ///
    /// # Errors
    /// See [`Filter::request_head`].
    pub async fn response_end(&mut self, loan: &mut Loan) -> Result<EndAction, Error> {
        let action = self
            .phase(
                loan,
                |phases| phases.response_end,
                (self.exchange, handle()),
            )
            .await?;
        match &action {
            EndAction::Events(events) => self.check_events(events)?,
            EndAction::Body(body) => self.owner().check_output(body.len())?,
            EndAction::Pass | EndAction::Fail(_) => {}
        }
        Ok(action)
    }

    fn check_events(&self, events: &[EventResult]) -> Result<(), Error> {
        self.owner()
            .check_output(events.iter().map(|event| event.data.len()).sum())
    }

    fn check_body(&self, action: BodyAction) -> Result<BodyAction, Error> {
        match &action {
            BodyAction::Replace(body) => self.owner().check_output(body.len())?,
            BodyAction::Reply(reply) => self.owner().check_output(reply.body.len())?,
            BodyAction::Pass | BodyAction::Fail(_) => {}
        }
        Ok(action)
    }

    fn owner(&self) -> &Owner {
        &self.version.owner
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter")
            .field("plugin", &self.owner().name)
            .finish_non_exhaustive()
    }
}
