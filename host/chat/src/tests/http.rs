//! The HTTP client of these tests.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{TIMEOUT, World};

/// A client that speaks one request per connection.
pub(super) struct Http {
    host: String,
}

/// An answer.
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// `null` if the body is no JSON.
    pub json: Value,
}

/// Sends bytes and reads all that comes back.
pub(super) async fn raw(host: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(host).await.expect("the gateway listens");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    drop(
        tokio::time::timeout(TIMEOUT, read)
            .await
            .expect("an answer in time"),
    );
    String::from_utf8_lossy(&answer).into_owned()
}

impl Http {
    pub(super) fn new(world: &World) -> Self {
        Self { host: world.host() }
    }

    pub(super) async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.call("GET", path, fields, None).await
    }

    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)], body: &Value) -> Answer {
        self.call("POST", path, fields, Some(body)).await
    }

    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let body = body.map(ToString::to_string);
        self.call_as(
            method,
            path,
            fields,
            "application/json",
            body.as_deref().unwrap_or_default(),
        )
        .await
    }

    pub(super) async fn call_as(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        kind: &str,
        body: &str,
    ) -> Answer {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n",
            self.host
        );
        for (name, value) in fields {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if method != "GET" {
            request.push_str(&format!(
                "content-type: {kind}\r\ncontent-length: {}\r\n",
                body.len()
            ));
        }
        read(&raw(&self.host, &format!("{request}\r\n{body}")).await)
    }
}

fn read(answer: &str) -> Answer {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no HTTP answer: {answer:?}"));
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .expect("a status");
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name: HeaderName = name.parse().expect("a field name");
        headers.append(name, HeaderValue::from_str(value).expect("a field value"));
    }
    let chunked = headers
        .get("transfer-encoding")
        .is_some_and(|coding| coding == "chunked");
    let text = if chunked {
        unchunked(body)
    } else {
        body.to_owned()
    };
    Answer {
        status,
        headers,
        json: serde_json::from_str(&text).unwrap_or(Value::Null),
        text,
    }
}

fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a chunk's length");
        if length == 0 {
            break;
        }
        text.push_str(&rest[..length]);
        body = &rest[length + 2..];
    }
    text
}
