//! The client's request: finding its route, reading its body, freezing it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use hyper::http::request::Parts;
use hyper::{Method, Request};
use sluicegate_contract::{Context, Identity, canonical};

use self::body::{RequestBody, unreadable};
use super::client::ResponseWriter;
use super::connection::{ConnectionHandle, Held};
use super::deadlines::Deadlines;
use super::halt::Halt;
use super::record::Record;
use super::{Core, Exchange, cors, head};
use crate::failure::{Failure, Kind};
use crate::pipeline::{self, Limits, PipelineRun, Stop};
use crate::route::{Found, Route};
use crate::snapshot::Snapshot;
use sluicegate_plugin_host::ExchangeContext;
use sluicegate_plugin_host::wit::{Field, Reply};
use sluicegate_serve::{Hosts, Peer, forwarded};
use sluicegate_telemetry::clock::unix_ms;
use sluicegate_upstream::body::{Budget, Limited};

pub(super) mod body;
mod coding;

/// How long the rest of a request body is read and discarded before an early response, so that a client that is still sending
/// sees the response and not a reset connection.
const DISCARD: Duration = Duration::from_secs(2);

impl Exchange {
    /// Finds the route. Also returns the reason if the request is refused before any stage runs.
    pub(super) fn begin(
        core: Arc<Core>,
        snapshot: &Snapshot,
        client: &Peer,
        request: Request<Incoming>,
        connection: ConnectionHandle,
    ) -> (Self, Option<Stop>) {
        let method = head::method(&request);
        let expects_continue = head::expects_continue(request.headers());
        let id = head::request_id(request.headers());
        let (mut parts, incoming) = request.into_parts();

        let server = &snapshot.server;
        let limits = &server.limits;
        let page = cors::allowed(server.cors.as_ref(), &parts.headers);
        let check_host = |hosts: &Arc<Hosts>| match page {
            Some(_) => hosts.check_host(&parts.uri, &parts.headers).err(),
            None => hosts.check(&parts.uri, &parts.headers).err(),
        };
        let foreign = client.hosts.as_ref().and_then(check_host);
        let foreign = foreign.map(|foreign| Failure::new(Kind::Foreign, foreign.to_string()));
        let ambiguous = head::normalize_path(&mut parts.uri).err();
        let illegal = head::check(&parts, limits).err();
        let (coding, coded) = match coding::of(&parts.headers, &server.codings) {
            Ok(coding) => (coding, None),
            Err(failure) => (None, Some(failure)),
        };
        let is_foreign = foreign.is_some();
        let refused = foreign.or(illegal).or(coded).or(ambiguous).map(Stop::from);
        let asks = server
            .cors
            .as_ref()
            .filter(|_| page.is_some() && refused.is_none());
        let preflight = asks.and_then(|cors| cors::preflight(&parts, cors, &snapshot.routes));
        let (route, refused) = match find_route(snapshot, &parts) {
            // A foreign page or host learns nothing about the routes.
            _ if is_foreign => (snapshot.unmatched.clone(), refused),
            _ if preflight.is_some() => (snapshot.unmatched.clone(), preflight.map(Stop::Reply)),
            Ok(route) => (route, refused),
            Err(stop) => (snapshot.unmatched.clone(), refused.or(Some(stop))),
        };
        parts.method = method;
        if coding.is_some() {
            // What follows sees the decoded body.
            parts.headers.remove(CONTENT_ENCODING);
        }
        let path = parts.uri.path().to_owned();
        let identity = Identity {
            id,
            received_ms: unix_ms(),
            route: route.label.clone(),
            client: forwarded::client(&server.trusted_proxies, client.address, &parts.headers),
        };
        let mut context = Context::new(
            identity,
            parts,
            route.upstream.clone(),
            snapshot.upstream_names.clone(),
        );
        if server.cors.is_some() {
            // For caches, whoever asks.
            let vary = HeaderValue::from_static("origin");
            context.response_fields.insert(VARY, vary);
        }
        context
            .response_fields
            .extend(page.into_iter().flat_map(cors::fields));
        let mut stages = PipelineRun::new(&route.pipeline, Limits::of(limits));
        if route.pipeline.has_front() {
            stages.show_front_alone();
        }
        connection.set_held(Held::first(&route, &snapshot.adapters));
        let mut context = ExchangeContext::new(context);
        context.interrupted_by(connection.interruptible());
        let exchange = Self {
            record: Record::open(core.clone(), route, &context, path),
            body: Some(Limited::new(
                incoming,
                limits.request_body,
                limits.body_timeout,
            )),
            core,
            server: snapshot.server.clone(),
            upstreams: snapshot.upstreams.clone(),
            models: snapshot.models.clone(),
            served_by: None,
            adapters: Some(snapshot.adapters.clone()),
            _tasks: snapshot.tasks.clone(),
            admitted: None,
            kept: 0,
            peer: client.address,
            client: ResponseWriter::new(connection),
            context,
            stages,
            adapter: None,
            is_at_work: false,
            abandoned: None,
            deadlines: Deadlines::new(),
            expects_continue,
            coding,
        };
        (exchange, refused)
    }

    /// The request body, after the stages that want to see it.
    pub(super) async fn request_body(&mut self) -> Result<RequestBody, Halt> {
        let bytes = match self.read_body().await? {
            RequestBody::Kept(bytes) if !bytes.is_empty() || self.stages.wants_body() => bytes,
            other => return Ok(other),
        };
        self.record.request_bytes = bytes.len() as u64;
        self.kept = bytes.len();
        let body = self.stages.request_body(&mut self.context, bytes).await?;
        Ok(RequestBody::Kept(body))
    }

    /// From here on the request is frozen; on canonical paths the notes `model` and `stream` say what it asks for.
    pub(super) fn freeze(&mut self, body: Result<RequestBody, Halt>) -> Result<RequestBody, Halt> {
        // Also where a stage has stopped: the stages before it, and the log, know what was asked for.
        let frozen = self.context.freeze();
        let body = body?;
        frozen.map_err(|canonical::Duplicate(name)| pipeline::duplicate_member(name))?;
        self.stages.release_request();
        Ok(body)
    }

    /// Reads the request body. One that is JSON is kept, so that it can be sent again and read for `model` and `stream`; any other
    /// that no stage wants to see is passed on as it arrives, once.
    async fn read_body(&mut self) -> Result<RequestBody, Halt> {
        let Some(mut body) = self.body.take() else {
            return Ok(RequestBody::Kept(Bytes::new()));
        };
        if let Some(admitted) = self.admitted.clone() {
            body.set_budget(Budget::new(move |bytes| admitted.set_bytes(bytes).is_ok()));
        }
        if let Some(coding) = self.coding {
            let limit = self.server.limits.request_body;
            let decoded = coding::decode(&mut body, coding, limit);
            let decoded = self.client.unless_gone(decoded).await?;
            if decoded.is_err() {
                self.keep_for_later(body);
            }
            return Ok(RequestBody::Kept(decoded?));
        }
        let wanted = self.stages.wants_body();
        if !wanted && body.announced() == Some(0) {
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
        match read {
            Ok(Some(bytes)) => Ok(RequestBody::Kept(bytes)),
            Ok(None) => {
                self.record.request_bytes = body.announced().unwrap_or(0);
                Ok(RequestBody::Stream(Some(Box::new(body))))
            }
            Err(error) => {
                self.keep_for_later(body);
                Err(unreadable(error).into())
            }
        }
    }

    /// The rest of a body that could not be read is discarded before the response.
    fn keep_for_later(&mut self, body: Limited) {
        if let Some(admitted) = &self.admitted {
            // The bytes that were read are dropped, and the rest will be. Less always fits.
            let _ = admitted.set_bytes(0);
        }
        self.body = Some(body);
    }

    /// Reads what is left of the request body before an early response.
    pub(super) async fn discard(&mut self) {
        let Some(mut body) = self.body.take().filter(|_| !self.expects_continue) else {
            return;
        };
        // Whether it ended or not, the response goes out now.
        let _ = tokio::time::timeout(DISCARD, body.discard()).await;
    }
}

/// The route of a request, or why there is none.
fn find_route(snapshot: &Snapshot, parts: &Parts) -> Result<Arc<Route>, Stop> {
    match snapshot.routes.find(&parts.method, parts.uri.path()) {
        Found::Route(route) => Ok(route),
        Found::OtherMethods(allow) => Err(other_methods(&parts.method, &allow)),
        Found::Nothing => {
            let message = format!("There is nothing at {}.", parts.uri);
            Err(Failure::new(Kind::NotFound, message).into())
        }
    }
}

/// The response to a method that no route of this path takes.
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
