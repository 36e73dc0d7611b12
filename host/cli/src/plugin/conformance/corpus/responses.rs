//! Responses: what a model server, or whatever is in its place, may send.

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Response, StatusCode};

use super::{Ground, LARGE, Scenario};
use crate::plugin::sample::{self, JSON, NDJSON, SSE};
use sluicegate_config::Limits;
use sluicegate_contract::Manifest;

/// Final statuses that model servers and proxies before them send, and some that nobody knows.
const STATUSES: [u16; 30] = [
    200, 201, 202, 204, 206, 299, 301, 302, 304, 308, 400, 401, 402, 403, 404, 405, 408, 409, 413,
    415, 418, 422, 424, 429, 500, 502, 503, 504, 529, 599,
];

/// Errors in the forms of various servers.
const ERRORS: [(&str, &str, &str); 6] = [
    (
        "OpenAI's error",
        JSON,
        r#"{"error":{"message":"It does not work.","type":"server_error","param":null,"code":"odd"}}"#,
    ),
    ("Ollama's error", JSON, r#"{"error":"model 'm' not found"}"#),
    (
        "TGI's error",
        JSON,
        r#"{"error":"Model is overloaded","error_type":"overloaded"}"#,
    ),
    (
        "a proxy's page",
        "text/html",
        "<html><body><h1>502 Bad Gateway</h1></body></html>",
    ),
    ("no body", JSON, ""),
    (
        "a stream",
        SSE,
        "data: {\"error\":{\"message\":\"It does not work.\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n",
    ),
];

/// Streams of server-sent events.
const EVENTS: [(&str, &[u8]); 22] = [
    ("no event at all", b""),
    ("blank lines alone", b"\n\n\n\n"),
    ("comments alone", b": ping\n\n: ping\n\n"),
    ("the end marker alone", b"data: [DONE]\n\n"),
    ("the end marker twice", b"data: {\"a\":1}\n\ndata: [DONE]\n\ndata: [DONE]\n\n"),
    ("events behind the end marker", b"data: [DONE]\n\ndata: {\"a\":1}\n\n"),
    ("no last newline", b"data: {\"choices\":[]}\n\ndata: [DONE]"),
    ("one last newline", b"data: {\"choices\":[]}\n\ndata: [DONE]\n"),
    ("data of several lines", b"data: {\"choices\":\ndata: []\ndata: }\n\ndata: [DONE]\n\n"),
    ("no blank behind the colon", b"data:{\"choices\":[]}\n\ndata:[DONE]\n\n"),
    ("no colon", b"data\n\ndata\ndata\n\nid\n\n"),
    ("empty data", b"data:\n\ndata: \n\nevent: x\ndata:\n\n"),
    ("names and ids", b"event: message\nid: 1\ndata: {\"choices\":[]}\n\nid:\nevent: \xe4\xbd\xa0\ndata: {}\n\nid: 3\n\ndata: [DONE]\n\n"),
    ("fields that nobody knows", b"retry: 1000\nodd: 1\nDATA: x\ndata: {\"choices\":[]}\n\nretry: x\n\ndata: [DONE]\n\n"),
    ("comments between and inside events", b": ping\n\ndata: {\"choices\":[]}\n: ping\n\n:\n\ndata: [DONE]\n: bye\n\n"),
    ("data that is no JSON", b"data: Why is the sky blue?\n\ndata: {\"choices\":[{\n\ndata: [DONE]\n\n"),
    ("JSON of other types", b"data: null\n\ndata: 1\n\ndata: []\n\ndata: \"x\"\n\ndata: {}\n\ndata: true\n\n"),
    ("members of other types", b"data: {\"id\":1,\"choices\":\"x\",\"usage\":[],\"model\":{}}\n\ndata: {\"choices\":[null,1,{}]}\n\ndata: {\"choices\":[{\"index\":-1,\"delta\":7,\"finish_reason\":{}}]}\n\n"),
    ("text that is no UTF-8", b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xff\xfe\xc3\"}}]}\n\nevent: \xff\ndata: \x80\n\ndata: [DONE]\n\n"),
    ("control characters", b"data: \x00\x01\x1f\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\u0000\"}}]}\n\n"),
    ("an error in mid-stream", b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: {\"error\":{\"message\":\"It broke.\",\"type\":\"server_error\",\"param\":null,\"code\":\"odd\"}}\n\n"),
    ("a second choice that ends first", b"data: {\"id\":\"a\",\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\ndata: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n"),
];

/// Streams of newline-delimited JSON.
const LINES: [(&str, &[u8]); 9] = [
    ("no line at all", b""),
    ("blank lines alone", b"\n\r\n\n"),
    (
        "no last newline",
        b"{\"message\":{\"content\":\"Hi\"},\"done\":false}\n{\"done\":true}",
    ),
    (
        "blank lines between",
        b"\n{\"message\":{\"content\":\"Hi\"},\"done\":false}\n\n\r\n{\"done\":true}\n\n",
    ),
    (
        "lines that are no JSON",
        b"Why is the sky blue?\n{\"message\":{\n",
    ),
    ("JSON of other types", b"null\n1\n[]\n\"x\"\n{}\ntrue\n"),
    (
        "members of other types",
        b"{\"message\":1,\"done\":\"x\"}\n{\"message\":{\"content\":[]},\"done\":null}\n",
    ),
    (
        "text that is no UTF-8",
        b"{\"message\":{\"content\":\"\xff\xfe\xc3\"},\"done\":false}\n\x80\n",
    ),
    (
        "an error in mid-stream",
        b"{\"message\":{\"content\":\"Hi\"},\"done\":false}\n{\"error\":\"It broke.\"}\n",
    ),
];

/// Bodies that are no streams, by their content type.
const DOCUMENTS: [(&str, &str, &[u8]); 16] = [
    ("an empty document", JSON, b""),
    ("an empty object", JSON, b"{}"),
    ("an array", JSON, b"[]"),
    ("null", JSON, b"null"),
    ("JSON that breaks off", JSON, b"{\"choices\":[{"),
    ("text that is no JSON", JSON, b"Why is the sky blue?"),
    ("a document that is no UTF-8", JSON, b"\xff\xfe{\"choices\":[]}\x80"),
    ("a byte order mark", JSON, b"\xef\xbb\xbf{\"choices\":[]}"),
    ("members of other types", JSON, b"{\"id\":1,\"choices\":\"x\",\"usage\":[],\"model\":{},\"data\":7,\"message\":1}"),
    ("a list of models", JSON, b"{\"object\":\"list\",\"data\":[{\"id\":\"m\",\"object\":\"model\",\"created\":1,\"owned_by\":\"x\"}],\"models\":[{\"name\":\"m\",\"model\":\"m\"}]}"),
    ("embeddings", JSON, b"{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[0.1,-2e-3]}],\"model\":\"m\",\"usage\":{\"prompt_tokens\":1,\"total_tokens\":1},\"embeddings\":[[0.1]]}"),
    ("a stream that says it is a document", JSON, b"data: {\"choices\":[]}\n\ndata: [DONE]\n\n"),
    ("plain text", "text/plain; charset=utf-8", b"Because blue light is scattered.\r\n"),
    ("bytes", "application/octet-stream", b"\x00\x01\x02\xfd\xfe\xff"),
    ("no content type", "", b"{\"choices\":[]}"),
    ("a content type that is none", ";;=nonsense", b"{\"choices\":[]}"),
];

/// Events of a long stream.
const MANY: usize = 10_000;

pub(super) fn statuses(ground: &Ground) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for status in STATUSES {
        for (name, kind, body) in ERRORS {
            let mut response = sample::response(kind, body);
            // All of them are statuses.
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
            scenarios.push(with(ground, format!("{status} with {name}"), response));
        }
    }
    scenarios
}

pub(super) fn sse(ground: &Ground) -> Vec<Scenario> {
    let scenario = |name: &str, body: Bytes| with(ground, name, sample::response(SSE, body)).fine();
    let text = |text: String| Bytes::from(text);
    let lf = sample::STREAM;
    let mut scenarios = vec![
        with(ground, "the ordinary response", ground.response.clone()).fine(),
        scenario("lines end with LF", Bytes::from_static(lf.as_bytes())),
        scenario("lines end with CRLF", text(lf.replace('\n', "\r\n"))),
        scenario("lines end with CR", text(lf.replace('\n', "\r"))),
        scenario("line ends of all kinds", text(mixed(lf))),
        scenario("a byte order mark", text(format!("\u{feff}{lf}"))),
        scenario("no end marker", text(lf.replace("data: [DONE]\n\n", ""))),
        scenario(
            "comments between events",
            text(lf.replace("\n\n", "\n\n: ping\n\n")),
        ),
        scenario("Ollama's lines as events", text(as_events(sample::LINES))),
    ];
    for (name, body) in EVENTS {
        scenarios.push(scenario(name, Bytes::from_static(body)));
    }
    scenarios
}

pub(super) fn ndjson(ground: &Ground) -> Vec<Scenario> {
    let scenario =
        |name: &str, body: Bytes| with(ground, name, sample::response(NDJSON, body)).fine();
    let lf = sample::LINES;
    let mut scenarios = vec![
        scenario("lines end with LF", Bytes::from_static(lf.as_bytes())),
        scenario("lines end with CRLF", lf.replace('\n', "\r\n").into()),
        scenario("a byte order mark", format!("\u{feff}{lf}").into()),
        scenario(
            "OpenAI's chunks as lines",
            sample::STREAM
                .replace("data: ", "")
                .replace("\n\n", "\n")
                .into(),
        ),
    ];
    for (name, body) in LINES {
        scenarios.push(scenario(name, Bytes::from_static(body)));
    }
    scenarios
}

pub(super) fn documents(ground: &Ground) -> Vec<Scenario> {
    let mut scenarios = vec![
        with(
            ground,
            "OpenAI's completion",
            sample::response(JSON, sample::COMPLETION),
        )
        .fine(),
        with(
            ground,
            "Ollama's completion",
            sample::response(JSON, sample::WHOLE),
        )
        .fine(),
    ];
    for (name, kind, body) in DOCUMENTS {
        let mut response = sample::response(kind, Bytes::from_static(body));
        if kind.is_empty() {
            response.headers_mut().remove(CONTENT_TYPE);
        }
        scenarios.push(with(ground, name, response).fine());
    }
    scenarios
}

pub(super) fn large(ground: &Ground, manifest: &Manifest) -> Vec<Scenario> {
    let limits = Limits::default();
    let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    let (document, event) = (bytes(limits.response_body), bytes(limits.event));
    let scenario =
        |name: &str, kind, body: String| with(ground, name, sample::response(kind, body)).coarse();
    let many = match sample::sees_ollama(manifest) {
        true => scenario("10,000 events", NDJSON, lines(MANY)),
        false => scenario("10,000 events", SSE, events(MANY)),
    };
    vec![
        many,
        scenario(
            "10,000 events that are no JSON",
            SSE,
            "data: x\n\n".repeat(MANY),
        ),
        scenario("10,000 lines", NDJSON, lines(MANY)),
        scenario("an event of 1 MiB", SSE, chunk(LARGE)),
        scenario("a line of 1 MiB", NDJSON, line(LARGE)),
        scenario("a document of 1 MiB", JSON, completion(LARGE)),
        scenario(
            "plain bytes of 1 MiB",
            "application/octet-stream",
            "\u{0}".repeat(LARGE),
        ),
        scenario("an event of the gateway's limit", SSE, chunk(event - 16)).huge(),
        scenario("an event beyond the gateway's limit", SSE, chunk(event + 1)).huge(),
        scenario(
            "a document of the gateway's limit",
            JSON,
            completion(document),
        )
        .huge(),
        scenario(
            "a document beyond the gateway's limit",
            JSON,
            completion(document + 1),
        )
        .huge(),
    ]
}

/// So many short chunks, and the end of the stream.
fn events(count: usize) -> String {
    let chunk =
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" sky\"}}]}\n\n";
    let end = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    format!("{}{end}", chunk.repeat(count - 2))
}

/// So many short lines, the last of which ends the stream.
fn lines(count: usize) -> String {
    let line = "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\" sky\"},\"done\":false}\n";
    let end = "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\"}\n";
    format!("{}{end}", line.repeat(count - 1))
}

/// A stream whose first event has so many bytes.
fn chunk(bytes: usize) -> String {
    let begin = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"";
    let end = "\"}}]}";
    format!("{}\n\ndata: [DONE]\n\n", filled(begin, end, bytes))
}

/// A stream whose first line has so many bytes.
fn line(bytes: usize) -> String {
    let begin = "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"";
    let end = "\"},\"done\":false}";
    let last =
        "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true}\n";
    format!("{}\n{last}", filled(begin, end, bytes))
}

/// A completion of so many bytes.
fn completion(bytes: usize) -> String {
    let begin = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":""#;
    let end = r#""},"finish_reason":"stop"}]}"#;
    filled(begin, end, bytes)
}

fn filled(begin: &str, end: &str, bytes: usize) -> String {
    let filling = "x".repeat(bytes - begin.len() - end.len());
    format!("{begin}{filling}{end}")
}

/// One line end after the other is LF, CRLF or CR.
fn mixed(text: &str) -> String {
    let ends = ["\n", "\r\n", "\r"].into_iter().cycle();
    text.lines()
        .zip(ends)
        .flat_map(|(line, end)| [line, end])
        .collect()
}

fn as_events(lines: &str) -> String {
    lines
        .lines()
        .map(|line| format!("data: {line}\n\n"))
        .collect()
}

fn with(ground: &Ground, name: impl Into<String>, response: Response<Bytes>) -> Scenario {
    Scenario::new(name, &ground.request, response)
}
