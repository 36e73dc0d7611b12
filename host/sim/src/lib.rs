//! Simulated model servers, for people who want to try the gateway without a model server, and for tests.
//!
//! There are an Ollama, a vLLM and a TGI ([`Vendor`]). Each speaks its own API, with those of its habits that matter to a gateway,
//! and is never kinder than the real server. The answers are canned, in the language of the question (Chinese or English), and
//! say so themselves; they are the same from every vendor.
//!
//! Not simulated: Ollama's routes under `/v1` but embeddings, its model management and its CORS header fields, and acceptance of the machine's
//! own name as `Host`; vLLM's other APIs (`/v1/responses`, `/v1/messages`); images that a server fetches.
//!
//! What a user message can ask for by beginning with one of these words:
//!
//! | message | answer |
//! | --- | --- |
//! | `/help` | the list of these words |
//! | `/echo TEXT` | exactly `TEXT` |
//! | `/long N` | exactly `N` tokens, at most 100,000 |
//! | `/code`, `/markdown` | samples for a renderer |
//! | `/think` | a longer reasoning than usual, from the model that reasons |
//! | `/slow` | a slow model: 20 times the usual wait, then a tenth of the usual pace |
//! | `/error N` | the HTTP status `N` (400 to 599) with an error document |
//! | `/error html`, `/error empty` | a 502 with an HTML page; a 403 without a body |
//! | `/error mid` | an error in mid-stream |
//! | `/error abort` | the model's process is stopped in mid-stream |
//! | `/error call` | with tools: a call that breaks off in its arguments |
//! | `/error truncate` | the stream ends cleanly, but without its last part |
//! | `/error reset` | the connection breaks in mid-stream |
//! | `/error stall` | the stream stops for ever, the connection stays open |
//!
//! `answer` and the modules below it decide what a model says, without IO or clock. Each vendor has a module with its checks of a
//! request and its wire format.

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

mod answer;
mod body;
mod catalog;
mod command;
mod conversation;
mod events;
mod identity;
mod ollama;
mod openai;
mod pace;
mod probability;
mod sample;
#[cfg(test)]
mod testing;
mod text;
mod tgi;
mod tools;
mod vector;
mod vllm;

use body::Reply;
pub use pace::Pace;

/// What to try; the `demo` command prints it.
pub const HINTS: &str = "\
Models: demo, qwen3:32b (reasons before it answers; TGI has no other). Ask in English or Chinese, or send one of these messages:
  /help                      this list
  /echo TEXT                 exactly that text
  /long 500                  500 tokens
  /code  /markdown  /think   samples: code, Markdown, a longer reasoning (qwen3:32b)
  /slow                      a slow model
  /error 500                 an HTTP error, any status from 400 to 599
  /error html | empty        an HTML page, an empty 403
  /error mid | abort         an error, or a model that is stopped, in mid-stream
  /error truncate            a stream without its end
  /error reset | stall       a broken connection, or silence, in mid-stream
  /error call                with tools: a call that breaks off
With `tools`, mention a tool (\"what is the weather in Oslo?\"). With `response_format`, the answer is JSON.
";

/// How long a slow client may take to send a request head; arbitrary, generous.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause after a failed `accept`, to avoid a busy loop on a machine without free descriptors; arbitrary.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Whose API is simulated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Vendor {
    /// Ollama, by its native API.
    #[default]
    Ollama,
    /// vLLM, by OpenAI's API.
    Vllm,
    /// TGI, by its own API and the one that is like OpenAI's.
    Tgi,
}

impl Vendor {
    /// Serves this vendor's API on `listener`, without end, to everybody. As [`serve`] for Ollama.
    ///
    /// # Errors
    /// As [`serve`].
    ///
    /// # Cancel safety
    /// As [`serve`].
    pub async fn serve(self, listener: TcpListener, pace: Pace) -> io::Result<()> {
        self.serve_to(listener, pace, None).await
    }

    /// As [`Vendor::serve`], to those who have this key. Ollama has no keys and serves everybody.
    ///
    /// # Errors
    /// As [`serve`].
    ///
    /// # Cancel safety
    /// As [`serve`].
    pub async fn serve_to(
        self,
        listener: TcpListener,
        pace: Pace,
        key: Option<String>,
    ) -> io::Result<()> {
        let server = match self {
            Self::Ollama => return serve(listener, pace).await,
            Self::Vllm => Server::Vllm(vllm::Server::new(pace, key)),
            Self::Tgi => Server::Tgi(tgi::Server::new(pace, key)),
        };
        run(listener, server).await;
        Ok(())
    }
}

/// Faults of Ollama, for tests; none by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Each model has one slot, which is lost when every n-th client that leaves between two lines has left.
    pub leak_every: Option<NonZeroU32>,
}

/// What one server is.
#[derive(Debug)]
enum Server {
    Ollama(ollama::http::Server),
    Vllm(vllm::Server),
    Tgi(tgi::Server),
}

impl Server {
    async fn respond(&self, request: Request<Incoming>) -> Reply {
        let head_only = request.method() == Method::HEAD;
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let id = request.headers().get("x-request-id").cloned();
        let reply = match self {
            Self::Ollama(server) => ollama::http::respond(server, request).await,
            Self::Vllm(server) => server.respond(request).await,
            Self::Tgi(server) => server.respond(request).await,
        };
        let id = id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or("");
        let status = reply.as_ref().map_or(0, |reply| reply.status().as_u16());
        tracing::info!(request_id = id, %method, path, status, "simulated model server");
        reply.map(|reply| {
            if head_only {
                body::without_body(reply)
            } else {
                reply
            }
        })
    }
}

/// Serves Ollama's API on `listener`, without end.
///
/// As with Ollama, only a listener on a loopback address refuses foreign `Host` fields.
///
/// # Errors
/// If the listener's own address cannot be read. A failed `accept` is not an error.
///
/// # Cancel safety
/// Dropping the future closes the listener and cuts every connection.
pub async fn serve(listener: TcpListener, pace: Pace) -> io::Result<()> {
    serve_with(listener, pace, Quirks::default()).await
}

/// As [`serve`], with some of Ollama's faults.
///
/// # Errors
/// As [`serve`].
///
/// # Cancel safety
/// As [`serve`].
pub async fn serve_with(listener: TcpListener, pace: Pace, quirks: Quirks) -> io::Result<()> {
    let loopback = listener.local_addr()?.ip().is_loopback();
    let server = ollama::http::Server::new(pace, loopback, quirks);
    run(listener, Server::Ollama(server)).await;
    Ok(())
}

async fn run(listener: TcpListener, server: Server) {
    let server = Arc::new(server);
    // The set owns the connections: they end with this future.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    let server = Arc::clone(&server);
                    connections.spawn(connection(server, socket));
                }
                Err(error) => {
                    tracing::warn!(%error, "the simulated model server could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(server: Arc<Server>, socket: TcpStream) {
    // Without it a token may wait for the acknowledgement of the previous one; a failure has no other effect.
    let _ = socket.set_nodelay(true);
    let service = service_fn(|request| server.respond(request));
    // The client has left, or it is our own `/error reset`.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(socket), service)
        .await;
}
