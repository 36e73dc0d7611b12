//! How long connections stay open.

use super::*;
use arc_swap::ArcSwap;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// A server that answers everything, with these limits.
async fn serving(limits: config::Limits) -> (SocketAddr, Connections) {
    let listener = config::Listener::at(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = Listener::open(&listener).await.expect("a free port");
    let handler = |_, _| async { Response::new(Full::new(Bytes::from_static(b"ok"))) };
    start(listener, limits, handler)
}

fn start<H, F>(listener: Listener, limits: config::Limits, handler: H) -> (SocketAddr, Connections)
where
    H: Fn(Peer, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let address = listener.address();
    let connections = Connections {
        permits: Arc::new(Semaphore::new(limits.connections)),
        limits: Arc::new(ArcSwap::from_pointee(limits)),
        idle: None,
        tasks: TaskTracker::new(),
        drain: CancellationToken::new(),
        cut: CancellationToken::new(),
    };
    let accepting = accept(listener, connections.clone(), handler);
    connections.tasks.spawn(accepting);
    (address, connections)
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_stays_as_long_as_is_configured() {
    let (address, connections) = serving(config::Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let began = Instant::now();
    let mut buffer = [0; 1024];
    assert_eq!(stream.read(&mut buffer).await.ok(), Some(0));
    assert_eq!(began.elapsed().as_secs(), 75, "before the first request");
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .expect("it reads");
    assert!(stream.read(&mut buffer).await.is_ok_and(|read| read > 0));
    let began = Instant::now();
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    assert_eq!(began.elapsed().as_secs(), 75, "between two requests");
    connections.cut.cancel();
}

/// Upgrades every request, and echoes each byte.
async fn echo(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = TokioIo::new(upgraded.await.expect("upgraded"));
        while let Ok(byte) = io.read_u8().await {
            io.write_u8(byte).await.expect("it reads");
            io.flush().await.expect("it reads");
        }
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert("connection", "upgrade".parse().expect("a value"));
    fields.insert("upgrade", "echo".parse().expect("a value"));
    response
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_may_be_silent_and_slow() {
    let listener = config::Listener::at(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = Listener::open(&listener).await.expect("a free port");
    let (address, connections) = start(
        listener.with_upgrades(),
        config::Limits::default(),
        |_, request| echo(request),
    );
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let head = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(head).await.expect("it reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    for byte in [1, 2] {
        tokio::time::sleep(Duration::from_secs(600)).await;
        stream.write_u8(byte).await.expect("it reads");
        assert_eq!(stream.read_u8().await.ok(), Some(byte));
    }
    connections.cut.cancel();
}
