//! A simulated Ollama, for people who want to try the gateway without a model server.
//!
//! It speaks Ollama's native API and has those of Ollama's habits that matter to a gateway: NDJSON with `stream` on by
//! default, error texts and statuses word for word, the checks of `Host` and `Origin`, `think`, `format`, `tools`,
//! `keep_alive`. The answers are canned, in the language of the question (Chinese or English), and say so themselves.
//!
//! Not simulated: the routes under `/v1`, embeddings, `/api/generate`, model management, CORS headers, and acceptance of
//! the machine's own name as `Host`.
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
//! | `/error mid` | an error line in mid-stream |
//! | `/error truncate` | the stream ends cleanly, but without its last line |
//! | `/error reset` | the connection breaks in mid-stream |
//! | `/error stall` | the stream stops for ever, the connection stays open |
//!
//! `answer` and the modules below it decide what to send, without IO or clock; `http` and `stream` send it.

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

mod answer;
mod catalog;
mod command;
mod go_duration;
mod http;
mod loaded;
mod options;
mod origin;
mod request;
mod sample;
mod slots;
mod stream;
mod text;
mod tools;
mod wire;

/// What to try; the `demo` command prints it.
pub const HINTS: &str = "\
Models: demo, qwen3:32b (reasons before it answers). Ask in English or Chinese, or send one of these messages:
  /help                      this list
  /echo TEXT                 exactly that text
  /long 500                  500 tokens
  /code  /markdown  /think   samples: code, Markdown, a longer reasoning (qwen3:32b)
  /slow                      a slow model
  /error 500                 an HTTP error, any status from 400 to 599
  /error html | empty        an HTML page, an empty 403
  /error mid | truncate      an error line, or a missing last line, in mid-stream
  /error reset | stall       a broken connection, or silence, in mid-stream
With `tools`, mention a tool (\"what is the weather in Oslo?\"). With `response_format`, the answer is JSON.
";

/// How long a slow client may take to send a request head; arbitrary, generous.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause after a failed `accept`, to avoid a busy loop on a machine without free descriptors; arbitrary.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How fast the simulated models are.
///
/// # Units
/// Each is a wait; zero means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Loading a model that is not in memory.
    pub load: Duration,
    /// Reading the prompt: from the request to the first token.
    pub first_token: Duration,
    /// From one token to the next.
    pub token: Duration,
}

impl Pace {
    /// About 30 tokens a second, as a person sees it from a large model on one good graphics card.
    pub const HUMAN: Self = Self {
        load: Duration::from_millis(600),
        first_token: Duration::from_millis(250),
        token: Duration::from_millis(33),
    };

    /// No waiting at all, for tests.
    pub const FULL_SPEED: Self = Self {
        load: Duration::ZERO,
        first_token: Duration::ZERO,
        token: Duration::ZERO,
    };
}

impl Default for Pace {
    fn default() -> Self {
        Self::HUMAN
    }
}

/// Faults of Ollama, for tests; none by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Each model has one slot, which is lost when every n-th client that leaves between two lines has left.
    pub leak_every: Option<NonZeroU32>,
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
    let server = Arc::new(http::Server::new(pace, loopback, quirks));
    // The set owns the connections: they end with this future.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    let server = Arc::clone(&server);
                    connections.spawn(async move {
                        // Without it a token may wait for the acknowledgement of the previous one; a failure has no other
                        // effect.
                        let _ = socket.set_nodelay(true);
                        let service = service_fn(move |request| http::respond(Arc::clone(&server), request));
                        // The client has left, or it is our own `/error reset`.
                        let _ = http1::Builder::new()
                            .timer(TokioTimer::new())
                            .header_read_timeout(HEAD_TIMEOUT)
                            .serve_connection(TokioIo::new(socket), service)
                            .await;
                    });
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

#[cfg(test)]
mod tests;
