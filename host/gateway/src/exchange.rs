//! The life of one exchange, from the head of the client's request to the last byte of the response.
//!
//! Read [`drive`] and [`Exchange::run`] from top to bottom. They are these steps:
//!
//! 1. **Route, request id, entrance**: [`Exchange::begin`] finds the route, `enter` takes one of the places before the gates.
//! 2. **Request phases**: gates and request heads, first stage to last; then [`Exchange::admit`]; then the body, for the
//!    stages that want to see it.
//! 3. **Freeze**: from here on the request does not change, and the model that it asks for says who can serve it. Each attempt works
//!    on a copy of it. A request for the list of models ends here: the gateway knows it.
//! 4. **Attempts**: model servers are asked, one after the other, until one of them decides the exchange.
//! 5. **Relay**: the response goes through the stages, last to first, and to the client as it arrives.
//! 6. **Close**: `closing`, the record, observers.
//!
//! This file has the order of the steps, and what the client sees if one of them fails before or after the first byte. How the
//! request is read is in [`request`], how a model server is asked in [`attempt`], how the client is written to in [`delivery`]
//! and [`client`]. The rules are in `pipeline` and in the crates `plugin`, `upstream` and `contract`.
//!
//! # Who sees what
//! - An attempt is decided by what leaves its adapter. Until then a failure that another model server may not have leads to the
//!   next attempt, and nobody sees it.
//! - Whatever decides the exchange travels outward, last stage to first: the model server's response, a stage's own reply, or
//!   a failure. A failure of the model server starts at the last stage: the adapter does not see it. A failure from before
//!   the first stage ran is shown only to a front, the stage that translates a client's dialect. A failure without a route is
//!   shown to no stage.
//! - Before anything has gone to the client, a failure is a response with a status. If stages have already seen the head of a
//!   stream, they are shown the failure as one event, and what they make of it becomes the body of that response. After the
//!   first byte a failure is one last event, and the body ends properly behind it.
//! - A client that leaves is seen by `closing` alone: adapter first, then last stage to first. Observers run after that. Where the
//!   route wants to know the usage, the stages see the rest of the response first; see [`abandoned`].

mod abandoned;
mod admission;
mod attempt;
mod client;
mod connection;
mod cors;
mod deadlines;
mod delivery;
mod halt;
mod head;
mod listing;
mod recent;
mod record;
mod request;
pub mod scripted;
mod serving;
mod tail;
mod traced;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, Version};

pub use self::admission::{Admission, Capacity};
pub use self::connection::{Aborted, Body, Finishing};
pub use self::recent::Recent;

use self::abandoned::Abandoned;
use self::admission::{Admitted, Entered};
use self::attempt::{Adapter, UpstreamResponse};
use self::client::ResponseWriter;
use self::connection::{Connection, ConnectionHandle};
use self::deadlines::Deadlines;
use self::halt::Halt;
use self::record::Record;
use crate::failure::Failure;
use crate::models::{Models, Served};
use crate::pipeline::{Chunk, Data, End, FailureReport, PipelineRun, Stop};
use crate::snapshot::{Adapters, Snapshot, Tasks};
use sluicegate_config as config;
use sluicegate_otlp::Otlp;
use sluicegate_plugin_host::ExchangeContext;
use sluicegate_serve::{self as server, Peer};
use sluicegate_upstream::Upstream;
use sluicegate_upstream::body::Limited;

/// What all exchanges share.
#[derive(Debug)]
pub struct Core {
    /// Routes, plugins, upstreams and limits in force. An exchange keeps those that it began with.
    pub snapshot: ArcSwap<Snapshot>,
    /// What exchanges may hold.
    pub admission: Admission,
    /// The last exchanges that have ended.
    pub recent: Recent,
    /// Finishes exchanges whose clients have left.
    pub finishing: Finishing,
    /// Where traces and metrics are sent, if they are.
    pub otlp: Option<Otlp>,
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
    let response = connection::run(finishing, connection, drive).await;
    if head_only {
        connection::without_body(response)
    } else {
        response
    }
}

/// One exchange. Its connection polls it.
async fn drive(
    core: Arc<Core>,
    client: Peer,
    request: Request<Incoming>,
    connection: ConnectionHandle,
) {
    let (mut exchange, refused) = {
        // The exchange holds only those parts that it needs: nothing else is to live as long as a stream.
        let snapshot = core.snapshot.load_full();
        Exchange::begin(core, &snapshot, &client, request, connection)
    };
    let result = match refused {
        None => exchange.run().await,
        Some(stop) => Err(Halt::Stop(stop)),
    };
    let result = match result {
        Err(Halt::Stop(stop)) => exchange.respond_with(stop).await,
        other => other,
    };
    exchange.close(result.is_err()).await;
}

/// One exchange.
struct Exchange {
    core: Arc<Core>,
    /// Limits and times that it began with.
    server: Arc<config::Server>,
    upstreams: Arc<HashMap<Arc<str>, Arc<Upstream>>>,
    models: Arc<Models>,
    /// Who serves the model that is asked for, if that decides.
    served_by: Option<Arc<[Served]>>,
    /// All adapters, until it is known which of the upstreams can be asked.
    adapters: Option<Arc<Adapters>>,
    /// What looks after the targets.
    _tasks: Arc<Tasks>,
    /// Bytes of the request body that are kept.
    kept: usize,
    /// Where the client's connection comes from: from the client itself, or from a proxy in front.
    peer: IpAddr,
    client: ResponseWriter,
    record: Record,
    /// What the stages see.
    context: ExchangeContext,
    stages: PipelineRun,
    /// The adapter of the last attempt.
    adapter: Option<Adapter>,
    deadlines: Deadlines,
    /// The client's request body, until it is read.
    body: Option<Limited>,
    /// The content coding of that.
    coding: Option<config::Coding>,
    /// Whether the client waits for a go-ahead before it sends its body.
    expects_continue: bool,
    /// Whether a model server is being asked, and may be computing.
    is_at_work: bool,
    /// It goes on without its client.
    abandoned: Option<Abandoned>,
    /// The permit for everything that the exchange holds, once it is past the gates. Dropped last, when all of that is given
    /// back.
    admitted: Option<Admitted>,
}

impl Exchange {
    /// Steps 1 to 5; the first part of step 1 is done.
    async fn run(&mut self) -> Result<(), Halt> {
        let entered = self.core.admission.enter().map_err(Failure::from)?;
        self.stages.request_heads(&mut self.context).await?;
        self.admit(entered)?;
        let body = self.request_body().await;
        // Also if a stage stopped, so that the notes say what was asked for.
        let body = self.freeze(body)?;
        self.list_models()?;
        self.route_by_model()?;
        let response = self.attempts(body).await?;
        self.relay(response).await
    }

    /// Admits the exchange with everything that it can hold. By now a gate may have named the tenant.
    fn admit(&mut self, entered: Entered) -> Result<(), Failure> {
        let sandboxes = self.record.route.sandboxes.get(&self.context.upstream);
        let sandboxes = sandboxes.copied().unwrap_or(0);
        let limits = &self.server.limits;
        let limits = admission::Limits {
            exchanges: limits.exchanges,
            bytes: usize::try_from(limits.memory).unwrap_or(usize::MAX),
        };
        let admitted = entered.admit(&self.tenant(), sandboxes, limits)?;
        self.client.hold(admitted.clone());
        self.admitted = Some(admitted);
        Ok(())
    }

    /// Passes the response through the stages to the client as it arrives. The head goes out with the first bytes, so that an
    /// error before them still has its status.
    async fn relay(&mut self, mut response: UpstreamResponse) -> Result<(), Halt> {
        let opened = self
            .stages
            .open(&mut self.context, response.events_in(self.adapter.as_ref()))
            .await;
        self.set_heartbeat();
        let mut chunk = match (opened, response.first.take()) {
            (Err(stop), _) => {
                response.close();
                self.stages.enter(&mut self.context, stop).await
            }
            (Ok(()), Some(first)) => first,
            (Ok(()), None) => self.next(&mut response).await?,
        };
        let announced = response.announced.filter(|_| self.stages.is_transparent());
        loop {
            if !matches!(chunk.end, End::Open) {
                // Frees the model server's connection before the client has read the rest.
                response.close();
            }
            let output = self.stages.push(&mut self.context, chunk).await;
            let ended = !matches!(output.end, End::Open);
            if ended {
                response.close();
            }
            self.set_heartbeat();
            chunk = match self.deliver(output, announced).await {
                Ok(true) => return Ok(()),
                Ok(false) => match self.hold_bytes(response.buffered()) {
                    Ok(()) => self.next(&mut response).await?,
                    Err(failure) => Chunk::failed(failure),
                },
                // A limit was exceeded while the client took nothing. The stages have seen an end, and must not see another.
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

    /// Responds with a stop: it takes the place of the response, and travels outward like one.
    async fn respond_with(&mut self, stop: Stop) -> Result<(), Halt> {
        if !self.client.has_begun() {
            self.discard().await;
        }
        let mut chunk = self.stages.enter(&mut self.context, stop).await;
        loop {
            let output = self.stages.push(&mut self.context, chunk).await;
            if self.deliver(output, None).await? {
                return Ok(());
            }
            // Not reached, since what is entered is complete. An end is right in any case.
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

    /// Writes the record, which tells the observers.
    fn end(&mut self) {
        let adapter = self.adapter.as_ref().map_or(Duration::ZERO, Adapter::spent);
        let overhead = self.context.spent() + adapter;
        let notes = self.context.take_notes();
        let route = self.record.route.clone();
        let watching = self.stages.watching(&route.pipeline);
        self.record.end(overhead, notes, watching);
    }

    /// Counts the bytes that are kept for this exchange: the request body, what the stages and the adapter buffer, and `waiting`.
    fn hold_bytes(&self, waiting: usize) -> Result<(), Failure> {
        let adapter = self.adapter.as_ref().map_or(0, Adapter::buffered);
        let bytes = self.kept + waiting + adapter + self.stages.buffered();
        match &self.admitted {
            Some(admitted) => Ok(admitted.set_bytes(bytes)?),
            None => Ok(()),
        }
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
