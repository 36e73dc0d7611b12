//! What the calls are made with: the request and the response of a case, or built-in ones.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};

use sluicegate_contract::Manifest;
use sluicegate_framing::{Decoder, Event, Framing, Limits};
use sluicegate_gateway::exchange::scripted::Script;
use sluicegate_plugin_host::wit::Summary;

/// A chat as the official clients ask for it.
const CHAT: &str = r#"{"messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"Why is the sky blue? Answer in one paragraph."}],"model":"qwen3:32b","temperature":0.7,"max_tokens":512,"stream":true}"#;
/// About a token of OpenAI's stream.
const CHUNK: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1785578400,\"model\":\"qwen3:32b\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" scattered\"},\"finish_reason\":null}]}\n\n";
/// A response in OpenAI's form that is no stream.
const COMPLETION: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1785578400,"model":"qwen3:32b","choices":[{"index":0,"message":{"role":"assistant","content":"Because blue light is scattered more than red light."},"finish_reason":"stop"}],"usage":{"prompt_tokens":31,"completion_tokens":64,"total_tokens":95}}"#;
/// About a token of Ollama's stream.
const LINE: &str = "{\"model\":\"qwen3:32b\",\"created_at\":\"2026-08-01T10:00:00.123456789Z\",\"message\":{\"role\":\"assistant\",\"content\":\" scattered\"},\"done\":false}\n";
/// Tokens of a built-in stream.
const TOKENS: usize = 64;

/// A request and its response, with the events in it.
#[derive(Debug)]
pub(super) struct Bodies {
    /// Which response it is, where there are several.
    pub(super) name: &'static str,
    pub(super) request: Request<Bytes>,
    pub(super) response: Option<Response<Bytes>>,
    /// How the response is framed, by its content type.
    pub(super) framing: Framing,
    pub(super) events: Vec<Event>,
}

impl Bodies {
    pub(super) fn of(script: Script) -> Self {
        Self::new("", script.request, script.response)
    }

    fn new(name: &'static str, request: Request<Bytes>, response: Option<Response<Bytes>>) -> Self {
        let content_type = response
            .as_ref()
            .and_then(|it| it.headers().get(CONTENT_TYPE));
        let framing = Framing::of_content_type(content_type.map(HeaderValue::as_bytes));
        let body = response.as_ref().map(|response| response.body().clone());
        Self {
            name,
            request,
            response,
            framing,
            events: events(framing, body.unwrap_or_default()),
        }
    }
}

fn events(framing: Framing, body: Bytes) -> Vec<Event> {
    let mut decoder = Decoder::new(framing, Limits::default());
    decoder.feed(body);
    let mut events = Vec::new();
    // What cannot be read ends it: `plugin test` shows what a gateway makes of that.
    while let Ok(Some(batch)) = decoder.next_batch() {
        events.extend(batch.events);
    }
    while let Ok(Some(batch)) = decoder.finish() {
        events.extend(batch.events);
    }
    events
}

/// What is there without a case: a stream and a document. For an adapter of a vendor whose form is not built in, the request
/// alone.
pub(super) fn built_in(manifest: &Manifest) -> Vec<Bodies> {
    let bodies = |name, kind: &'static str, body: String| {
        let mut response = Response::new(Bytes::from(body));
        let kind = HeaderValue::from_static(kind);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        Bodies::new(name, chat(), Some(response))
    };
    match manifest
        .adapter
        .as_ref()
        .map(|adapter| adapter.vendor.as_str())
    {
        None => vec![
            bodies("of a stream", "text/event-stream", CHUNK.repeat(TOKENS)),
            bodies("of a document", "application/json", COMPLETION.to_owned()),
        ],
        Some("ollama") => vec![bodies("", "application/x-ndjson", LINE.repeat(TOKENS))],
        Some(_) => vec![Bodies::new("", chat(), None)],
    }
}

fn chat() -> Request<Bytes> {
    let mut request = Request::new(Bytes::from_static(CHAT.as_bytes()));
    *request.method_mut() = hyper::Method::POST;
    *request.uri_mut() = hyper::Uri::from_static("/v1/chat/completions");
    let fields = [
        ("accept", "application/json"),
        ("authorization", "Bearer sk-bench"),
        ("content-type", "application/json"),
        ("host", "127.0.0.1:8080"),
        ("user-agent", "OpenAI/Python 2.0.0"),
    ];
    for (name, value) in fields {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    request
}

/// A finished exchange, for observers.
pub(super) const fn summary() -> Summary<'static> {
    Summary {
        id: "req_abcdefghijklmnop",
        route: "/v1/chat/completions",
        method: "POST",
        path: "/v1/chat/completions",
        client: "127.0.0.1",
        status: 200,
        error: "",
        upstream: "main",
        target: "http://127.0.0.1:11434",
        attempts: 1,
        request_bytes: 220,
        response_bytes: 12_000,
        events: 64,
        duration_us: 1_900_000,
        first_byte_us: 120_000,
        overhead_us: 140,
        facts: &[
            ("model", "\"qwen3:32b\""),
            ("stream", "true"),
            ("tenant", "\"team-a\""),
        ],
    }
}
