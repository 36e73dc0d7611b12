//! Clients: [`Client`] for ordinary requests, [`Raw`] where single bytes matter.

mod raw;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

pub use raw::{Raw, RawResponse};

use crate::sse::{self, Chat, Event};
use crate::within;

/// A client of one server. Each request has a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    source: Ipv4Addr,
    fields: Vec<(String, String)>,
    http2: bool,
}

/// A whole response.
#[derive(Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The header fields.
    pub fields: HeaderMap,
    /// The body, as far as it came.
    pub body: Bytes,
    /// Whether the body came to its proper end.
    pub complete: bool,
}

/// A response whose body is still coming. Dropping it closes the connection.
#[derive(Debug)]
pub struct Stream {
    /// The HTTP status.
    pub status: u16,
    /// The header fields.
    pub fields: HeaderMap,
    body: Incoming,
    parser: sse::Parser,
    ready: std::collections::VecDeque<Event>,
    end: Option<End>,
    connection: JoinSet<()>,
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As its framing promised.
    Proper,
    /// The connection, or the HTTP/2 stream, broke.
    Broken,
}

impl Client {
    /// A client that speaks HTTP/1.1.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            source: Ipv4Addr::LOCALHOST,
            fields: Vec::new(),
            http2: false,
        }
    }

    /// Where it connects to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same client, but it speaks HTTP/2 with prior knowledge, without TLS.
    #[must_use]
    pub fn over_http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// The same client, but its address is 127.0.0.`last`.
    #[must_use]
    pub fn at(mut self, last: u8) -> Self {
        self.source = Ipv4Addr::new(127, 0, 0, last);
        self
    }

    /// The same client, but it adds this field to every request.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends `GET` and reads the response.
    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path, Bytes::new()).await
    }

    /// Sends `POST` with a JSON body and reads the response.
    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path, body.to_string()).await
    }

    /// Sends a chat request and reads the response.
    pub async fn chat(&self, body: &Value) -> Response {
        self.post("/v1/chat/completions", body).await
    }

    /// Sends a chat request and leaves the response's body to the caller.
    pub async fn open_chat(&self, body: &Value) -> Stream {
        let path = "/v1/chat/completions";
        self.open(Method::POST, path, body.to_string()).await
    }

    /// Sends a request and reads the response.
    pub async fn request(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Response {
        self.open(method, path, body).await.rest().await
    }

    /// Sends a request and leaves the response's body to the caller. A request with a body is `application/json` unless a
    /// field says otherwise.
    ///
    /// # Panics
    /// If there is no connection, or no response within the deadline.
    pub async fn open(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Stream {
        let request = self.build(method, path, body.into());
        within("a response", self.send(request)).await
    }

    fn build(&self, method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let uri = if self.http2 {
            format!("http://{}{path}", self.address)
        } else {
            path.to_owned()
        };
        let mut fields = HeaderMap::new();
        if !self.http2 {
            let host = HeaderValue::from_str(&self.address.to_string());
            fields.insert("host", host.expect("an address is a legal host"));
        }
        if !body.is_empty() {
            fields.insert("content-type", HeaderValue::from_static("application/json"));
        }
        for (name, value) in &self.fields {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a legal field name");
            fields.insert(
                name,
                HeaderValue::from_str(value).expect("a legal field value"),
            );
        }
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .body(Full::new(body))
            .expect("a legal request");
        *request.headers_mut() = fields;
        request
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Stream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind((self.source, 0).into())
            .expect("a local address");
        let socket = socket.connect(self.address).await;
        let socket = socket.expect("the server listens");
        let _ = socket.set_nodelay(true);
        let mut connection = JoinSet::new();
        let response = if self.http2 {
            let (mut sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
                .await
                .expect("an HTTP/2 handshake");
            connection.spawn(async {
                // Its errors show in the response.
                let _ = driver.await;
            });
            sender.send_request(request).await
        } else {
            let (mut sender, driver) = http1::handshake(TokioIo::new(socket))
                .await
                .expect("a new connection takes a request");
            connection.spawn(async {
                let _ = driver.await;
            });
            sender.send_request(request).await
        };
        let (head, body) = response.expect("a response").into_parts();
        Stream {
            status: head.status.as_u16(),
            fields: head.headers,
            body,
            parser: sse::Parser::default(),
            ready: std::collections::VecDeque::new(),
            end: None,
            connection,
        }
    }
}

impl Response {
    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!(
                "status {}, not JSON ({error}): {:?}",
                self.status,
                self.text()
            ),
        }
    }

    /// The `error` object of the body, or `null`.
    pub fn error(&self) -> Value {
        self.json()["error"].clone()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a field, or "".
    pub fn header(&self, name: &str) -> &str {
        header(&self.fields, name)
    }

    /// The events of a streamed body.
    ///
    /// # Panics
    /// If it has what no chat stream may have.
    pub fn events(&self) -> Vec<Event> {
        sse::events(&self.body)
    }

    /// The result of all chunks of a streamed chat.
    ///
    /// # Panics
    /// As [`Response::events`], and if anything comes after `[DONE]`.
    pub fn streamed_chat(&self) -> Chat {
        Chat::of(&self.events())
    }
}

impl Stream {
    /// The value of a field, or "".
    pub fn header(&self, name: &str) -> &str {
        header(&self.fields, name)
    }

    /// The next bytes that arrive; `None` at the end.
    ///
    /// # Panics
    /// If nothing comes within the deadline.
    pub async fn bytes(&mut self) -> Option<Bytes> {
        loop {
            let frame = within("the next chunk of the response", self.body.frame()).await;
            match frame {
                None => {
                    self.end = Some(self.end.unwrap_or(End::Proper));
                    return None;
                }
                Some(Err(_)) => {
                    self.end = Some(End::Broken);
                    return None;
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(data);
                    }
                }
            }
        }
    }

    /// The next event; `None` at the end. Do not mix it with [`Stream::bytes`].
    ///
    /// # Panics
    /// If nothing comes within the deadline, or the stream has what no chat stream may have.
    pub async fn event(&mut self) -> Option<Event> {
        while self.ready.is_empty() {
            let bytes = self.bytes().await?;
            self.ready.extend(self.parser.push(&bytes));
            assert_eq!(self.parser.offences, Vec::<String>::new());
        }
        self.ready.pop_front()
    }

    /// Reads events until one has text, and gives it.
    ///
    /// # Panics
    /// As [`Stream::event`], and if the stream ends before.
    pub async fn text(&mut self) -> String {
        loop {
            let event = self.event().await.expect("text before the end");
            let chunk = event.json();
            match chunk["choices"][0]["delta"]["content"].as_str() {
                Some(text) if !text.is_empty() => return text.to_owned(),
                _ => {}
            }
        }
    }

    /// How the body ended; `None` as long as it has not.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The comments of the event stream so far, such as heartbeats.
    pub fn comments(&self) -> &[String] {
        &self.parser.comments
    }

    /// Reads to the end.
    pub async fn rest(mut self) -> Response {
        let mut body = Vec::new();
        while let Some(bytes) = self.bytes().await {
            body.extend_from_slice(&bytes);
        }
        Response {
            status: self.status,
            fields: self.fields,
            body: body.into(),
            complete: self.end == Some(End::Proper),
        }
    }

    /// Closes the connection in mid-response; returns when.
    pub async fn hang_up(self) -> Instant {
        let mut connection = self.connection;
        let at = Instant::now();
        connection.shutdown().await;
        at
    }
}

fn header<'a>(fields: &'a HeaderMap, name: &str) -> &'a str {
    fields
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
