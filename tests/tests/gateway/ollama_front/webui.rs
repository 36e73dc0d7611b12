//! What Open WebUI asks an Ollama connection for, over a vLLM.
//!
//! # Source
//! Open WebUI, `backend/open_webui/routers/ollama.py` (August 2026).

use serde_json::{Value, json};
use sluicegate_tests::upstream::Request;
use sluicegate_tests::{Script, Upstream};

use super::{PATH, front, joined, knows, lines, object, stream, text};

/// A vLLM with one model.
fn serve(request: &Request) -> Script {
    match request.path() {
        "/v1/models" => Script::json(
            200,
            &json!({"object": "list", "data": [{"id": "Qwen/Qwen3-32B", "object": "model", "created": 1_785_578_400,
                "owned_by": "vllm", "root": "/models/qwen", "max_model_len": 32768}]}),
        ),
        "/v1/embeddings" => {
            let asked = request.json();
            let input = asked["input"].as_array().map_or(1, Vec::len);
            let vectors: Vec<Value> = (0..input)
                .map(|index| json!({"object": "embedding", "index": index, "embedding": [0.25, -0.5]}))
                .collect();
            let usage = json!({"prompt_tokens": 4, "total_tokens": 4, "completion_tokens": 0});
            Script::json(
                200,
                &json!({"object": "list", "model": "x", "data": vectors, "usage": usage}),
            )
        }
        "/health" | "/version" => Script::json(200, &json!({"version": "0.32.0"})),
        _ => stream(&[text("Hello")], "stop"),
    }
}

#[tokio::test]
async fn its_connection_finds_the_models_of_a_vllm() {
    let upstream = Upstream::start(serve).await;
    let gateway = front(&upstream, "vllm").start().await;
    let client = knows(&gateway);

    // The connection is verified by the version, which must be numbers with dots.
    let version = object(&client.get("/api/version").await, 200);
    let version = version["version"].as_str().expect("a text").to_owned();
    assert!(
        version.split('.').all(|part| part.parse::<u32>().is_ok()),
        "{version}"
    );

    let tags = object(&client.get("/api/tags").await, 200);
    let model = &tags["models"][0];
    assert_eq!(
        (&model["model"], &model["name"]),
        (&json!("Qwen/Qwen3-32B"), &json!("Qwen/Qwen3-32B"))
    );
    assert_eq!(
        (&model["details"]["context_length"], &model["size"]),
        (&json!(32768), &json!(0))
    );
    let loaded = object(&client.get("/api/ps").await, 200);
    assert_eq!(loaded["models"][0]["model"], "Qwen/Qwen3-32B");
    assert!(loaded["models"][0]["expires_at"].is_string());
    let shown = object(
        &client
            .post("/api/show", &json!({"model": "Qwen/Qwen3-32B"}))
            .await,
        200,
    );
    assert_eq!(shown["capabilities"], json!(["completion", "tools"]));
    assert_eq!(shown["model_info"]["model.context_length"], 32768);
    let missing = client.post("/api/show", &json!({"model": "nobody"})).await;
    assert_eq!(
        object(&missing, 404),
        json!({"error": "model 'nobody' not found"})
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn its_chats_and_embeddings_work_over_a_vllm() {
    let upstream = Upstream::start(serve).await;
    let gateway = front(&upstream, "vllm").start().await;
    let client = knows(&gateway);
    // What it makes of a chat: everything that is set, and nothing that is not.
    let asked = json!({
        "model": "Qwen/Qwen3-32B", "stream": true,
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi?"}],
        "options": {"temperature": 0.5, "num_ctx": 4096, "mirostat": 0, "num_keep": 24, "repeat_last_n": 64, "tfs_z": 1},
        "keep_alive": "10m",
    });
    let found = lines(&client.post(PATH, &asked).await);
    assert_eq!(
        (joined(&found, "content"), &found[1]["done"]),
        ("Hello".into(), &json!(true))
    );
    let chat = upstream
        .requests()
        .into_iter()
        .find(|request| request.path() == "/v1/chat/completions")
        .expect("it was asked")
        .json();
    for dropped in ["mirostat", "num_keep", "repeat_last_n", "tfs_z", "options"] {
        assert!(chat.get(dropped).is_none(), "{dropped}");
    }
    assert_eq!(
        (&chat["temperature"], &chat["num_ctx"]),
        (&json!(0.5), &json!(4096))
    );

    let asked = json!({"model": "Qwen/Qwen3-32B", "input": ["a", "b"], "truncate": true});
    let embedded = object(&client.post("/api/embed", &asked).await, 200);
    assert_eq!(embedded["embeddings"], json!([[0.25, -0.5], [0.25, -0.5]]));
    assert_eq!(
        (&embedded["model"], &embedded["prompt_eval_count"]),
        (&json!("Qwen/Qwen3-32B"), &json!(4))
    );
    let embeddings = upstream.requests().into_iter().rev();
    let sent = embeddings
        .into_iter()
        .find(|request| request.path() == "/v1/embeddings")
        .expect("it was asked")
        .json();
    assert_eq!(
        (&sent["input"], &sent["encoding_format"]),
        (&json!(["a", "b"]), &json!("float"))
    );
    let asked = json!({"model": "Qwen/Qwen3-32B", "prompt": "a"});
    let embedded = object(&client.post("/api/embeddings", &asked).await, 200);
    assert_eq!(embedded, json!({"embedding": [0.25, -0.5]}));
    gateway.shutdown().await;
}

#[tokio::test]
async fn its_page_for_admins_manages_nothing() {
    let upstream = Upstream::start(serve).await;
    let gateway = front(&upstream, "vllm").start().await;
    let client = knows(&gateway);
    let unload = json!({"model": "Qwen/Qwen3-32B", "keep_alive": 0, "prompt": ""});
    let unloaded = object(&client.post("/api/generate", &unload).await, 200);
    assert_eq!(unloaded["done_reason"], "unload");
    let before = upstream.requests().len();
    for (method, path) in [
        (hyper::Method::POST, "/api/pull"),
        (hyper::Method::POST, "/api/push"),
        (hyper::Method::POST, "/api/create"),
        (hyper::Method::POST, "/api/copy"),
        (hyper::Method::DELETE, "/api/delete"),
        (hyper::Method::POST, "/api/blobs/sha256:00"),
    ] {
        let body = json!({"model": "x", "insecure": true}).to_string();
        let refused = client.request(method, path, body).await;
        assert!(object(&refused, 403)["error"].is_string(), "{path}");
    }
    assert_eq!(upstream.requests().len(), before);
    gateway.shutdown().await;
}
