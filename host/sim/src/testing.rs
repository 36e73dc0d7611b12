//! Simulated servers over real connections, at full speed, for the tests of all vendors.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::{Pace, Vendor};

/// Nothing here takes this long unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Demo {
    pub(crate) address: SocketAddr,
    /// Dropped with the rest: that ends the server.
    _server: JoinSet<io::Result<()>>,
}

/// A response: its head, and its body without its framing.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    /// The body came to its proper end.
    pub(crate) complete: bool,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }

    /// The data of the events; an end mark is a text.
    pub(crate) fn events(&self) -> Vec<Value> {
        let events = self.body.split("\n\n").filter(|event| !event.is_empty());
        events
            .map(|event| {
                let data = event.strip_prefix("data: ").expect("an event with data");
                serde_json::from_str(data).unwrap_or_else(|_| json!(data))
            })
            .collect()
    }

    /// A field of the head, whose name is in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }
}

impl Demo {
    /// What `serve` makes of a listener.
    pub(crate) async fn of<F>(serve: impl FnOnce(TcpListener) -> F) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut server = JoinSet::new();
        server.spawn(serve(listener));
        Self {
            address,
            _server: server,
        }
    }

    pub(crate) async fn of_vendor(vendor: Vendor, key: Option<&str>) -> Self {
        let key = key.map(str::to_owned);
        Self::of(move |listener| vendor.serve_to(listener, Pace::FULL_SPEED, key)).await
    }

    /// Sends a request with these header lines and reads to the end of the connection.
    pub(crate) async fn send(&self, line: &str, fields: &str, body: &str) -> Response {
        let request = format!(
            "{line} HTTP/1.1\r\n{fields}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let exchange = async {
            let mut socket = TcpStream::connect(self.address)
                .await
                .expect("a connection");
            socket.write_all(request.as_bytes()).await.expect("a write");
            let mut bytes = Vec::new();
            // A broken connection is a result too.
            let _ = socket.read_to_end(&mut bytes).await;
            bytes
        };
        let bytes = tokio::time::timeout(DEADLINE, exchange)
            .await
            .expect("a response in time");
        parse(&bytes)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send(&format!("GET {path}"), "host: localhost\r\n", "")
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Response {
        let fields = "host: localhost\r\ncontent-type: application/json\r\n";
        self.send(&format!("POST {path}"), fields, body).await
    }

    /// Compares the responses with the forms of recordings: status, content type, and the members of every event or document,
    /// where runs of the same form are one.
    ///
    /// # Shape
    /// `recorded` is a list of `{case, path, request, status, type, forms}`; a request that is a text is sent as it is.
    pub(crate) async fn is_like(&self, recorded: &str) {
        let cases: Vec<Value> = serde_json::from_str(recorded).expect("a list of cases");
        let mut differences = Vec::new();
        for case in &cases {
            let name = case["case"].as_str().expect("a name");
            let path = case["path"].as_str().expect("a path");
            let response = match &case["request"] {
                Value::Null => self.get(path).await,
                Value::String(text) => self.post(path, text).await,
                request => self.post(path, &request.to_string()).await,
            };
            let kind = response.field("content-type").unwrap_or_default();
            let forms = match kind {
                kind if kind.starts_with("text/event-stream") => runs(&response.events()),
                kind if kind.starts_with("application/x-ndjson") => {
                    let lines = response.body.lines();
                    let lines = lines.map(|line| serde_json::from_str(line).expect("JSON"));
                    runs(&lines.collect::<Vec<Value>>())
                }
                kind if kind.starts_with("application/json") => json!([form(&response.json())]),
                _ => json!([]),
            };
            let found = json!({"status": response.status, "type": kind, "forms": forms});
            for part in ["status", "type", "forms"] {
                if found[part] != case[part] {
                    differences.push(format!(
                        "{name}, {part}\n  recorded {}\n  found    {}",
                        case[part], found[part]
                    ));
                }
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
}

/// The forms of values, each run of the same one once.
fn runs(values: &[Value]) -> Value {
    let mut forms: Vec<Value> = values.iter().map(form).collect();
    forms.dedup();
    Value::Array(forms)
}

/// The form of a value: the names of its members and the kinds of their values.
fn form(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(text) if text == "[DONE]" => json!("[DONE]"),
        Value::String(_) => json!("text"),
        Value::Array(items) => {
            let mut forms: Vec<Value> = Vec::new();
            for item in items.iter().map(form) {
                if !forms.contains(&item) {
                    forms.push(item);
                }
            }
            Value::Array(forms)
        }
        Value::Object(members) => {
            let members = members.iter();
            let forms: Map<String, Value> = members
                .map(|(name, value)| (name.clone(), form(value)))
                .collect();
            Value::Object(forms)
        }
    }
}

pub(crate) fn parse(bytes: &[u8]) -> Response {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let Some((head, rest)) = text.split_once("\r\n\r\n") else {
        return Response {
            status: 0,
            head: text,
            body: String::new(),
            complete: false,
        };
    };
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .expect("a status");
    let (body, complete) = if head.contains("transfer-encoding: chunked") {
        unchunk(rest)
    } else {
        (rest.to_owned(), true)
    };
    Response {
        status,
        head: head.to_owned(),
        body,
        complete,
    }
}

fn unchunk(mut rest: &str) -> (String, bool) {
    let mut body = String::new();
    while let Some((size, data)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = data.get(..size) else { break };
        body.push_str(chunk);
        rest = data.get(size + 2..).unwrap_or("");
    }
    (body, false)
}
