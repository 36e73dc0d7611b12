//! A scripted proxy: answers `GET /v1/models` by itself and hands each chat request to the test, which writes the answer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::time::Instant;

use super::TIMEOUT;

pub(super) struct Fake {
    pub address: SocketAddr,
    calls: AsyncMutex<mpsc::Receiver<Call>>,
    /// What `GET` paths answer: status and body.
    pub pages: Arc<Mutex<HashMap<String, (u16, String)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One chat request, and the socket on which the answer goes back.
pub(super) struct Call {
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Value,
    stream: TcpStream,
}

impl Fake {
    pub(super) async fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(super) async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address)
            .await
            .expect("the address is free");
        let address = listener.local_addr().expect("it has an address");
        let (calls, waiting) = mpsc::channel(1_000);
        let models =
            json!({ "object": "list", "data": [{ "id": "m1" }, { "id": "m2" }] }).to_string();
        let pages = Arc::new(Mutex::new(HashMap::from([(
            "/v1/models".to_owned(),
            (200, models),
        )])));
        let served = Arc::clone(&pages);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("sockets can be accepted");
                stream.set_nodelay(true).expect("a fresh socket");
                tokio::spawn(serve(stream, calls.clone(), Arc::clone(&served)));
            }
        });
        Self {
            address,
            calls: AsyncMutex::new(waiting),
            pages,
            task,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next chat request.
    pub(super) async fn call(&self) -> Call {
        let mut calls = self.calls.lock().await;
        let call = tokio::time::timeout(TIMEOUT, calls.recv()).await;
        call.expect("a chat request comes in time")
            .expect("the proxy runs")
    }

    /// Whether a chat request came that no test has taken.
    pub(super) async fn idle(&self) -> bool {
        self.calls.lock().await.is_empty()
    }

    pub(super) fn page(&self, path: &str, status: u16, body: &Value) {
        self.pages
            .lock()
            .expect("no test broke")
            .insert(path.to_owned(), (status, body.to_string()));
    }
}

async fn serve(
    mut stream: TcpStream,
    calls: mpsc::Sender<Call>,
    pages: Arc<Mutex<HashMap<String, (u16, String)>>>,
) {
    let Some((head, body)) = read(&mut stream).await else {
        return;
    };
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    if first.starts_with("POST /v1/chat/completions ") {
        let body = serde_json::from_slice(&body).expect("the gateway sends JSON");
        drop(
            calls
                .send(Call {
                    headers,
                    body,
                    stream,
                })
                .await,
        );
        return;
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let found = pages.lock().expect("no test broke").get(&path).cloned();
    let (status, body) = found.unwrap_or((404, "{}".to_owned()));
    drop(stream.write_all(plain(status, &body).as_bytes()).await);
}

fn plain(status: u16, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

async fn read(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut body = bytes.split_off(end);
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    while body.len() < length.unwrap_or(0) {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, body))
}

impl Call {
    /// Sends the head of a stream.
    pub(super) async fn begin(&mut self) {
        self.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
            .await;
        self.delta(json!({ "role": "assistant", "content": "" }))
            .await;
    }

    pub(super) async fn text(&mut self, text: &str) {
        self.delta(json!({ "content": text })).await;
    }

    pub(super) async fn reasoning(&mut self, text: &str) {
        self.delta(json!({ "reasoning": text })).await;
    }

    async fn delta(&mut self, delta: Value) {
        self.event(&json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] }))
            .await;
    }

    pub(super) async fn event(&mut self, event: &Value) {
        self.raw(&format!("data: {event}\n\n")).await;
    }

    /// The regular end.
    pub(super) async fn finish(mut self, reason: &str) {
        self.event(&json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] }))
            .await;
        self.event(&json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18 } })).await;
        self.raw("data: [DONE]\n\n").await;
    }

    /// A whole answer.
    pub(super) async fn answer(mut self, text: &str) {
        self.begin().await;
        self.text(text).await;
        self.finish("stop").await;
    }

    /// An answer that is an error.
    pub(super) async fn refuse(mut self, status: u16, code: &str) {
        let body =
            json!({ "error": { "message": "no", "type": "x", "param": null, "code": code } });
        self.raw(&plain(status, &body.to_string())).await;
    }

    /// Bytes as they are. A gateway that has gone is no mistake here.
    pub(super) async fn raw(&mut self, bytes: &str) {
        drop(self.stream.write_all(bytes.as_bytes()).await);
    }

    /// How long it takes from now until the gateway hangs up.
    pub(super) async fn hung_up(mut self) -> Duration {
        let started = Instant::now();
        let mut bytes = [0; 64];
        let gone = async {
            while self
                .stream
                .read(&mut bytes)
                .await
                .is_ok_and(|count| count > 0)
            {}
        };
        tokio::time::timeout(TIMEOUT, gone)
            .await
            .expect("the gateway hangs up");
        started.elapsed()
    }

    /// What the model was told, as `role: text`.
    pub(super) fn told(&self) -> Vec<String> {
        let messages = self.body["messages"].as_array().expect("messages");
        let line = |m: &Value| {
            format!(
                "{}: {}",
                m["role"].as_str().expect("a role"),
                m["content"].as_str().expect("text")
            )
        };
        messages.iter().map(line).collect()
    }
}
