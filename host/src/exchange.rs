//! The life of one exchange, from the client's head to the last byte of the response.
//!
//! Read [`drive`] and [`Exchange::run`] top to bottom. What is here is order and consequence: what happens when, and what
//! the client sees if it fails before and after the first byte. How a model server is asked is in [`attempt`], how the client
//! is written to in [`client`]; the rules themselves are in `pipeline`, `plugin`, `upstream` and the crate `contract`.
//!
//! # Who sees what, in which order
//! - Request phases run first stage to last. The request is then frozen: each attempt works on a copy, with an adapter of its
//!   own. An attempt is decided by what leaves its adapter; until then a failure that another model server may mend leads to
//!   the next attempt, and nobody sees it.
//! - Whatever decides the exchange travels outward, last stage to first: the model server's response, a stage's own reply, or
//!   a failure. A failure of the model server begins outside its adapter. A failure from before the first stage ran is shown
//!   to a front alone; one without a route to nobody.
//! - Before anything has gone to the client, a failure is a response with a status. If stages have seen a head of the stream
//!   already, they are shown the failure as one event; what they make of it becomes the body of that response. After the
//!   first byte it is one last event, behind which the body ends as it should.
//! - A client that leaves is seen by `closing` alone: adapter first, then last stage to first. Observers come after that.

mod admission;
mod attempt;
mod client;
mod deadlines;
mod head;
mod outlet;
mod recent;
mod record;
mod tail;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, Version};
use sluicegate_contract::{Context, Identity, canonical};

pub use self::admission::Exchanges;
pub use self::outlet::{Aborted, Body, Finishing};
pub use self::recent::Recent;

use self::admission::Admitted;
use self::attempt::{Adapter, RequestBody, Source};
use self::client::ResponseWriter;
use self::deadlines::{Deadlines, Expired};
use self::outlet::{Interrupt, Outlet};
use self::record::Record;
use crate::failure::{Failure, Kind};
use crate::framing::Framing;
use crate::pipeline::{self, End, Output, Run, Stop};
use crate::plugin::abi::{Field, Reply};
use crate::plugin::instance::Loan;
use crate::plugin::unix_ms;
use crate::route::Found;
use crate::snapshot::Snapshot;
use crate::upstream::body::{self, Limited};

/// How long the rest of a request body is read and thrown away before an early response, so that a client which is still
/// sending gets to see it instead of a reset connection.
const DISCARD: Duration = Duration::from_secs(2);

/// What all exchanges share.
#[derive(Debug)]
pub struct Core {
    /// Routes, plugin versions, upstreams and limits in force; each exchange ends with those that it began with.
    pub snapshot: ArcSwap<Snapshot>,
    /// How many exchanges run.
    pub exchanges: Exchanges,
    /// The last exchanges that have ended.
    pub recent: Recent,
    /// Where exchanges come to their end whose client has left.
    pub finishing: Finishing,
}

/// Serves one request. The response's body must be polled for the exchange to go on. Dropping it, or this future, tells the
/// exchange that the client has left; it then ends on a task of its own.
pub async fn serve(core: Arc<Core>, client: IpAddr, request: Request<Incoming>) -> Response<Body> {
    let head_only = request.method() == Method::HEAD;
    let finishing = core.finishing.clone();
    let has_window = request.version() == Version::HTTP_2;
    let drive = |outlet| drive(core, client, request, outlet);
    let response = outlet::run(finishing, has_window, drive).await;
    if head_only {
        outlet::without_body(response)
    } else {
        response
    }
}

/// One exchange: find its route, run it, tell the client how it ended, and close it.
async fn drive(core: Arc<Core>, client: IpAddr, request: Request<Incoming>, outlet: Outlet) {
    let snapshot = core.snapshot.load_full();
    let (mut exchange, refused) = Exchange::begin(core, snapshot, client, request, outlet);
    let result = match refused {
        Some(stop) => Err(stop.into()),
        None => exchange.run().await,
    };
    let result = match result {
        Err(Halt::Stop(stop)) => exchange.answer(stop).await,
        other => other,
    };
    exchange.close(result.is_err()).await;
}

/// Why an exchange does not go on as it should.
enum Halt {
    /// It is to be answered with this.
    Stop(Stop),
    /// The client has left: there is nobody to answer.
    Gone,
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Stop(failure.into())
    }
}

impl From<Interrupt> for Halt {
    fn from(why: Interrupt) -> Self {
        match why {
            Interrupt::Gone => Self::Gone,
            Interrupt::Total(limit) => too_late(Expired::Total(limit)).into(),
        }
    }
}

struct Exchange {
    core: Arc<Core>,
    snapshot: Arc<Snapshot>,
    /// Its place among those that may run at a time.
    admitted: Option<Admitted>,
    client: ResponseWriter,
    record: Record,
    /// What the stages see.
    context: Loan,
    stages: Run,
    /// The adapter of the last attempt.
    adapter: Option<Adapter>,
    deadlines: Deadlines,
    /// The client's body, until it is read.
    body: Option<Limited>,
    /// Whether the client waits for a go-ahead before it sends its body.
    expects_continue: bool,
}

impl Exchange {
    /// Finds the route. Also gives the reason for which the request is refused before anything of it has run, if there is one.
    fn begin(
        core: Arc<Core>,
        snapshot: Arc<Snapshot>,
        client: IpAddr,
        request: Request<Incoming>,
        outlet: Outlet,
    ) -> (Self, Option<Stop>) {
        let method = head::method(&request);
        let found = snapshot.routes.find(request.method(), request.uri().path());
        let expects_continue = head::expects_continue(request.headers());
        let id = head::request_id(request.headers());
        let (mut parts, incoming) = request.into_parts();

        let limits = &snapshot.server.limits;
        let mut refused = head::check(&parts, limits).err().map(Stop::from);
        let route = match found {
            Found::Route(route) => route,
            Found::OtherMethods(allow) => {
                refused = refused.or(Some(other_methods(&parts.method, &allow)));
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
        let mut stages = Run::new(&route.pipeline, snapshot.body_limits());
        if route.pipeline.has_front() {
            stages.show_front_alone();
        }
        let exchange = Self {
            record: Record::open(core.clone(), route, &context, path),
            body: Some(Limited::new(
                incoming,
                limits.request_body,
                limits.body_timeout,
            )),
            core,
            snapshot,
            admitted: None,
            client: ResponseWriter::new(outlet),
            context: Loan::new(context),
            stages,
            adapter: None,
            deadlines: Deadlines::new(),
            expects_continue,
        };
        (exchange, refused)
    }

    /// Admission → request heads → request body → attempts → response head → response body.
    async fn run(&mut self) -> Result<(), Halt> {
        self.admitted = Some(self.admit()?);
        self.stages.request_heads(&mut self.context).await?;
        let body = self.request_body().await?;
        let source = self.attempts(body).await?;
        self.relay(source).await
    }

    fn admit(&self) -> Result<Admitted, Failure> {
        let limit = self.snapshot.server.limits.exchanges;
        self.core.exchanges.admit(limit).ok_or_else(|| {
            Failure::new(
                Kind::Overloaded,
                "The gateway is at its limit of exchanges. Try again in a moment.",
            )
            .with_field("retry-after", "1")
        })
    }

    /// The request body, through the stages that want to see it. From here on the request is frozen.
    ///
    /// A body that is JSON is kept, so that it can be sent again and read for `model` and `stream`; any other that no stage
    /// wants to see is passed on as it arrives, once.
    async fn request_body(&mut self) -> Result<RequestBody, Halt> {
        let Some(mut body) = self.body.take() else {
            return Ok(RequestBody::Kept(Bytes::new()));
        };
        let wanted = self.stages.wants_body();
        if !wanted && body.announced() == Some(0) {
            self.stages.release_request();
            return Ok(RequestBody::Kept(Bytes::new()));
        }
        let read = if wanted {
            self.client.unless_gone(body.collect()).await?.map(Some)
        } else {
            let content_type = self.context.request.get(CONTENT_TYPE);
            let content_type = content_type.map(|value| value.as_bytes().to_vec());
            let is_json = |begin: &[u8]| canonical::is_json(content_type.as_deref(), begin);
            self.client.unless_gone(body.collect_if(is_json)).await?
        };
        let bytes = match read {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                self.record.request_bytes = body.announced().unwrap_or(0);
                self.stages.release_request();
                return Ok(RequestBody::Stream(Some(Box::new(body))));
            }
            Err(error) => {
                self.body = Some(body);
                return Err(unreadable(error).into());
            }
        };
        self.record.request_bytes = bytes.len() as u64;
        let result = self.stages.request_body(&mut self.context, bytes).await;
        // Also where a stage has stopped: those before it, and the log, know what was asked for.
        let frozen = self.context.freeze();
        let body = result?;
        frozen.map_err(|canonical::Duplicate(name)| pipeline::duplicate_member(name))?;
        self.stages.release_request();
        Ok(RequestBody::Kept(body))
    }

    /// Passes the response through the stages to the client as it arrives. The head goes with the first bytes, so that an
    /// error before them still gets its status.
    async fn relay(&mut self, mut source: Source) -> Result<(), Halt> {
        let opened = self
            .stages
            .open(&mut self.context, source.events_in(self.adapter.as_ref()))
            .await;
        let mut passed = match (opened, source.first.take()) {
            (Err(stop), _) => {
                source.let_go();
                self.stages.enter(&mut self.context, stop).await
            }
            (Ok(()), Some(first)) => first,
            (Ok(()), None) => self.next(&mut source).await?,
        };
        let announced = source.announced.filter(|_| self.stages.is_transparent());
        loop {
            if !matches!(passed.end, End::Open) {
                // Before the client takes the rest.
                source.let_go();
            }
            let output = self.stages.push(&mut self.context, passed).await;
            if !matches!(output.end, End::Open) {
                source.let_go();
            }
            self.set_heartbeat();
            passed = match self.deliver(output, announced).await {
                Ok(true) => return Ok(()),
                Ok(false) => self.next(&mut source).await?,
                // A limit while the client takes nothing.
                Err(Halt::Stop(stop)) => pipeline::Passed::stopped(pipeline::Data::default(), stop),
                Err(Halt::Gone) => return Err(Halt::Gone),
            };
        }
    }

    /// Answers with a stop: it takes the place of the response, and travels outward like one.
    async fn answer(&mut self, stop: Stop) -> Result<(), Halt> {
        if !self.client.has_begun() {
            self.discard().await;
        }
        let mut passed = self.stages.enter(&mut self.context, stop).await;
        loop {
            let output = self.stages.push(&mut self.context, passed).await;
            if self.deliver(output, None).await? {
                return Ok(());
            }
            // What is entered is complete, so this is not reached; a body that ends is an end in any case.
            passed = pipeline::Passed::last(pipeline::Data::default());
        }
    }

    /// Gives the client what has come out of the stages; true if it was the last.
    async fn deliver(&mut self, output: Output, announced: Option<u64>) -> Result<bool, Halt> {
        self.record.events = self.events();
        for told in self.stages.take_failures() {
            self.record.fails(&told);
        }
        let Output { data, framing, end } = output;
        let whole_events = self.stages.batches().is_some();
        let bytes = data.into_bytes(framing);
        let (client, record, context) = (&mut self.client, &mut self.record, &mut self.context);
        match end {
            End::Open if bytes.is_empty() => return Ok(false),
            End::Open => {
                client
                    .chunk(record, context, bytes, announced, whole_events)
                    .await?;
                self.deadlines.sent();
                return Ok(false);
            }
            End::Last => client.finish(record, context, bytes).await?,
            End::Stopped(stopped) => {
                if !bytes.is_empty() {
                    client
                        .chunk(record, context, bytes, announced, whole_events)
                        .await?;
                }
                client.fail(record, context, *stopped, framing).await?;
            }
        }
        Ok(true)
    }

    /// Events that came from the model server, as far as anybody looked.
    fn events(&self) -> u64 {
        match &self.adapter {
            Some(adapter) => adapter.events(),
            None => self.stages.events(),
        }
    }

    /// Waits for the model server: no longer than the client stays and the deadlines allow, with heartbeats meanwhile.
    async fn wait<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Halt> {
        let mut future = pin!(future);
        loop {
            let expired = tokio::select! {
                biased;
                why = self.client.interrupted() => return Err(why.into()),
                value = &mut future => return Ok(value),
                expired = self.deadlines.next() => expired,
            };
            match expired {
                Expired::Heartbeat => {
                    let (record, context) = (&mut self.record, &mut self.context);
                    self.client.heartbeat(record, context).await?;
                    self.deadlines.sent();
                }
                expired => return Err(too_late(expired).into()),
            }
        }
    }

    /// Heartbeats go out where the client has, or will have, a stream of server-sent events.
    fn set_heartbeat(&mut self) {
        let streams = match self.client.framing() {
            Some(framing) => framing == Framing::Sse,
            None => !self.stages.holds_head() && self.stages.framing(&self.context) == Framing::Sse,
        };
        let heartbeat = self.snapshot.server.heartbeat.filter(|_| streams);
        self.deadlines.set_heartbeat(heartbeat);
    }

    /// Reads what is left of the request body before an early response.
    async fn discard(&mut self) {
        let Some(mut body) = self.body.take().filter(|_| !self.expects_continue) else {
            return;
        };
        // Whether it ended or not, the response goes out now.
        let _ = tokio::time::timeout(DISCARD, body.discard()).await;
    }

    /// The exchange is over: `closing`, the record, observers.
    async fn close(&mut self, gone: bool) {
        if gone {
            self.record.client_left();
        }
        let error = self.record.error().to_owned();
        let status = self.record.status;
        if let Some(adapter) = &mut self.adapter {
            adapter.close(&mut self.context, &error, status).await;
        }
        self.context.status = status;
        self.stages.close(&mut self.context, &error).await;
        self.record.events = self.events();
        self.end();
    }

    fn end(&mut self) {
        let adapter = self.adapter.as_ref().map_or(Duration::ZERO, Adapter::spent);
        let overhead = self.context.spent() + adapter;
        let notes = self.context.take_notes();
        let route = self.record.route.clone();
        let watching = self.stages.watching(&route.pipeline);
        self.record.end(overhead, notes, watching);
    }
}

impl Drop for Exchange {
    /// The runtime is going down in the middle of an exchange: what is known of it is still told.
    fn drop(&mut self) {
        if !self.record.has_ended() {
            self.record.client_left();
            self.end();
        }
    }
}

/// What a method gets that its path's routes do not take.
fn other_methods(method: &Method, allow: &str) -> Stop {
    if method == Method::OPTIONS {
        let fields = vec![Field {
            name: "allow".into(),
            value: allow.into(),
        }];
        return Stop::Reply(Reply {
            status: 204,
            fields,
            body: Vec::new(),
            reason: "options".into(),
        });
    }
    let message = format!("Method {method} is not allowed here. Allowed: {allow}.");
    Failure::new(Kind::MethodNotAllowed, message)
        .with_field("allow", allow)
        .into()
}

/// What it means for the client that its body cannot be read.
fn unreadable(error: body::Error) -> Failure {
    use body::Error;
    match error {
        Error::TooLarge { limit } => Failure::new(
            Kind::BodyTooLarge,
            format!("The request body is larger than the {limit} bytes that the gateway takes."),
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

fn too_late(expired: Expired) -> Failure {
    match expired {
        Expired::FirstByte(limit) => Failure::new(
            Kind::UpstreamFirstByteTimeout,
            format!("The model server did not begin to answer within {limit:?}."),
        ),
        Expired::Idle(limit) => Failure::new(
            Kind::UpstreamIdleTimeout,
            format!("The model server sent nothing for {limit:?}."),
        ),
        Expired::Total(limit) => Failure::new(
            Kind::UpstreamTotalTimeout,
            format!("The exchange took longer than {limit:?}."),
        ),
        Expired::Heartbeat => Failure::new(Kind::Internal, "A heartbeat is no deadline."),
    }
}
