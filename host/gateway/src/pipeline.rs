//! Pipelines: the stages of a route, run over an exchange.
//!
//! Request phases run first stage to last and are in this file. The response, an error or a stage's own reply travels outward,
//! last stage to first, in [`run`]. What a single stage does with a body is in [`body_step`] and [`events`], and what happens after the exchange in
//! [`observer`]. An adapter runs through the same code as a pipeline of one stage; see `exchange::attempt`.

mod body_step;
mod chunk;
pub mod data;
mod events;
mod limits;
pub mod observer;
mod report;
mod run;
mod stage;
mod stop;

use std::sync::Arc;

use bytes::Bytes;
use sluicegate_contract::{RequestPlan, check_request_body};

pub use chunk::{Chunk, End, Stopped};
pub use data::Data;
pub use limits::Limits;
pub use report::FailureReport;
pub use run::{Output, PipelineRun, content_framing};
pub use stop::Stop;

use crate::failure::{Failure, Kind};
use sluicegate_plugin_host::ExchangeContext;
use sluicegate_plugin_host::wit;
use sluicegate_plugin_host::{Plugin, TargetInfo};
use stage::Stage;

/// The stages of a route, client side first, and the queues of its observers.
#[derive(Debug)]
pub struct Pipeline {
    /// The stages.
    pub stages: Vec<Arc<Plugin>>,
    /// For each stage that observes the exchanges in which it took part, the queue of these.
    pub watching: Vec<Option<observer::Queue>>,
    /// Observers of all exchanges.
    pub observers: Vec<observer::Queue>,
}

impl Pipeline {
    /// Whether the first stage is a front: it also sees failures from before the first stage ran.
    #[must_use]
    pub fn has_front(&self) -> bool {
        self.stages
            .first()
            .is_some_and(|stage| stage.manifest().front.is_some())
    }

    /// The plugin versions that an exchange on this route holds: its stages and its observers.
    pub fn versions(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        let observers = self.observers.iter().map(|queue| &queue.plugin);
        self.stages.iter().chain(observers)
    }

    /// Whether a response head may go out before there is a response.
    #[must_use]
    pub fn allows_early_head(&self) -> bool {
        self.stages.iter().all(|stage| stage.manifest().early_head)
    }
}

impl PipelineRun {
    /// A run over the stages of a pipeline.
    #[must_use]
    pub fn new(pipeline: &Pipeline, limits: Limits) -> Self {
        let stage = |plugin: &Arc<Plugin>| Stage::new(plugin.clone(), None);
        Self::of(pipeline.stages.iter().map(stage).collect(), limits, true)
    }

    /// A run over an adapter alone.
    #[must_use]
    pub fn adapter(plugin: Arc<Plugin>, target: Arc<TargetInfo>, limits: Limits) -> Self {
        Self::of(vec![Stage::new(plugin, Some(target))], limits, false)
    }

    /// Gates and request heads, first stage to last.
    ///
    /// # Errors
    /// [`Stop`] of the first stage that stops the exchange. Only the stages before it see the response then.
    pub async fn request_heads(&mut self, context: &mut ExchangeContext) -> Result<(), Stop> {
        for index in 0..self.stages.len() {
            self.pending = index;
            if let Err(stop) = request_head(&mut self.stages[index], context).await {
                let stop = self.stopped(index, stop);
                // These stages see nothing more, and a slow client may take long to send the rest of its request.
                for stage in &mut self.stages[self.pending..] {
                    stage.release();
                }
                return Err(stop);
            }
        }
        self.pending = self.stages.len();
        Ok(())
    }

    /// A stage has stopped before any of its body went out. A front is shown its own stop too, as a response, unless it
    /// trapped.
    fn stopped(&mut self, index: usize, stop: Stop) -> Stop {
        if matches!(stop, Stop::Failure(_)) && self.stages[index].takes_own_fault() {
            self.pending = index + 1;
        }
        stop
    }

    /// Whether any stage wants to see the request body.
    #[must_use]
    pub fn wants_body(&self) -> bool {
        self.stages
            .iter()
            .any(|stage| stage.plan != RequestPlan::Skip)
    }

    /// The request body, first stage to last. Returns it as it is after the last stage.
    ///
    /// # Errors
    /// [`Stop`] of the first stage that stops the exchange. Only the stages before it see the response then.
    pub async fn request_body(
        &mut self,
        context: &mut ExchangeContext,
        body: Bytes,
    ) -> Result<Bytes, Stop> {
        context.body = Some(body.clone());
        let mut body = body;
        for index in 0..self.stages.len() {
            let stage = &mut self.stages[index];
            if stage.plan == RequestPlan::Skip || stage.is_finished() {
                continue;
            }
            self.pending = index;
            match request_body(stage, context, &body).await {
                Ok(Some(new)) => {
                    body = new;
                    context.body = Some(body.clone());
                }
                Ok(None) => {}
                Err(stop) => return Err(self.stopped(index, stop)),
            }
        }
        self.pending = self.stages.len();
        Ok(body)
    }

    /// The request phases are over: gives back the instances that no later phase needs.
    pub fn release_request(&mut self) {
        for stage in &mut self.stages {
            if !stage.exports().sees_response() {
                stage.release();
            }
        }
    }

    /// The queues of the stages that took part and observe.
    pub fn watching<'p>(
        &self,
        pipeline: &'p Pipeline,
    ) -> impl Iterator<Item = &'p observer::Queue> {
        let took_part: Vec<bool> = self.stages.iter().map(Stage::took_part).collect();
        pipeline
            .watching
            .iter()
            .zip(took_part)
            .filter_map(|(queue, took_part)| queue.as_ref().filter(|_| took_part))
    }
}

/// `gate.check`, then `request.head`, as far as they are exported.
async fn request_head(stage: &mut Stage, context: &mut ExchangeContext) -> Result<(), Stop> {
    let exports = stage.exports();
    if exports.gate {
        match stage.instance().check(context).await {
            Ok(Ok(())) => {}
            Ok(Err(stop)) => return Err(stage.checked_stop(stop)),
            Err(error) => return Ok(stage.on_error(error)?),
        }
    }
    if exports.request {
        match stage.instance().request_head(context).await {
            Ok(Ok(plan)) => stage.plan = request_plan(plan),
            Ok(Err(stop)) => return Err(stage.checked_stop(stop)),
            Err(error) => return Ok(stage.on_error(error)?),
        }
    }
    // A plugin that is only a gate, such as one that checks keys, gives its sandbox back at once.
    if stage.plan == RequestPlan::Skip && !exports.sees_response() {
        stage.release();
    }
    Ok(())
}

/// `request.body`; returns the body that the stage put in its place, if any.
async fn request_body(
    stage: &mut Stage,
    context: &mut ExchangeContext,
    body: &Bytes,
) -> Result<Option<Bytes>, Stop> {
    let plan = stage.plan;
    let shown: &[u8] = if plan == RequestPlan::Look { b"" } else { body };
    match stage.instance().request_body(context, shown).await {
        Ok(Ok(new)) => match check_request_body(stage.manifest(), plan, new.is_some()) {
            Ok(()) => return Ok(new.map(Bytes::from)),
            Err(violation) => stage.on_violation(violation)?,
        },
        Ok(Err(stop)) => return Err(stage.checked_stop(stop)),
        Err(error) => stage.on_body_error(error, body.len())?,
    }
    Ok(None)
}

const fn request_plan(plan: wit::RequestPlan) -> RequestPlan {
    match plan {
        wit::RequestPlan::Skip => RequestPlan::Skip,
        wit::RequestPlan::Look => RequestPlan::Look,
        wit::RequestPlan::Whole => RequestPlan::Whole,
    }
}

/// The error for a request that has a member of its top level twice.
#[must_use]
pub fn duplicate_member(name: &'static str) -> Failure {
    let message = format!("`{name}` appears twice. Send it once.");
    Failure::refused(
        hyper::StatusCode::BAD_REQUEST,
        Kind::InvalidRequest.label().into(),
        message,
        Some(name.into()),
    )
}
