//! The OpenAI API for programs, passed through to the proxy: with our login, limits and request id, without sessions.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};

use super::core::Core;
use super::proxy::RawResponse;
use super::response::{self, Body, Broken};
use super::slots::{Entry, QueueObserver, Slot};
use super::wire::{Code, ErrorBody};
use sluicegate_telemetry::request_id;

/// The field that carries the request id in both directions.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The most bytes of a request, as the proxy has it.
const MOST: usize = 32 << 20;

/// `POST /v1/chat/completions` and `GET /v1/models`.
pub(crate) async fn respond(
    core: &Arc<Core>,
    request: Request<Incoming>,
    peer: IpAddr,
) -> Response<Body> {
    match pass(core, request, peer).await {
        Ok(response) => response,
        Err(error) => openai(&error),
    }
}

async fn pass(
    core: &Arc<Core>,
    request: Request<Incoming>,
    peer: IpAddr,
) -> Result<Response<Body>, ErrorBody> {
    // Only programs: if a page's cookie were enough, other sites could use the model in the user's name.
    if !request.headers().contains_key(header::AUTHORIZATION)
        || request.headers().contains_key(header::ORIGIN)
    {
        return Err(ErrorBody::new(
            Code::Unauthenticated,
            "a bearer token is needed",
        ));
    }
    let login = core.auth.check(request.headers(), None, peer).await?;
    let (method, path) = match (request.method(), request.uri().path()) {
        (&Method::POST, path @ "/v1/chat/completions") => (Method::POST, path.to_owned()),
        (&Method::GET, path @ "/v1/models") => (Method::GET, path.to_owned()),
        _ => return Err(ErrorBody::new(Code::NotFound, "no such path")),
    };
    let given = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let request_id = given
        .filter(|given| request_id::is_valid(given.as_bytes()))
        .map_or_else(request_id::new, str::to_owned);
    let slot = match method {
        Method::POST => Some(slot(core, &login.user.id).await?),
        _ => None,
    };
    let body = response::read(request.into_body(), MOST).await?;
    let raw = core.proxy.pass(method, &path, &request_id, body).await?;
    Ok(forward(raw, slot, &request_id))
}

/// Waits for a slot for a request to the model.
async fn slot(core: &Arc<Core>, user: &str) -> Result<Slot, ErrorBody> {
    core.take_send(user)?;
    match core.slots.enter(user, Arc::new(NoNotify)) {
        Entry::Now(slot) => Ok(slot),
        Entry::Later(ticket, _) => Ok(ticket.wait().await),
        Entry::Full => Err(ErrorBody::new(
            Code::QueueFull,
            "too many requests wait already",
        )),
    }
}

/// The proxy's response for the client. It holds the slot until it ends; after an error it ends without its end mark.
fn forward(raw: RawResponse, slot: Option<Slot>, request_id: &str) -> Response<Body> {
    let mut response = response::empty(raw.status);
    let fields = response.headers_mut();
    if let Some(kind) = &raw.content_type {
        fields.insert(header::CONTENT_TYPE, kind.clone());
    }
    if let Some(retry) = &raw.retry {
        fields.insert(header::RETRY_AFTER, retry.clone());
    }
    if let Ok(id) = HeaderValue::try_from(request_id) {
        fields.insert(REQUEST_ID, id);
    }
    let chunks = stream::unfold(Some((raw, slot)), |open| async move {
        let (mut raw, slot): (RawResponse, _) = open?;
        match raw.next().await? {
            Ok(bytes) => Some((Ok(Frame::data(bytes)), Some((raw, slot)))),
            Err(_) => Some((Err(Broken), None)),
        }
    });
    *response.body_mut() = StreamBody::new(chunks).boxed_unsync();
    response
}

/// Nobody is shown the place of such a request.
#[derive(Debug)]
struct NoNotify;

impl QueueObserver for NoNotify {
    fn moved(&self, _place: usize) {}
}

/// An error in the form that OpenAI's clients read.
fn openai(error: &ErrorBody) -> Response<Body> {
    let mut response = response::error(error);
    let code = super::wire::text(&error.code)
        .trim_matches('"')
        .to_ascii_lowercase();
    let kind = if error.code.status() < 500 {
        "invalid_request_error"
    } else {
        "api_error"
    };
    let body = serde_json::json!({ "error": { "message": error.message, "type": kind, "param": null, "code": code } });
    *response.body_mut() = response::full(body.to_string());
    response
}
