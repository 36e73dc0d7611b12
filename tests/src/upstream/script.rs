//! What the scripted server sends, chunk by chunk.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::watch;

use crate::within;

/// A response: a head and the steps of its body. Built with the methods below, each of which adds to it.
///
/// # Shape
/// A script without [`Script::cut`], [`Script::reset`], [`Script::half_close`] or [`Script::hang`] ends as its framing says:
/// a chunked body gets its last chunk, an until-close body the end of the connection, any other keeps the connection.
#[derive(Debug, Clone)]
pub struct Script {
    steps: Vec<Step>,
    framing: Framing,
    last: Last,
}

#[derive(Debug, Clone)]
enum Step {
    /// Written, and flushed, on its own.
    Head(Vec<u8>),
    Body(Vec<u8>),
    Wait(Barrier),
    Sleep(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// Body steps go out as they are.
    Plain,
    /// Each body step is a chunk.
    Chunked,
    UntilClose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    AsFramed,
    Cut,
    Reset,
    HalfClose,
    Hang,
}

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    KeepAlive,
    Close,
    Reset,
    /// Nothing more is sent, and the connection stays until the other side leaves.
    Hang,
    PeerGone,
}

impl Script {
    /// A response of this status; the body follows with `body`, `chunked`, `until_close` or not at all.
    pub fn status(status: u16) -> Head {
        Head(format!("HTTP/1.1 {status} Scripted\r\n").into_bytes())
    }

    /// Exactly these bytes in place of a head and a body; the connection is kept unless told otherwise.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(bytes.into(), Framing::Plain)
    }

    /// Never sends a byte.
    pub fn silent() -> Self {
        Self::raw("").hang()
    }

    /// A JSON document.
    pub fn json(status: u16, value: &Value) -> Self {
        Self::status(status)
            .field("content-type", "application/json; charset=utf-8")
            .body(value.to_string())
    }

    /// An NDJSON stream, one chunk a line.
    pub fn ndjson(lines: &[Value]) -> Self {
        lines.iter().fold(Self::ndjson_head(), |script, line| {
            script.chunk(format!("{line}\n"))
        })
    }

    /// The head of an NDJSON stream, for the chunks to follow.
    pub fn ndjson_head() -> Self {
        Self::status(200)
            .field("content-type", "application/x-ndjson")
            .chunked()
    }

    /// The head of an event stream, for the chunks to follow.
    pub fn sse_head() -> Self {
        Self::status(200)
            .field("content-type", "text/event-stream")
            .chunked()
    }

    /// An HTML page, as a reverse proxy in front of a model server gives.
    pub fn html(status: u16, page: &str) -> Self {
        Self::status(status)
            .field("content-type", "text/html")
            .body(page)
    }

    /// A redirect.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::status(status).field("location", location).body("")
    }

    /// A status without a body, as Ollama's 403 for a foreign host.
    pub fn empty(status: u16) -> Self {
        Self::status(status).body("")
    }

    /// Adds a chunk of the body, written and flushed on its own; in a chunked body it is one chunk.
    #[must_use]
    pub fn chunk(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push(Step::Body(bytes.into()));
        self
    }

    /// Adds several chunks.
    #[must_use]
    pub fn chunks(self, chunks: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        chunks.into_iter().fold(self, Self::chunk)
    }

    /// Adds bytes outside the framing, as a broken server sends them.
    #[must_use]
    pub fn bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push(Step::Head(bytes.into()));
        self
    }

    /// Waits here until the test releases the barrier.
    #[must_use]
    pub fn wait(mut self, barrier: &Barrier) -> Self {
        self.steps.push(Step::Wait(barrier.clone()));
        self
    }

    /// Waits here: for a server that is slow, not for one that the test keeps in step (see [`Script::wait`]).
    #[must_use]
    pub fn sleep(mut self, time: Duration) -> Self {
        self.steps.push(Step::Sleep(time));
        self
    }

    /// Ends by closing the connection, whatever the framing promised: in mid-chunk, in mid-body.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.last = Last::Cut;
        self
    }

    /// Ends by breaking the connection (TCP reset).
    #[must_use]
    pub fn reset(mut self) -> Self {
        self.last = Last::Reset;
        self
    }

    /// Ends by closing its sending side, and waits for the other side to close.
    #[must_use]
    pub fn half_close(mut self) -> Self {
        self.last = Last::HalfClose;
        self
    }

    /// Never ends: the connection stays open and silent until the other side leaves.
    #[must_use]
    pub fn hang(mut self) -> Self {
        self.last = Last::Hang;
        self
    }

    /// Writes it all; `head_only` leaves the body out.
    pub(super) async fn play(&self, head_only: bool, write: &mut OwnedWriteHalf) -> Outcome {
        for step in &self.steps {
            let written = match step {
                Step::Head(bytes) => write.write_all(bytes).await,
                Step::Body(_) if head_only => Ok(()),
                Step::Body(bytes) => write.write_all(&self.framed(bytes)).await,
                Step::Wait(barrier) => {
                    barrier.pass().await;
                    Ok(())
                }
                Step::Sleep(time) => {
                    tokio::time::sleep(*time).await;
                    Ok(())
                }
            };
            if written.is_err() {
                return Outcome::PeerGone;
            }
        }
        self.finish(head_only, write).await
    }

    async fn finish(&self, head_only: bool, write: &mut OwnedWriteHalf) -> Outcome {
        match (self.last, self.framing) {
            (Last::Hang, _) => Outcome::Hang,
            (Last::Cut, _) => Outcome::Close,
            (Last::Reset, _) => Outcome::Reset,
            (Last::HalfClose, _) => match write.shutdown().await {
                // The next request never comes, so the connection is read to its end.
                Ok(()) => Outcome::KeepAlive,
                Err(_) => Outcome::PeerGone,
            },
            (Last::AsFramed, Framing::Plain) => Outcome::KeepAlive,
            (Last::AsFramed, Framing::UntilClose) => Outcome::Close,
            (Last::AsFramed, Framing::Chunked) if head_only => Outcome::KeepAlive,
            (Last::AsFramed, Framing::Chunked) => match write.write_all(b"0\r\n\r\n").await {
                Ok(()) => Outcome::KeepAlive,
                Err(_) => Outcome::PeerGone,
            },
        }
    }

    fn framed(&self, bytes: &[u8]) -> Vec<u8> {
        if self.framing != Framing::Chunked || bytes.is_empty() {
            return bytes.to_vec();
        }
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        chunk
    }

    fn of(head: Vec<u8>, framing: Framing) -> Self {
        Self {
            steps: vec![Step::Head(head)],
            framing,
            last: Last::AsFramed,
        }
    }
}

/// The head of a response, under construction.
#[derive(Debug, Clone)]
pub struct Head(Vec<u8>);

impl Head {
    /// Adds a field as it is, even an illegal one.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend_from_slice(value.as_ref());
        self.0.extend_from_slice(b"\r\n");
        self
    }

    /// A body written as a whole, with its length.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Script {
        let body = body.into();
        self.length(body.len()).chunk(body)
    }

    /// A body of this length, in the chunks that follow: as many bytes as promised, or not.
    #[must_use]
    pub fn length(self, length: usize) -> Script {
        let head = self.field("content-length", length.to_string());
        Script::of(head.ended(), Framing::Plain)
    }

    /// A chunked body, in the chunks that follow.
    #[must_use]
    pub fn chunked(self) -> Script {
        let head = self.field("transfer-encoding", "chunked");
        Script::of(head.ended(), Framing::Chunked)
    }

    /// A body that ends with the connection, in the chunks that follow.
    #[must_use]
    pub fn until_close(self) -> Script {
        let head = self.field("connection", "close");
        Script::of(head.ended(), Framing::UntilClose)
    }

    fn ended(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"\r\n");
        self.0
    }
}

/// A point in a script that is passed only when the test says so. Clones are the same barrier.
#[derive(Debug, Clone, Default)]
pub struct Barrier(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// How many scripts have come here.
    reached: watch::Sender<usize>,
    /// How many may have passed.
    released: watch::Sender<usize>,
}

impl Barrier {
    /// A closed barrier.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets one script pass: one that waits, or the next to come.
    pub fn release(&self) {
        self.0.released.send_modify(|count| *count += 1);
    }

    /// Lets every script pass, now and later.
    pub fn open(&self) {
        self.0.released.send_replace(usize::MAX);
    }

    /// Waits until `count` scripts in all have reached the barrier, and so have written everything before it.
    ///
    /// # Panics
    /// If they do not within the deadline.
    pub async fn reached(&self, count: usize) {
        let mut reached = self.0.reached.subscribe();
        within(
            "the script at its barrier",
            reached.wait_for(|reached| *reached >= count),
        )
        .await
        .expect("the sender is in self");
    }

    /// How many scripts have come to the barrier so far.
    pub fn count(&self) -> usize {
        *self.0.reached.borrow()
    }

    async fn pass(&self) {
        let mut turn = 0;
        self.0.reached.send_modify(|count| {
            *count += 1;
            turn = *count;
        });
        let mut released = self.0.released.subscribe();
        // The sender is in self, so this cannot fail.
        let _ = released.wait_for(|released| *released >= turn).await;
    }
}

/// The lines of Ollama's `/api/chat`.
pub mod ollama {
    use serde_json::{Value, json};

    /// Any day will do.
    const CREATED_AT: &str = "2026-08-01T10:00:00.123456789Z";

    /// A line with text.
    pub fn content(text: &str) -> Value {
        message(&json!({"role": "assistant", "content": text}))
    }

    /// A line with reasoning.
    pub fn thinking(text: &str) -> Value {
        message(&json!({"role": "assistant", "content": "", "thinking": text}))
    }

    /// A line with one tool call.
    pub fn tool_call(id: &str, name: &str, arguments: &Value) -> Value {
        let function = json!({"index": 0, "name": name, "arguments": arguments});
        message(
            &json!({"role": "assistant", "content": "", "tool_calls": [{"id": id, "function": function}]}),
        )
    }

    /// A line with this message.
    pub fn message(message: &Value) -> Value {
        json!({"model": "m", "created_at": CREATED_AT, "message": message, "done": false})
    }

    /// The last line: 11 tokens of prompt, 18 of answer.
    pub fn done(reason: &str) -> Value {
        json!({"model": "m", "created_at": CREATED_AT, "message": {"role": "assistant", "content": ""}, "done": true,
            "done_reason": reason, "total_duration": 174_560_334, "load_duration": 101_397_084,
            "prompt_eval_count": 11, "prompt_eval_duration": 13_074_791, "eval_count": 18, "eval_duration": 52_479_709})
    }

    /// The line that ends a stream which failed, and the document of every error.
    pub fn error(text: &str) -> Value {
        json!({ "error": text })
    }

    /// A whole stream: these texts, and the last line.
    pub fn stream(texts: &[&str]) -> Vec<Value> {
        let mut lines: Vec<Value> = texts.iter().map(|text| content(text)).collect();
        lines.push(done("stop"));
        lines
    }

    /// The whole response where there is no stream.
    pub fn document(text: &str) -> Value {
        let mut whole = done("stop");
        whole["message"]["content"] = json!(text);
        whole
    }
}
