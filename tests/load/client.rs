//! The clients: raw HTTP/1.1, so that they cost little compared to the gateway under load.

use std::future::pending;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::upstream::{TOKENS, find};

/// The client's key.
pub(crate) const KEY: &str = "sk-load-0001";
/// How long a response may take; only a gateway that hangs is so slow.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How far apart paced streams begin, so that their tokens do not all arrive at the same moment.
const APART: Duration = Duration::from_millis(2);

/// The kind of response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// One JSON document.
    Whole,
    /// A stream without pauses.
    Burst,
    /// A stream of one token.
    First,
    /// A stream at a model's pace.
    Paced,
}

impl Ask {
    fn request(self, host: SocketAddr) -> Vec<u8> {
        let (model, stream) = match self {
            Self::Whole => ("qwen3:32b", false),
            Self::Burst => ("qwen3:32b", true),
            Self::First => ("first:32b", true),
            Self::Paced => ("paced:32b", true),
        };
        let body = format!(
            r#"{{"messages":[{{"role":"system","content":"You are a helpful assistant."}},{{"role":"user","content":"Why is the sky blue? RawResponse in one paragraph."}}],"model":"{model}","temperature":0.7,"max_tokens":512,"stream":{stream}}}"#
        );
        // The fields that OpenAI's client for Python sends.
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 2.0.0\r\nX-Stainless-Lang: python\r\nX-Stainless-OS: Linux\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// One connection that repeats a request.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    /// The last response.
    buffer: BytesMut,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub(crate) async fn connect(address: SocketAddr, ask: Ask) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            request: ask.request(address),
            buffer: BytesMut::with_capacity(64 * 1024),
        })
    }

    /// Asks once and reads the whole response; gives the time to the first byte of its body.
    ///
    /// # Errors
    /// If the connection breaks or the response is not a success.
    pub(crate) async fn ask(&mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.stream.write_all(&self.request).await?;
        self.buffer.clear();
        let mut first = None;
        let mut head = None;
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "the gateway hung up: {:?}", self.buffer);
            if head.is_none() {
                head = Head::find(&self.buffer)?;
            }
            let Some(head) = &head else { continue };
            if self.buffer.len() > head.end {
                first.get_or_insert_with(|| began.elapsed());
            }
            if head.is_complete(&self.buffer) {
                return first.context("a response has a body");
            }
        }
    }

    /// Requests a stream and reads it while it is polled; it only ends with an error.
    async fn follow(&mut self) -> anyhow::Result<()> {
        loop {
            self.stream.write_all(&self.request).await?;
            let mut complete = false;
            while !complete {
                self.buffer.clear();
                ensure!(
                    self.stream.read_buf(&mut self.buffer).await? > 0,
                    "the gateway hung up in mid-stream"
                );
                complete = self.buffer.ends_with(b"0\r\n\r\n");
            }
        }
    }

    /// Checks once that the response is right, so that only working gateways are measured.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) async fn verify(address: SocketAddr, ask: Ask) -> anyhow::Result<()> {
        let mut client = Self::connect(address, ask).await?;
        for _ in 0..20 {
            tokio::time::timeout(TIMEOUT, client.ask()).await??;
            let text = String::from_utf8_lossy(&client.buffer);
            let tokens = text.matches(" scattered").count();
            let (wanted, end) = match ask {
                Ask::Whole => (TOKENS, "\"total_tokens\":95"),
                Ask::Burst => (TOKENS, "data: [DONE]"),
                Ask::First | Ask::Paced => (1, "data: [DONE]"),
            };
            ensure!(
                tokens == wanted && text.contains(end),
                "not the response that was asked for: {text}"
            );
        }
        Ok(())
    }
}

/// Where the body of a response is.
#[derive(Debug)]
struct Head {
    /// Bytes of the head.
    end: usize,
    /// Bytes of the body; without, it is chunked.
    length: Option<usize>,
}

impl Head {
    fn find(buffer: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(end) = find(buffer, b"\r\n\r\n").map(|at| at + 4) else {
            return Ok(None);
        };
        ensure!(
            buffer.starts_with(b"HTTP/1.1 200 "),
            "not a success: {}",
            String::from_utf8_lossy(buffer)
        );
        let length = content_length(&buffer[..end]);
        Ok(Some(Self { end, length }))
    }

    /// The last chunk is recognized by its bytes: no event ends in this way.
    fn is_complete(&self, buffer: &[u8]) -> bool {
        match self.length {
            Some(length) => buffer.len() >= self.end + length,
            None => buffer.ends_with(b"0\r\n\r\n"),
        }
    }
}

/// The value of `content-length` in a head.
pub(crate) fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        let value = name.eq_ignore_ascii_case(NAME).then_some(value)?;
        std::str::from_utf8(value).ok()?.trim().parse().ok()
    })
}

/// Asks on `connections` connections, each for itself as fast as it gets responses, and gives the number of responses.
///
/// # Errors
/// The first error.
pub(crate) async fn press(
    address: SocketAddr,
    ask: Ask,
    connections: usize,
    time: Duration,
) -> anyhow::Result<u64> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Client::connect(address, ask).await?);
    }
    let end = Instant::now() + time;
    let mut running = JoinSet::new();
    for mut client in clients {
        running.spawn(async move {
            let mut responses = 0_u64;
            while Instant::now() < end {
                tokio::time::timeout(TIMEOUT, client.ask()).await??;
                responses += 1;
            }
            anyhow::Ok(responses)
        });
    }
    let mut responses = 0;
    while let Some(ended) = running.join_next().await {
        responses += ended??;
    }
    Ok(responses)
}

/// Repeats a request on one connection and returns the times to the first byte of the bodies.
///
/// # Errors
/// The first error.
pub(crate) async fn probe(
    address: SocketAddr,
    ask: Ask,
    time: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let mut client = Client::connect(address, ask).await?;
    let end = Instant::now() + time;
    let mut times = Vec::new();
    while Instant::now() < end {
        times.push(tokio::time::timeout(TIMEOUT, client.ask()).await??);
    }
    Ok(times)
}

/// Paced streams that run until they are dropped.
#[derive(Debug)]
pub(crate) struct Streams(JoinSet<anyhow::Result<()>>);

impl Streams {
    /// Begins `count` of them, one after the other; returns when the last has begun.
    ///
    /// # Errors
    /// If a connection fails.
    pub(crate) async fn begin(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let mut streams = JoinSet::new();
        for _ in 0..count {
            let mut client = Client::connect(address, Ask::Paced).await?;
            streams.spawn(async move { client.follow().await });
            tokio::time::sleep(APART).await;
        }
        Ok(Self(streams))
    }

    /// Waits for a stream to fail; a stream that is served properly never fails.
    ///
    /// # Errors
    /// Why it failed.
    pub(crate) async fn watch(&mut self) -> anyhow::Result<()> {
        match self.0.join_next().await {
            Some(ended) => ended?,
            None => pending().await,
        }
    }
}
