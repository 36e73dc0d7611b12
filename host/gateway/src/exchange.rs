//! The life of one exchange, from the client's head to the last byte of the response.
//!
//! Read [`drive`] and [`Exchange::run`] top to bottom. What is here is order and consequence: what happens when, and what
//! the client sees if it fails before and after the first byte. How the request is taken in is in [`request`], how a model
//! server is asked in [`attempt`], how the client is written to in [`delivery`] and [`client`]; the rules themselves are in `pipeline`, `plugin`, `upstream` and the crate `contract`.
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
mod delivery;
mod head;
mod outlet;
mod recent;
mod record;
mod request;
mod tail;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, Version};

pub use self::admission::{Admission, Capacity};
pub use self::outlet::{Aborted, Body, Finishing};
pub use self::recent::Recent;

use self::admission::{Admitted, Entered};
use self::attempt::{Adapter, Source};
use self::client::ResponseWriter;
use self::deadlines::{Deadlines, Expired};
use self::delivery::{shutting_down, too_late};
use self::outlet::{Connection, ConnectionHandle, Interrupt};
use self::record::Record;
use crate::failure::Failure;
use crate::pipeline::{Chunk, Data, End, FailureReport, PipelineRun, Stop};
use crate::snapshot::Snapshot;
use sluicegate_plugin_host::ExchangeContext;
use sluicegate_serve::{self as server, Peer};
use sluicegate_upstream::body::Limited;

/// What all exchanges share.
#[derive(Debug)]
pub struct Core {
    /// Routes, plugin versions, upstreams and limits in force; each exchange ends with those that it began with.
    pub snapshot: ArcSwap<Snapshot>,
    /// Who may hold what.
    pub admission: Admission,
    /// The last exchanges that have ended.
    pub recent: Recent,
    /// Where exchanges come to their end whose client has left.
    pub finishing: Finishing,
}

/// Serves one request. The response's body must be polled for the exchange to go on. Dropping it, or this future, tells the
/// exchange that the client has left; it then ends on a task of its own.
pub async fn serve(core: Arc<Core>, client: Peer, request: Request<Incoming>) -> Response<Body> {
    let head_only = request.method() == Method::HEAD;
    let finishing = core.finishing.clone();
    let connection = Connection {
        multiplexed: request.version() == Version::HTTP_2,
        flush: client.flush.clone(),
        stream: server::current_stream(),
    };
    let drive = |connection| drive(core, client, request, connection);
    let response = outlet::run(finishing, connection, drive).await;
    if head_only {
        outlet::without_body(response)
    } else {
        response
    }
}

/// One exchange: find its route, run it, tell the client how it ended, and close it.
async fn drive(
    core: Arc<Core>,
    client: Peer,
    request: Request<Incoming>,
    connection: ConnectionHandle,
) {
    let snapshot = core.snapshot.load_full();
    let (mut exchange, refused) = Exchange::begin(core, snapshot, &client, request, connection);
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
            Interrupt::Shutdown => shutting_down().into(),
        }
    }
}

struct Exchange {
    core: Arc<Core>,
    snapshot: Arc<Snapshot>,
    /// Bytes of the request body that are kept.
    kept: usize,
    client: ResponseWriter,
    record: Record,
    /// What the stages see.
    context: ExchangeContext,
    stages: PipelineRun,
    /// The adapter of the last attempt.
    adapter: Option<Adapter>,
    deadlines: Deadlines,
    /// The client's body, until it is read.
    body: Option<Limited>,
    /// Whether the client waits for a go-ahead before it sends its body.
    expects_continue: bool,
    /// What it may hold, once it is past the gates. The last to be dropped: what it stands for is given back before.
    admitted: Option<Admitted>,
}

impl Exchange {
    /// Entrance → request heads → admission → request body → attempts → response head → response body.
    async fn run(&mut self) -> Result<(), Halt> {
        let entered = self.core.admission.enter().map_err(Failure::from)?;
        self.stages.request_heads(&mut self.context).await?;
        let admitted = self.admit(entered)?;
        self.client.hold(admitted.clone());
        self.admitted = Some(admitted);
        let body = self.request_body().await?;
        let source = self.attempts(body).await?;
        self.relay(source).await
    }

    /// Lets it in with all that it can hold, now that the stages may have said who asks.
    fn admit(&self, entered: Entered) -> Result<Admitted, Failure> {
        let sandboxes = self.record.route.sandboxes.get(&self.context.upstream);
        let sandboxes = sandboxes.copied().unwrap_or(0);
        let limits = &self.snapshot.server.limits;
        let limits = admission::Limits {
            exchanges: limits.exchanges,
            bytes: usize::try_from(limits.memory).unwrap_or(usize::MAX),
        };
        let address;
        let tenant = match self.context.note("tenant") {
            Some(tenant) => tenant,
            None => {
                address = self.context.identity.client.to_string();
                &address
            }
        };
        Ok(entered.admit(tenant, sandboxes, limits)?)
    }

    /// Counts what is kept for it: the request body, what of the response waits for more in the stages, and `waiting` before them.
    fn hold_bytes(&self, waiting: usize) -> Result<(), Failure> {
        let adapter = self.adapter.as_ref().map_or(0, Adapter::buffered);
        let bytes = self.kept + waiting + adapter + self.stages.buffered();
        match &self.admitted {
            Some(admitted) => Ok(admitted.set_bytes(bytes)?),
            None => Ok(()),
        }
    }

    /// Passes the response through the stages to the client as it arrives. The head goes with the first bytes, so that an
    /// error before them still gets its status.
    async fn relay(&mut self, mut source: Source) -> Result<(), Halt> {
        let opened = self
            .stages
            .open(&mut self.context, source.events_in(self.adapter.as_ref()))
            .await;
        self.set_heartbeat();
        let mut chunk = match (opened, source.first.take()) {
            (Err(stop), _) => {
                source.close();
                self.stages.enter(&mut self.context, stop).await
            }
            (Ok(()), Some(first)) => first,
            (Ok(()), None) => self.next(&mut source).await?,
        };
        let announced = source.announced.filter(|_| self.stages.is_transparent());
        loop {
            if !matches!(chunk.end, End::Open) {
                // Before the client takes the rest.
                source.close();
            }
            let output = self.stages.push(&mut self.context, chunk).await;
            let ended = !matches!(output.end, End::Open);
            if ended {
                source.close();
            }
            self.set_heartbeat();
            chunk = match self.deliver(output, announced).await {
                Ok(true) => return Ok(()),
                Ok(false) => match self.hold_bytes(source.buffered()) {
                    Ok(()) => self.next(&mut source).await?,
                    Err(failure) => Chunk::failed(failure),
                },
                // A limit while the client takes nothing. The stages have seen an end: they must not see another.
                Err(Halt::Stop(stop)) if ended => {
                    if let Stop::Failure(failure) = &stop {
                        self.record.fail(&FailureReport::of(failure));
                    }
                    return Err(Halt::Gone);
                }
                Err(Halt::Stop(stop)) => Chunk::stopped(Data::default(), stop),
                Err(Halt::Gone) => return Err(Halt::Gone),
            };
        }
    }

    /// Answers with a stop: it takes the place of the response, and travels outward like one.
    async fn answer(&mut self, stop: Stop) -> Result<(), Halt> {
        if !self.client.has_begun() {
            self.discard().await;
        }
        let mut chunk = self.stages.enter(&mut self.context, stop).await;
        loop {
            let output = self.stages.push(&mut self.context, chunk).await;
            if self.deliver(output, None).await? {
                return Ok(());
            }
            // What is entered is complete, so this is not reached; a body that ends is an end in any case.
            chunk = Chunk::last(Data::default());
        }
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
    /// The runtime is going down in the middle of an exchange: what is known of it is still recorded.
    fn drop(&mut self) {
        if !self.record.has_ended() {
            self.record.client_left();
            self.end();
        }
    }
}
