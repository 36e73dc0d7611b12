//! The clients: raw HTTP/1.1, each response read and checked as a whole.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::BytesMut;
use sluicegate_tests::guest::MARKS;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::{content_length, field, find};
use crate::model::{PACED, WORD};

/// The client's key.
pub(crate) const KEY: &str = "sk-swaps";
/// How long a response may take; only a gateway that hangs is so slow.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// One JSON document.
    Whole,
    /// A stream at a model's pace.
    Paced,
}

/// What is wrong with a response.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// It is an error, or incomplete.
    Failed(String),
    /// Some of it came from other versions than the rest.
    Mixed(String),
}

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub(crate) async fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: BytesMut::with_capacity(16 * 1024),
        })
    }

    /// Sends a request and reads its response.
    ///
    /// # Errors
    /// If the response is incomplete or takes too long.
    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<Response> {
        match tokio::time::timeout(TIMEOUT, self.exchange(request)).await {
            Ok(response) => response,
            Err(_) => bail!("no complete response within {TIMEOUT:?}"),
        }
    }

    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Response> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(
                read > 0,
                "the gateway hung up behind {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
            if let Some(response) = complete(&self.buffer)? {
                return Ok(response);
            }
        }
    }
}

/// A chat request with this key.
pub(crate) fn chat(ask: Ask, key: &str) -> Vec<u8> {
    let (model, stream) = match ask {
        Ask::Whole => ("quick", false),
        Ask::Paced => (PACED, true),
    };
    let body = format!(
        r#"{{"messages":[{{"role":"user","content":"Hi?"}}],"model":"{model}","stream":{stream}}}"#
    );
    request("POST", "/v1/chat/completions", key, &body)
}

/// A request with this bearer token.
pub(crate) fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Checks that a response is complete and from the same versions throughout; gives their marks.
///
/// # Errors
/// What is wrong.
pub(crate) fn check(
    response: anyhow::Result<Response>,
    ask: Ask,
    tokens: usize,
) -> Result<String, Wrong> {
    let response = response.map_err(|error| Wrong::Failed(format!("{error:#}")))?;
    let Response { status, body, .. } = &response;
    let ends = match ask {
        Ask::Whole => body.ends_with('}') || body.ends_with("}\n"),
        Ask::Paced => body.ends_with("data: [DONE]\n\n"),
    };
    if *status != 200 || !ends || body.contains("\"error\"") {
        let tail = body.chars().rev().take(300).collect::<Vec<_>>();
        let tail: String = tail.into_iter().rev().collect();
        return Err(Wrong::Failed(format!("status {status}, body …{tail}")));
    }
    let marks = field(response.head.as_bytes(), MARKS).unwrap_or_default();
    let contents = contents(body);
    let token = format!("{marks}<{marks}>{WORD}");
    let found = contents.matches(&token).count();
    // An event without text is marked too.
    let rest = contents.replace(&token, "");
    let rest = if marks.is_empty() {
        rest
    } else {
        rest.replace(&marks, "")
    };
    if !rest.is_empty() {
        return Err(Wrong::Mixed(format!(
            "{marks} in the head, but {rest:.300}"
        )));
    }
    if found != tokens {
        return Err(Wrong::Failed(format!("{found} of {tokens} tokens")));
    }
    Ok(marks)
}

/// All contents, one behind the other.
fn contents(body: &str) -> String {
    let parts = body.split("\"content\":\"").skip(1);
    parts.filter_map(|part| part.split('"').next()).collect()
}

/// The response at the beginning of the buffer, once it is complete.
fn complete(buffer: &[u8]) -> anyhow::Result<Option<Response>> {
    let Some(end) = find(buffer, b"\r\n\r\n").map(|at| at + 4) else {
        return Ok(None);
    };
    let (head, body) = buffer.split_at(end);
    let body = match content_length(head) {
        Some(length) if body.len() < length => return Ok(None),
        Some(_) => body.to_vec(),
        // The last chunk is recognized by its bytes: no event ends in this way.
        None if !body.ends_with(b"0\r\n\r\n") => return Ok(None),
        None => unchunked(body)?,
    };
    let head = String::from_utf8_lossy(head).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Some(Response {
        status: status.context("a status")?,
        head,
        body: String::from_utf8(body)?,
    }))
}

fn unchunked(mut body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut data = Vec::with_capacity(body.len());
    loop {
        let line = find(body, b"\r\n").context("a chunk has a size")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..line])?, 16)?;
        if size == 0 {
            return Ok(data);
        }
        let chunk = body.get(line + 2..line + 2 + size);
        data.extend_from_slice(chunk.context("a chunk is complete")?);
        body = body.get(line + size + 4..).context("a chunk has an end")?;
    }
}
