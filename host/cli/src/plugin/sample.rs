//! Requests and responses as they are met in practice, in each dialect that a plugin may see.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, Uri};

use sluicegate_contract::Manifest;

/// A stream in OpenAI's form: a role, text with characters of several bytes, a reason for the end, the usage, the end marker.
pub(super) const STREAM: &str = concat!(
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1785578400,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1785578400,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Grüße, 你好 😀\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1785578400,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1785578400,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n",
    "data: [DONE]\n\n",
);
/// About a token of such a stream.
pub(super) const CHUNK: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1785578400,\"model\":\"qwen3:32b\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" scattered\"},\"finish_reason\":null}]}\n\n";
/// A response in OpenAI's form that is no stream.
pub(super) const COMPLETION: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1785578400,"model":"qwen3:32b","choices":[{"index":0,"message":{"role":"assistant","content":"Because blue light is scattered more than red light. 你好 😀"},"finish_reason":"stop"}],"usage":{"prompt_tokens":31,"completion_tokens":64,"total_tokens":95}}"#;

/// A stream in Ollama's form.
pub(super) const LINES: &str = concat!(
    "{\"model\":\"m\",\"created_at\":\"2026-08-01T10:00:00.123456789Z\",\"message\":{\"role\":\"assistant\",\"content\":\"Grüße, \"},\"done\":false}\n",
    "{\"model\":\"m\",\"created_at\":\"2026-08-01T10:00:00.223456789Z\",\"message\":{\"role\":\"assistant\",\"content\":\"你好 😀\"},\"done\":false}\n",
    "{\"model\":\"m\",\"created_at\":\"2026-08-01T10:00:00.323456789Z\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"total_duration\":5000000,\"prompt_eval_count\":3,\"eval_count\":4}\n",
);
/// About a token of such a stream.
pub(super) const LINE: &str = "{\"model\":\"qwen3:32b\",\"created_at\":\"2026-08-01T10:00:00.123456789Z\",\"message\":{\"role\":\"assistant\",\"content\":\" scattered\"},\"done\":false}\n";
/// A response in Ollama's form that is no stream.
pub(super) const WHOLE: &str = r#"{"model":"m","created_at":"2026-08-01T10:00:00.123456789Z","message":{"role":"assistant","content":"Because blue light is scattered more. 你好"},"done":true,"done_reason":"stop","total_duration":5000000,"prompt_eval_count":3,"eval_count":4}"#;

/// The content types of the three framings.
pub(super) const SSE: &str = "text/event-stream";
pub(super) const NDJSON: &str = "application/x-ndjson";
pub(super) const JSON: &str = "application/json";

/// What a model server's client asks for, in its dialect, before `"stream"`.
struct Dialect {
    path: &'static str,
    body: &'static str,
}

/// A chat as the official clients ask for it.
const OPENAI: Dialect = Dialect {
    path: "/v1/chat/completions",
    body: r#"{"messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"Why is the sky blue? Answer in one paragraph."}],"model":"qwen3:32b","temperature":0.7,"max_tokens":512"#,
};
const ANTHROPIC: Dialect = Dialect {
    path: "/v1/messages",
    body: r#"{"model":"qwen3:32b","max_tokens":512,"system":"You are a helpful assistant.","messages":[{"role":"user","content":"Why is the sky blue? Answer in one paragraph."}]"#,
};
const RESPONSES: Dialect = Dialect {
    path: "/v1/responses",
    body: r#"{"model":"qwen3:32b","instructions":"You are a helpful assistant.","input":"Why is the sky blue? Answer in one paragraph.","store":false"#,
};
const OLLAMA: Dialect = Dialect {
    path: "/api/chat",
    body: r#"{"model":"qwen3:32b","messages":[{"role":"user","content":"Why is the sky blue? Answer in one paragraph."}]"#,
};

/// A request in the dialect of a plugin's clients.
pub(super) fn request(manifest: &Manifest, stream: bool) -> Request<Bytes> {
    let dialect = match manifest.front.as_deref() {
        Some("anthropic") => ANTHROPIC,
        Some("responses") => RESPONSES,
        Some("ollama-api") => OLLAMA,
        Some(_) | None => OPENAI,
    };
    let body = format!("{},\"stream\":{stream}}}", dialect.body);
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(dialect.path);
    let fields = [
        ("accept", JSON),
        ("authorization", "Bearer sk-sample"),
        ("content-type", JSON),
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

/// Whether the responses that a plugin sees are in Ollama's form: those of its own adapter.
pub(super) fn sees_ollama(manifest: &Manifest) -> bool {
    let adapter = manifest.adapter.as_ref();
    adapter.is_some_and(|adapter| adapter.vendor == "ollama")
}

/// A response with this content type.
pub(super) fn response(kind: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
