//! Attempts: asking model servers, one after the other, until one of them decides the exchange.
//!
//! An attempt works on a copy of the frozen request, with a fresh adapter. It is decided by what leaves its adapter: a first
//! event, a complete document, a reply, or a fault; without an adapter, or if the adapter does not look at the body, by the
//! response head. Until then, a failure that another model server may not have leads to the next attempt: no connection, a
//! connection that broke, an adapter's fault of 429 or 503, and a target that refuses the gateway's own key. An attempt that is
//! given up leaves nothing behind.
//!
//! Which model server is asked, and which next, is in [`candidates`]; what an attempt shows, and what it costs, in [`outcome`].
//!
//! Until its first byte an attempt is also watched for a stall: if its model does nothing, the attempt is taken back, and
//! repeated when the model has been unloaded, or sent to another server. The rule for that is in `upstream::stall`. If the
//! target's health checks fail meanwhile, another one is asked, if one is left: a cold model may take minutes, a dead server may
//! not.

use std::borrow::Cow;
use std::mem;
use std::pin::pin;

use bytes::{Bytes, BytesMut};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Request, StatusCode};

use super::deadlines::Expired;
use super::halt::{Halt, too_late};
use super::request::body::{RequestBody, unreadable};
use super::traced::Asked;
use super::{Exchange, head};
use crate::failure::{Failure, Kind};
use crate::pipeline::{Chunk, Data, End, Limits, Stop, content_framing};
use sluicegate_framing::Framing;
use sluicegate_plugin_host::{ExchangeContext, TargetInfo};
use sluicegate_upstream::client::{self, SendError};
use sluicegate_upstream::stall::{Call, Verdict};
use sluicegate_upstream::{
    self as upstream, Refused, Response, ResponseBody, Target, Upstream, Visit,
};

mod adapter;
mod affinity;
mod candidates;
mod outcome;
mod response;
mod watched;

pub(super) use adapter::Adapter;
pub(super) use response::{UpstreamResponse, wrap};

use candidates::{Candidate, Candidates};
use outcome::{Outcome, is_fault_of_target, last_of, sooner};
use watched::Watched;

/// The most bytes that are taken from the model server at a time.
pub(super) const CHUNK: usize = 64 * 1024;

/// Why an attempt did not lead to a response.
enum AttemptError {
    Halt(Halt),
    /// The model does nothing.
    Stalled(Verdict),
    /// The target's health checks fail.
    Lost,
}

impl<T: Into<Halt>> From<T> for AttemptError {
    fn from(halt: T) -> Self {
        Self::Halt(halt.into())
    }
}

impl Exchange {
    /// Asks model servers until an attempt is decided.
    pub(super) async fn attempts(
        &mut self,
        mut body: RequestBody,
    ) -> Result<UpstreamResponse, Halt> {
        let mut candidates = self.candidates(&body)?;
        let mut soonest: Option<u64> = None;
        let Some(mut candidate) = candidates.next() else {
            return Err(candidates.nobody().into());
        };
        loop {
            let elsewhere = candidates.has_better();
            let mut visit = None;
            let tried = self
                .attempt(&candidate, &mut body, elsewhere, &mut visit)
                .await;
            let outcome = self.outcome(&tried);
            if let Some(visit) = &mut visit {
                outcome.tell(visit);
            }
            soonest = sooner(soonest, outcome.retry_after);
            if self.client.has_left() && tried.is_err() {
                // Nobody waits for another attempt.
                self.adopt_notes();
                return Err(Halt::Gone);
            }
            if !self.client.has_left()
                && let Some((reason, next)) =
                    next_after(outcome, &mut candidates, &candidate, &body)
            {
                drop((tried, visit));
                self.record.end_attempt(&reason);
                let then = "another model server is asked";
                self.give_up(&candidate.target, &reason, then).await;
                candidate = next;
                continue;
            }
            let halt = match tried {
                Ok(mut response) => {
                    response.visit = visit;
                    self.client.keep_adapters(&candidate.adapter);
                    return Ok(self.adopt(response, soonest));
                }
                Err(AttemptError::Stalled(
                    Verdict::TakenBack | Verdict::Stalled { is_certain: false },
                )) => {
                    drop(visit);
                    self.record.end_attempt(STALLED);
                    let then = "it is repeated";
                    self.give_up(&candidate.target, STALLED, then).await;
                    continue;
                }
                Err(AttemptError::Stalled(Verdict::Stalled { is_certain: true })) => {
                    stalled(&candidate.upstream).into()
                }
                Err(AttemptError::Lost) => lost().into(),
                Err(AttemptError::Halt(Halt::Stop(Stop::Failure(failure)))) => {
                    last_of(failure, soonest).into()
                }
                Err(AttemptError::Halt(halt)) => halt,
            };
            self.adopt_notes();
            return Err(halt);
        }
    }

    /// Status and `retry-after` of a response that no adapter looks at, if its status says that another model server may do
    /// better.
    fn head_of(&self, response: &UpstreamResponse) -> Option<(u16, Option<u64>)> {
        let transparent = self
            .adapter
            .as_ref()
            .is_none_or(|adapter| !adapter.run.holds_head() && adapter.run.batches().is_none());
        if !transparent || response.first.is_some() {
            return None;
        }
        let context = self.attempt_context();
        let seconds = context
            .response
            .get(RETRY_AFTER)
            .and_then(outcome::seconds_of);
        matches!(context.status(), 429 | 502..=504).then_some((context.status(), seconds))
    }

    /// The exchange as the attempt sees it.
    fn attempt_context(&self) -> &ExchangeContext {
        let adapter = self.adapter.as_ref();
        adapter.map_or(&self.context, |adapter| &adapter.context)
    }

    /// One attempt, until it is decided.
    async fn attempt(
        &mut self,
        candidate: &Candidate,
        body: &mut RequestBody,
        elsewhere: bool,
        visit: &mut Option<Box<Visit>>,
    ) -> Result<UpstreamResponse, AttemptError> {
        let Candidate {
            upstream, target, ..
        } = candidate;
        self.record.begin_attempt(&Asked {
            upstream,
            target,
            vendor: candidate.vendor(),
            model: candidate.model.as_deref().or(self.context.note("model")),
        });
        let early = self.context.wants_stream() && self.record.route.pipeline.allows_early_head();
        let heartbeat = self.server.heartbeat.filter(|_| early);
        self.deadlines
            .begin_attempt(&upstream.timeout, heartbeat, self.record.attempts == 1);
        let total = self.deadlines.total();
        self.client.set_deadline(total);
        self.context
            .set_deadline(total.map(|(deadline, _)| deadline));

        self.is_at_work = false;
        let mut request = self.attempt_request(candidate, body).await?;
        self.record.continue_trace(request.headers_mut());
        match self.enter_target(candidate).await {
            Ok(entered) => *visit = Some(entered),
            Err(halt) => {
                body.give_back(Some(request.into_body()));
                return Err(halt.into());
            }
        }
        let (call, mut watched) = self.watched(candidate, body.is_kept(), elsewhere).await?;
        let connect = upstream.timeout.connect;
        // In a scope of its own: the exchange has no room for it while it waits for the rest.
        let received = {
            let result = {
                // Pinned here from the start: if it were passed by value, every function on the way would reserve space for it.
                let sending = pin!(client::send(target, connect, request));
                self.is_at_work = true;
                watched.wait(self.wait(sending)).await
            };
            received(result, call, body)?
        };
        self.decide(upstream, received, watched).await
    }

    /// Takes a place at the target, and waits for one if it has only so many.
    async fn enter_target(&mut self, candidate: &Candidate) -> Result<Box<Visit>, Halt> {
        let Candidate {
            upstream, target, ..
        } = candidate;
        let (visit, limit) = (upstream.visit(target), upstream.in_flight);
        let limit = match (visit, limit) {
            (Some(visit), _) => return Ok(visit),
            (None, Some(limit)) => limit,
            (None, None) => return Err(busy(Refused::Full).into()),
        };
        let first_byte = upstream.timeout.first_byte;
        self.deadlines.allow_silence(limit.timeout + first_byte);
        let tenant = self.tenant().into_owned();
        // Boxed because few exchanges have to wait, and all would have the room for it.
        let entering = Box::pin(upstream.wait_for_visit(target, &tenant, &limit));
        let entered = self.wait(entering).await?;
        self.deadlines.allow_silence(first_byte);
        entered.map_err(|refused| busy(refused).into())
    }

    /// The request of one attempt, after its adapter, which is new.
    async fn attempt_request(
        &mut self,
        candidate: &Candidate,
        body: &mut RequestBody,
    ) -> Result<Request<upstream::Body>, AttemptError> {
        let Candidate {
            upstream,
            adapter,
            target,
            model,
            chosen,
        } = candidate;
        let mut renamed = body.with_model(model.as_deref());
        let body = renamed.as_mut().unwrap_or(body);
        let sent = match adapter {
            Some(plugin) => {
                let number = self.record.attempts;
                let copy = self.context.attempt(number, upstream.name.clone(), *chosen);
                let target = TargetInfo {
                    upstream: upstream.name.clone(),
                    target: target.label.clone(),
                    info: target.info(),
                };
                let limits = Limits::of(&self.server.limits);
                let copy = self.context.for_attempt(copy);
                let adapter = Adapter::new(plugin, target, copy, limits);
                let adapter = self.adapter.insert(adapter);
                adapter.request(&self.client, body).await?
            }
            None => {
                self.adapter = None;
                body.take()
            }
        };
        let request = match &self.adapter {
            Some(adapter) => head::to_upstream(&adapter.context, upstream, target, sent),
            None if *chosen => head::to_upstream(&self.context, upstream, target, sent),
            None => {
                let number = self.record.attempts;
                let copy = self.context.attempt(number, upstream.name.clone(), false);
                head::to_upstream(&copy, upstream, target, sent)
            }
        };
        let mut request = request.map_err(upstream_failure)?;
        head::add_hop(request.headers_mut(), self.peer);
        Ok(request)
    }

    /// Waits until the response has decided the attempt.
    async fn decide(
        &mut self,
        upstream: &Upstream,
        received: Response,
        watched: Watched,
    ) -> Result<UpstreamResponse, AttemptError> {
        let Response { head, mut body } = received;
        let mut response = UpstreamResponse {
            body: None,
            visit: None,
            first: None,
            announced: None,
            wrapped: None,
            idle: upstream.timeout.idle,
        };
        if let Some(adapter) = &mut self.adapter {
            head::from_upstream(&mut adapter.context, head);
            adapter
                .run
                .open(&mut adapter.context, None)
                .await
                .map_err(not_to_repeat)?;
            if adapter.run.is_transparent() {
                response.announced = body.announced();
            } else if adapter.run.batches().is_some() || adapter.run.holds_head() {
                response.first = Some(self.first(&mut body, watched).await?);
            }
        } else {
            head::from_upstream(&mut self.context, head);
            response.announced = body.announced();
        }
        if response.first.is_some() {
            self.deadlines.received(response.idle);
        }
        response.body = Some(body);
        Ok(response)
    }

    /// What leaves the adapter first.
    async fn first(
        &mut self,
        body: &mut ResponseBody,
        mut watched: Watched,
    ) -> Result<Chunk, AttemptError> {
        loop {
            let chunk = watched.wait(self.wait(body.next(CHUNK))).await;
            if let Err(AttemptError::Stalled(_)) = &chunk {
                body.call_is_over();
            }
            let chunk = chunk?.map_err(upstream_failure)?;
            watched.has_begun();
            let Some(adapter) = &mut self.adapter else {
                return Ok(Chunk::last(Data::default()));
            };
            let chunk = adapter
                .run
                .advance(&mut adapter.context, arrived(chunk.bytes, chunk.last))
                .await;
            match chunk.end {
                End::Open if chunk.data.is_empty() => self.hold_bytes(0)?,
                End::Stopped(stopped) if chunk.data.is_empty() => {
                    return Err(not_to_repeat(stopped.stop).into());
                }
                _ => return Ok(chunk),
            }
        }
    }

    /// This attempt decides the exchange: its response, and its adapter's notes and response fields, become those of the
    /// exchange.
    fn adopt(&mut self, mut response: UpstreamResponse, soonest: Option<u64>) -> UpstreamResponse {
        self.adopt_notes();
        if let Some(adapter) = &mut self.adapter {
            self.context.status = adapter.context.status;
            // A copy: the adapter can still read it.
            self.context.response = adapter.context.response.clone();
            adapter.context.body = None;
        }
        if let (429 | 503, Some(seconds)) = (self.context.status(), soonest) {
            self.context.response.insert(RETRY_AFTER, seconds.into());
        }
        if self.client.has_early_head() && content_framing(&self.context) != Framing::Sse {
            response.wrapped = Some(BytesMut::new());
            let sse = HeaderValue::from_static("text/event-stream");
            self.context.response.insert(CONTENT_TYPE, sse);
            let limit = self.server.limits.response_body;
            response.first = response
                .first
                .take()
                .map(|first| response.wrap(first, limit));
        }
        response
    }

    /// The adapter's notes and response fields count, also if its attempt ended with a failure or the client left.
    fn adopt_notes(&mut self) {
        if let Some(adapter) = &mut self.adapter
            && !adapter.decided
        {
            adapter.decided = true;
            self.context.notes = mem::take(&mut adapter.context.notes);
            let fields = mem::take(&mut adapter.context.response_fields);
            for (name, value) in &fields {
                self.context.response_fields.insert(name, value.clone());
            }
        }
    }

    /// Ends an attempt after which another one follows.
    async fn give_up(&mut self, target: &Target, reason: &str, then: &str) {
        tracing::info!(
            req = &*self.record.id,
            target_address = &*target.label,
            reason,
            "attempt failed; {then}"
        );
        if let Some(mut adapter) = self.adapter.take() {
            adapter.close(&mut self.context, reason, None).await;
            self.context.spent += adapter.spent();
        }
        self.context.status = None;
        self.context.response.clear();
    }

    /// The next chunk of the response, through the adapter.
    pub(super) async fn next(&mut self, response: &mut UpstreamResponse) -> Result<Chunk, Halt> {
        let limit = self.server.limits.response_body;
        self.deadlines.wait_from_now();
        loop {
            let Some(body) = &mut response.body else {
                return Ok(Chunk::last(Data::default()));
            };
            let chunk = match self.wait(body.next(CHUNK)).await {
                Ok(Ok(chunk)) => {
                    self.deadlines.received(response.idle);
                    if self.deadlines.exceeded_abandoned() {
                        // As with the total below.
                        return Err(Halt::Gone);
                    }
                    let chunk = arrived(chunk.bytes, chunk.last);
                    match (self.deadlines.exceeded_total(), &mut self.adapter) {
                        // With a server that always has more data, the timer is never polled.
                        (Some(limit), _) => Chunk::failed(too_late(Expired::Total(limit))),
                        (None, Some(adapter)) => adapter.advance(&mut self.context, chunk).await,
                        (None, None) => chunk,
                    }
                }
                // A failure of the model server begins outside its adapter.
                Ok(Err(error)) => {
                    if is_fault_of_target(&error) {
                        response.failed();
                    }
                    Chunk::failed(upstream_failure(error))
                }
                Err(Halt::Stop(stop)) => {
                    if is_silence(&stop) {
                        response.failed();
                    }
                    Chunk::stopped(Data::default(), stop)
                }
                Err(Halt::Gone) => return Err(Halt::Gone),
            };
            let chunk = response.wrap(chunk, limit);
            if !chunk.data.is_empty() || !matches!(chunk.end, End::Open) {
                return Ok(chunk);
            }
            if let Err(failure) = self.hold_bytes(response.buffered()) {
                return Ok(Chunk::failed(failure));
            }
        }
    }
}

/// The reason of an attempt whose model does nothing.
const STALLED: &str = Kind::UpstreamStalled.label();

fn stalled(upstream: &Upstream) -> Failure {
    let mend = upstream.vendor.when_stalled();
    Failure::new(
        Kind::UpstreamStalled,
        format!(
            "The model server is up, but this model has done nothing since a client left; {mend}."
        ),
    )
}

/// The response, if there is one; else a body of which nothing was sent is given back.
fn received(
    result: Result<Result<Response, SendError>, AttemptError>,
    mut call: Option<Call>,
    body: &mut RequestBody,
) -> Result<Response, AttemptError> {
    if let (Some(call), Ok(Err(_)) | Err(AttemptError::Stalled(_))) = (&mut call, &result) {
        call.over();
    }
    match result? {
        Ok(Response { head, body }) => {
            let mut body = body.of_call(call);
            if !head.status.is_success() {
                // The model is not at work for it.
                body.call_is_over();
            }
            Ok(Response { head, body })
        }
        Err(SendError {
            error,
            body: unsent,
        }) => {
            body.give_back(unsent);
            Err(upstream_failure(error).into())
        }
    }
}

/// The client's error when the target does not respond to health checks, and no other target is left by now.
fn lost() -> Failure {
    Failure::new(
        Kind::UpstreamUnreachable,
        "The model server does not respond any more.",
    )
}

/// The client's error when no target has a place.
fn busy(refused: Refused) -> Failure {
    let message = match refused {
        Refused::Full => "The model servers are busy, and too many requests wait already.",
        Refused::TimedOut => "The model servers are busy, and the request has waited too long.",
        Refused::Gone => "The model server that the request waited for has left.",
    };
    Failure::new(Kind::UpstreamBusy, message).with_field("retry-after", "1")
}

/// Whether the model server has sent nothing for too long.
fn is_silence(stop: &Stop) -> bool {
    matches!(stop, Stop::Failure(failure) if failure.kind() == Kind::UpstreamIdleTimeout)
}

/// The next attempt and the reason for it, if there is one.
fn next_after(
    outcome: Outcome,
    candidates: &mut Candidates,
    tried: &Candidate,
    body: &RequestBody,
) -> Option<(Cow<'static, str>, Candidate)> {
    let reason = outcome.reason.filter(|_| body.is_whole())?;
    // Chosen before this attempt is given up: meanwhile other exchanges may find it down.
    let next = candidates.next();
    let may = next.is_some() && (!outcome.has_cost || candidates.may_ask_again());
    let label = match (&next, may) {
        (None, _) => "nothing_left",
        (Some(_), false) => "over_budget",
        (Some(_), true) => "retried",
    };
    tried.target.count_failure(label);
    Some((reason, next.filter(|_| may)?))
}

fn arrived(bytes: Bytes, last: bool) -> Chunk {
    let data = Data::Bytes(bytes);
    if last {
        Chunk::last(data)
    } else {
        Chunk::open(data)
    }
}

/// An adapter's 502 means that repeating the request will not help.
pub(super) fn not_to_repeat(stop: Stop) -> Stop {
    match stop {
        Stop::Failure(failure)
            if failure.kind() == Kind::Refused && failure.status() == StatusCode::BAD_GATEWAY =>
        {
            failure.not_to_repeat().into()
        }
        other => other,
    }
}

/// The client's error when the model server gives no response, or only a part of one.
fn upstream_failure(error: upstream::Error) -> Failure {
    use upstream::Error;
    let (kind, message) = match &error {
        Error::Unreachable { .. } => (
            Kind::UpstreamUnreachable,
            "The model server cannot be reached.",
        ),
        Error::ConnectTimeout { .. } => (
            Kind::UpstreamConnectTimeout,
            "The model server does not accept connections.",
        ),
        Error::Invalid { .. } => (
            Kind::UpstreamInvalid,
            "The model server's response is not HTTP.",
        ),
        Error::Broken { .. } => (
            Kind::UpstreamBroken,
            "The model server broke off its response.",
        ),
        Error::RequestBody(cause) => return unreadable(*cause),
        Error::Request { .. } => (
            Kind::Internal,
            "The request for the model server is not valid HTTP.",
        ),
    };
    Failure::new(kind, message).caused_by(error)
}
