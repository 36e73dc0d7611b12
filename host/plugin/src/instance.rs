//! Sandboxes: one instance of a plugin, made from its image for one exchange and dropped with it.
//!
//! Every call has a CPU budget, a memory limit and an output limit. Whatever goes wrong inside is an [`Error`], after which the
//! instance must not be called again. What a stage decides is a value: the inner `Result` of a call.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sluicegate_contract::Phase;
use wasmtime::Store;
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance as Component, Lift, Lower, TypedFunc,
};

use super::budget::{AsyncCall, run, run_on_stack};
use super::context::ExchangeContext;
use super::error::Error;
use super::image::{Batch, Body, Checked, Chunk, End, PlannedRequest, PlannedResponse};
use super::loaded::Plugin;
use super::owner::Owner;
use super::store::{State, TargetInfo};
use super::wit::{EventParam, EventResult, Fault, RequestPlan, ResponsePlan, Stop, Summary};

/// A fresh instance, configured.
fn instantiate(plugin: &Plugin, store: &mut Store<State>) -> wasmtime::Result<Component> {
    let instance = plugin.image.code.pre.instantiate(&mut *store)?;
    if let Some(configuration) = &plugin.image.configure_per_instance {
        let configure = instance
            .get_typed_func::<(&str,), (Result<String, String>,)>(&mut *store, "configure")?;
        let (configured,) = configure.call(&mut *store, (configuration,))?;
        configured.map_err(wasmtime::Error::msg)?;
    }
    Ok(instance)
}

/// The same, on a stack.
async fn instantiate_on_stack(
    plugin: &Plugin,
    store: &mut Store<State>,
) -> wasmtime::Result<Component> {
    let instance = plugin.image.code.pre.instantiate_async(&mut *store).await?;
    if let Some(configuration) = &plugin.image.configure_per_instance {
        let configure = instance
            .get_typed_func::<(&str,), (Result<String, String>,)>(&mut *store, "configure")?;
        let (configured,) = configure.call_async(&mut *store, (configuration,)).await?;
        configured.map_err(wasmtime::Error::msg)?;
    }
    Ok(instance)
}

/// The making of an instance, on a stack.
struct Make<'a> {
    plugin: &'a Plugin,
    component: &'a mut Option<Component>,
}

impl AsyncCall<Component> for Make<'_> {
    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<Component> {
        Ok(match self.component {
            Some(instance) => *instance,
            None => *self
                .component
                .insert(instantiate_on_stack(self.plugin, store).await?),
        })
    }
}

/// A call on a stack, which makes the instance if it is the first.
struct Call<'a, P, R> {
    made: Make<'a>,
    /// What it is lent.
    context: Option<&'a mut ExchangeContext>,
    function: ComponentExportIndex,
    arguments: P,
    results: PhantomData<fn() -> R>,
}

impl<P, R> AsyncCall<R> for Call<'_, P, R>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    async fn run(self, store: &mut Store<State>) -> wasmtime::Result<R> {
        // Before the context is lent: `configure` must not see one.
        let instance = self.made.run(store).await?;
        if let Some(context) = self.context {
            store.data_mut().borrow(context.lend());
        }
        let function = instance.get_typed_func::<P, R>(&mut *store, self.function)?;
        function.call_async(store, self.arguments).await
    }
}

/// Shows an observer a batch of finished exchanges, in a fresh instance.
///
/// # Errors
/// [`Error`] if the guest failed; the batch is lost then.
pub async fn observe(plugin: &Arc<Plugin>, batch: &[Summary<'_>]) -> Result<(), Error> {
    let observe = exported(plugin.image.code.functions.observe, "observer")?;
    let mut store = plugin.engine.store(&plugin.owner);
    if plugin.image.code.waits {
        let call = Call {
            made: Make {
                plugin,
                component: &mut None,
            },
            context: None,
            function: observe,
            arguments: (batch,),
            results: PhantomData,
        };
        return run_on_stack(&mut store, plugin, call).await.0;
    }
    let (result, _) = run(&mut store, plugin, |store| {
        let instance = instantiate(plugin, store)?;
        let function = instance.get_typed_func::<(&[Summary<'_>],), ()>(&mut *store, observe)?;
        function.call(store, (batch,))
    })
    .await;
    result
}

/// The function, which exists: nothing calls an interface that the component does not export.
///
/// # Errors
/// [`Error::Contract`] if it does not exist after all.
fn exported<T>(function: Option<T>, interface: &str) -> Result<T, Error> {
    function.ok_or_else(|| Error::Contract(format!("it does not export `{interface}`")))
}

/// A plugin at work on one exchange, or on one attempt.
pub struct Instance {
    store: Store<State>,
    plugin: Arc<Plugin>,
    /// `None` until the first call, which creates it.
    component: Option<Component>,
    /// `events.batch`, from the first batch on: a stream calls it again and again.
    batch: Option<TypedFunc<(&'static [EventParam<'static>],), Batch>>,
    /// `chunks.chunk`, likewise.
    chunk: Option<TypedFunc<(&'static [u8], bool), Chunk>>,
}

impl Instance {
    /// An instance, which the first call creates. `target` is for adapters.
    #[must_use]
    pub fn new(plugin: &Arc<Plugin>, target: Option<Arc<TargetInfo>>) -> Self {
        let mut store = plugin.engine.store(&plugin.owner);
        store.data_mut().target = target;
        let instances = &plugin.owner.counts.instances;
        instances.fetch_add(1, Ordering::Relaxed);
        Self {
            store,
            plugin: plugin.clone(),
            component: None,
            batch: None,
            chunk: None,
        }
    }

    /// From now on every capability is denied.
    pub(super) fn put_on_trial(&mut self) {
        self.store.data_mut().on_trial = true;
    }

    /// Creates the instance now.
    ///
    /// # Errors
    /// Like those of a call.
    pub async fn make(&mut self) -> Result<(), Error> {
        let Self {
            store,
            plugin,
            component,
            ..
        } = self;
        if plugin.image.code.waits {
            let (made, _) = run_on_stack(store, plugin, Make { plugin, component }).await;
            return made.map(drop);
        }
        let (result, _) = run(store, plugin, |store| {
            *component = Some(instantiate(plugin, store)?);
            Ok(())
        })
        .await;
        result
    }

    /// Bytes of its memories.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.store.data().memory_used()
    }

    /// Runs one phase: creates the instance if this is its first call, lends it the context, and takes the context back
    /// whatever happens.
    async fn phase<R>(
        &mut self,
        context: &mut ExchangeContext,
        phase: Phase,
        body: impl FnOnce(&mut Store<State>, Component) -> wasmtime::Result<R>,
    ) -> Result<R, Error> {
        context.phase = phase;
        let Self {
            store,
            plugin,
            component,
            ..
        } = self;
        let (result, spent) = run(store, plugin, |store| {
            let instance = match component {
                Some(instance) => *instance,
                // Before the context is lent: `configure` must not see one.
                None => *component.insert(instantiate(plugin, store)?),
            };
            store.data_mut().borrow(context.lend());
            body(store, instance)
        })
        .await;
        self.end_phase(context, spent);
        self.explained(context, result)
    }

    /// Runs one phase on a stack of its own; otherwise as [`Instance::phase`].
    async fn phase_on_stack<P, R>(
        &mut self,
        context: &mut ExchangeContext,
        phase: Phase,
        function: ComponentExportIndex,
        arguments: P,
    ) -> Result<R, Error>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        context.phase = phase;
        let Self {
            store,
            plugin,
            component,
            ..
        } = self;
        let call = Call {
            made: Make { plugin, component },
            context: Some(context),
            function,
            arguments,
            results: PhantomData,
        };
        let (result, spent) = run_on_stack(store, plugin, call).await;
        self.end_phase(context, spent);
        self.explained(context, result)
    }

    /// Takes the context back.
    fn end_phase(&mut self, context: &mut ExchangeContext, spent: Duration) {
        if let Some(lent) = self.store.data_mut().lent.take() {
            context.give_back(lent);
        }
        context.spent += spent;
        let (phase, memory) = (context.phase, self.memory());
        context.called(phase, memory);
    }

    /// Explains a failed call in the log, and where the calls are kept.
    fn explained<R>(
        &self,
        context: &mut ExchangeContext,
        result: Result<R, Error>,
    ) -> Result<R, Error> {
        result.inspect_err(|error| {
            let owner = self.owner();
            owner.explain(error, context.phase, &context.identity.id);
            context.call_failed(|| owner.failure(error));
        })
    }

    /// Whether its calls need stacks of their own.
    fn waits(&self) -> bool {
        self.plugin.image.code.waits
    }

    /// Runs a phase that is called once.
    async fn once<P, R>(
        &mut self,
        context: &mut ExchangeContext,
        phase: Phase,
        function: ComponentExportIndex,
        arguments: P,
    ) -> Result<R, Error>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        if self.waits() {
            return self
                .phase_on_stack(context, phase, function, arguments)
                .await;
        }
        self.phase(context, phase, |store, instance| {
            let function = instance.get_typed_func::<P, R>(&mut *store, function)?;
            function.call(store, arguments)
        })
        .await
    }

    /// `gate.check`
    ///
    /// # Errors
    /// [`Error`] if the guest failed, here and in all phases below.
    pub async fn check(
        &mut self,
        context: &mut ExchangeContext,
    ) -> Result<Result<(), Stop>, Error> {
        let function = exported(self.plugin.image.code.functions.check, "gate")?;
        let (result,): Checked = self.once(context, Phase::Gate, function, ()).await?;
        self.bounded(context, result, |()| 0)
    }

    /// `request.head`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn request_head(
        &mut self,
        context: &mut ExchangeContext,
    ) -> Result<Result<RequestPlan, Stop>, Error> {
        let [function, _] = exported(self.plugin.image.code.functions.request, "request")?;
        let (result,): PlannedRequest =
            self.once(context, Phase::RequestHead, function, ()).await?;
        self.bounded(context, result, |_| 0)
    }

    /// `request.body`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn request_body(
        &mut self,
        context: &mut ExchangeContext,
        body: &[u8],
    ) -> Result<Result<Option<Vec<u8>>, Stop>, Error> {
        let [_, function] = exported(self.plugin.image.code.functions.request, "request")?;
        let (result,): Body = self
            .once(context, Phase::RequestBody, function, (body,))
            .await?;
        self.bounded(context, result, |body| body.as_ref().map_or(0, Vec::len))
    }

    /// `response.head`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn response_head(
        &mut self,
        context: &mut ExchangeContext,
    ) -> Result<Result<ResponsePlan, Stop>, Error> {
        let [function, _] = exported(self.plugin.image.code.functions.response, "response")?;
        let (result,): PlannedResponse = self
            .once(context, Phase::ResponseHead, function, ())
            .await?;
        self.bounded(context, result, |_| 0)
    }

    /// `response.body`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn response_body(
        &mut self,
        context: &mut ExchangeContext,
        body: &[u8],
    ) -> Result<Result<Option<Vec<u8>>, Stop>, Error> {
        let [_, function] = exported(self.plugin.image.code.functions.response, "response")?;
        let (result,): Body = self
            .once(context, Phase::ResponseBody, function, (body,))
            .await?;
        self.bounded(context, result, |body| body.as_ref().map_or(0, Vec::len))
    }

    /// `chunks.chunk`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn chunk(
        &mut self,
        context: &mut ExchangeContext,
        bytes: &[u8],
        last: bool,
    ) -> Result<Result<Option<Vec<u8>>, Fault>, Error> {
        let index = exported(self.plugin.image.code.functions.chunk, "chunks")?;
        let result = if self.waits() {
            let arguments = (bytes, last);
            self.phase_on_stack(context, Phase::Chunk, index, arguments)
                .await
        } else {
            let mut chunk = self.chunk.take();
            let result = self
                .phase(context, Phase::Chunk, |store, instance| {
                    let function = match chunk {
                        Some(function) => function,
                        None => *chunk.insert(instance.get_typed_func(&mut *store, index)?),
                    };
                    function.call(store, (bytes, last))
                })
                .await;
            self.chunk = chunk;
            result
        };
        let (result,): Chunk = result?;
        if let Ok(Some(bytes)) = &result {
            self.check_output(context, bytes.len())?;
        }
        Ok(result)
    }

    /// `events.batch`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn batch(
        &mut self,
        context: &mut ExchangeContext,
        events: &[EventParam<'_>],
    ) -> Result<Result<Option<Vec<EventResult>>, Fault>, Error> {
        let [index, _] = exported(self.plugin.image.code.functions.events, "events")?;
        let result = if self.waits() {
            self.phase_on_stack(context, Phase::Events, index, (events,))
                .await
        } else {
            let mut batch = self.batch.take();
            let result = self
                .phase(context, Phase::Events, |store, instance| {
                    let function = match batch {
                        Some(function) => function,
                        None => *batch.insert(instance.get_typed_func(&mut *store, index)?),
                    };
                    function.call(store, (events,))
                })
                .await;
            self.batch = batch;
            result
        };
        let (result,): Batch = result?;
        if let Ok(Some(events)) = &result {
            self.check_events(context, events)?;
        }
        Ok(result)
    }

    /// `events.end`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn end(
        &mut self,
        context: &mut ExchangeContext,
    ) -> Result<Result<Vec<EventResult>, Fault>, Error> {
        let [_, function] = exported(self.plugin.image.code.functions.events, "events")?;
        let (result,): End = self.once(context, Phase::End, function, ()).await?;
        if let Ok(events) = &result {
            self.check_events(context, events)?;
        }
        Ok(result)
    }

    /// `closing.closed`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn closed(
        &mut self,
        context: &mut ExchangeContext,
        error: &str,
    ) -> Result<(), Error> {
        let function = exported(self.plugin.image.code.functions.closed, "closing")?;
        self.once(context, Phase::Closing, function, (error,)).await
    }

    fn check_events(
        &self,
        context: &mut ExchangeContext,
        events: &[EventResult],
    ) -> Result<(), Error> {
        self.check_output(context, events.iter().map(|event| event.data.len()).sum())
    }

    fn check_output(&self, context: &mut ExchangeContext, size: usize) -> Result<(), Error> {
        self.explained(context, self.owner().check_output(size))
    }

    /// Checks a result against the output limit. `size` gives the bytes of a result that is not a stop.
    fn bounded<T>(
        &self,
        context: &mut ExchangeContext,
        result: Result<T, Stop>,
        size: impl FnOnce(&T) -> usize,
    ) -> Result<Result<T, Stop>, Error> {
        let size = match &result {
            Ok(value) => size(value),
            Err(Stop::Reply(reply)) => reply.body.len(),
            Err(Stop::Fault(fault)) => fault.message.len(),
        };
        self.check_output(context, size)?;
        Ok(result)
    }

    fn owner(&self) -> &Owner {
        &self.plugin.owner
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let instances = &self.owner().counts.instances;
        instances.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("plugin", &self.owner().name)
            .finish_non_exhaustive()
    }
}
