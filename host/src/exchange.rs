//! The life of one exchange, from the client's head to the last octet of the answer.
//!
//! Read [`drive`] and [`Exchange::run`] top to bottom. What is here is order and consequence: what happens when, and what
//! the client sees if it fails before and after the first byte. The rules themselves are in the modules below and in
//! `pipeline`, `plugin` and `upstream`.

mod account;
mod clock;
mod head;
mod outlet;
mod recent;
mod tail;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use self::outlet::{Aborted, Body};
pub use self::recent::Recent;

use self::account::Account;
use self::clock::{Clock, Strike};
use self::outlet::Outlet;
use self::tail::Tail;
use crate::config;
use crate::failure::{Failure, Kind};
use crate::framing::{self, Event, Framing};
use crate::pipeline::chain::{self, Chain};
use crate::pipeline::{Run, Stop};
use crate::plugin::abi::{Field, Reply};
use crate::plugin::context::{Context, Identity};
use crate::plugin::instance::Loan;
use crate::plugin::unix_ms;
use crate::route::Found;
use crate::snapshot::Snapshot;
use crate::upstream::body::Limited;
use crate::upstream::{self, Answer, AnswerBody, Upstream, client};

/// Octets taken from the model server at a time, as far as they have arrived.
const PIECE: usize = 64 * 1024;

/// How long the rest of a request body is read and thrown away before an early answer, so that a client which is still
/// sending gets to see it instead of a reset connection.
const DISCARD: Duration = Duration::from_secs(2);

/// A comment line of SSE, which clients ignore. One line, without an empty line behind it: after an event with an `id`,
/// openai-python takes the empty line for an event and fails.
const HEARTBEAT: &[u8] = b": ping\n";

/// What all exchanges share.
#[derive(Debug)]
pub struct Core {
    /// Routes, plugin versions and upstreams in force; each exchange ends with those that it began with.
    pub snapshot: ArcSwap<Snapshot>,
    /// Limits and times for all exchanges.
    pub server: config::Server,
    /// One permit for each exchange that may run at a time.
    pub exchanges: Arc<Semaphore>,
    /// The last exchanges that have ended.
    pub recent: Recent,
}

/// Serves one request. The response's body must be polled for the exchange to go on; dropping it ends the exchange.
pub async fn serve(core: Arc<Core>, client: IpAddr, request: Request<Incoming>) -> Response<Body> {
    let head_only = request.method() == Method::HEAD;
    let response = outlet::run(|outlet| drive(core, client, request, outlet)).await;
    if head_only {
        outlet::without_body(response)
    } else {
        response
    }
}

/// One exchange: find its route, run it, and tell the client how it ended.
async fn drive(core: Arc<Core>, client: IpAddr, request: Request<Incoming>, outlet: Outlet) {
    let snapshot = core.snapshot.load_full();
    let method = head::method(&request);
    let found = snapshot.routes.find(request.method(), request.uri().path());
    let waits = head::waits_for_continue(request.headers());
    let id = head::request_id(request.headers());
    let (mut parts, incoming) = request.into_parts();

    let mut refused = head::check(&parts, &core.server.limits)
        .err()
        .map(Stop::from);
    let route = match found {
        Found::Route(route) => route,
        Found::OtherMethods(allow) => {
            refused = refused.or(Some(other_methods(&parts.method, allow)));
            snapshot.unmatched.clone()
        }
        Found::Nothing => {
            let message = format!("There is nothing at {}.", parts.uri.path());
            refused = refused.or(Some(Failure::new(Kind::NotFound, message).into()));
            snapshot.unmatched.clone()
        }
    };
    parts.method = method;
    let path = parts.uri.path().to_owned();
    let identity = Identity {
        id,
        received_ms: unix_ms(),
        route: route.label.clone(),
        client,
    };
    let context = Context::new(
        identity,
        parts,
        route.upstream.clone(),
        snapshot.upstream_names.clone(),
    );
    let limits = &core.server.limits;
    let body = Limited::new(incoming, limits.request_body, limits.body_timeout);
    let mut exchange = Exchange {
        account: Account::open(core.clone(), route, Loan::new(context), path),
        core,
        snapshot,
        outlet,
        body: Some(body),
        waits,
        sent: Sent::Nothing,
        framing: Framing::Document,
        at_boundary: true,
    };
    let result = match refused {
        Some(stop) => Err(stop),
        None => exchange.run().await,
    };
    match result {
        Ok(()) => {}
        Err(Stop::Reply(reply)) => exchange.reply(reply).await,
        Err(Stop::Failure(failure)) => exchange.fail(failure).await,
    }
    exchange.account.finish();
}

/// What a method gets that its path's routes do not take.
fn other_methods(method: &Method, allow: String) -> Stop {
    if method == Method::OPTIONS {
        let fields = vec![Field {
            name: "allow".into(),
            value: allow.into_bytes(),
        }];
        return Stop::Reply(Reply {
            status: 204,
            fields,
            body: Vec::new(),
            reason: "options".into(),
        });
    }
    let message = format!("{method} is not possible here, only {allow}.");
    Failure::new(Kind::MethodNotAllowed, message)
        .with_field("allow", allow)
        .into()
}

/// What the client has got so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    /// A head for a stream of events, because the client asked for one and the model server was silent for long.
    EarlyHead,
    /// The response's own head.
    Head,
}

struct Exchange {
    core: Arc<Core>,
    snapshot: Arc<Snapshot>,
    outlet: Outlet,
    account: Account,
    /// The client's body, until it is read.
    body: Option<Limited>,
    /// Whether the client waits for a go-ahead before it sends its body.
    waits: bool,
    sent: Sent,
    /// The framing of what the client gets.
    framing: Framing,
    /// Whether what the client has got so far ends where an event ends.
    at_boundary: bool,
}

impl Exchange {
    /// Admission → request head → request body → model server → response head → response body.
    async fn run(&mut self) -> Result<(), Stop> {
        let _permit = self.admit()?;
        let route = self.account.route.clone();

        let mut run = route.pipeline.request_head(&mut self.account.loan).await?;
        let body = self.request_body(&mut run).await?;

        let upstream = self.upstream()?;
        let heartbeat = self
            .core
            .server
            .heartbeat
            .filter(|_| self.account.loan.wants_stream());
        let mut clock = Clock::new(
            upstream.timeout.first_byte,
            heartbeat,
            upstream.timeout.total,
        );
        let answer = self.ask(&upstream, &mut clock, body).await?;

        head::from_upstream(&mut self.account.loan, answer.head);
        let limits = self.chain_limits();
        let chain = run.response_head(&mut self.account.loan, limits).await?;
        clock.set_patience(upstream.timeout.idle);
        self.relay(&mut clock, chain, answer.body).await
    }

    fn admit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.core
            .exchanges
            .clone()
            .try_acquire_owned()
            .map_err(|_| {
                Failure::new(
                    Kind::Overloaded,
                    "The gateway is at its limit of exchanges. Try again in a moment.",
                )
                .with_field("retry-after", "1".into())
            })
    }

    fn chain_limits(&self) -> chain::Limits {
        let limits = &self.core.server.limits;
        chain::Limits {
            body: limits.response_body,
            event: usize::try_from(limits.event).unwrap_or(usize::MAX),
        }
    }

    fn upstream(&self) -> Result<Arc<Upstream>, Failure> {
        let name = &self.account.loan.upstream;
        self.snapshot
            .upstreams
            .get(name)
            .cloned()
            .ok_or_else(|| Failure::new(Kind::Internal, format!("There is no upstream `{name}`.")))
    }

    /// The request body for the model server: through the stages, or straight on if none wants to see it.
    async fn request_body(&mut self, run: &mut Run) -> Result<upstream::Body, Stop> {
        let Some(body) = &mut self.body else {
            return Ok(upstream::Body::full(Bytes::new()));
        };
        if !run.wants_body() {
            let body = self
                .body
                .take()
                .map(Box::new)
                .expect("it is there: see above");
            let announced = body.announced();
            self.account.request_bytes = announced.unwrap_or(0);
            return Ok(match announced {
                // Nothing that would be gone once it is sent: the request can be sent again.
                Some(0) => upstream::Body::full(Bytes::new()),
                Some(_) | None => upstream::Body::Stream(body),
            });
        }
        let bytes = collect(body).await.map_err(unreadable)?;
        self.body = None;
        self.account.request_bytes = bytes.len() as u64;
        Ok(upstream::Body::full(
            run.request_body(&mut self.account.loan, bytes).await?,
        ))
    }

    /// Asks a model server and waits for the head of its answer, keeping a client that wants a stream company.
    async fn ask(
        &mut self,
        upstream: &Upstream,
        clock: &mut Clock,
        body: upstream::Body,
    ) -> Result<Answer, Stop> {
        let target = upstream.pick().clone();
        self.account.target = target.label.clone();
        self.account.attempts += 1;
        let request =
            head::to_upstream(&mut self.account.loan, &target, body).map_err(no_answer)?;
        let mut sending = pin!(client::send(&target, request));
        loop {
            tokio::select! {
                biased;
                answer = &mut sending => {
                    clock.received();
                    return Ok(answer.map_err(no_answer)?);
                }
                strike = clock.strike() => match strike {
                    Strike::Heartbeat => self.heartbeat(clock).await,
                    Strike::Patience(limit) => {
                        let message = format!("The model server did not begin to answer within {limit:?}.");
                        return Err(Failure::new(Kind::UpstreamFirstByteTimeout, message).into());
                    }
                    Strike::Total(limit) => return Err(took_too_long(limit).into()),
                },
            }
        }
    }

    /// Passes the response body through the stages to the client as it arrives. The head goes with the first octets, so
    /// that an error before them still gets its status.
    async fn relay(
        &mut self,
        clock: &mut Clock,
        mut chain: Chain,
        mut body: AnswerBody,
    ) -> Result<(), Stop> {
        let framing = chain.framing();
        if self.sent == Sent::Nothing {
            self.framing = framing;
        }
        let streams = framing == Framing::Sse;
        clock.set_heartbeat(self.core.server.heartbeat.filter(|_| streams));
        // What is no stream cannot go out in pieces behind the head of one.
        let mut held = (self.sent == Sent::EarlyHead && !streams).then(BytesMut::new);
        let limit = self.core.server.limits.response_body;
        let mut tail = Tail::default();
        let announced = if chain.is_empty() {
            body.announced()
        } else {
            None
        };
        loop {
            let piece = tokio::select! {
                biased;
                piece = body.next(PIECE) => piece.map_err(no_answer)?,
                strike = clock.strike() => match strike {
                    Strike::Heartbeat => {
                        if self.at_boundary {
                            self.heartbeat(clock).await;
                        }
                        clock.sent();
                        continue;
                    }
                    Strike::Patience(limit) => {
                        let message = format!("The model server sent nothing for {limit:?}.");
                        return Err(Failure::new(Kind::UpstreamIdleTimeout, message).into());
                    }
                    Strike::Total(limit) => return Err(took_too_long(limit).into()),
                },
            };
            clock.received();
            let output = chain
                .push(&mut self.account.loan, piece.bytes, piece.last)
                .await;
            self.account.events = chain.events();
            if let Some(held) = &mut held {
                chain::collect(held, &output.bytes, limit)?;
            }
            if output.last {
                // Lets go of the model server before the client takes the rest.
                drop(body);
                match held {
                    Some(held) => self.late(held.freeze()).await,
                    None => self.last(output.bytes).await,
                }
                return Ok(());
            }
            if !output.bytes.is_empty() && held.is_none() {
                self.at_boundary = chain.gives_events() || tail.ends_an_event(&output.bytes);
                self.piece(output.bytes, announced).await;
                clock.sent();
            }
            if let Some(stop) = output.stop {
                return Err(stop);
            }
        }
    }

    /// Gives the client a piece of the body, and the head before the first one.
    async fn piece(&mut self, bytes: Bytes, announced: Option<u64>) {
        if self.sent == Sent::Nothing {
            let head = head::to_client(&mut self.account.loan);
            self.account.status = Some(head.status);
            self.outlet.head(head, announced);
            self.sent = Sent::Head;
        }
        self.account.sends(bytes.len());
        self.outlet.send(bytes).await;
    }

    /// Gives the client the end of the body, or the whole response if nothing has been sent.
    async fn last(&mut self, bytes: Bytes) {
        match self.sent {
            Sent::Nothing => {
                let head = head::to_client(&mut self.account.loan);
                self.respond(head, bytes);
            }
            Sent::EarlyHead | Sent::Head if !bytes.is_empty() => self.piece(bytes, None).await,
            Sent::EarlyHead | Sent::Head => {}
        }
    }

    fn respond(&mut self, head: hyper::http::response::Parts, body: Bytes) {
        self.account.status = Some(head.status);
        if !body.is_empty() {
            self.account.sends(body.len());
        }
        self.outlet.respond(head, body);
        self.sent = Sent::Head;
    }

    /// A whole body for a client that has got the head of a stream already: one event, and an error if it is one.
    async fn late(&mut self, body: Bytes) {
        let is_error = self
            .account
            .loan
            .status
            .is_some_and(|status| status.as_u16() >= 400);
        // An event without data would break openai-python.
        if !body.is_empty() {
            let event = Event {
                name: String::new(),
                data: body,
            };
            let mut record = BytesMut::new();
            framing::encode(Framing::Sse, &[event], &mut record);
            self.piece(record.freeze(), None).await;
        }
        if is_error {
            self.outlet.abort().await;
        }
    }

    async fn heartbeat(&mut self, clock: &mut Clock) {
        if self.sent == Sent::Nothing {
            if self.account.loan.status.is_some() {
                // The model server has answered, so its own head can go out.
                let head = head::to_client(&mut self.account.loan);
                self.account.status = Some(head.status);
                self.outlet.head(head, None);
                self.sent = Sent::Head;
            } else {
                self.account.status = Some(StatusCode::OK);
                self.outlet.head(head::early(&self.account.id), None);
                self.sent = Sent::EarlyHead;
                self.framing = Framing::Sse;
            }
        }
        self.outlet.send(Bytes::from_static(HEARTBEAT)).await;
        clock.sent();
    }

    /// A stage's own answer.
    async fn reply(&mut self, reply: Reply) {
        if self.sent == Sent::Nothing {
            self.discard().await;
            let head = head::of_reply(&reply, &self.account.id);
            self.respond(head, reply.body.into());
        } else {
            self.account.loan.status = StatusCode::from_u16(reply.status).ok();
            self.late(reply.body.into()).await;
        }
    }

    /// An error: a response of its own, or the last record of the stream that has begun and no proper end.
    async fn fail(&mut self, failure: Failure) {
        self.account.fails(&failure);
        if self.sent == Sent::Nothing {
            self.discard().await;
            let head = head::of_failure(&failure, &self.account.id);
            self.respond(head, failure.body());
            return;
        }
        if self.at_boundary
            && let Some(record) = failure.record(self.framing)
        {
            self.piece(record, None).await;
        }
        self.outlet.abort().await;
    }

    /// Reads what is left of the request body before an early answer.
    async fn discard(&mut self) {
        let Some(mut body) = self.body.take().filter(|_| !self.waits) else {
            return;
        };
        // Whether it ended or not, the answer goes out now.
        let _ = tokio::time::timeout(DISCARD, body.discard()).await;
    }
}

/// The whole body.
async fn collect(body: &mut Limited) -> Result<Bytes, upstream::body::Error> {
    body.check_announced()?;
    let Some(first) = body.next().await.transpose()? else {
        return Ok(Bytes::new());
    };
    let Some(second) = body.next().await.transpose()? else {
        return Ok(first);
    };
    let mut whole = BytesMut::with_capacity(2 * (first.len() + second.len()));
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    while let Some(piece) = body.next().await.transpose()? {
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// What it means for the client that its body cannot be read.
fn unreadable(error: upstream::body::Error) -> Failure {
    use upstream::body::Error;
    match error {
        Error::TooLarge { limit } => Failure::new(
            Kind::BodyTooLarge,
            format!("The request body is larger than the {limit} octets that the gateway takes."),
        ),
        Error::TimedOut { limit } => Failure::new(
            Kind::RequestTimeout,
            format!("Nothing of the request body came for {limit:?}."),
        ),
        Error::Broken => Failure::new(
            Kind::InvalidRequest,
            "The request body ended early or is not framed as HTTP asks.",
        ),
    }
}

/// What it means for the client that the model server gives no answer, or not all of one.
fn no_answer(error: upstream::Error) -> Failure {
    use upstream::Error;
    match &error {
        Error::Unreachable { .. } => Failure::new(
            Kind::UpstreamUnreachable,
            "The model server cannot be reached.",
        )
        .caused_by(error),
        Error::ConnectTimeout { .. } => Failure::new(
            Kind::UpstreamConnectTimeout,
            "The model server does not take connections.",
        )
        .caused_by(error),
        Error::Invalid { .. } => Failure::new(
            Kind::UpstreamInvalid,
            "The model server's answer is not HTTP.",
        )
        .caused_by(error),
        Error::Broken { .. } => Failure::new(
            Kind::UpstreamBroken,
            "The model server broke its answer off.",
        )
        .caused_by(error),
        Error::RequestBody(cause) => unreadable(*cause),
        Error::Request { .. } => Failure::new(
            Kind::Internal,
            "The request for the model server is not legal HTTP.",
        )
        .caused_by(error),
    }
}

fn took_too_long(limit: Duration) -> Failure {
    Failure::new(
        Kind::UpstreamTotalTimeout,
        format!("The exchange took longer than {limit:?}."),
    )
}
