//! The model server: Ollama's API and OpenAI's on one address, so that either adapter can be in front of it.
//!
//! Each token is the request's marks between `<` and `>`, and a word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Buf as _, BytesMut};
use sluicegate_tests::guest::MARKS;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::http::{field, find, request_length};

/// The word of each token.
pub(crate) const WORD: &str = "word";
/// A model with this in its name takes its time.
pub(crate) const PACED: &str = "paced";
/// Tokens of a response.
pub(crate) const TOKENS: usize = 8;
/// Tokens of a paced response.
pub(crate) const PACED_TOKENS: usize = 80;
/// Between two of these: a paced response takes 16 s, so that several swaps pass it and its version is not ended for being the
/// ninth.
const PAUSE: Duration = Duration::from_millis(200);

/// A running model server; it ends with the runtime.
#[derive(Debug)]
pub(crate) struct Model {
    address: SocketAddr,
    asked: Arc<Asked>,
}

/// How often each API was asked.
#[derive(Debug, Default)]
struct Asked {
    ollama: AtomicU64,
    openai: AtomicU64,
}

impl Model {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// If no port is free.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Asked::default());
        let all = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let asked = all.clone();
                tokio::spawn(async move {
                    // The gateway may hang up at any time.
                    let _ = serve(stream, &asked).await;
                });
            }
        });
        Ok(Self { address, asked })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests in Ollama's form, and in OpenAI's.
    pub(crate) fn asked(&self) -> (u64, u64) {
        let Asked { ollama, openai } = &*self.asked;
        (
            ollama.load(Ordering::Relaxed),
            openai.load(Ordering::Relaxed),
        )
    }
}

async fn serve(mut stream: TcpStream, asked: &Asked) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = BytesMut::with_capacity(8 * 1024);
    loop {
        let Some(length) = request_length(&buffer) else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let request = &buffer[..length];
        let native = find(request, b" /api/chat ").is_some();
        let count = if native { &asked.ollama } else { &asked.openai };
        count.fetch_add(1, Ordering::Relaxed);
        let marks = field(request, MARKS).unwrap_or_default();
        let form = Form::new(native, &marks);
        let paced = find(request, PACED.as_bytes()).is_some();
        buffer.advance(length);
        form.write(&mut stream, paced).await.context("a response")?;
    }
}

/// The parts of a streamed response.
struct Form {
    head: String,
    event: String,
    end: String,
}

impl Form {
    fn new(native: bool, marks: &str) -> Self {
        let content = format!("<{marks}>{WORD}");
        let (kind, event, end) = if native {
            (
                "application/x-ndjson",
                chunk(&ollama(&content, r#""done":false"#)),
                chunk(&ollama(
                    "",
                    r#""done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":8"#,
                )),
            )
        } else {
            let first = openai(&format!(r#"{{"content":"{content}"}}"#), "null");
            let last = openai("{}", "\"stop\"");
            (
                "text/event-stream",
                chunk(&first),
                chunk(&last) + &chunk("data: [DONE]\n\n"),
            )
        };
        Self {
            head: format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
            ),
            event,
            end: end + "0\r\n\r\n",
        }
    }

    async fn write(&self, stream: &mut TcpStream, paced: bool) -> std::io::Result<()> {
        let Self { head, event, end } = self;
        if !paced {
            let whole = format!("{head}{}{end}", event.repeat(TOKENS));
            return stream.write_all(whole.as_bytes()).await;
        }
        stream.write_all(head.as_bytes()).await?;
        for _ in 0..PACED_TOKENS {
            stream.write_all(event.as_bytes()).await?;
            tokio::time::sleep(PAUSE).await;
        }
        stream.write_all(end.as_bytes()).await
    }
}

fn ollama(content: &str, rest: &str) -> String {
    format!(
        "{{\"model\":\"m\",\"created_at\":\"2026-08-01T10:00:00Z\",\"message\":{{\"role\":\"assistant\",\"content\":\"{content}\"}},{rest}}}\n"
    )
}

fn openai(delta: &str, reason: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1785578400,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{reason}}}]}}\n\n"
    )
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}
