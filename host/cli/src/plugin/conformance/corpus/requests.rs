//! Requests: what clients may send. The gateway has checked the head; the body may be anything.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};

use super::{Ground, LARGE, Scenario};
use crate::plugin::sample;
use sluicegate_config::Limits;

/// Methods, each with the body of the ordinary request and without one.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// Paths: OpenAI's, those of other dialects, unknown ones, and what the gateway respells or refuses.
const TARGETS: [(&str, &str); 21] = [
    ("chat", "/v1/chat/completions"),
    ("completions", "/v1/completions"),
    ("embeddings", "/v1/embeddings"),
    ("input tokens", "/v1/chat/completions/input_tokens"),
    ("the list of models", "/v1/models"),
    ("a model", "/v1/models/qwen3:32b"),
    ("a model with a slash", "/v1/models/org%2Fmodel"),
    ("OpenAI's responses", "/v1/responses"),
    ("a stored response", "/v1/responses/resp_1"),
    ("Anthropic's messages", "/v1/messages"),
    ("Anthropic's count of tokens", "/v1/messages/count_tokens"),
    ("Ollama's chat", "/api/chat"),
    ("Ollama's generate", "/api/generate"),
    ("Ollama's list", "/api/tags"),
    ("the root", "/"),
    ("an unknown path", "/no/such/path"),
    ("an empty query", "/v1/chat/completions?"),
    ("a query", "/v1/chat/completions?a=1&b=%20&c&=d&a=2"),
    ("doubled slashes", "//v1///chat/completions"),
    ("encoded characters", "/v1/%63hat/%E4%BD%A0/%ff"),
    ("an encoded way up", "/v1/%2e%2e/models"),
];

/// Header fields of the request, beside those that it has or in their place.
const FIELDS: [(&str, &str, &[u8]); 14] = [
    ("no content type", "content-type", b""),
    ("text", "content-type", b"text/plain; charset=utf-8"),
    (
        "a form",
        "content-type",
        b"multipart/form-data; boundary=\"x\"",
    ),
    (
        "a content type that is none",
        "content-type",
        b";;=\"nonsense",
    ),
    ("a field that is no UTF-8", "x-odd", b"\xff\xfe\x80"),
    ("a field in Latin-1", "x-odd", b"Gr\xfc\xdfe"),
    ("an empty field", "x-empty", b" "),
    ("an empty authorization", "authorization", b" "),
    (
        "an authorization of another kind",
        "authorization",
        b"Basic eDp5",
    ),
    (
        "an authorization that is no UTF-8",
        "authorization",
        b"Bearer \xff\xfe",
    ),
    ("an empty key", "x-api-key", b" "),
    (
        "a trace",
        "traceparent",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
    ("an odd accept", "accept", b"*/*;q=0, text/event-stream"),
    ("cookies", "cookie", b"a=1; b=\"2; c=3\"; d"),
];

/// Bodies, in place of that of the ordinary request.
const BODIES: [(&str, &[u8]); 25] = [
    ("no body", b""),
    ("a blank", b" "),
    ("an empty object", b"{}"),
    ("an empty array", b"[]"),
    ("null", b"null"),
    ("a number", b"-0.5e-7"),
    ("a string", b"\"Why is the sky blue?\""),
    ("text that is no JSON", b"Why is the sky blue?"),
    ("JSON that breaks off", b"{\"model\":\"m\",\"messages\":[{\"role\""),
    ("something behind the JSON", b"{\"model\":\"m\"} {}"),
    ("bytes that are no UTF-8", b"\x80\xff\xfe{\x00}\xc3"),
    ("an object with a string that is no UTF-8", b"{\"model\":\"m\xff\xfe\",\"messages\":[{\"role\":\"user\",\"content\":\"\xc3\"}]}"),
    ("a byte order mark", b"\xef\xbb\xbf{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"stream\":true}"),
    ("a byte order mark alone", b"\xef\xbb\xbf"),
    ("blanks around JSON", b" \r\n\t{ \"model\" : \"m\" , \"messages\" : [ ] , \"stream\" : true }\r\n"),
    ("`model` twice", b"{\"model\":\"a\",\"model\":\"b\",\"messages\":[]}"),
    ("members of other types", b"{\"model\":1,\"messages\":\"x\",\"stream\":\"yes\",\"max_tokens\":{},\"tools\":0,\"input\":7}"),
    ("members that are null", b"{\"model\":null,\"messages\":null,\"stream\":null,\"max_tokens\":null,\"tools\":null,\"input\":null}"),
    ("messages that are no objects", b"{\"model\":\"m\",\"messages\":[null,1,\"x\",[],{}],\"input\":[null,1,[],{}]}"),
    ("contents of several kinds", b"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Hi\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}},{\"type\":\"odd\"},null]}]}"),
    ("half of a surrogate pair", b"{\"model\":\"\\ud800\",\"messages\":[{\"role\":\"user\",\"content\":\"\\udfff\"}]}"),
    ("a control character", b"{\"model\":\"m\\u0000\",\"messages\":[{\"role\":\"user\",\"content\":\"\\u0000\\u001f\"}]}"),
    ("numbers that no float holds", b"{\"model\":\"m\",\"messages\":[],\"temperature\":1e999,\"max_tokens\":99999999999999999999999999}"),
    ("negative numbers", b"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"temperature\":-1,\"max_tokens\":-1,\"n\":-3}"),
    ("no messages", b"{\"model\":\"m\",\"messages\":[],\"input\":[],\"stream\":true}"),
];

/// Depth of a nested body. Arbitrary: far beyond what a recursive reader has a stack for.
const DEPTH: usize = 50_000;

pub(super) fn targets(ground: &Ground) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for method in METHODS {
        for (body, name) in [(true, "with its body"), (false, "without a body")] {
            let mut request = ground.request.clone();
            *request.method_mut() = method.clone();
            if !body {
                *request.body_mut() = Bytes::new();
                request.headers_mut().remove(CONTENT_TYPE);
            }
            scenarios.push(with(ground, format!("{method} {name}"), &request));
        }
    }
    for (name, target) in TARGETS {
        for method in [Method::POST, Method::GET] {
            let mut request = ground.request.clone();
            *request.method_mut() = method.clone();
            *request.uri_mut() = Uri::from_static(target);
            if method == Method::GET {
                *request.body_mut() = Bytes::new();
            }
            scenarios.push(with(ground, format!("{method} {name}"), &request));
        }
    }
    scenarios
}

pub(super) fn fields(ground: &Ground) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for (name, field, value) in FIELDS {
        let mut request = ground.request.clone();
        let field = HeaderName::from_static(field);
        request.headers_mut().remove(&field);
        // The gateway removes blanks around a value.
        match HeaderValue::from_bytes(value.trim_ascii()) {
            Ok(value) if name != "no content type" => {
                request.headers_mut().insert(field, value);
            }
            Ok(_) | Err(_) => {}
        }
        scenarios.push(with(ground, name, &request));
    }
    let mut many = ground.request.clone();
    // As many as the gateway takes.
    for number in many.headers().len()..Limits::default().headers {
        let value = HeaderValue::from(number);
        many.headers_mut().append("x-many", value);
    }
    scenarios.push(with(ground, "a hundred fields, most of one name", &many));
    let mut none = ground.request.clone();
    none.headers_mut().clear();
    scenarios.push(with(ground, "no fields at all", &none));
    scenarios
}

pub(super) fn bodies(ground: &Ground) -> Vec<Scenario> {
    let body = |(name, body): (&str, &'static [u8])| {
        with(ground, name, &with_body(ground, Bytes::from_static(body)))
    };
    let mut scenarios: Vec<Scenario> = BODIES.into_iter().map(body).collect();
    for (name, open, close) in [
        ("arrays in arrays", "[", "]"),
        ("objects in objects", "{\"messages\":", "}"),
    ] {
        let nested = format!("{}0{}", open.repeat(DEPTH), close.repeat(DEPTH));
        let nested = format!("{{\"model\":\"m\",\"messages\":{nested}}}");
        let request = with_body(ground, nested.into());
        scenarios.push(with(ground, name, &request));
    }
    scenarios
}

pub(super) fn large(ground: &Ground) -> Vec<Scenario> {
    let most = usize::try_from(Limits::default().request_body).unwrap_or(usize::MAX);
    let text = |bytes: usize| -> Bytes {
        let begin =
            r#"{"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":""#;
        let end = "\"}]}";
        let filling = "x".repeat(bytes - begin.len() - end.len());
        format!("{begin}{filling}{end}").into()
    };
    let odd = |bytes: usize| -> Bytes { vec![0xff; bytes].into() };
    let scenario = |name: &str, body: Bytes| with(ground, name, &with_body(ground, body));
    vec![
        scenario("a body of 1 MiB", text(LARGE)),
        scenario("a body of 1 MiB that is no UTF-8", odd(LARGE)),
        scenario("a body of the gateway's limit", text(most)).huge(),
        scenario("a body of the gateway's limit that is no UTF-8", odd(most)).huge(),
    ]
}

fn with(ground: &Ground, name: impl Into<String>, request: &Request<Bytes>) -> Scenario {
    Scenario::new(name, request, ground.response.clone())
}

fn with_body(ground: &Ground, body: Bytes) -> Request<Bytes> {
    let mut request = ground.request.clone();
    *request.method_mut() = Method::POST;
    let kind = HeaderValue::from_static(sample::JSON);
    request.headers_mut().entry(CONTENT_TYPE).or_insert(kind);
    *request.body_mut() = body;
    request
}
