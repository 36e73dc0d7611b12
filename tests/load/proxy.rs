//! The baseline: a bare reverse proxy on hyper. The additional cost of Sluicegate is that of its stages.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self as client, SendRequest};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// The first argument that makes this program a proxy; the addresses to listen on and to ask follow.
pub(crate) const COMMAND: &str = "proxy";

type Sender = SendRequest<Incoming>;
type Pool = Rc<RefCell<Vec<Sender>>>;

/// Serves until it is killed.
///
/// # Errors
/// If the address cannot be listened on.
pub(crate) async fn run(listen: SocketAddr, upstream: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let pool = Pool::default();
    LocalSet::new()
        .run_until(async move {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let pool = pool.clone();
                let service = service_fn(move |request| pass(request, upstream, pool.clone()));
                let connection =
                    server::Builder::new().serve_connection(TokioIo::new(stream), service);
                spawn_local(async move {
                    // A client may hang up at any time.
                    let _ = connection.await;
                });
            }
        })
        .await
}

async fn pass(
    mut request: Request<Incoming>,
    upstream: SocketAddr,
    pool: Pool,
) -> anyhow::Result<Response<Passing>> {
    let authority = HeaderValue::from_str(&upstream.to_string())?;
    request.headers_mut().insert(header::HOST, authority);
    request.headers_mut().remove(header::CONNECTION);
    let kept = pool.borrow_mut().pop().filter(|sender| sender.is_ready());
    let mut sender = match kept {
        Some(sender) => sender,
        None => connect(upstream).await?,
    };
    let mut response = sender.send_request(request).await?;
    response.headers_mut().remove(header::CONNECTION);
    Ok(response.map(|incoming| Passing {
        incoming,
        sender: Some(sender),
        pool,
    }))
}

async fn connect(upstream: SocketAddr) -> anyhow::Result<Sender> {
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
    spawn_local(async move {
        // What goes wrong shows in the response.
        let _ = connection.await;
    });
    Ok(sender)
}

/// A response's body, which gives its connection back at the end.
struct Passing {
    incoming: Incoming,
    sender: Option<Sender>,
    pool: Pool,
}

impl Body for Passing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.incoming).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // A connection in the middle of a response is not ready when it is taken, and then closed.
        if let Some(sender) = self.sender.take() {
            self.pool.borrow_mut().push(sender);
        }
    }
}
