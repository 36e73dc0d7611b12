//! One connection per call, TCP or TLS, driven by whoever waits for its response.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::settings::BaseUrl;

/// Opens connections.
#[derive(Clone)]
pub(crate) struct Dialer {
    /// Only if an endpoint is `https`.
    tls: Option<TlsConnector>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No TCP connection, or TLS failed.
    #[error("cannot connect")]
    Connect(#[from] io::Error),
    /// The other side does not speak HTTP.
    #[error("no HTTP connection")]
    Http(#[from] hyper::Error),
    /// The host is not a name that a certificate can have.
    #[error("not a host name for TLS")]
    Name,
}

/// A socket of either kind.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

impl Dialer {
    /// A dialer; reads the system's root certificates if TLS is needed.
    pub(crate) fn new(tls: bool) -> Self {
        if !tls {
            return Self { tls: None };
        }
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "chat: some root certificates cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            tls: Some(TlsConnector::from(Arc::new(config))),
        }
    }

    /// Connects.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened.
    pub(super) async fn dial(&self, base: &BaseUrl) -> Result<Connection, Error> {
        let tcp = TcpStream::connect((base.host(), base.port())).await?;
        tcp.set_nodelay(true)?;
        let socket: Box<dyn Socket> = match &self.tls {
            Some(tls) if base.https => {
                let name = ServerName::try_from(base.host().to_owned()).map_err(|_| Error::Name)?;
                Box::new(tls.connect(name, tcp).await?)
            }
            Some(_) | None if base.https => return Err(Error::Name),
            Some(_) | None => Box::new(tcp),
        };
        let (sender, connection) = http1::Builder::new()
            // A stream of small events needs no large buffer; hyper would grow it to 400 KiB.
            .max_buf_size(64 * 1024)
            .handshake(TokioIo::new(socket))
            .await?;
        Ok(Connection {
            sender,
            wire: Wire {
                driver: Some(Box::pin(connection)),
            },
        })
    }
}

/// A connection that is ready for its one request.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    wire: Wire,
}

impl Connection {
    /// Sends the request and waits for the head of the response.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Error> {
        let sent = self.sender.send_request(request);
        Ok(self.wire.with(sent).await?)
    }

    /// Gives up the right to send, so that the connection ends with its response.
    pub(super) fn into_wire(self) -> Wire {
        self.wire
    }
}

/// What moves the bytes of one connection.
type Driver = http1::Connection<TokioIo<Box<dyn Socket>>, Full<Bytes>>;

/// The socket with its protocol state. Dropping it closes the socket.
pub(super) struct Wire {
    driver: Option<Pin<Box<Driver>>>,
}

impl Wire {
    /// Waits for something that arrives on this socket, and moves the socket's bytes meanwhile.
    pub(super) async fn with<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        let mut wanted = std::pin::pin!(wanted);
        std::future::poll_fn(|cx| {
            self.drive(cx);
            let ready = wanted.as_mut().poll(cx);
            if ready.is_pending() {
                // `wanted` may have made room for the socket just now.
                self.drive(cx);
            }
            ready
        })
        .await
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        let ended = match &mut self.driver {
            Some(driver) => matches!(driver.as_mut().poll(cx), Poll::Ready(_)),
            None => false,
        };
        if ended {
            // The body or the head that somebody waits for tells how it ended.
            self.driver = None;
        }
    }
}
