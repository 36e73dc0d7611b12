//! The way outward: a response, an error or a stage's own reply, on its way through the stages of one exchange.
//!
//! A stage sees the head when it is final. So heads are shown from the last stage to the first until one holds its body back
//! (`whole`, `document`); the stages before that one follow when it has given the body, and see the result as a response of
//! its own. Whatever stops a stage takes the place of the response and goes on outward in the same way: as a complete
//! response for stages that have not seen a head, as one last event for those that have.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use sluicegate_contract::{ResponsePlan, check_response_plan};

use super::data::Data;
use super::link::{End, Link, Passed};
use super::observer;
use super::stage::{Stage, legal};
use super::{Limits, Pipeline, Stop};
use crate::failure::{Failure, Kind};
use sluicegate_framing::Framing;
use sluicegate_plugin_host::Loan;
use sluicegate_plugin_host::wit;

/// The content type of a stream whose head went out before there was a response.
const SSE: HeaderValue = HeaderValue::from_static("text/event-stream");

/// The stages of one exchange at work. For an attempt's adapter: that one.
pub struct Run {
    pub(super) stages: Vec<Stage>,
    /// How many stages, from the first, have not seen the response head yet, and are to see it.
    pub(super) pending: usize,
    /// The stages that work on the body, the model server's side first.
    links: Vec<Link>,
    /// The framing of the events that come in; `None` where bytes do.
    source: Option<Framing>,
    limits: Limits,
    /// Events that came from the model server, as far as a stage looked.
    events: u64,
    /// Failures that arose and were not told yet.
    failures: Vec<Told>,
    /// Whether failures are told. Those of an attempt count only if it is the one that is answered with.
    tells: bool,
}

/// What is told of a failure when it arises: it may be replaced on its way, or shown in another form.
#[derive(Clone, Debug)]
pub struct Told {
    /// The code that the client sees.
    pub code: String,
    /// The metric label: a member of a closed set.
    pub label: &'static str,
    status: StatusCode,
    message: String,
    cause: String,
}

impl Told {
    /// What is told of this failure.
    #[must_use]
    pub fn of(failure: &Failure) -> Self {
        Self {
            code: failure.code().to_owned(),
            label: failure.kind().label(),
            status: failure.status(),
            message: failure.message().to_owned(),
            cause: failure.cause(),
        }
    }

    /// Says so in the log.
    pub fn log(&self, req: &str, route: &str) {
        let Self {
            code,
            status,
            message,
            cause,
            ..
        } = self;
        let status = status.as_u16();
        if status >= 500 {
            tracing::warn!(req, route, status, code, error = cause, "{message}");
        } else {
            tracing::debug!(req, route, status, code, error = cause, "{message}");
        }
    }
}

/// What comes out for one input.
#[derive(Debug)]
pub struct Output {
    /// What there is.
    pub data: Data,
    /// The framing of events in it.
    pub framing: Framing,
    /// What comes after it.
    pub end: End,
}

impl Run {
    pub(super) fn of(stages: Vec<Stage>, limits: Limits, tells: bool) -> Self {
        Self {
            stages,
            pending: 0,
            links: Vec::new(),
            source: None,
            limits,
            events: 0,
            failures: Vec::new(),
            tells,
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
    pub fn take_failures(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.failures)
    }

    /// Whether no stage looks at the body: it can be passed on as it comes, with its length.
    #[must_use]
    pub fn is_transparent(&self) -> bool {
        self.links.is_empty()
    }

    /// Bytes that the stages wait with for more.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.links.iter().map(Link::buffered).sum()
    }

    /// Whether a stage holds the head back.
    #[must_use]
    pub fn holds_head(&self) -> bool {
        self.links.last().is_some_and(Link::holds_head)
    }

    /// The framing of the events that come out, if events come out and not bytes.
    #[must_use]
    pub fn batches(&self) -> Option<Framing> {
        match self.links.last() {
            Some(link) => link.batches(),
            None => self.source,
        }
    }

    /// The framing of the body that comes out.
    #[must_use]
    pub fn framing(&self, loan: &Loan) -> Framing {
        match self.links.last() {
            Some(link) => link.framing(),
            None => self.source.unwrap_or_else(|| content_framing(loan)),
        }
    }

    /// Shows the response head to the stages, as far as they can see it now. `source` is the framing of the events that will
    /// come in, `None` where bytes will.
    ///
    /// # Errors
    /// [`Stop`] of the first stage that does not let the response pass; [`Run::enter`] takes it further.
    pub async fn open(&mut self, loan: &mut Loan, source: Option<Framing>) -> Result<(), Stop> {
        self.links.clear();
        self.source = source;
        loan.replaced = None;
        while self.pending > 0 && !self.holds_head() {
            self.pending -= 1;
            let index = self.pending;
            let batches = self.batches();
            let incoming = batches.unwrap_or_else(|| content_framing(loan));
            let stage = &mut self.stages[index];
            let plan = match response_head(stage, loan, incoming).await {
                Ok(Some(plan)) => plan,
                Ok(None) => continue,
                Err(stop) => return Err(self.stopped(index, stop)),
            };
            if is_coded(loan) {
                let failure = Failure::new(
                    Kind::UpstreamInvalid,
                    "The model server's response has a content coding that was not asked for.",
                );
                return Err(self.stopped(index, failure.into()));
            }
            let out = plan.events().unwrap_or_else(|| content_framing(loan));
            // Behind an early head there is a stream of events, whatever a stage would rather give.
            let out = match out {
                Framing::Ndjson if loan.head_sent => Framing::Sse,
                out => out,
            };
            if plan.events().is_some() {
                set_content_type(loan, out);
            }
            let events = batches.is_some();
            self.links
                .push(Link::new(index, plan, incoming, events, out, &self.limits));
        }
        if self.pending == 0 {
            // Nobody can ask any more.
            loan.body = None;
        }
        Ok(())
    }

    /// Lets a stop take the place of the response, and shows its head to the stages that have not seen one. Returns the body,
    /// for [`Run::push`].
    pub async fn enter(&mut self, loan: &mut Loan, stop: Stop) -> Passed {
        let mut stop = stop;
        loop {
            let (body, failure): (Bytes, _) = match stop {
                Stop::Reply(reply) => {
                    loan.status = StatusCode::from_u16(reply.status).ok();
                    loan.response = legal(&reply.fields);
                    (reply.body.into(), None)
                }
                Stop::Failure(mut failure) => {
                    self.tell_failure(&mut failure);
                    loan.status = Some(failure.status());
                    loan.response = failure.head();
                    (failure.body(), Some(failure))
                }
            };
            // What is no stream becomes one event where the client has got the head of a stream.
            let wraps = loan.head_sent && content_framing(loan) != Framing::Sse;
            let (source, data) = if wraps {
                loan.response.insert(header::CONTENT_TYPE, SSE);
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
            match (self.open(loan, source).await, failure) {
                // In a stream nothing comes after an error, not even an end.
                (Ok(()), Some(failure)) if wraps => return Passed::failed(failure),
                (Ok(()), _) => return Passed::last(data),
                (Err(next), _) => stop = next,
            }
        }
    }

    /// Takes some of the body through the stages.
    ///
    /// # Shape
    /// What a stage gave before it stopped still comes out. After an end, nothing may follow.
    pub async fn push(&mut self, loan: &mut Loan, passed: Passed) -> Output {
        let mut passed = passed;
        loop {
            let held = self.holds_head();
            passed = self.advance(loan, passed).await;
            if !held {
                let framing = self.framing(loan);
                return Output {
                    data: passed.data,
                    framing,
                    end: passed.end,
                };
            }
            passed = match passed.end {
                End::Open => {
                    return Output {
                        data: Data::default(),
                        framing: Framing::Document,
                        end: End::Open,
                    };
                }
                End::Last => match self.resume(loan, passed.data).await {
                    Ok(body) => body,
                    Err(stop) => self.enter(loan, stop).await,
                },
                End::Stopped(stopped) => {
                    let stop = match self.links.last() {
                        Some(link) => self.stopped(link.stage, stopped.stop),
                        None => stopped.stop,
                    };
                    self.enter(loan, stop).await
                }
            };
        }
    }

    /// The body that a stage held back is complete: the stages before it see it as a response of its own.
    async fn resume(&mut self, loan: &mut Loan, data: Data) -> Result<Passed, Stop> {
        let body = data.into_bytes(Framing::Document);
        if loan.head_sent && content_framing(loan) != Framing::Sse {
            loan.response.insert(header::CONTENT_TYPE, SSE);
            self.open(loan, Some(Framing::Sse)).await?;
            return Ok(Passed::last(Data::event(body)));
        }
        self.open(loan, None).await?;
        Ok(Passed::last(Data::Bytes(body)))
    }

    /// Takes some of the body through the stages that work on it, and no further.
    pub async fn advance(&mut self, loan: &mut Loan, passed: Passed) -> Passed {
        let mut passed = passed;
        self.tell(&mut passed.end);
        for at in 0..self.links.len() {
            let link = &mut self.links[at];
            let stage = &mut self.stages[link.stage];
            passed = link.accept(stage, loan, passed, &self.limits).await;
            if at == 0 {
                self.events = self.events.max(link.seen);
            }
            self.tell(&mut passed.end);
        }
        // In an adapter it is no response yet: it may lead to the next attempt.
        if self.tells
            && let End::Stopped(stopped) = &passed.end
        {
            stopped.take_place(loan);
        }
        passed
    }

    /// Notes a failure that was not told yet.
    fn tell(&mut self, end: &mut End) {
        if let End::Stopped(stopped) = end
            && let Stop::Failure(failure) = &mut stopped.stop
        {
            self.tell_failure(failure);
        }
    }

    fn tell_failure(&mut self, failure: &mut Failure) {
        if self.tells && failure.is_news() {
            self.failures.push(Told::of(failure));
        }
    }

    /// `closing.closed`, last stage to first, in each instance that is alive.
    pub async fn close(&mut self, loan: &mut Loan, error: &str) {
        for stage in self.stages.iter_mut().rev() {
            if stage.only_closes() {
                stage.instance();
            }
            let Some(instance) = stage.closing() else {
                continue;
            };
            if let Err(error) = instance.closed(loan, error).await {
                // Nothing depends on it any more.
                let _ = stage.on_error(error);
            }
        }
    }

    /// The queues of the stages that took part and want to be told.
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

/// `response.head`; returns how the stage wants to see the body, or `None` if it does not.
async fn response_head(
    stage: &mut Stage,
    loan: &mut Loan,
    incoming: Framing,
) -> Result<Option<ResponsePlan>, Stop> {
    let exports = stage.exports();
    if stage.is_out() || !exports.sees_response() {
        return Ok(None);
    }
    if !stage.manifest().wants_response(|name| loan.note(name)) {
        stage.release();
        return Ok(None);
    }
    if !exports.response {
        // `events` alone sees every stream, in the framing that it has.
        return Ok(match incoming {
            Framing::Sse => Some(ResponsePlan::Sse),
            Framing::Ndjson => Some(ResponsePlan::Ndjson),
            Framing::Document => None,
        });
    }
    let plan = match stage.instance().response_head(loan).await {
        Ok(Ok(plan)) => response_plan(plan),
        Ok(Err(stop)) => return Err(stage.stop(stop)),
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

/// Sets the content type of what goes out if the stage has forgotten to.
fn set_content_type(loan: &mut Loan, out: Framing) {
    if content_framing(loan) != out {
        let value = out.content_type().unwrap_or("application/json");
        loan.response
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
    }
}

/// How the body is framed, by the response's content type.
#[must_use]
pub fn content_framing(loan: &Loan) -> Framing {
    Framing::of_content_type(
        loan.response
            .get(header::CONTENT_TYPE)
            .map(HeaderValue::as_bytes),
    )
}

fn is_coded(loan: &Loan) -> bool {
    loan.response
        .get(header::CONTENT_ENCODING)
        .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}
