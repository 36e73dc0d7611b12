//! `--load redact`: what `builtin:redact` adds to each event of 500 paced streams, and whether anything gets through.
//!
//! Two gateways run on the same core, one with the stage and one without, in turn. The model server puts the time into each token, so
//! that the latency of every event is known, and an address into every tenth, cut in two. The gateway without the stage shows
//! that the addresses would be seen.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::gateway;
use crate::install::Programs;
use crate::process::{Cores, Process};
use crate::upstream::{PACE, find};

const STREAMS: usize = 500;
/// Tokens of a stream: 6 s.
const TOKENS: usize = 300;
/// Rounds of each gateway.
const ROUNDS: usize = 2;
/// How far apart streams begin.
const APART: Duration = Duration::from_millis(2);
/// What must not be seen, in its two halves.
const SECRET: [&str; 2] = ["alice@exam", "ple.com"];
/// Which token of ten has the first half.
const TENTH: usize = 3;

/// What was found of one gateway.
#[derive(Default)]
struct Figures {
    latencies: Vec<Duration>,
    leaks: usize,
    hidden: usize,
    cpu: Duration,
}

/// One gateway.
struct Side {
    title: &'static str,
    address: SocketAddr,
    process: Process,
    figures: Figures,
}

/// Runs the rounds and gives the result as a table in Markdown.
///
/// # Errors
/// If a gateway breaks, or if anything gets through that must not.
pub(crate) async fn run(programs: &Programs, cores: &Cores) -> anyhow::Result<String> {
    let began = Instant::now();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let upstream = listener.local_addr()?;
    tokio::spawn(accept(listener, began));
    let mut sides = Vec::new();
    for (title, word, stage) in [
        ("without `redact`", "open", ""),
        ("with `redact`", "redacted", "\"redact\""),
    ] {
        let text = |address| configuration(address, upstream, stage);
        let (address, process) = gateway::start_with(word, text, programs, cores).await?;
        sides.push(Side {
            title,
            address,
            process,
            figures: Figures::default(),
        });
    }
    for _ in 0..ROUNDS {
        for side in &mut sides {
            side.round(began).await.with_context(|| side.title)?;
        }
    }
    let out = table(&mut sides);
    let [open, redacted] = sides.as_slice() else {
        unreachable!("there are two");
    };
    let secrets = ROUNDS * STREAMS * TOKENS / 10;
    ensure!(
        open.figures.leaks == secrets,
        "{out}\nthe model server said other things than it should"
    );
    ensure!(
        redacted.figures.leaks == 0 && redacted.figures.hidden == secrets,
        "{out}\nsomething got through"
    );
    Ok(out)
}

fn configuration(address: SocketAddr, upstream: SocketAddr, stage: &str) -> String {
    format!(
        "[[listener]]
listen = \"{address}\"
[plugins]
cache = \"\"
[upstream.ollama]
adapter = \"ollama\"
targets = [\"http://{upstream}\"]
[plugin.ollama]
source = \"builtin:ollama\"
[plugin.redact]
source = \"builtin:redact\"
[plugin.redact.config]
words = [\"Bluebird\", \"蓝鸟\"]
rules = [{{ name = \"employee\", regex = '\\bEMP-\\d{{6}}\\b' }}]
[[route]]
path = \"/v1/chat/completions\"
pipeline = [{stage}]
upstream = \"ollama\"
"
    )
}

impl Side {
    async fn round(&mut self, began: Instant) -> anyhow::Result<()> {
        let cpu = self.process.cpu()?;
        let mut streams = JoinSet::new();
        for _ in 0..STREAMS {
            streams.spawn(follow(self.address, began));
            tokio::time::sleep(APART).await;
        }
        while let Some(ended) = streams.join_next().await {
            let (bytes, latencies) = ended??;
            ensure!(
                latencies.len() == TOKENS,
                "{} of {TOKENS} events",
                latencies.len()
            );
            let text = content(&bytes)?;
            self.figures.leaks += text.matches(&SECRET.concat()).count();
            self.figures.hidden += text.matches("[EMAIL]").count();
            self.figures.latencies.extend(latencies);
        }
        self.figures.cpu += self.process.cpu()? - cpu;
        Ok(())
    }
}

async fn accept(listener: TcpListener, began: Instant) {
    while let Ok((stream, _)) = listener.accept().await {
        // A gateway may hang up at any time.
        tokio::spawn(serve(stream, began));
    }
}

/// Answers one request after the other with a paced stream of Ollama's lines.
async fn serve(mut stream: TcpStream, began: Instant) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let is_complete = |buffer: &[u8]| {
            let end = find(buffer, b"\r\n\r\n").map(|at| at + 4);
            let length = |end| crate::client::content_length(&buffer[..end]).unwrap_or(0);
            end.is_some_and(|end| buffer.len() >= end + length(end))
        };
        while !is_complete(&buffer) {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        buffer.clear();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for token in 0..TOKENS {
            ticks.tick().await;
            let text = said(token, &stamp(began));
            stream
                .write_all(line(&text, "\"done\":false").as_bytes())
                .await?;
        }
        let end = line("", "\"done\":true,\"done_reason\":\"stop\"");
        stream
            .write_all(format!("{end}0\r\n\r\n").as_bytes())
            .await?;
    }
}

fn said(token: usize, stamp: &str) -> String {
    match token % 10 {
        TENTH => format!("{stamp} {}", SECRET[0]),
        next if next == TENTH + 1 => format!("{} {stamp}", SECRET[1]),
        _ => format!(" scattered {stamp}"),
    }
}

fn line(text: &str, rest: &str) -> String {
    let line = format!(
        "{{\"model\":\"m\",\"created_at\":\"2026-08-01T10:00:00Z\",\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},{rest}}}\n"
    );
    format!("{:x}\r\n{line}\r\n", line.len())
}

/// The time in microseconds, in letters: digits could be a phone number. The brackets are part of nothing that is hidden, so it
/// is never held back.
fn stamp(began: Instant) -> String {
    let mut out = String::from("〔");
    for digit in format!("{:x}", began.elapsed().as_micros()).bytes() {
        let value = char::from(digit).to_digit(16).unwrap_or(0);
        out.push(char::from_digit(value + 16, 32).unwrap_or('g'));
    }
    let _ = write!(out, "〕");
    out
}

/// The time in a stamp.
fn stamped(letters: &[u8]) -> Option<Duration> {
    let mut micros = 0;
    for letter in letters {
        let value = char::from(*letter).to_digit(32)?.checked_sub(16)?;
        micros = micros * 16 + u64::from(value);
    }
    Some(Duration::from_micros(micros))
}

/// Asks for one stream; gives its bytes, and how long after it was said each token arrived.
async fn follow(address: SocketAddr, began: Instant) -> anyhow::Result<(Vec<u8>, Vec<Duration>)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"Why is the sky blue?"}]}"#;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let (mut bytes, mut looked_at) = (Vec::with_capacity(128 << 10), 0);
    let mut latencies = Vec::with_capacity(TOKENS);
    while !bytes.ends_with(b"0\r\n\r\n") {
        ensure!(
            stream.read_buf(&mut bytes).await? > 0,
            "the gateway hung up"
        );
        let now = began.elapsed();
        while let Some(start) = find(&bytes[looked_at..], "〔".as_bytes()) {
            let letters = looked_at + start + "〔".len();
            let Some(length) = find(&bytes[letters..], "〕".as_bytes()) else {
                break;
            };
            let said = stamped(&bytes[letters..letters + length]).context("a stamp")?;
            latencies.push(now.saturating_sub(said));
            looked_at = letters + length;
        }
    }
    Ok((bytes, latencies))
}

/// The text of a stream, as a client joins it. Chunks of the transfer coding are events here, or parts of one.
fn content(bytes: &[u8]) -> anyhow::Result<String> {
    let head = find(bytes, b"\r\n\r\n").context("a head")? + 4;
    let mut body = Vec::with_capacity(bytes.len());
    let mut rest = &bytes[head..];
    while let Some(end) = find(rest, b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end])?, 16)?;
        if length == 0 {
            break;
        }
        body.extend_from_slice(&rest[end + 2..][..length]);
        rest = &rest[end + 2 + length + 2..];
    }
    let mut out = String::new();
    for line in std::str::from_utf8(&body)?.lines() {
        if let Some(data) = line.strip_prefix("data: ").filter(|it| *it != "[DONE]") {
            let chunk: Value = serde_json::from_str(data)?;
            out.push_str(
                chunk["choices"][0]["delta"]["content"]
                    .as_str()
                    .unwrap_or_default(),
            );
        }
    }
    Ok(out)
}

fn table(sides: &mut [Side]) -> String {
    let mut out = format!(
        "\n| {STREAMS} streams of {PACE} tokens/s | addresses that came through | hidden | latency of an event, p50 / p99 µs | CPU, µs an event |\n\
         | --- | --- | --- | --- | --- |\n"
    );
    let mut found = Vec::new();
    for side in sides {
        let figures = &mut side.figures;
        figures.latencies.sort();
        let at = |percent: usize| {
            let time = figures
                .latencies
                .get(figures.latencies.len() * percent / 100);
            time.map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        let (median, high) = (at(50), at(99));
        let cpu = figures.cpu.as_secs_f64() * 1e6 / figures.latencies.len().max(1) as f64;
        let _ = writeln!(
            out,
            "| {} | {} | {} | {median:.0} / {high:.0} | {cpu:.1} |",
            side.title, figures.leaks, figures.hidden
        );
        found.push((median, high, cpu));
    }
    if let [open, redacted] = found.as_slice() {
        let _ = writeln!(
            out,
            "| added | | | {:.0} / {:.0} | {:.1} |",
            redacted.0 - open.0,
            redacted.1 - open.1,
            redacted.2 - open.2
        );
    }
    out
}
