//! What the calls are made with: the request and the response of a case, or built-in ones.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};

use crate::plugin::sample;
use sluicegate_contract::Manifest;
use sluicegate_framing::{Decoder, Event, Framing, Limits};
use sluicegate_gateway::exchange::scripted::Script;
use sluicegate_plugin_host::wit::Summary;

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

/// What is there without a case: a stream and a document, in the form in which the plugin sees them.
pub(super) fn built_in(manifest: &Manifest) -> Vec<Bodies> {
    let streams = |name: &str| (name == "stream").then_some("true");
    // Some plugins see the streams of clients that asked for none.
    let asked = manifest.wants_response(streams);
    let bodies = |name, stream, kind, body: String| {
        let request = sample::request(manifest, stream);
        Bodies::new(name, request, Some(sample::response(kind, body)))
    };
    let (kind, token, whole) = if sample::sees_ollama(manifest) {
        (sample::NDJSON, sample::LINE, sample::WHOLE)
    } else {
        (sample::SSE, sample::CHUNK, sample::COMPLETION)
    };
    vec![
        bodies("of a stream", asked, kind, token.repeat(TOKENS)),
        bodies("of a document", false, sample::JSON, whole.to_owned()),
    ]
}

/// A finished exchange, for observers.
pub(in crate::plugin) const fn summary() -> Summary<'static> {
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
