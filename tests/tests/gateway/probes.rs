//! Probes of the contract: two fronts and an adapter that are not shipped yet, in drafts. What is asserted is what the client
//! got, in its own dialect, and what the model server got.

mod anthropic;
mod edges;
mod ollama_api;
mod vllm;

use serde_json::{Value, json};
use sluicegate_tests::client::Response;
use sluicegate_tests::{Client, Gateway, Script, Setup, Upstream, guest};

/// A key that the gateway knows.
const KEYS: &str = r#"{ name = "probe", key = "sk-probe" }"#;

/// The usual stages behind both fronts. Before `aggregate` stands the guest filter, which does as the request says.
fn fronts(setup: Setup) -> Setup {
    let observed = "observers = [\"observer\"]";
    let pipeline = |front: &str| format!("[\"{front}\", \"auth\", \"guest\", \"aggregate\"]");
    setup
        .plugin("anthropic", guest::ANTHROPIC, "")
        .plugin("ollama-api", guest::OLLAMA_API, "")
        .plugin("guest", guest::FILTER, "")
        .route("/v1/messages", &pipeline("anthropic"), observed)
        .route("/api/*", &pipeline("ollama-api"), observed)
}

/// Both fronts before an Ollama.
fn before_ollama(upstream: &Upstream) -> Setup {
    fronts(Setup::before(upstream).stages(KEYS, ""))
}

/// Both fronts before a vLLM; OpenAI's own API too.
fn before_vllm(upstream: &Upstream) -> Setup {
    let setup = Setup::before(upstream).stages(KEYS, "").chat_routes();
    fronts(setup.plugin("vllm", guest::VLLM, "").adapter("vllm"))
}

/// Both fronts before a model server that speaks OpenAI's API, without an adapter.
fn before_canonical(upstream: &Upstream) -> Setup {
    before_ollama(upstream).adapter("")
}

/// A client that has the key.
fn knows(gateway: &Gateway) -> Client {
    gateway.client().with("x-api-key", "sk-probe")
}

/// Chunks of a stream as vLLM sends them, without the end marker.
fn chunks(texts: &[&str]) -> Vec<String> {
    let chunk = |choices: Value| {
        let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served-name",
            "choices": choices});
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    let mut chunks = vec![chunk(choice(
        json!({"role": "assistant", "content": ""}),
        json!(null),
    ))];
    chunks.extend(
        texts
            .iter()
            .map(|text| chunk(choice(json!({"content": text}), json!(null)))),
    );
    chunks
}

/// The end of a stream as vLLM sends it: finish, usage, end marker.
fn last_chunks() -> Vec<String> {
    let finish = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served-name",
        "choices": [{"index": 0, "delta": {}, "logprobs": null, "finish_reason": "stop", "stop_reason": null}]});
    let usage = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served-name",
        "choices": [], "usage": {"prompt_tokens": 7, "total_tokens": 12, "completion_tokens": 5}});
    vec![
        format!("data: {finish}\n\n"),
        format!("data: {usage}\n\n"),
        "data: [DONE]\n\n".to_owned(),
    ]
}

/// A vLLM's stream: each chunk on its own.
fn vllm_stream(texts: &[&str]) -> Script {
    Script::sse_head()
        .chunks(chunks(texts))
        .chunks(last_chunks())
}

/// What a vLLM whose engine died says in a stream, and the end marker that follows.
fn engine_died() -> String {
    let error = json!({"error": {"message": "EngineCore encountered an issue. See stack trace (above) for the root cause.",
        "type": "InternalServerError", "param": null, "code": 500}});
    format!("data: {error}\n\ndata: [DONE]\n\n")
}

/// A vLLM that greets, streamed or not.
async fn vllm_greets() -> Upstream {
    Upstream::start(|request| match request.path() {
        "/version" => Script::json(200, &json!({"version": "9.9.9"})),
        _ if request.json()["stream"] == json!(true) => vllm_stream(&["Hel", "lo"]),
        _ => Script::json(
            200,
            &json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "served-name",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "logprobs": null, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "total_tokens": 12, "completion_tokens": 5}, "kv_transfer_params": null}),
        ),
    })
    .await
}

/// The fields of another dialect's error are not in this response.
#[track_caller]
fn assert_is_json(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{}", response.text());
    assert!(response.complete);
    let kind = response.header("content-type");
    let text = response.text();
    assert!(kind.starts_with("application/json"), "{kind}: {text}");
    assert!(!response.header("x-request-id").is_empty());
}
