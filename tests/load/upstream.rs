//! The model server: as cheap as possible, so that the gateways are measured.
//!
//! It reads only the length of a request, its path and three words in its body: `"stream":true`, and `paced` or
//! `first` in the model's name. `/api/chat` is answered as Ollama does, every other path as OpenAI does, which is
//! what a gateway that only passes on would have behind it. All responses are made before the first request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::MissedTickBehavior;

/// Tokens of a response, and so events of a stream, that comes at once.
pub(crate) const TOKENS: usize = 64;
/// Tokens of a paced stream each second.
pub(crate) const PACE: u32 = 50;
/// Tokens of a paced stream: 12 s. A round that needs less ends before.
const PACED_TOKENS: usize = 600;

/// A running model server; it ends with the runtime.
#[derive(Debug)]
pub(crate) struct Upstream {
    address: SocketAddr,
    responses: Arc<Responses>,
}

impl Upstream {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// If no port is free.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let responses = Arc::new(Responses::new());
        tokio::spawn(accept(listener, responses.clone()));
        Ok(Self { address, responses })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Events of paced streams that it has sent so far.
    pub(crate) fn paced_events(&self) -> u64 {
        self.responses.paced.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, responses: Arc<Responses>) {
    while let Ok((stream, _)) = listener.accept().await {
        let responses = responses.clone();
        tokio::spawn(async move {
            // A gateway may hang up at any time.
            let _ = serve(stream, &responses).await;
        });
    }
}

async fn serve(mut stream: TcpStream, responses: &Responses) -> std::io::Result<()> {
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
        let native = contains(request, b" /api/chat ");
        let form = if native {
            &responses.native
        } else {
            &responses.openai
        };
        if !contains(request, b"\"stream\":true") {
            stream.write_all(&form.whole).await?;
        } else if contains(request, b"paced") {
            paced(&mut stream, form, &responses.paced).await?;
        } else if contains(request, b"first") {
            stream.write_all(&form.first).await?;
        } else {
            stream.write_all(&form.burst).await?;
        }
        buffer.advance(length);
    }
}

/// Bytes of the request at the beginning of the buffer, once it is complete.
fn request_length(buffer: &[u8]) -> Option<usize> {
    let head = find(buffer, b"\r\n\r\n")? + 4;
    let length = crate::client::content_length(&buffer[..head]).unwrap_or(0);
    (buffer.len() >= head + length).then_some(head + length)
}

async fn paced(stream: &mut TcpStream, form: &Form, sent: &AtomicU64) -> std::io::Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    stream.write_all(&form.head).await?;
    for _ in 0..PACED_TOKENS {
        ticks.tick().await;
        stream.write_all(&form.event).await?;
        sent.fetch_add(1, Ordering::Relaxed);
    }
    stream.write_all(&form.end).await
}

/// Everything that is ever sent.
#[derive(Debug)]
struct Responses {
    native: Form,
    openai: Form,
    paced: AtomicU64,
}

/// The responses of one API.
#[derive(Debug)]
struct Form {
    /// A response with one JSON.
    whole: Vec<u8>,
    /// A response with a stream that comes at once.
    burst: Vec<u8>,
    /// A response with a stream of one token.
    first: Vec<u8>,
    /// The head of a stream.
    head: Vec<u8>,
    /// One event, as a chunk of its own, which is how model servers write.
    event: Vec<u8>,
    /// The last events and the end of the body.
    end: Vec<u8>,
}

impl Responses {
    fn new() -> Self {
        Self {
            native: native(),
            openai: openai(),
            paced: AtomicU64::new(0),
        }
    }
}

fn native() -> Form {
    let line = |content: &str, rest: &str| {
        format!(
            r#"{{"model":"qwen3:32b","created_at":"2026-08-01T10:00:00.123456789Z","message":{{"role":"assistant","content":"{content}"}},{rest}}}"#
        )
    };
    let done = r#""done":true,"done_reason":"stop","total_duration":1745603340,"load_duration":101397084,"prompt_eval_count":31,"prompt_eval_duration":13074791,"eval_count":64,"eval_duration":1245247970"#;
    let event = chunk(&format!("{}\n", line(" scattered", r#""done":false"#)));
    let end = chunk(&format!("{}\n", line("", done)));
    let whole = line(&" scattered".repeat(TOKENS), done);
    form(&whole, "application/x-ndjson", &event, &end)
}

fn openai() -> Form {
    let record = |choice: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-abcdefghijklmnop\",\"object\":\"chat.completion.chunk\",\"created\":1785578400,\"model\":\"qwen3:32b\",\"system_fingerprint\":\"fp_ollama\",\"choices\":[{{\"index\":0,{choice}}}]}}\n\n"
        )
    };
    let event = chunk(&record(
        r#""delta":{"content":" scattered"},"finish_reason":null"#,
    ));
    let last = record(r#""delta":{},"finish_reason":"stop""#);
    let end = chunk(&last) + &chunk("data: [DONE]\n\n");
    let whole = format!(
        r#"{{"id":"chatcmpl-abcdefghijklmnop","object":"chat.completion","created":1785578400,"model":"qwen3:32b","system_fingerprint":"fp_ollama","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":31,"completion_tokens":64,"total_tokens":95}}}}"#,
        " scattered".repeat(TOKENS)
    );
    form(&whole, "text/event-stream", &event, &end)
}

fn form(whole: &str, content_type: &str, event: &str, end: &str) -> Form {
    let date = "Date: Sat, 01 Aug 2026 10:00:00 GMT";
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n{date}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let end = format!("{end}0\r\n\r\n");
    let whole = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{date}\r\nContent-Length: {}\r\n\r\n{whole}",
        whole.len()
    );
    Form {
        whole: whole.into_bytes(),
        burst: format!("{head}{}{end}", event.repeat(TOKENS)).into_bytes(),
        first: format!("{head}{event}{end}").into_bytes(),
        head: head.into_bytes(),
        event: event.as_bytes().to_vec(),
        end: end.into_bytes(),
    }
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// Where `part` first stands in `bytes`.
pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    find(bytes, part).is_some()
}
