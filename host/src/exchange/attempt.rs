//! Attempts: asking model servers, one after the other, until one of them decides the exchange.
//!
//! An attempt works on a copy of the frozen request, with a fresh adapter. It is decided by what leaves its adapter: a first
//! event, a complete document, a reply, or a fault; without an adapter, or where that does not look at the body, by the
//! response head. Until then, what another model server may mend leads to the next attempt: no connection, a connection
//! that broke, an adapter's fault of 429 or 503, and a target that refuses the gateway's own key. A given-up attempt leaves nothing.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};

use super::request::unreadable;
use super::{Exchange, Halt, head};
use crate::failure::{Failure, Kind};
use crate::framing::Framing;
use crate::pipeline::data::collect;
use crate::pipeline::{Data, End, Limits, Passed, Run, Stop, content_framing};
use crate::plugin::instance::Loan;
use crate::plugin::{Asked, Version};
use crate::upstream::body::Limited;
use crate::upstream::client::{self, Unanswered};
use crate::upstream::{self, Answer, AnswerBody, Target, Upstream};

/// Bytes taken from the model server at a time, as far as they have arrived.
const CHUNK: usize = 64 * 1024;

/// The body of a frozen request.
pub(super) enum RequestBody {
    /// At hand: it can be sent as often as there are attempts.
    Kept(Bytes),
    /// Passed on as it arrives, once; `None` when some of it may be gone.
    Stream(Option<Box<Limited>>),
}

impl RequestBody {
    /// Whether there is still all of it to be sent.
    fn is_whole(&self) -> bool {
        !matches!(self, Self::Stream(None))
    }

    /// The body for one attempt.
    fn take(&mut self) -> upstream::Body {
        match self {
            Self::Kept(bytes) => upstream::Body::full(bytes.clone()),
            Self::Stream(limited) => match limited.take() {
                Some(limited) => upstream::Body::Stream(limited),
                None => upstream::Body::full(Bytes::new()),
            },
        }
    }

    /// Takes back what was not sent.
    fn give_back(&mut self, body: Option<upstream::Body>) {
        if let (Self::Stream(place), Some(upstream::Body::Stream(limited))) = (self, body) {
            *place = Some(limited);
        }
    }
}

/// An attempt's adapter with its copy of the exchange.
pub(super) struct Adapter {
    run: Run,
    context: Loan,
    /// Whether its attempt is the one that is answered with: its notes are those of the exchange.
    decided: bool,
}

impl Adapter {
    fn new(version: &Arc<Version>, asked: Asked, context: Loan, limits: Limits) -> Self {
        Self {
            run: Run::adapter(version.clone(), Arc::new(asked), limits),
            context,
            decided: false,
        }
    }

    /// Events that came from the model server; 0 if the adapter did not look.
    pub(super) fn events(&self) -> u64 {
        self.run.events()
    }

    /// Time spent in it.
    pub(super) fn spent(&self) -> Duration {
        self.context.spent()
    }

    /// Request phases. Returns the body for the model server.
    async fn request(&mut self, body: &mut RequestBody) -> Result<upstream::Body, Halt> {
        self.run.request_heads(&mut self.context).await?;
        if !self.run.wants_body() {
            return Ok(body.take());
        }
        if let RequestBody::Stream(limited) = body {
            // The adapter wants to see what no stage has: from here on it is kept.
            let bytes = match limited.take() {
                Some(mut limited) => limited.collect().await.map_err(unreadable)?,
                None => Bytes::new(),
            };
            *body = RequestBody::Kept(bytes);
        }
        let RequestBody::Kept(bytes) = body else {
            return Ok(body.take());
        };
        let new = self
            .run
            .request_body(&mut self.context, bytes.clone())
            .await?;
        Ok(upstream::Body::full(new))
    }

    /// Takes some of the response through the adapter. Once its attempt has decided the exchange, its notes are the exchange's.
    async fn advance(&mut self, exchange: &mut Loan, passed: Passed) -> Passed {
        self.share_notes(exchange);
        let passed = self.run.advance(&mut self.context, passed).await;
        self.share_notes(exchange);
        passed
    }

    fn share_notes(&mut self, exchange: &mut Loan) {
        if self.decided {
            mem::swap(&mut self.context.notes, &mut exchange.notes);
        }
    }

    /// `closing.closed`
    pub(super) async fn close(
        &mut self,
        exchange: &mut Loan,
        error: &str,
        status: Option<StatusCode>,
    ) {
        self.context.status = status;
        self.share_notes(exchange);
        self.run.close(&mut self.context, error).await;
        self.share_notes(exchange);
    }
}

/// The response of the attempt that decided the exchange.
pub(super) struct Source {
    /// `None` when the model server is let go.
    body: Option<AnswerBody>,
    /// What has left the adapter already.
    pub(super) first: Option<Passed>,
    /// Bytes of the body, where the model server has announced that and no adapter looks at them.
    pub(super) announced: Option<u64>,
    /// The body, if it becomes one event because the client has got the head of a stream already.
    wrapped: Option<BytesMut>,
    idle: Duration,
}

impl Source {
    /// Lets the model server go.
    pub(super) fn let_go(&mut self) {
        self.body = None;
    }

    /// The framing of the events that come in; `None` where bytes do.
    pub(super) fn events_in(&self, adapter: Option<&Adapter>) -> Option<Framing> {
        if self.wrapped.is_some() {
            return Some(Framing::Sse);
        }
        adapter.and_then(|adapter| adapter.run.batches())
    }

    /// What is no stream becomes one event behind the head of a stream, when it is complete.
    fn wrap(&mut self, passed: Passed, limit: u64) -> Passed {
        let Some(wrapped) = &mut self.wrapped else {
            return passed;
        };
        let bytes = passed.data.into_bytes(Framing::Document);
        if let Err(failure) = collect(wrapped, &bytes, limit) {
            return Passed::failed(failure);
        }
        match passed.end {
            End::Open => Passed::open(Data::default()),
            End::Last => {
                let body = wrapped.split().freeze();
                Passed::last(Data::event(body))
            }
            End::Stopped(stopped) => Passed {
                data: Data::default(),
                end: End::Stopped(stopped),
            },
        }
    }
}

/// The targets that can still be asked, of the upstream that was chosen and of its fallbacks.
struct Candidates {
    upstreams: Vec<Arc<Upstream>>,
    tried: Vec<Arc<Target>>,
    left: u32,
}

impl Candidates {
    /// The next target with its upstream, and whether that is the one that was chosen.
    fn next(&mut self) -> Option<(Arc<Upstream>, Arc<Target>, bool)> {
        self.left = self.left.checked_sub(1)?;
        let (index, target) = self
            .upstreams
            .iter()
            .enumerate()
            .find_map(|(index, upstream)| Some((index, upstream.pick(&self.tried)?)))?;
        self.tried.push(target.clone());
        Some((self.upstreams[index].clone(), target, index == 0))
    }

    fn has_more(&self) -> bool {
        self.left > 0
            && self
                .upstreams
                .iter()
                .any(|upstream| upstream.has_another(&self.tried))
    }
}

/// An attempt that did not lead to an answer.
struct Lost(Halt);

impl<T: Into<Halt>> From<T> for Lost {
    fn from(halt: T) -> Self {
        Self(halt.into())
    }
}

impl Exchange {
    /// Asks model servers until an attempt is decided.
    pub(super) async fn attempts(&mut self, mut body: RequestBody) -> Result<Source, Halt> {
        let mut candidates = self.candidates()?;
        let mut soonest: Option<u64> = None;
        while let Some((upstream, target, chosen)) = candidates.next() {
            let tried = self.attempt(&upstream, &target, chosen, &mut body).await;
            let more = body.is_whole() && candidates.has_more();
            let stop = match tried {
                Ok(source) if more && source.first.is_none() && self.is_overloaded() => {
                    // Decided by its head, which says that another may do better.
                    let status = self.context.status();
                    let seconds = self.context.response.get(RETRY_AFTER);
                    soonest = sooner(soonest, seconds.and_then(seconds_of));
                    self.give_up(&target, &format!("status {status}")).await;
                    continue;
                }
                Ok(source) => return Ok(source),
                Err(Lost(Halt::Gone)) => return Err(Halt::Gone),
                Err(Lost(Halt::Stop(stop))) => stop,
            };
            let failure = match stop {
                Stop::Failure(failure) => failure,
                Stop::Reply(_) => return Err(stop.into()),
            };
            soonest = sooner(soonest, failure.field("retry-after").and_then(seconds_of));
            if !(more && may_be_mended(&failure)) {
                return Err(last_of(failure, soonest).into());
            }
            self.give_up(&target, failure.code()).await;
        }
        Err(Failure::new(Kind::Internal, "There is no model server to ask.").into())
    }

    fn candidates(&self) -> Result<Candidates, Failure> {
        let find = |name: &Arc<str>| {
            self.snapshot.upstreams.get(name).cloned().ok_or_else(|| {
                Failure::new(Kind::Internal, format!("There is no upstream `{name}`."))
            })
        };
        let chosen = find(&self.context.upstream)?;
        let left = chosen.attempts;
        let mut upstreams = vec![chosen];
        for name in &self.record.route.fallback {
            if *name != self.context.upstream {
                upstreams.push(find(name)?);
            }
        }
        Ok(Candidates {
            upstreams,
            tried: Vec::new(),
            left,
        })
    }

    /// One attempt, until it is decided.
    async fn attempt(
        &mut self,
        upstream: &Arc<Upstream>,
        target: &Arc<Target>,
        chosen: bool,
        body: &mut RequestBody,
    ) -> Result<Source, Lost> {
        self.record.begin_attempt(&upstream.name, &target.label);
        let early = self.context.wants_stream() && self.record.route.pipeline.allows_early_head();
        let heartbeat = self.snapshot.server.heartbeat.filter(|_| early);
        self.deadlines
            .begin_attempt(&upstream.timeout, heartbeat, self.record.attempts == 1);
        self.client.set_deadline(self.deadlines.total());

        let sent = match self.snapshot.adapters.get(&upstream.name) {
            Some(version) => {
                let number = self.record.attempts;
                let copy = self.context.attempt(number, upstream.name.clone());
                let asked = Asked {
                    upstream: upstream.name.clone(),
                    target: target.label.clone(),
                    info: target.info(),
                };
                let limits = self.snapshot.body_limits();
                let adapter = Adapter::new(version, asked, Loan::new(copy), limits);
                self.adapter.insert(adapter).request(body).await?
            }
            None => {
                self.adapter = None;
                body.take()
            }
        };
        let context = match &self.adapter {
            Some(adapter) => &adapter.context,
            None => &self.context,
        };
        let request =
            head::to_upstream(context, upstream, target, chosen, sent).map_err(no_answer)?;
        let connect = upstream.timeout.connect;
        let answer = match self.wait(client::send(target, connect, request)).await? {
            Ok(answer) => answer,
            Err(Unanswered {
                error,
                body: unsent,
            }) => {
                body.give_back(unsent);
                return Err(no_answer(error).into());
            }
        };
        self.decide(upstream, answer).await
    }

    /// Waits until the response has decided the attempt.
    async fn decide(&mut self, upstream: &Upstream, answer: Answer) -> Result<Source, Lost> {
        let Answer { head, mut body } = answer;
        let mut source = Source {
            body: None,
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
                source.announced = body.announced();
            } else if adapter.run.batches().is_some() || adapter.run.holds_head() {
                source.first = Some(self.first(&mut body).await?);
            }
            self.adopt();
        } else {
            head::from_upstream(&mut self.context, head);
            source.announced = body.announced();
        }
        if self.client.has_early_head() && content_framing(&self.context) != Framing::Sse {
            source.wrapped = Some(BytesMut::new());
            let sse = HeaderValue::from_static("text/event-stream");
            self.context.response.insert(CONTENT_TYPE, sse);
            let limit = self.snapshot.server.limits.response_body;
            source.first = source.first.take().map(|first| source.wrap(first, limit));
        }
        if source.first.is_some() {
            self.deadlines.received(source.idle);
        }
        source.body = Some(body);
        Ok(source)
    }

    /// What leaves the adapter first.
    async fn first(&mut self, body: &mut AnswerBody) -> Result<Passed, Lost> {
        loop {
            let chunk = self.wait(body.next(CHUNK)).await?.map_err(no_answer)?;
            let Some(adapter) = &mut self.adapter else {
                return Ok(Passed::last(Data::default()));
            };
            let passed = adapter
                .run
                .advance(&mut adapter.context, arrived(chunk.bytes, chunk.last))
                .await;
            match passed.end {
                End::Open if passed.data.is_empty() => {}
                End::Stopped(stopped) if passed.data.is_empty() => {
                    return Err(not_to_repeat(stopped.stop).into());
                }
                _ => return Ok(passed),
            }
        }
    }

    /// The attempt is the one that is answered with: what its adapter noted and set counts.
    fn adopt(&mut self) {
        let Some(adapter) = &mut self.adapter else {
            return;
        };
        let (from, to) = (&mut adapter.context, &mut self.context);
        to.status = from.status;
        to.response = mem::take(&mut from.response);
        to.response_fields
            .extend(mem::take(&mut from.response_fields));
        to.notes = mem::take(&mut from.notes);
        from.body = None;
        adapter.decided = true;
    }

    /// Whether the head of a response that no adapter looks at says that another model server may do better.
    fn is_overloaded(&self) -> bool {
        let transparent = self
            .adapter
            .as_ref()
            .is_none_or(|adapter| !adapter.run.holds_head() && adapter.run.batches().is_none());
        transparent && matches!(self.context.status(), 429 | 502..=504)
    }

    /// Ends an attempt after which another one follows.
    async fn give_up(&mut self, target: &Target, reason: &str) {
        tracing::info!(
            req = &*self.record.id,
            target_address = &*target.label,
            reason,
            "attempt failed; another model server is asked"
        );
        if let Some(mut adapter) = self.adapter.take() {
            // Without this, notes of the attempt would reach the exchange.
            adapter.decided = false;
            adapter.close(&mut self.context, reason, None).await;
            self.context.spent += adapter.spent();
        }
        self.context.status = None;
        self.context.response.clear();
    }

    /// The next of a response, through the adapter.
    pub(super) async fn next(&mut self, source: &mut Source) -> Result<Passed, Halt> {
        let limit = self.snapshot.server.limits.response_body;
        self.deadlines.wait_from_now();
        loop {
            let Some(body) = &mut source.body else {
                return Ok(Passed::last(Data::default()));
            };
            let passed = match self.wait(body.next(CHUNK)).await {
                Ok(Ok(chunk)) => {
                    self.deadlines.received(source.idle);
                    let passed = arrived(chunk.bytes, chunk.last);
                    match &mut self.adapter {
                        Some(adapter) => adapter.advance(&mut self.context, passed).await,
                        None => passed,
                    }
                }
                // A failure of the model server begins outside its adapter.
                Ok(Err(error)) => Passed::failed(no_answer(error)),
                Err(Halt::Stop(stop)) => Passed::stopped(Data::default(), stop),
                Err(Halt::Gone) => return Err(Halt::Gone),
            };
            let passed = source.wrap(passed, limit);
            if passed.data.is_empty() && matches!(passed.end, End::Open) {
                continue;
            }
            return Ok(passed);
        }
    }
}

fn arrived(bytes: Bytes, last: bool) -> Passed {
    let data = Data::Bytes(bytes);
    if last {
        Passed::last(data)
    } else {
        Passed::open(data)
    }
}

/// Whether another model server may do better.
fn may_be_mended(failure: &Failure) -> bool {
    match failure.kind() {
        Kind::UpstreamUnreachable | Kind::UpstreamConnectTimeout | Kind::UpstreamBroken => true,
        Kind::Refused => {
            matches!(failure.status().as_u16(), 429 | 503)
                || failure.code() == "upstream_unauthorized"
        }
        Kind::InvalidRequest
        | Kind::NotFound
        | Kind::MethodNotAllowed
        | Kind::RequestTimeout
        | Kind::BodyTooLarge
        | Kind::UnsupportedCoding
        | Kind::HeadTooLarge
        | Kind::Overloaded
        | Kind::UpstreamFirstByteTimeout
        | Kind::UpstreamIdleTimeout
        | Kind::UpstreamTotalTimeout
        | Kind::UpstreamInvalid
        | Kind::PluginFault
        | Kind::Internal => false,
    }
}

/// An adapter's 502 says that asking again will not help.
fn not_to_repeat(stop: Stop) -> Stop {
    match stop {
        Stop::Failure(failure)
            if failure.kind() == Kind::Refused && failure.status() == StatusCode::BAD_GATEWAY =>
        {
            failure.not_to_repeat().into()
        }
        other => other,
    }
}

/// The failure of the last attempt, with the shortest wait that any of them asked for.
fn last_of(failure: Failure, soonest: Option<u64>) -> Failure {
    match soonest {
        Some(seconds) if matches!(failure.status().as_u16(), 429 | 503) => {
            failure.with_field("retry-after", &seconds.to_string())
        }
        Some(_) | None => failure,
    }
}

fn sooner(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Seconds of a `retry-after`; a date is left alone.
fn seconds_of(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.trim().parse().ok()
}

/// What it means for the client that the model server gives no response, or not all of one.
fn no_answer(error: upstream::Error) -> Failure {
    use upstream::Error;
    let (kind, message) = match &error {
        Error::Unreachable { .. } => (
            Kind::UpstreamUnreachable,
            "The model server cannot be reached.",
        ),
        Error::ConnectTimeout { .. } => (
            Kind::UpstreamConnectTimeout,
            "The model server does not take connections.",
        ),
        Error::Invalid { .. } => (
            Kind::UpstreamInvalid,
            "The model server's response is not HTTP.",
        ),
        Error::Broken { .. } => (
            Kind::UpstreamBroken,
            "The model server broke its response off.",
        ),
        Error::RequestBody(cause) => return unreadable(*cause),
        Error::Request { .. } => (
            Kind::Internal,
            "The request for the model server is not legal HTTP.",
        ),
    };
    Failure::new(kind, message).caused_by(error)
}
