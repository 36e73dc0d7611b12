//! One connection, which whoever waits for a response drives.

use std::future::Future as _;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::RESPONSE_MAX;

/// The most bytes of a response's head, as in `wit/capabilities.wit`.
const HEAD_MAX: usize = 64 << 10;

/// The most fields of it.
const FIELDS_MAX: usize = 256;

/// A connection, with or without TLS.
pub(crate) type Stream = Either<TcpStream, TlsStream<TcpStream>>;

type Io = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

/// Why there is no response.
pub(crate) enum Failed {
    /// The other side had closed the connection before the request was sent.
    Closed(Box<Request<Full<Bytes>>>),
    /// The response is too large.
    TooLarge,
    /// What the connection says.
    Broken(hyper::Error),
}

impl From<hyper::Error> for Failed {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse_too_large() {
            Self::TooLarge
        } else {
            Self::Broken(error)
        }
    }
}

/// A connection.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes; `None` once it has ended.
    io: Option<Pin<Box<Io>>>,
}

impl Connection {
    /// Speaks HTTP/1.1 on a stream.
    pub(crate) async fn open(stream: Stream) -> Result<Self, hyper::Error> {
        let (sender, io) = http1::Builder::new()
            .max_buf_size(HEAD_MAX)
            .max_headers(FIELDS_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self {
            sender,
            io: Some(Box::pin(io)),
        })
    }

    /// Sends a request and takes the whole response.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, Failed> {
        let Self { sender, io } = self;
        let mut response = pin!(async {
            let sent = sender.try_send_request(request).await;
            let response = sent.map_err(|mut error| match error.take_message() {
                Some(request) => Failed::Closed(Box::new(request)),
                None => error.into_error().into(),
            })?;
            collect(response).await
        });
        poll_fn(|cx| {
            if let Poll::Ready(response) = response.as_mut().poll(cx) {
                return Poll::Ready(response);
            }
            poll_io(io, cx);
            // What the connection has read may complete the response.
            response.as_mut().poll(cx)
        })
        .await
    }

    /// Whether another request can be sent.
    pub(crate) fn is_usable(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        poll_io(&mut self.io, &mut cx);
        self.io.is_some() && self.sender.is_ready()
    }
}

fn poll_io(io: &mut Option<Pin<Box<Io>>>, cx: &mut Context<'_>) {
    let ended = io.as_mut().map(|io| io.as_mut().poll(cx).is_ready());
    // How it ended is known to whoever waits for the response.
    if ended == Some(true) {
        *io = None;
    }
}

async fn collect(response: Response<Incoming>) -> Result<Response<Bytes>, Failed> {
    let (head, mut body) = response.into_parts();
    let fields = head.headers.iter();
    let fields: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    // The buffer's limit lets pass a longer head that came in one go.
    if fields > HEAD_MAX || body.size_hint().lower() > RESPONSE_MAX as u64 {
        return Err(Failed::TooLarge);
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > RESPONSE_MAX {
            return Err(Failed::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Response::from_parts(head, bytes.freeze()))
}
