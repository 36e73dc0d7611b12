//! A client that sends exactly the bytes it is given.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::http::{Chunk, Fields, Length, Source};
use crate::within;

/// A connection. Dropping it closes it.
#[derive(Debug)]
pub struct Raw {
    source: Source<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

/// A response as it was on the wire.
#[derive(Debug)]
pub struct RawResponse {
    /// The HTTP status.
    pub status: u16,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// In order.
    pub fields: Fields,
    /// Without its framing.
    pub body: Vec<u8>,
    /// Whether the body came to the end that its framing promised.
    pub complete: bool,
    length: Length,
}

impl Raw {
    /// Connects.
    ///
    /// # Panics
    /// If nobody listens.
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = within("a connection", TcpStream::connect(address))
            .await
            .expect("the server listens");
        let _ = socket.set_nodelay(true);
        let (read, write) = socket.into_split();
        Self {
            source: Source::new(read),
            write,
        }
    }

    /// Sends these bytes. It is not an error if the other side does not read them any more.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = within("room for bytes", self.write.write_all(bytes.as_ref())).await;
    }

    /// Sends a request with a JSON body, in the ordinary way.
    pub async fn post(&mut self, path: &str, body: &Value) {
        let body = body.to_string();
        let length = body.len();
        self.send(format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await;
    }

    /// Reads one response, whole. Interim responses (1xx) are given as they come, as responses of their own.
    ///
    /// # Panics
    /// If there is none within the deadline, or it is not HTTP; see [`Raw::closed`] for where there should be none.
    pub async fn response(&mut self) -> RawResponse {
        self.response_to("GET").await
    }

    /// Like [`Raw::response`], to a request of this method: a response to `HEAD` has no body.
    pub async fn response_to(&mut self, method: &str) -> RawResponse {
        let mut response = self.head(method).await;
        let body = within("a body", self.source.body(response.length)).await;
        (response.body, response.complete) = body.expect("a legal body");
        response
    }

    /// Reads the head of a response; its body follows by [`Raw::chunk`].
    ///
    /// # Panics
    /// As [`Raw::response`].
    pub async fn head(&mut self, method: &str) -> RawResponse {
        let head = within("a response", self.source.head()).await;
        let head = head
            .expect("a legal head")
            .expect("a response before the end of the connection");
        RawResponse {
            status: head.start[1].parse().expect("a status"),
            version: head.start[0].clone(),
            length: head.response_length(method).expect("a legal length"),
            fields: head.fields,
            body: Vec::new(),
            complete: false,
        }
    }

    /// The next chunk of the body of `response`, which collects it; `None` at its end.
    ///
    /// # Panics
    /// If nothing comes within the deadline.
    pub async fn chunk(&mut self, response: &mut RawResponse) -> Option<Vec<u8>> {
        let chunk = self.source.chunk(response.length, response.body.len());
        match within("a chunk of the body", chunk)
            .await
            .expect("a legal body")
        {
            Chunk::Data(data) => {
                response.body.extend_from_slice(&data);
                Some(data)
            }
            Chunk::End => {
                response.complete = true;
                None
            }
            Chunk::Cut(data) => {
                response.body.extend_from_slice(&data);
                None
            }
        }
    }

    /// Waits until the other side has closed the connection; returns when.
    ///
    /// # Panics
    /// If it does not within the deadline.
    pub async fn closed(&mut self) -> Instant {
        within("the end of the connection", self.source.gone()).await;
        Instant::now()
    }

    /// Closes the connection in order; returns when.
    pub fn hang_up(self) -> Instant {
        Instant::now()
    }

    /// Breaks the connection (TCP reset); returns when.
    pub fn reset(self) -> Instant {
        // Without it closing is orderly; a failure would show in the test that wants a reset.
        let _ = self.write.as_ref().set_zero_linger();
        // If it were dropped, the end of the stream would be signalled first.
        self.write.forget();
        Instant::now()
    }
}

impl RawResponse {
    /// The value of the first field of this name, or "".
    pub fn header(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

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
}
