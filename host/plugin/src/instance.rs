//! Sandboxes: one instance of a plugin, made from its image for one exchange and dropped with it.
//!
//! Every call has a CPU budget, a memory limit and an output limit. Whatever goes wrong inside is an [`Error`]; the
//! instance must not be called again after one. What a stage decides is a value: the inner `Result` of a call.

use std::sync::Arc;

use sluicegate_contract::Phase;
use wasmtime::Store;
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance as Component, Lift, Lower, TypedFunc,
};

use super::budget::run;
use super::context::Loan;
use super::error::Error;
use super::image::{Batch, Body, Checked, Chunk, End, PlannedRequest, PlannedResponse};
use super::loaded::Version;
use super::owner::Owner;
use super::store::{Asked, State};
use super::wit::{EventParam, EventResult, Fault, RequestPlan, ResponsePlan, Stop, Summary};

/// A fresh instance, configured.
fn instantiate(version: &Version, store: &mut Store<State>) -> wasmtime::Result<Component> {
    let instance = version.image.code.pre.instantiate(&mut *store)?;
    if let Some(configuration) = &version.image.configure_per_instance {
        let configure = instance
            .get_typed_func::<(&str,), (Result<String, String>,)>(&mut *store, "configure")?;
        let (configured,) = configure.call(&mut *store, (configuration,))?;
        configured.map_err(wasmtime::Error::msg)?;
    }
    Ok(instance)
}

/// Shows an observer a batch of finished exchanges, in a fresh instance.
///
/// # Errors
/// [`Error`] if the guest failed; the batch is lost then.
pub async fn observe(version: &Arc<Version>, batch: &[Summary<'_>]) -> Result<(), Error> {
    let observe = exported(version.image.code.functions.observe, "observer")?;
    let mut store = version.engine.store(&version.owner);
    let (result, _) = run(&mut store, version, |store| {
        let instance = instantiate(version, store)?;
        let function = instance.get_typed_func::<(&[Summary<'_>],), ()>(&mut *store, observe)?;
        function.call(store, (batch,))
    })
    .await;
    result
}

/// A function that is there, since nothing calls an interface that a component does not export.
///
/// # Errors
/// [`Error::Contract`] all the same.
fn exported<T>(function: Option<T>, interface: &str) -> Result<T, Error> {
    function.ok_or_else(|| Error::Contract(format!("it does not export `{interface}`")))
}

/// A plugin at work on one exchange, or on one attempt.
pub struct Instance {
    store: Store<State>,
    version: Arc<Version>,
    /// `None` until the first call, which makes it.
    component: Option<Component>,
    /// `events.batch`, from the first batch on: a stream calls it again and again.
    batch: Option<TypedFunc<(&'static [EventParam<'static>],), Batch>>,
    /// `chunks.chunk`, likewise.
    chunk: Option<TypedFunc<(&'static [u8], bool), Chunk>>,
}

impl Instance {
    /// An instance that its first call makes. `asked` is for adapters.
    #[must_use]
    pub fn new(version: &Arc<Version>, asked: Option<Arc<Asked>>) -> Self {
        let mut store = version.engine.store(&version.owner);
        store.data_mut().asked = asked;
        Self {
            store,
            version: version.clone(),
            component: None,
            batch: None,
            chunk: None,
        }
    }

    /// Makes the instance now.
    ///
    /// # Errors
    /// As a call.
    pub async fn make(&mut self) -> Result<(), Error> {
        let Self {
            store,
            version,
            component,
            ..
        } = self;
        let (result, _) = run(store, version, |store| {
            *component = Some(instantiate(version, store)?);
            Ok(())
        })
        .await;
        result
    }

    /// Runs one phase: lends the context, makes the instance if this is its first call, and takes the context back whatever
    /// happened.
    async fn phase<R>(
        &mut self,
        loan: &mut Loan,
        phase: Phase,
        body: impl FnOnce(&mut Store<State>, Component) -> wasmtime::Result<R>,
    ) -> Result<R, Error> {
        loan.phase = phase;
        let Self {
            store,
            version,
            component,
            ..
        } = self;
        let (result, spent) = run(store, version, |store| {
            let instance = match component {
                Some(instance) => *instance,
                // Before the context is lent: `configure` must not see one.
                None => *component.insert(instantiate(version, store)?),
            };
            store.data_mut().context = loan.lend();
            body(store, instance)
        })
        .await;
        if let Some(context) = self.store.data_mut().context.take() {
            loan.give_back(context);
        }
        loan.spent += spent;
        result
    }

    /// Runs a phase that is called once.
    async fn once<P, R>(
        &mut self,
        loan: &mut Loan,
        phase: Phase,
        function: ComponentExportIndex,
        arguments: P,
    ) -> Result<R, Error>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        self.phase(loan, phase, |store, instance| {
            let function = instance.get_typed_func::<P, R>(&mut *store, function)?;
            function.call(store, arguments)
        })
        .await
    }

    /// `gate.check`
    ///
    /// # Errors
    /// [`Error`] if the guest failed, here and in all phases below.
    pub async fn check(&mut self, loan: &mut Loan) -> Result<Result<(), Stop>, Error> {
        let function = exported(self.version.image.code.functions.check, "gate")?;
        let (result,): Checked = self.once(loan, Phase::Gate, function, ()).await?;
        self.bounded(result, |()| 0)
    }

    /// `request.head`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn request_head(
        &mut self,
        loan: &mut Loan,
    ) -> Result<Result<RequestPlan, Stop>, Error> {
        let [function, _] = exported(self.version.image.code.functions.request, "request")?;
        let (result,): PlannedRequest = self.once(loan, Phase::RequestHead, function, ()).await?;
        self.bounded(result, |_| 0)
    }

    /// `request.body`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn request_body(
        &mut self,
        loan: &mut Loan,
        body: &[u8],
    ) -> Result<Result<Option<Vec<u8>>, Stop>, Error> {
        let [_, function] = exported(self.version.image.code.functions.request, "request")?;
        let (result,): Body = self
            .once(loan, Phase::RequestBody, function, (body,))
            .await?;
        self.bounded(result, |body| body.as_ref().map_or(0, Vec::len))
    }

    /// `response.head`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn response_head(
        &mut self,
        loan: &mut Loan,
    ) -> Result<Result<ResponsePlan, Stop>, Error> {
        let [function, _] = exported(self.version.image.code.functions.response, "response")?;
        let (result,): PlannedResponse = self.once(loan, Phase::ResponseHead, function, ()).await?;
        self.bounded(result, |_| 0)
    }

    /// `response.body`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn response_body(
        &mut self,
        loan: &mut Loan,
        body: &[u8],
    ) -> Result<Result<Option<Vec<u8>>, Stop>, Error> {
        let [_, function] = exported(self.version.image.code.functions.response, "response")?;
        let (result,): Body = self
            .once(loan, Phase::ResponseBody, function, (body,))
            .await?;
        self.bounded(result, |body| body.as_ref().map_or(0, Vec::len))
    }

    /// `chunks.chunk`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn chunk(
        &mut self,
        loan: &mut Loan,
        bytes: &[u8],
        last: bool,
    ) -> Result<Result<Option<Vec<u8>>, Fault>, Error> {
        let index = exported(self.version.image.code.functions.chunk, "chunks")?;
        let mut chunk = self.chunk.take();
        let result = self
            .phase(loan, Phase::Chunk, |store, instance| {
                let function = match chunk {
                    Some(function) => function,
                    None => *chunk.insert(instance.get_typed_func(&mut *store, index)?),
                };
                function.call(store, (bytes, last))
            })
            .await;
        self.chunk = chunk;
        let (result,): Chunk = result?;
        if let Ok(Some(bytes)) = &result {
            self.owner().check_output(bytes.len())?;
        }
        Ok(result)
    }

    /// `events.batch`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn batch(
        &mut self,
        loan: &mut Loan,
        events: &[EventParam<'_>],
    ) -> Result<Result<Option<Vec<EventResult>>, Fault>, Error> {
        let [index, _] = exported(self.version.image.code.functions.events, "events")?;
        let mut batch = self.batch.take();
        let result = self
            .phase(loan, Phase::Events, |store, instance| {
                let function = match batch {
                    Some(function) => function,
                    None => *batch.insert(instance.get_typed_func(&mut *store, index)?),
                };
                function.call(store, (events,))
            })
            .await;
        self.batch = batch;
        let (result,): Batch = result?;
        if let Ok(Some(events)) = &result {
            self.check_events(events)?;
        }
        Ok(result)
    }

    /// `events.end`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn end(&mut self, loan: &mut Loan) -> Result<Result<Vec<EventResult>, Fault>, Error> {
        let [_, function] = exported(self.version.image.code.functions.events, "events")?;
        let (result,): End = self.once(loan, Phase::End, function, ()).await?;
        if let Ok(events) = &result {
            self.check_events(events)?;
        }
        Ok(result)
    }

    /// `closing.closed`
    ///
    /// # Errors
    /// See [`Instance::check`].
    pub async fn closed(&mut self, loan: &mut Loan, error: &str) -> Result<(), Error> {
        let function = exported(self.version.image.code.functions.closed, "closing")?;
        self.once(loan, Phase::Closing, function, (error,)).await
    }

    fn check_events(&self, events: &[EventResult]) -> Result<(), Error> {
        self.owner()
            .check_output(events.iter().map(|event| event.data.len()).sum())
    }

    /// Holds a result against the output limit; `size` tells the bytes of one that is no stop.
    fn bounded<T>(
        &self,
        result: Result<T, Stop>,
        size: impl FnOnce(&T) -> usize,
    ) -> Result<Result<T, Stop>, Error> {
        self.owner().check_output(match &result {
            Ok(value) => size(value),
            Err(Stop::Reply(reply)) => reply.body.len(),
            Err(Stop::Fault(fault)) => fault.message.len(),
        })?;
        Ok(result)
    }

    fn owner(&self) -> &Owner {
        &self.version.owner
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("plugin", &self.owner().name)
            .finish_non_exhaustive()
    }
}
