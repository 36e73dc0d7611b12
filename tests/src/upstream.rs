//! A model server that does exactly what a test says, and remembers everything.
//!
//! It speaks HTTP/1.1 over plain sockets, so that a script decides about every byte and every flush, and can do what no
//! decent server does: break off in the middle of a chunk, never answer, answer garbage.

mod connection;
mod script;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use script::{Barrier, Script, ollama};

use crate::http::Fields;
use crate::within;

/// Decides how a request is answered.
type Handler = Box<dyn Fn(&Request) -> Script + Send + Sync>;

/// A scripted model server on a port of its own. Dropping it closes the port and all connections.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// A request that the server has received whole, or as far as [`Upstream::eager`] reads.
#[derive(Debug)]
pub struct Request {
    /// As on the wire.
    pub method: String,
    /// Path and query, as on the wire.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// In order.
    pub fields: Fields,
    /// Without its framing.
    pub body: Vec<u8>,
    /// Which connection it came on, counted from 0: equal numbers show that a connection was used again.
    pub connection: usize,
    /// When its last byte was read.
    pub received: Instant,
    state: watch::Sender<State>,
}

/// How far the response to a request is.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// When the script had been played to its end.
    answered: Option<Instant>,
    /// When the other side closed the connection.
    gone: Option<Instant>,
}

struct Shared {
    handler: Handler,
    /// Whether requests are answered before their bodies are read.
    eager: bool,
    requests: Mutex<Vec<Arc<Request>>>,
    /// How many requests there are; wakes those who wait for the next one.
    count: watch::Sender<usize>,
    /// How many of them `next_request` has given out.
    taken: AtomicUsize,
    connections: AtomicUsize,
    healthy: AtomicBool,
    health_is_scripted: AtomicBool,
    health_checks: AtomicUsize,
}

impl Upstream {
    /// Starts a server that asks `handler` how to answer each request.
    ///
    /// # Panics
    /// If the system has no port left.
    pub async fn start(handler: impl Fn(&Request) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port on loopback");
        Self::start_on(listener, handler)
    }

    /// As [`Upstream::start`], for a server that answers as soon as it has a request's head: what it remembers has no body, and
    /// the body is read, and thrown away, only when the script has been played to an end that keeps the connection.
    ///
    /// # Panics
    /// If the system has no port left.
    pub async fn eager(handler: impl Fn(&Request) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port on loopback");
        Self::serve(listener, handler, true)
    }

    /// As [`Upstream::start`], on a port that the test holds already; see [`closed_port`].
    ///
    /// # Panics
    /// If the listener has no address.
    pub fn start_on(
        listener: TcpListener,
        handler: impl Fn(&Request) -> Script + Send + Sync + 'static,
    ) -> Self {
        Self::serve(listener, handler, false)
    }

    fn serve(
        listener: TcpListener,
        handler: impl Fn(&Request) -> Script + Send + Sync + 'static,
        eager: bool,
    ) -> Self {
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            eager,
            requests: Mutex::default(),
            count: watch::Sender::new(0),
            taken: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            healthy: AtomicBool::new(true),
            health_is_scripted: AtomicBool::new(false),
            health_checks: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(connection::accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            _tasks: tasks,
        }
    }

    /// Starts a server that answers every request in the same way.
    pub async fn always(script: Script) -> Self {
        Self::start(move |_| script.clone()).await
    }

    /// Starts a server that plays one script after another; the last one for all further requests.
    ///
    /// # Panics
    /// Without any script.
    pub async fn sequence(scripts: Vec<Script>) -> Self {
        assert!(!scripts.is_empty(), "a sequence needs a script");
        let next = AtomicUsize::new(0);
        Self::start(move |_| {
            let at = next.fetch_add(1, Ordering::Relaxed).min(scripts.len() - 1);
            scripts[at].clone()
        })
        .await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as a configuration names it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, in the order in which they were complete; health checks are not among them.
    pub fn requests(&self) -> Vec<Arc<Request>> {
        self.shared.requests().clone()
    }

    /// The next request that this method has not given before.
    ///
    /// # Panics
    /// If there is none within the deadline.
    pub async fn next_request(&self) -> Arc<Request> {
        let at = self.shared.taken.fetch_add(1, Ordering::Relaxed);
        let mut count = self.shared.count.subscribe();
        let come = count.wait_for(|count| *count > at);
        within("the next request to the model server", come)
            .await
            .expect("the sender lives as long as the server");
        Arc::clone(&self.shared.requests()[at])
    }

    /// How many connections have been accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Lets health checks (`GET` or `HEAD` of `/api/version` and `/health`) fail with 503, or succeed again.
    pub fn set_healthy(&self, healthy: bool) {
        self.shared.healthy.store(healthy, Ordering::Relaxed);
    }

    /// Passes health checks, and the requests that come with them, to the handler, like any other request.
    pub fn script_health(&self) {
        self.shared
            .health_is_scripted
            .store(true, Ordering::Relaxed);
    }

    /// How many health checks there were.
    pub fn health_checks(&self) -> usize {
        self.shared.health_checks.load(Ordering::Relaxed)
    }
}

/// A port that refuses connections until the test listens on it, and that nobody else can take meanwhile.
///
/// # Panics
/// If the system has no port left.
pub fn closed_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .expect("a free port on loopback");
    let address = socket.local_addr().expect("a bound socket has an address");
    (socket, address)
}

impl Request {
    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The value of the first field of this name, in any letter case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!(
                "{} {} has no JSON body ({error}): {:?}",
                self.method,
                self.target,
                String::from_utf8_lossy(&self.body)
            ),
        }
    }

    /// When the other side closed the connection, before or after the end of the response.
    ///
    /// # Panics
    /// If it does not within the deadline, or if the script itself closes the connection.
    pub async fn disconnected(&self) -> Instant {
        let mut state = self.state.subscribe();
        let gone = state.wait_for(|state| state.gone.is_some());
        let state = *within("the end of the connection to the model server", gone)
            .await
            .expect("the sender is in self");
        state.gone.expect("waited for")
    }

    /// When the script had been played to its end.
    ///
    /// # Panics
    /// If it is not within the deadline.
    pub async fn answered(&self) -> Instant {
        let mut state = self.state.subscribe();
        let answered = state.wait_for(|state| state.answered.is_some());
        let state = *within("the end of the model server's response", answered)
            .await
            .expect("the sender is in self");
        state.answered.expect("waited for")
    }

    /// Whether the other side has closed the connection before the response was complete.
    pub fn was_abandoned(&self) -> bool {
        let state = *self.state.borrow();
        state.gone.is_some() && state.answered.is_none()
    }

    fn note_answered(&self) {
        self.state
            .send_modify(|state| state.answered = Some(Instant::now()));
    }

    fn note_gone(&self) {
        let now = Instant::now();
        self.state
            .send_modify(|state| state.gone = state.gone.or(Some(now)));
    }
}

impl Shared {
    fn requests(&self) -> MutexGuard<'_, Vec<Arc<Request>>> {
        self.requests
            .lock()
            .expect("no code panics while it holds this lock")
    }

    fn record(&self, request: Request) -> Arc<Request> {
        let request = Arc::new(request);
        let mut requests = self.requests();
        requests.push(Arc::clone(&request));
        let count = requests.len();
        drop(requests);
        self.count.send_replace(count);
        request
    }

    /// The response to a health check and what comes with it; `None` for any other request.
    fn health(&self, method: &str, target: &str) -> Option<Script> {
        if self.health_is_scripted.load(Ordering::Relaxed) {
            return None;
        }
        // The gateway's other requests to a server that is up.
        if (method, target) == ("GET", "/api/ps") {
            return Some(Script::json(200, &serde_json::json!({"models": []})));
        }
        let asks = matches!(method, "GET" | "HEAD") && matches!(target, "/api/version" | "/health");
        asks.then(|| {
            self.health_checks.fetch_add(1, Ordering::Relaxed);
            let healthy = self.healthy.load(Ordering::Relaxed);
            let version = serde_json::json!({"version": "0.0.0-test"});
            Script::json(if healthy { 200 } else { 503 }, &version)
        })
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
