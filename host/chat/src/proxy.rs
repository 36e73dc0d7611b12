//! A client of the proxy, over HTTP like any other: the web gateway's only way to a model.
//!
//! Each call has a connection of its own, which lives inside the future that uses it. Dropping that future closes the socket
//! at once, with no work left in the background: that is how stopping a run stops the model. Redirects are never followed,
//! and no address comes from a user.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response};
use tokio::time::Instant;

use super::id;
use super::settings::{BaseUrl, CHAT, Timeouts};
use super::wire::{Code, ErrorBody, Layer};
use sluicegate_config::Secret;
use sluicegate_telemetry::request_id;

mod chunk;
mod connect;
mod events;
mod failure;
mod loose;
mod reader;
mod surrogate;
mod think;

pub(crate) use connect::Dialer;
pub(crate) use failure::knows as knows_error;
pub(crate) use reader::Item;

use connect::Wire;
use events::Events;

/// The most that is read of a response that is not a stream; errors and lists of models are far smaller.
const BODY: usize = 1 << 20;

/// A client of the proxy, or of its admin interface.
#[derive(Clone)]
pub(crate) struct Client {
    base: BaseUrl,
    key: Option<HeaderValue>,
    dialer: Dialer,
    timeouts: Timeouts,
}

/// A response that was read to its end.
#[derive(Debug)]
pub(crate) struct WholeResponse {
    /// HTTP status.
    pub status: u16,
    /// The body, at most 1 MiB of it.
    pub body: Bytes,
    /// From connecting to the last byte.
    pub took: Duration,
}

impl Client {
    /// A client of `base`. A key that cannot be a header field is left out.
    pub(crate) fn new(
        base: BaseUrl,
        key: Option<&Secret>,
        dialer: Dialer,
        timeouts: Timeouts,
    ) -> Self {
        let key = key.and_then(|key| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose())).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self {
            base,
            key,
            dialer,
            timeouts,
        }
    }

    /// Host and port, for people.
    pub(crate) fn authority(&self) -> &str {
        self.base.authority.as_str()
    }

    /// Gets a small document within `limit`.
    ///
    /// # Errors
    /// `UPSTREAM_UNREACHABLE` or `UPSTREAM_TIMEOUT`, layer proxy. A response of any status is a result.
    pub(crate) async fn get(
        &self,
        path: &str,
        limit: Duration,
    ) -> Result<WholeResponse, ErrorBody> {
        let started = Instant::now();
        let call = async {
            let (mut wire, response) = self
                .call(Method::GET, path, &request_id::new(), Bytes::new())
                .await?;
            let status = response.status().as_u16();
            let body = whole(&mut wire, response.into_body(), BODY).await?;
            Ok(WholeResponse {
                status,
                body,
                took: started.elapsed(),
            })
        };
        tokio::time::timeout(limit, call)
            .await
            .unwrap_or_else(|_| Err(late("the proxy did not respond in time")))
    }

    /// Asks the model for a streamed completion.
    ///
    /// # Shape
    /// `body` is the JSON of an OpenAI chat request with `stream: true`. `prefix` says that the completion continues an answer
    /// that was cut off.
    ///
    /// # Errors
    /// The proxy's error, or that it did not respond, as the page shows it.
    ///
    /// # Cancel safety
    /// Dropping the future or the completion closes the connection.
    pub(crate) async fn chat(
        &self,
        body: Bytes,
        request: &str,
        prefix: bool,
    ) -> Result<Completion, ErrorBody> {
        let (wire, response) = self.call(Method::POST, CHAT, request, body).await?;
        let status = response.status();
        let retry = failure::retry_after(response.headers());
        let is_stream = failure::content_type(response.headers()) == "text/event-stream";
        let mut completion =
            Completion::new(wire, response.into_body(), self.timeouts.idle, prefix);
        if !status.is_success() {
            let text = whole(&mut completion.wire, completion.body, BODY)
                .await
                .unwrap_or_default();
            return Err(failure::of_status(status.as_u16(), &text, retry).request(request));
        }
        if !is_stream {
            let message = "the proxy's response is not an event stream";
            return Err(ErrorBody::new(Code::UpstreamInvalid, message)
                .layer(Layer::Proxy)
                .request(request));
        }
        Ok(completion)
    }

    /// Passes on a request of a program; the response is passed back as it arrives.
    ///
    /// # Errors
    /// The proxy does not respond.
    pub(crate) async fn pass(
        &self,
        method: Method,
        path: &str,
        request: &str,
        body: Bytes,
    ) -> Result<RawResponse, ErrorBody> {
        let (wire, response) = self.call(method, path, request, body).await?;
        let (head, body) = response.into_parts();
        let content_type = head.headers.get(header::CONTENT_TYPE).cloned();
        let retry = head.headers.get(header::RETRY_AFTER).cloned();
        Ok(RawResponse {
            status: head.status,
            content_type,
            retry,
            wire,
            body,
        })
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        request: &str,
        body: Bytes,
    ) -> Result<(Wire, Response<Incoming>), ErrorBody> {
        let request = self.request(method, path, request, body);
        let dial = self.dialer.dial(&self.base);
        let mut connection = match tokio::time::timeout(self.timeouts.connect, dial).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                tracing::debug!(%error, endpoint = self.authority(), "chat: no connection to the proxy");
                return Err(unreachable("the proxy does not answer"));
            }
            Err(_) => return Err(late("the proxy does not accept the connection in time")),
        };
        let sent = connection.send(request);
        match tokio::time::timeout(self.timeouts.first_byte, sent).await {
            Ok(Ok(response)) => Ok((connection.into_wire(), response)),
            Ok(Err(error)) => {
                tracing::debug!(%error, endpoint = self.authority(), "chat: the proxy closed the connection before it responded");
                Err(unreachable(
                    "the proxy closed the connection before it responded",
                ))
            }
            Err(_) => Err(late("the proxy did not respond in time")),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        request: &str,
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        let has_body = !body.is_empty();
        let mut built = Request::new(Full::new(body));
        *built.method_mut() = method;
        let target = format!("{}{path}", self.base.path);
        // The base was parsed, and our paths are plain; ids that do not fit into a path were refused before.
        *built.uri_mut() = target.parse().unwrap_or_default();
        let headers = built.headers_mut();
        let mut put = |name: header::HeaderName, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        put(header::HOST, self.base.authority.as_str());
        put(
            header::USER_AGENT,
            concat!("sluicegate-chat/", env!("CARGO_PKG_VERSION")),
        );
        put(header::HeaderName::from_static("x-request-id"), request);
        put(
            header::HeaderName::from_static("traceparent"),
            &traceparent(request),
        );
        if has_body {
            put(header::CONTENT_TYPE, "application/json");
            put(header::ACCEPT, "text/event-stream, application/json");
        }
        if let Some(key) = &self.key {
            headers.insert(header::AUTHORIZATION, key.clone());
        }
        built
    }
}

/// A streamed completion. Dropping it closes the connection.
pub(crate) struct Completion {
    wire: Wire,
    body: Incoming,
    idle: Duration,
    events: Events,
    reader: reader::Reader,
}

impl Completion {
    fn new(wire: Wire, body: Incoming, idle: Duration, prefix: bool) -> Self {
        Self {
            wire,
            body,
            idle,
            events: Events::default(),
            reader: reader::Reader::new(prefix),
        }
    }

    /// The next item; `None` after the regular end.
    ///
    /// # Errors
    /// The stream broke off, stalled, or contained an error. There is nothing more to read then.
    ///
    /// # Cancel safety
    /// Nothing is lost when this is dropped between two items.
    pub(crate) async fn next(&mut self) -> Result<Option<Item>, ErrorBody> {
        loop {
            if let Some(item) = self.reader.take() {
                return item.map(Some);
            }
            if let Some(data) = self.events.next() {
                self.reader.read(&data);
                continue;
            }
            if self.reader.done() {
                return Ok(None);
            }
            match tokio::time::timeout(self.idle, self.wire.with(self.body.frame())).await {
                Err(_) => self
                    .reader
                    .cut(late("the answer stalled").layer(Layer::Model)),
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data()
                        && self.events.push(bytes).is_err()
                    {
                        let message = "the proxy sent an event that is too long";
                        let error = ErrorBody::new(Code::UpstreamInvalid, message);
                        self.reader.cut(error.layer(Layer::Proxy));
                    }
                }
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "chat: the stream from the proxy broke off");
                    self.reader.cut(truncated());
                }
                Ok(None) => self.reader.end(truncated()),
            }
        }
    }
}

/// A response that is passed on unchanged.
pub(crate) struct RawResponse {
    /// HTTP status.
    pub status: hyper::StatusCode,
    /// As the proxy sent it.
    pub content_type: Option<HeaderValue>,
    /// As the proxy sent it.
    pub retry: Option<HeaderValue>,
    wire: Wire,
    body: Incoming,
}

impl RawResponse {
    /// The next bytes; `None` after the end, an error if the response broke off.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            match self.wire.with(self.body.frame()).await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

async fn whole(wire: &mut Wire, mut body: Incoming, most: usize) -> Result<Bytes, ErrorBody> {
    let mut collected = Vec::new();
    while let Some(frame) = wire.with(body.frame()).await {
        let frame = frame.map_err(|_| truncated())?;
        if let Some(data) = frame.data_ref() {
            collected.extend_from_slice(&data[..data.len().min(most - collected.len())]);
        }
        if collected.len() >= most {
            break;
        }
    }
    Ok(collected.into())
}

fn unreachable(message: &str) -> ErrorBody {
    ErrorBody::new(Code::UpstreamUnreachable, message).layer(Layer::Proxy)
}

fn late(message: &str) -> ErrorBody {
    ErrorBody::new(Code::UpstreamTimeout, message).layer(Layer::Proxy)
}

fn truncated() -> ErrorBody {
    ErrorBody::new(Code::StreamTruncated, "the answer broke off").layer(Layer::Proxy)
}

/// A W3C trace context whose ids come from the request id, so that the two can be matched.
fn traceparent(request: &str) -> String {
    let digest = id::digest(request);
    format!(
        "00-{}-{}-01",
        id::hex(&digest[..16]),
        id::hex(&digest[16..24])
    )
}

#[cfg(test)]
mod properties;
