//! The way outward: a response, an error or a stage's own reply, on its way through the stages of one exchange.
//!
//! A stage sees the head when it is final. So heads are shown from the last stage to the first, up to one that holds its body
//! back (`whole`, `document`). When that stage has given the body, the stages before it follow, and see the result as a
//! response of its own. A stop takes the place of the response and goes on outward in the same way: as a complete response for
//! stages that have not seen a head, as one last event for those that have.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use sluicegate_contract::{ResponsePlan, check_response_plan};

use super::body_step::BodyStep;
use super::chunk::{Chunk, End, Stopped};
use super::data::Data;
use super::limits::Limits;
use super::report::FailureReport;
use super::stage::{Stage, legal};
use super::stop::Stop;
use crate::failure::{Failure, Kind};
use sluicegate_framing::Framing;
use sluicegate_plugin_host::ExchangeContext;
use sluicegate_plugin_host::wit;

/// The content type of a stream whose head went out before there was a response.
const SSE: HeaderValue = HeaderValue::from_static("text/event-stream");

/// The stages of one exchange at work, or the adapter of one attempt.
pub struct PipelineRun {
    pub(super) stages: Vec<Stage>,
    /// How many stages, counted from the first, have still to see the response head.
    pub(super) pending: usize,
    /// The stages that work on the body, the model server's side first.
    steps: Vec<BodyStep>,
    /// The framing of the input, if it consists of events; `None` for bytes.
    source: Option<Framing>,
    limits: Limits,
    /// Events that came from the model server, as far as a stage looked at them.
    events: u64,
    /// Failures that have not been taken for the record yet.
    failures: Vec<FailureReport>,
    /// Whether failures are reported. Those of an attempt count only if it decides the exchange.
    reports_failures: bool,
}

/// What comes out for one input.
#[derive(Debug)]
pub struct Output {
    /// The data.
    pub data: Data,
    /// The framing of events in it.
    pub framing: Framing,
    /// What comes after it.
    pub end: End,
}

impl PipelineRun {
    pub(super) fn of(stages: Vec<Stage>, limits: Limits, reports_failures: bool) -> Self {
        Self {
            stages,
            pending: 0,
            steps: Vec::new(),
            source: None,
            limits,
            events: 0,
            failures: Vec::new(),
            reports_failures,
        }
    }

    /// A failure from before the first stage ran is shown to the front alone.
    pub fn show_front_alone(&mut self) {
        self.pending = 1;
    }

    /// The events that came in so far; 0 if no stage looked.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The failures since the last call, oldest first.
    pub fn take_failures(&mut self) -> Vec<FailureReport> {
        std::mem::take(&mut self.failures)
    }

    /// Whether no stage looks at the body, so that it can be passed on as it comes, with its length.
    #[must_use]
    pub fn is_transparent(&self) -> bool {
        self.steps.is_empty()
    }

    /// Bytes that the stages hold while they wait for more.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.steps.iter().map(BodyStep::buffered).sum()
    }

    /// Whether a stage holds the head back.
    #[must_use]
    pub fn holds_head(&self) -> bool {
        self.steps.last().is_some_and(BodyStep::holds_head)
    }

    /// The framing of the output, if it consists of events and not of bytes.
    #[must_use]
    pub fn batches(&self) -> Option<Framing> {
        match self.steps.last() {
            Some(step) => step.batches(),
            None => self.source,
        }
    }

    /// The framing of the body that comes out.
    #[must_use]
    pub fn framing(&self, context: &ExchangeContext) -> Framing {
        match self.steps.last() {
            Some(step) => step.framing(),
            None => self.source.unwrap_or_else(|| content_framing(context)),
        }
    }

    /// Shows the response head to the stages, as far as they can see it now. `source` is the framing of the events that will
    /// come in, `None` where bytes will.
    ///
    /// # Errors
    /// [`Stop`] of the first stage that does not let the response pass; [`PipelineRun::enter`] takes it further.
    pub async fn open(
        &mut self,
        context: &mut ExchangeContext,
        source: Option<Framing>,
    ) -> Result<(), Stop> {
        self.steps.clear();
        self.source = source;
        context.replaced = None;
        while self.pending > 0 && !self.holds_head() {
            self.pending -= 1;
            let index = self.pending;
            let batches = self.batches();
            let incoming = batches.unwrap_or_else(|| content_framing(context));
            let stage = &mut self.stages[index];
            let plan = match response_head(stage, context, incoming).await {
                Ok(Some(plan)) => plan,
                Ok(None) => continue,
                Err(stop) => return Err(self.stopped(index, stop)),
            };
            if is_coded(context) {
                let failure = Failure::new(
                    Kind::UpstreamInvalid,
                    "The model server's response has a content coding that the gateway did not ask for.",
                );
                return Err(self.stopped(index, failure.into()));
            }
            let out = plan.events().unwrap_or_else(|| content_framing(context));
            // An early head has announced a stream of events, whatever framing the stage chose.
            let out = match out {
                Framing::Ndjson if context.head_sent => Framing::Sse,
                out => out,
            };
            if plan.events().is_some() {
                set_content_type(context, out);
            }
            let events = batches.is_some();
            self.steps.push(BodyStep::new(
                index,
                plan,
                incoming,
                events,
                out,
                &self.limits,
            ));
        }
        if self.pending == 0 {
            // No later phase can ask for it.
            context.body = None;
        }
        Ok(())
    }

    /// Lets a stop take the place of the response, and shows its head to the stages that have not seen one. Returns the body,
    /// for [`PipelineRun::push`].
    pub async fn enter(&mut self, context: &mut ExchangeContext, stop: Stop) -> Chunk {
        self.enter_as(context, stop, None).await
    }

    /// As [`PipelineRun::enter`]; `shown` is what stages that have seen the failure already made of its body.
    async fn enter_as(
        &mut self,
        context: &mut ExchangeContext,
        stop: Stop,
        shown: Option<Bytes>,
    ) -> Chunk {
        let (mut stop, mut shown) = (stop, shown);
        loop {
            let seen = shown.is_some();
            let (body, failure): (Bytes, _) = match stop {
                Stop::Reply(reply) => {
                    context.status = StatusCode::from_u16(reply.status).ok();
                    context.response = legal(&reply.fields);
                    (reply.body.into(), None)
                }
                Stop::Failure(mut failure) => {
                    self.report_failure(&mut failure);
                    let body = shown.take().unwrap_or_else(|| {
                        context.status = Some(failure.status());
                        context.response = failure.head();
                        failure.body()
                    });
                    (body, Some(failure))
                }
            };
            // If the client already has the head of a stream, any other body becomes one event.
            let wraps = context.head_sent && content_framing(context) != Framing::Sse;
            let (source, data) = if wraps {
                context.response.insert(header::CONTENT_TYPE, SSE);
                // An event without data would break openai-python.
                let nothing = Data::Events {
                    events: Vec::new(),
                    raw: None,
                };
                let data = if body.is_empty() {
                    nothing
                } else {
                    Data::event(body)
                };
                (Some(Framing::Sse), data)
            } else {
                (None, Data::Bytes(body))
            };
            match (self.open(context, source).await, failure) {
                // In a stream nothing comes after an error, not even the normal end.
                (Ok(()), Some(failure)) if wraps => {
                    let stopped = Stopped {
                        stop: failure.into(),
                        shown: data,
                        seen,
                    };
                    return Chunk {
                        data: Data::default(),
                        end: End::Stopped(Box::new(stopped)),
                    };
                }
                (Ok(()), _) => return Chunk::last(data),
                (Err(next), _) => stop = next,
            }
        }
    }

    /// Takes some of the body through the stages.
    ///
    /// # Shape
    /// A stage's output from before its stop still comes out. After an end, nothing may follow.
    pub async fn push(&mut self, context: &mut ExchangeContext, chunk: Chunk) -> Output {
        let mut chunk = chunk;
        loop {
            let held = self.holds_head();
            chunk = self.advance(context, chunk).await;
            if !held {
                let framing = self.framing(context);
                return Output {
                    data: chunk.data,
                    framing,
                    end: chunk.end,
                };
            }
            chunk = match chunk.end {
                End::Open => {
                    return Output {
                        data: Data::default(),
                        framing: Framing::Document,
                        end: End::Open,
                    };
                }
                End::Last => match self.resume(context, chunk.data).await {
                    Ok(body) => body,
                    Err(stop) => self.enter(context, stop).await,
                },
                End::Stopped(stopped) => {
                    let Stopped { stop, shown, seen } = *stopped;
                    let framing = self.framing(context);
                    let stop = match self.steps.last() {
                        Some(step) => self.stopped(step.stage, stop),
                        None => stop,
                    };
                    let (body, _) = shown.into_whole(framing);
                    let shown = (seen && !body.is_empty()).then_some(body);
                    self.enter_as(context, stop, shown).await
                }
            };
        }
    }

    /// The body that a stage held back is complete: the stages before it see it as a response of its own.
    async fn resume(&mut self, context: &mut ExchangeContext, data: Data) -> Result<Chunk, Stop> {
        let body = data.into_bytes(Framing::Document);
        if context.head_sent && content_framing(context) != Framing::Sse {
            context.response.insert(header::CONTENT_TYPE, SSE);
            self.open(context, Some(Framing::Sse)).await?;
            return Ok(Chunk::last(Data::event(body)));
        }
        self.open(context, None).await?;
        Ok(Chunk::last(Data::Bytes(body)))
    }

    /// Takes some of the body through the stages that work on it, and no further.
    pub async fn advance(&mut self, context: &mut ExchangeContext, chunk: Chunk) -> Chunk {
        let mut chunk = chunk;
        self.report(&mut chunk.end);
        for at in 0..self.steps.len() {
            let step = &mut self.steps[at];
            let stage = &mut self.stages[step.stage];
            chunk = step.accept(stage, context, chunk, &self.limits).await;
            if at == 0 {
                self.events = self.events.max(step.seen);
            }
            self.report(&mut chunk.end);
        }
        // In an adapter this is not a response yet: it may lead to the next attempt.
        if self.reports_failures
            && let End::Stopped(stopped) = &chunk.end
        {
            stopped.take_place(context);
        }
        chunk
    }

    /// Notes a failure that has not been reported yet.
    fn report(&mut self, end: &mut End) {
        if let End::Stopped(stopped) = end
            && let Stop::Failure(failure) = &mut stopped.stop
        {
            self.report_failure(failure);
        }
    }

    fn report_failure(&mut self, failure: &mut Failure) {
        if self.reports_failures && failure.mark_reported() {
            self.failures.push(FailureReport::of(failure));
        }
    }

    /// `closing.closed`, last stage to first, in each instance that is alive.
    pub async fn close(&mut self, context: &mut ExchangeContext, error: &str) {
        for stage in self.stages.iter_mut().rev() {
            if stage.only_closes() {
                stage.instance();
            }
            let Some(instance) = stage.closing() else {
                continue;
            };
            if let Err(error) = instance.closed(context, error).await {
                // The exchange is over: a failure changes nothing any more.
                let _ = stage.on_error(error);
            }
        }
    }
}

/// `response.head`; returns how the stage wants to see the body, or `None` if it does not.
async fn response_head(
    stage: &mut Stage,
    context: &mut ExchangeContext,
    incoming: Framing,
) -> Result<Option<ResponsePlan>, Stop> {
    let exports = stage.exports();
    if stage.is_finished() || !exports.sees_response() {
        return Ok(None);
    }
    if !stage.manifest().wants_response(|name| context.note(name)) {
        stage.release();
        return Ok(None);
    }
    if !exports.response {
        // A stage with `events` alone sees every stream, in the framing that the stream has.
        return Ok(match incoming {
            Framing::Sse => Some(ResponsePlan::Sse),
            Framing::Ndjson => Some(ResponsePlan::Ndjson),
            Framing::Document => None,
        });
    }
    let plan = match stage.instance().response_head(context).await {
        Ok(Ok(plan)) => response_plan(plan),
        Ok(Err(stop)) => return Err(stage.checked_stop(stop)),
        Err(error) => {
            stage.on_error(error)?;
            return Ok(None);
        }
    };
    if let Err(violation) = check_response_plan(stage.manifest(), exports, plan, incoming) {
        stage.on_violation(violation)?;
        return Ok(None);
    }
    if plan == ResponsePlan::Skip {
        stage.release();
        return Ok(None);
    }
    Ok(Some(plan))
}

const fn response_plan(plan: wit::ResponsePlan) -> ResponsePlan {
    match plan {
        wit::ResponsePlan::Skip => ResponsePlan::Skip,
        wit::ResponsePlan::Whole => ResponsePlan::Whole,
        wit::ResponsePlan::Chunks => ResponsePlan::Chunks,
        wit::ResponsePlan::Sse => ResponsePlan::Sse,
        wit::ResponsePlan::Ndjson => ResponsePlan::Ndjson,
        wit::ResponsePlan::Document => ResponsePlan::Document,
    }
}

/// Sets the content type of the output if the stage forgot to.
fn set_content_type(context: &mut ExchangeContext, out: Framing) {
    if content_framing(context) != out {
        let value = out.content_type().unwrap_or("application/json");
        context
            .response
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
    }
}

/// How the body is framed, by the response's content type.
#[must_use]
pub fn content_framing(context: &ExchangeContext) -> Framing {
    Framing::of_content_type(
        context
            .response
            .get(header::CONTENT_TYPE)
            .map(HeaderValue::as_bytes),
    )
}

fn is_coded(context: &ExchangeContext) -> bool {
    context
        .response
        .get(header::CONTENT_ENCODING)
        .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}
