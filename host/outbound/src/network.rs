//! The network: connections to origins, some of them kept for the next request.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response};
use sluicegate_config::{HttpGrant, Origin};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_util::either::Either;

use super::connection::{Connection, Failed, Stream};
use super::{Answer, Client, Error, Outbound, tls};

/// Connections to one origin that are kept. Arbitrary: enough for a gate under load whose requests take little.
const KEPT: usize = 8;

/// How long a connection is kept without a request. Less than servers wait.
const KEPT_FOR: Duration = Duration::from_secs(20);

/// Names that are looked up at the same time, for all plugins. A lookup takes a thread of the system's resolver until it ends,
/// even if nobody waits for it any more; other work needs such threads, too. Arbitrary; a lookup takes milliseconds.
const LOOKUPS: usize = 16;

static LOOKING_UP: Semaphore = Semaphore::const_new(LOOKUPS);

/// The addresses of an origin.
async fn look_up(origin: &Origin) -> io::Result<Vec<SocketAddr>> {
    let permit = LOOKING_UP.acquire().await.map_err(io::Error::other)?;
    let (host, port) = (origin.host.to_string(), origin.port);
    // The permit is held until the lookup has ended.
    let lookup = spawn_blocking(move || {
        let _permit = permit;
        let found = (&*host, port).to_socket_addrs()?;
        Ok(found.collect())
    });
    lookup.await.map_err(io::Error::other)?
}

/// Sends requests over the network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network;

impl Outbound for Network {
    fn client(&self, grant: &HttpGrant) -> Arc<dyn Client> {
        Arc::new(NetworkClient {
            grant: grant.clone(),
            kept: Mutex::default(),
        })
    }
}

/// Sends the requests of one plugin. Its connections are its own: another plugin may not be allowed to have them.
struct NetworkClient {
    grant: HttpGrant,
    kept: Mutex<HashMap<Origin, Vec<(Instant, Connection)>>>,
}

impl fmt::Debug for NetworkClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkClient")
            .field("grant", &self.grant)
            .finish_non_exhaustive()
    }
}

impl Client for NetworkClient {
    fn send(&self, origin: Origin, request: Request<Bytes>) -> Answer<'_> {
        Box::pin(self.exchange(origin, request))
    }
}

impl NetworkClient {
    async fn exchange(
        &self,
        origin: Origin,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Error> {
        if !self.grant.allows(&origin) {
            return Err(Error::Origin(origin));
        }
        let mut request = request.map(Full::new);
        request.headers_mut().insert(HOST, host(&origin));
        while let Some(connection) = self.reuse(&origin) {
            match self.send_on(connection, &origin, request).await {
                // It was not sent, so it may be sent on another one.
                Err(Failed::Closed(unsent)) => request = *unsent,
                other => return other.map_err(|failed| explain(failed, origin)),
            }
        }
        let connection = self.connect(&origin).await?;
        let sent = self.send_on(connection, &origin, request).await;
        sent.map_err(|failed| explain(failed, origin))
    }

    async fn send_on(
        &self,
        mut connection: Connection,
        origin: &Origin,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, Failed> {
        let response = connection.send(request).await?;
        self.keep(origin, connection);
        Ok(response)
    }

    async fn connect(&self, origin: &Origin) -> Result<Connection, Error> {
        let no_connection = |source| Error::Connect {
            origin: origin.clone(),
            source,
        };
        let found = look_up(origin).await.map_err(no_connection)?;
        let allowed = |address: &&SocketAddr| self.grant.allows_address(origin, address.ip());
        let addresses: Vec<SocketAddr> = found.iter().filter(allowed).copied().collect();
        if addresses.is_empty() {
            let addresses: Vec<String> = found.iter().map(|it| it.ip().to_string()).collect();
            return Err(Error::Address {
                origin: origin.clone(),
                addresses: addresses.join(", "),
            });
        }
        let stream = open(origin, &addresses).await.map_err(no_connection)?;
        let opened = Connection::open(stream).await;
        opened.map_err(|error| no_connection(io::Error::other(error)))
    }

    fn reuse(&self, origin: &Origin) -> Option<Connection> {
        let now = Instant::now();
        let mut kept = self.kept();
        let connections = kept.get_mut(origin)?;
        while let Some((since, mut connection)) = connections.pop() {
            if now < since + KEPT_FOR && connection.is_usable() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, origin: &Origin, mut connection: Connection) {
        if !connection.is_usable() {
            return;
        }
        let now = Instant::now();
        let mut kept = self.kept();
        let connections = kept.entry(origin.clone()).or_default();
        connections.retain(|(since, _)| now < *since + KEPT_FOR);
        if connections.len() < KEPT {
            connections.push((now, connection));
        }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Origin, Vec<(Instant, Connection)>>> {
        self.kept.lock().expect("no panic while the lock is held")
    }
}

/// A stream to the first of these addresses that accepts one.
async fn open(origin: &Origin, addresses: &[SocketAddr]) -> io::Result<Stream> {
    let stream = TcpStream::connect(addresses).await?;
    stream.set_nodelay(true)?;
    if origin.tls {
        Ok(Either::Right(tls::connect(origin, stream).await?))
    } else {
        Ok(Either::Left(stream))
    }
}

/// The field `host`: without the port that is the scheme's own.
fn host(origin: &Origin) -> HeaderValue {
    let Origin { tls, host, port } = origin;
    let usual = if *tls { 443 } else { 80 };
    let name = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.clone()
    };
    let text = if *port == usual {
        name
    } else {
        format!("{name}:{port}")
    };
    HeaderValue::try_from(text)
        .expect("an origin's host has only characters of names and addresses")
}

fn explain(failed: Failed, origin: Origin) -> Error {
    match failed {
        Failed::TooLarge => Error::TooLarge(origin),
        Failed::Closed(_) => Error::Broken {
            origin,
            reason: "the connection was closed at once".to_owned(),
        },
        Failed::Broken(error) => Error::Broken {
            origin,
            reason: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests;
