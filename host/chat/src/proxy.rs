//! The gateway's only way down: HTTP to the proxy, as any client would do it.
//!
//! Each call has a connection of its own, which lives inside the future that uses it. Dropping that future closes the socket
//! at once, with nothing left to do in the background: that is how a stopped run stops the model. Redirects are never followed,
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

/// An answer that is not a stream is read up to here; errors and lists of models are far smaller.
const BODY: usize = 1 << 20;

/// The proxy, or its admin interface.
#[derive(Clone)]
pub(crate) struct Client {
    base: BaseUrl,
    key: Option<HeaderValue>,
    dialer: Dialer,
    timeouts: Timeouts,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Whole {
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
    /// `UPSTREAM_UNREACHABLE` or `UPSTREAM_TIMEOUT`, layer proxy. Any status is an answer.
    pub(crate) async fn get(&self, path: &str, limit: Duration) -> Result<Whole, ErrorBody> {
        let started = Instant::now();
        let call = async {
            let (mut wire, response) = self
                .call(Method::GET, path, &request_id::new(), Bytes::new())
                .await?;
            let status = response.status().as_u16();
            let body = whole(&mut wire, response.into_body(), BODY).await?;
            Ok(Whole {
                status,
                body,
                took: started.elapsed(),
            })
        };
        tokio::time::timeout(limit, call)
            .await
            .unwrap_or_else(|_| Err(late("the proxy did not answer in time")))
    }

    /// Asks for an answer as a stream.
    ///
    /// # Shape
    /// `body` is the JSON of an OpenAI chat request with `stream: true`. `prefix` says that the answer goes on from one that was cut.
    ///
    /// # Errors
    /// What the proxy answered, or that it did not, as the page shows it.
    ///
    /// # Cancel safety
    /// Dropping the future or the answer closes the connection.
    pub(crate) async fn chat(
        &self,
        body: Bytes,
        request: &str,
        prefix: bool,
    ) -> Result<Answer, ErrorBody> {
        let (wire, response) = self.call(Method::POST, CHAT, request, body).await?;
        let status = response.status();
        let retry = failure::retry_after(response.headers());
        let is_stream = failure::content_type(response.headers()) == "text/event-stream";
        let mut answer = Answer::new(wire, response.into_body(), self.timeouts.idle, prefix);
        if !status.is_success() {
            let text = whole(&mut answer.wire, answer.body, BODY)
                .await
                .unwrap_or_default();
            return Err(failure::of_status(status.as_u16(), &text, retry).request(request));
        }
        if !is_stream {
            let message = "the proxy answered with something that is not an event stream";
            return Err(ErrorBody::new(Code::UpstreamInvalid, message)
                .layer(Layer::Proxy)
                .request(request));
        }
        Ok(answer)
    }

    /// Passes a request of a program on, with its answer as it comes.
    ///
    /// # Errors
    /// That the proxy does not answer.
    pub(crate) async fn pass(
        &self,
        method: Method,
        path: &str,
        request: &str,
        body: Bytes,
    ) -> Result<Raw, ErrorBody> {
        let (wire, response) = self.call(method, path, request, body).await?;
        let (head, body) = response.into_parts();
        let content_type = head.headers.get(header::CONTENT_TYPE).cloned();
        let retry = head.headers.get(header::RETRY_AFTER).cloned();
        Ok(Raw {
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
            Err(_) => return Err(late("the proxy accepts no connection")),
        };
        let sent = connection.send(request);
        match tokio::time::timeout(self.timeouts.first_byte, sent).await {
            Ok(Ok(response)) => Ok((connection.into_wire(), response)),
            Ok(Err(error)) => {
                tracing::debug!(%error, endpoint = self.authority(), "chat: the proxy broke the connection");
                Err(unreachable(
                    "the proxy broke the connection before it answered",
                ))
            }
            Err(_) => Err(late("the proxy sent no answer in time")),
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
        // The base was parsed and our paths are plain; a request id that is no path was refused before.
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

/// A streamed answer. Dropping it closes the connection.
pub(crate) struct Answer {
    wire: Wire,
    body: Incoming,
    idle: Duration,
    events: Events,
    reader: reader::Reader,
}

impl Answer {
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
    /// The stream broke off, stalled, or brought an error. There is nothing more to read then.
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
                        let message = "the proxy sent an event without end";
                        let error = ErrorBody::new(Code::UpstreamInvalid, message);
                        self.reader.cut(error.layer(Layer::Proxy));
                    }
                }
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "chat: the stream from the proxy broke");
                    self.reader.cut(truncated());
                }
                Ok(None) => self.reader.end(truncated()),
            }
        }
    }
}

/// An answer that is passed on untouched.
pub(crate) struct Raw {
    /// HTTP status.
    pub status: hyper::StatusCode,
    /// As the proxy said.
    pub content_type: Option<HeaderValue>,
    /// As the proxy said.
    pub retry: Option<HeaderValue>,
    wire: Wire,
    body: Incoming,
}

impl Raw {
    /// The next bytes; `None` after the end, an error when it broke off.
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
