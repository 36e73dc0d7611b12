//! The adapter for vLLM.

use std::time::Duration;

use serde_json::{Value, json};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{
    Barrier, Client, Gateway, Script, Setup, Upstream, eventually, guest, logs,
};

use super::{KEYS, before_vllm, chunks, engine_died, knows, vllm_greets, vllm_stream};
use crate::common::{CHAT, assert_error, question, streamed, with};

fn client(gateway: &Gateway, id: &str) -> Client {
    knows(gateway).with("x-request-id", id)
}

#[tokio::test]
async fn a_request_passes_as_it_is_and_the_response_names_the_client_s_model() {
    let upstream = vllm_greets().await;
    let gateway = before_vllm(&upstream).start().await;
    let id = logs::id();
    let odd = with(question(), "min_p", json!(0.05));
    let response = client(&gateway, &id).chat(&odd).await;
    assert_eq!((response.status, response.complete), (200, true));
    let completion = response.json();
    assert_eq!(
        (
            &completion["model"],
            &completion["choices"][0]["message"]["content"]
        ),
        (&json!("qwen3:32b"), &json!("Hello"))
    );
    assert_eq!(completion["kv_transfer_params"], Value::Null);
    let asked = upstream.next_request().await;
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str(), asked.json()),
        ("POST", "/v1/chat/completions", odd)
    );
    assert_eq!(logs::seen(&id).await["note_usage"]["completion_tokens"], 5);
    gateway.shutdown().await;
}

#[tokio::test]
async fn usage_of_a_stream_is_always_known_and_shown_to_those_who_ask() {
    let upstream = vllm_greets().await;
    let gateway = before_vllm(&upstream).start().await;
    for (options, shown) in [
        (Value::Null, false),
        (json!({"continuous_usage_stats": true}), false),
        (json!({"include_usage": false}), false),
        (json!({"include_usage": true}), true),
    ] {
        let id = logs::id();
        let asks = with(streamed(), "stream_options", options);
        let chat = client(&gateway, &id).chat(&asks).await.streamed_chat();
        assert_eq!((chat.content.as_str(), chat.done), ("Hello", true));
        assert_eq!(chat.usage.is_some(), shown);
        assert!(
            chat.chunks
                .iter()
                .all(|chunk| chunk["model"] == "qwen3:32b")
        );
        assert!(
            shown
                || chat
                    .chunks
                    .iter()
                    .all(|chunk| chunk["choices"] != json!([]))
        );
        let asked = upstream.next_request().await.json();
        assert_eq!(asked["stream_options"], json!({"include_usage": true}));
        assert_eq!(logs::seen(&id).await["note_usage"]["prompt_tokens"], 7);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn errors_of_every_shape_are_the_gateway_s_own() {
    let wrapped = |code: u16, kind: &str, message: &str| json!({"error": {"message": message, "type": kind, "param": "input_tokens", "code": code}});
    let flat = json!({"object": "error", "message": "too long", "type": "BadRequestError", "param": null, "code": 400});
    for (status, body, got, code) in [
        (
            404,
            wrapped(404, "NotFoundError", "no such model"),
            404,
            "model_not_found",
        ),
        (
            400,
            wrapped(400, "BadRequestError", "too long"),
            400,
            "invalid_value",
        ),
        (400, flat, 400, "invalid_value"),
        (
            401,
            json!({"error": "Unauthorized"}),
            502,
            "upstream_unauthorized",
        ),
        (404, json!({"detail": "Not Found"}), 502, "upstream_error"),
        (
            503,
            wrapped(503, "Service Unavailable", "busy"),
            503,
            "upstream_unavailable",
        ),
    ] {
        let upstream = Upstream::always(Script::json(status, &body)).await;
        let gateway = before_vllm(&upstream).start().await;
        for asked in [question(), streamed()] {
            let response = knows(&gateway).chat(&asked).await;
            assert_error(&response, got, code);
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn an_error_as_the_first_event_leads_to_the_next_model_server_and_its_adapter() {
    let dead = Upstream::always(Script::sse_head().chunk(engine_died())).await;
    let spare = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let other = format!(
        "[upstream.spare]\ntargets = [{:?}]\nadapter = \"ollama\"",
        spare.url()
    );
    let gateway = Setup::before(&dead)
        .stages(KEYS, "")
        .plugin("vllm", guest::VLLM, "")
        .adapter("vllm")
        .section(&other)
        .route(
            CHAT,
            r#"["auth", "aggregate"]"#,
            "fallback = [\"spare\"]\nobservers = [\"observer\"]",
        )
        .start()
        .await;
    let id = logs::id();
    let chat = client(&gateway, &id)
        .chat(&streamed())
        .await
        .streamed_chat();
    assert_eq!((chat.content.as_str(), chat.done), ("Hello", true));
    assert_eq!(dead.next_request().await.path(), "/v1/chat/completions");
    assert_eq!(spare.next_request().await.path(), "/api/chat");
    let seen = logs::seen(&id).await;
    assert_eq!(
        (&seen["attempts"], &seen["upstream"], &seen["error"]),
        (&json!(2), &json!("spare"), &json!(""))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_error_in_mid_stream_is_the_last_event_without_the_end_marker_behind_it() {
    let gate = Barrier::new();
    let script = Script::sse_head().chunks(chunks(&["Hel", "lo"]));
    let upstream = Upstream::always(script.wait(&gate).chunk(engine_died())).await;
    let gateway = before_vllm(&upstream).start().await;
    let id = logs::id();
    let mut stream = client(&gateway, &id).open_chat(&streamed()).await;
    assert_eq!(stream.text().await, "Hel");
    gate.open();
    let chat = stream.rest().await.streamed_chat();
    let error = chat.error.expect("an error");
    assert_eq!(
        (&error["code"], chat.done),
        (&json!("upstream_unavailable"), false)
    );
    assert_eq!(logs::seen(&id).await["error"], "upstream_unavailable");
    gateway.shutdown().await;

    // All at once: how events fall into batches means nothing.
    let all = chunks(&["Hel", "lo"]).concat() + &engine_died();
    let upstream = Upstream::always(Script::sse_head().chunk(all)).await;
    let gateway = before_vllm(&upstream).start().await;
    let chat = knows(&gateway).chat(&streamed()).await.streamed_chat();
    assert_eq!((chat.content.as_str(), chat.done), ("Hello", false));
    assert_eq!(
        chat.error.expect("an error")["code"],
        "upstream_unavailable"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_adapter_knows_what_its_model_server_said_of_itself() {
    let upstream = Upstream::start(|request| match request.path() {
        "/version" => Script::json(200, &json!({"version": "9.9.9"})),
        _ => vllm_stream(&["Hello"]),
    })
    .await;
    let gateway = before_vllm(&upstream)
        .upstream("health = { interval = \"20ms\" }")
        .start()
        .await;
    let chat = eventually("a chunk with the version", async || {
        let chat = knows(&gateway).chat(&streamed()).await.streamed_chat();
        let known = chat.chunks[0]["system_fingerprint"] == "vllm-9.9.9";
        if !known {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        known.then_some(chat)
    })
    .await;
    assert!(chat.done);
    gateway.shutdown().await;
}
