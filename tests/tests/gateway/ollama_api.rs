//! What Ollama offers beside chats, through OpenAI's API: completions of a prompt, embeddings, forced calls, thoughts in the content.

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Gateway, Script, Setup, Upstream};

use crate::common::{assert_error, question, with};

const COMPLETIONS: &str = "/v1/completions";
const EMBEDDINGS: &str = "/v1/embeddings";

/// A gateway whose route for all paths has the usual stages.
async fn gateway(upstream: &Upstream, config: &str) -> Gateway {
    Setup::before(upstream)
        .stages("", config)
        .route("/v1/*", r#"["auth", "aggregate"]"#, "")
        .start()
        .await
}

/// Lines of a completion, as Ollama streams them.
fn texts(texts: &[&str]) -> Vec<Value> {
    let line = |text: &&str| json!({"model": "own", "created_at": "2026-11-26T19:25:47.1Z", "response": text, "done": false});
    let mut lines: Vec<Value> = texts.iter().map(line).collect();
    lines.push(json!({
        "model": "own", "created_at": "2026-11-26T19:25:47.2Z", "response": "", "done": true, "done_reason": "stop",
        "prompt_eval_count": 4, "eval_count": 2
    }));
    lines
}

#[tokio::test]
async fn a_prompt_is_completed_streamed_and_in_one_object() {
    let upstream = Upstream::always(Script::ndjson(&texts(&[" 3,", " 4 你"]))).await;
    let gateway = gateway(&upstream, "").await;
    let asked = json!({"model": "qwen3:32b", "prompt": "1, 2,", "max_tokens": 8, "echo": true});

    let response = gateway.client().post(COMPLETIONS, &asked).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let body = response.json();
    assert_eq!(
        (&body["object"], &body["model"]),
        (&json!("text_completion"), &json!("qwen3:32b"))
    );
    let choice =
        json!({"index": 0, "text": "1, 2, 3, 4 你", "logprobs": null, "finish_reason": "stop"});
    assert_eq!(body["choices"], json!([choice]));
    assert_eq!(body["usage"]["total_tokens"], 6);
    let sent = upstream.next_request().await;
    assert_eq!(sent.target, "/api/generate");
    let sent = sent.json();
    assert_eq!(
        (&sent["raw"], &sent["prompt"], &sent["stream"]),
        (&json!(true), &json!("1, 2,"), &json!(true))
    );
    assert_eq!(sent["options"]["num_predict"], 8);

    let asked = json!({"model": "qwen3:32b", "prompt": "1, 2,", "stream": true, "suffix": "9"});
    let response = gateway.client().post(COMPLETIONS, &asked).await;
    let data: Vec<String> = response
        .events()
        .into_iter()
        .map(|event| event.data)
        .collect();
    let (end, chunks) = data.split_last().expect("chunks");
    assert_eq!(end, "[DONE]");
    let text: String = chunks
        .iter()
        .map(|chunk| {
            let chunk: Value = serde_json::from_str(chunk).expect("JSON");
            assert_eq!(chunk.get("usage"), None);
            let text = chunk["choices"][0]["text"].as_str();
            text.expect("a text").to_owned()
        })
        .collect();
    assert_eq!(text, " 3, 4 你");
    let sent = upstream.next_request().await.json();
    assert_eq!((&sent["suffix"], sent.get("raw")), (&json!("9"), None));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_completion_that_fails_or_is_refused_is_an_error() {
    let upstream = Upstream::sequence(vec![
        Script::ndjson(&[texts(&["a"])[0].clone(), ollama::error("boom")]),
        Script::ndjson(&[texts(&["a"])[0].clone(), ollama::error("boom")]),
        Script::json(
            400,
            &ollama::error("the input length exceeds the context length"),
        ),
    ])
    .await;
    let gateway = gateway(&upstream, "").await;
    let asked = json!({"model": "m", "prompt": "x"});
    let response = gateway.client().post(COMPLETIONS, &asked).await;
    assert_error(&response, 502, "upstream_error");

    let streamed = json!({"model": "m", "prompt": "x", "stream": true});
    let response = gateway.client().post(COMPLETIONS, &streamed).await;
    let last = response.events().pop().expect("an event").data;
    assert!(last.contains("\"upstream_error\""), "{last}");
    assert!(response.complete);

    let response = gateway.client().post(COMPLETIONS, &asked).await;
    assert_error(&response, 400, "context_length_exceeded");
    assert_eq!(response.error()["param"], "prompt");
    let several = json!({"model": "m", "prompt": ["x", "y"]});
    let response = gateway
        .client()
        .request(Method::POST, COMPLETIONS, several.to_string())
        .await;
    assert_error(&response, 400, "unsupported_value");
    assert_eq!(upstream.requests().len(), 3);
    gateway.shutdown().await;
}

#[tokio::test]
async fn embeddings_pass_as_ollama_sends_them() {
    let answer = json!({
        "object": "list", "data": [{"object": "embedding", "embedding": "skuqPly0Nj8=", "index": 0}],
        "model": "embed", "usage": {"prompt_tokens": 2, "total_tokens": 2}
    });
    let upstream = Upstream::sequence(vec![
        Script::json(200, &answer),
        Script::json(
            501,
            &ollama::error("This server does not support embeddings. Start it with `--embeddings`"),
        ),
    ])
    .await;
    let gateway = gateway(&upstream, "").await;
    let asked =
        json!({"model": "embed", "input": ["x"], "encoding_format": "base64", "dimensions": 2});
    let response = gateway.client().post(EMBEDDINGS, &asked).await;
    assert_eq!((response.status, response.json()), (200, answer));
    let sent = upstream.next_request().await;
    assert_eq!((sent.target.as_str(), sent.json()), (EMBEDDINGS, asked));

    let asked = json!({"model": "qwen3:32b", "input": "x"});
    let response = gateway.client().post(EMBEDDINGS, &asked).await;
    assert_error(&response, 400, "unsupported_value");
    assert_eq!(response.error()["param"], "model");
    for nothing in [json!(""), json!([]), json!([""])] {
        let asked = json!({"model": "embed", "input": nothing});
        let response = gateway.client().post(EMBEDDINGS, &asked).await;
        assert_error(&response, 400, "invalid_value");
        let error = response.error();
        let param = error["param"].as_str().expect("a parameter");
        assert!(param.starts_with("input"), "{error}");
    }
    assert_eq!(upstream.requests().len(), 2);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_forced_call_is_the_form_of_ollamas_text_and_comes_back_as_a_call() {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}});
    let texts = [
        "{\"name\": \"get",
        "_weather\", \"parameters\": {\"city\": ",
        "\"Oslo\"}",
        "}",
    ];
    let mut lines = vec![ollama::thinking("I must.\n")];
    lines.extend(ollama::stream(&texts));
    let upstream = Upstream::always(Script::ndjson(&lines)).await;
    let gateway = gateway(&upstream, "").await;
    let asked = with(
        question(),
        "tools",
        json!([tool("get_weather"), tool("get_time")]),
    );
    let asked = with(asked, "tool_choice", json!("required"));

    let choice = gateway.client().chat(&asked).await.json()["choices"][0].clone();
    assert_eq!(choice["finish_reason"], "tool_calls");
    let message = &choice["message"];
    assert_eq!(message["reasoning"], "I must.\n");
    let function = json!({"name": "get_weather", "arguments": "{\"city\": \"Oslo\"}"});
    assert_eq!(message["tool_calls"][0]["function"], function);
    let sent = upstream.next_request().await.json();
    assert_eq!(sent.get("tools"), None);
    let names: Vec<&Value> = sent["format"]["anyOf"]
        .as_array()
        .expect("a choice")
        .iter()
        .map(|option| &option["properties"]["name"]["const"])
        .collect();
    assert_eq!(names, ["get_weather", "get_time"]);
    assert_eq!(sent["messages"][0]["role"], "system");

    let asked = with(asked, "stream", json!(true));
    let chat = gateway.client().chat(&asked).await.streamed_chat();
    assert_eq!(
        (chat.done, chat.finish_reason.as_deref(), &*chat.content),
        (true, Some("tool_calls"), "")
    );
    let pieces: String = chat
        .chunks
        .iter()
        .filter_map(|chunk| {
            chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str()
        })
        .collect();
    assert_eq!(pieces, "{\"city\": \"Oslo\"}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn thoughts_that_ollama_leaves_in_the_content_are_split_off() {
    let texts = ["<th", "ink>\nHm.", "\n</", "think>", "\n\n", "Yes"];
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&texts))).await;
    let gateway = gateway(&upstream, "reasoning-field = \"both\"").await;
    let asked = with(question(), "enable_thinking", json!(true));
    let choice = gateway.client().chat(&asked).await.json()["choices"][0].clone();
    let message = &choice["message"];
    for name in ["reasoning", "reasoning_content"] {
        assert_eq!(message[name], "Hm.\n");
    }
    assert_eq!(message["content"], "Yes");
    assert_eq!(upstream.next_request().await.json()["think"], true);
    let asked = with(asked, "stream", json!(true));
    let chat = gateway.client().chat(&asked).await.streamed_chat();
    assert_eq!((chat.content.as_str(), chat.done), ("Yes", true));
    gateway.shutdown().await;
}
