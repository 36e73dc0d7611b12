//! The simulated vLLM over real connections, against what a real one sent.

use serde_json::{Value, json};

use crate::Vendor;
use crate::testing::{Demo, Response};

const CHAT: &str = "/v1/chat/completions";

async fn vllm() -> Demo {
    Demo::of_vendor(Vendor::Vllm, None).await
}

async fn ask(demo: &Demo, message: &str, more: &Value) -> Response {
    let mut body = json!({"model": "demo", "messages": [{"role": "user", "content": message}]});
    for (name, value) in more.as_object().expect("members") {
        body[name] = value.clone();
    }
    demo.post(CHAT, &body.to_string()).await
}

fn error(response: &Response) -> (u16, Value) {
    (response.status, response.json()["error"].clone())
}

/// What a recording of a real server looks like: names of members and kinds of values, not the values.
#[tokio::test]
async fn every_response_has_the_form_of_the_real_one() {
    vllm()
        .await
        .is_like(include_str!("tests/recorded.json"))
        .await;
}

#[tokio::test]
async fn a_stream_says_what_the_document_says() {
    let demo = vllm().await;
    for model in ["demo", "qwen3:32b"] {
        let whole = ask(&demo, "Hello", &json!({"model": model})).await.json();
        let stream = ask(&demo, "Hello", &json!({"model": model, "stream": true}))
            .await
            .events();
        for field in ["content", "reasoning"] {
            let deltas = stream
                .iter()
                .filter_map(|event| event["choices"][0]["delta"][field].as_str());
            let said: String = deltas.collect();
            let expected = whole["choices"][0]["message"][field].as_str();
            assert_eq!(said, expected.unwrap_or_default(), "{field}");
        }
        assert_eq!(stream[0]["choices"][0]["delta"]["role"], "assistant");
    }
}

#[tokio::test]
async fn a_call_begins_without_arguments_and_a_named_one_finishes_with_stop() {
    let demo = vllm().await;
    let tool = json!({"type": "function", "function": {"name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}});
    let calls = |events: &[Value]| -> Vec<Value> {
        let calls = events
            .iter()
            .map(|event| &event["choices"][0]["delta"]["tool_calls"][0]);
        calls.filter(|call| !call.is_null()).cloned().collect()
    };
    let asked = json!({"tools": [tool], "stream": true});
    let events = ask(&demo, "What is the weather in Oslo?", &asked)
        .await
        .events();
    let deltas = calls(&events);
    assert_eq!(deltas[0]["function"], json!({"name": "get_weather"}));
    let arguments: String = deltas
        .iter()
        .filter_map(|call| call["function"]["arguments"].as_str())
        .collect();
    assert_eq!(arguments, r#"{"city": "Oslo"}"#);
    let finish = |events: &[Value]| events[events.len() - 2]["choices"][0]["finish_reason"].clone();
    assert_eq!(finish(&events), "tool_calls");

    let named = json!({"tools": [tool], "stream": true,
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}}});
    let events = ask(&demo, "Hello", &named).await.events();
    assert!(!calls(&events).is_empty());
    assert_eq!(finish(&events), "stop");
    // A broken call is text, or half of a call.
    let whole = ask(&demo, "/error call", &json!({"tools": [tool]}))
        .await
        .json();
    let message = &whole["choices"][0]["message"];
    assert!(
        message["content"]
            .as_str()
            .is_some_and(|text| text.starts_with("<tool_call>"))
    );
    assert_eq!(message.get("tool_calls"), None);
}

#[tokio::test]
async fn failures_in_mid_stream_have_the_mark_of_a_good_end() {
    let demo = vllm().await;
    let stream = json!({"stream": true});
    let events = ask(&demo, "/error mid", &stream).await.events();
    assert_eq!(events[events.len() - 2]["error"]["code"], 500);
    assert_eq!(events[events.len() - 1], "[DONE]");
    let events = ask(&demo, "/error abort", &stream).await.events();
    let last = &events[events.len() - 2]["choices"][0];
    assert_eq!(last["finish_reason"], "abort");
    assert_ne!(last["delta"]["content"], Value::Null);
    assert_eq!(error(&ask(&demo, "/error mid", &json!({})).await).0, 500);
    let cut = ask(&demo, "/error truncate", &stream).await;
    assert!(cut.complete && !cut.body.contains("[DONE]"));
    assert!(!ask(&demo, "/error reset", &stream).await.complete);
}

#[tokio::test]
async fn values_that_openai_takes_are_refused_as_vllm_does() {
    let demo = vllm().await;
    for (more, param) in [
        (json!({"stop": ["a", "b", "c", "d", "e"]}), Value::Null),
        (json!({"n": 2, "temperature": 0}), Value::Null),
        (
            json!({"stream_options": {"include_usage": true}}),
            json!("stream_options"),
        ),
        (json!({"tools": []}), json!("tools")),
        (json!({"messages": []}), Value::Null),
        (json!({"top_logprobs": 2}), json!("top_logprobs")),
    ] {
        let (status, error) = error(&ask(&demo, "hi", &more).await);
        assert_eq!(
            (status, &error["code"], &error["param"]),
            (400, &json!(400), &param),
            "{more}"
        );
    }
    // The other way round.
    for more in [
        json!({"stream": "yes"}),
        json!({"model": null}),
        json!({"model": ""}),
        json!({"max_tokens": "3"}),
        json!({"unknown": {"a": 1}}),
        json!({"messages": [{"role": "wizard", "content": "hi"}]}),
    ] {
        assert_eq!(ask(&demo, "hi", &more).await.status, 200, "{more}");
    }
    let body = json!({"messages": []}).to_string();
    let bare = demo
        .send(&format!("POST {CHAT}"), "host: x\r\n", &body)
        .await;
    assert_eq!(error(&bare).1["type"], "Bad Request");
    let (status, error) = error(&ask(&demo, "hi", &json!({"model": "nope"})).await);
    assert_eq!((status, &error["type"]), (404, &json!("NotFoundError")));
}

#[tokio::test]
async fn a_key_is_asked_for_where_vllm_asks_for_it() {
    let demo = Demo::of_vendor(Vendor::Vllm, Some("sekrit")).await;
    let get = async |path: &str, fields: &str| {
        let fields = format!("host: x\r\n{fields}");
        demo.send(&format!("GET {path}"), &fields, "").await
    };
    let wrong = get("/v1/models", "authorization: Bearer other\r\n").await;
    assert_eq!(
        (wrong.status, wrong.json()),
        (401, json!({"error": "Unauthorized"}))
    );
    assert_eq!(get("/v1/models", "x-api-key: sekrit\r\n").await.status, 401);
    assert_eq!(
        get("/v1/models", "authorization: bearer sekrit\r\n")
            .await
            .status,
        200
    );
    for path in ["/health", "/version"] {
        assert_eq!(get(path, "").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn embeddings_are_those_of_the_model_that_makes_them() {
    let demo = vllm().await;
    let ask = async |body: Value| demo.post("/v1/embeddings", &body.to_string()).await;
    let two = ask(json!({"model": "embed", "input": ["a", "b"], "dimensions": 8}))
        .await
        .json();
    assert_eq!(
        two["data"][1]["embedding"].as_array().map(Vec::len),
        Some(8)
    );
    let base64 = ask(json!({"model": "embed", "input": "a", "encoding_format": "base64"}))
        .await
        .json();
    // 64 numbers of 4 bytes.
    assert_eq!(
        base64["data"][0]["embedding"].as_str().map(str::len),
        Some(344)
    );
    let generative = ask(json!({"model": "demo", "input": "a"})).await;
    assert_eq!(
        (generative.status, generative.json()),
        (404, json!({"detail": "Not Found"}))
    );
    let chat = json!({"model": "embed", "messages": []}).to_string();
    assert_eq!(demo.post(CHAT, &chat).await.status, 404);
    assert_eq!(
        ask(json!({"model": "embed", "input": []})).await.status,
        400
    );
}

#[tokio::test]
async fn the_id_of_a_request_becomes_that_of_its_response() {
    let demo = vllm().await;
    let body = json!({"messages": [{"role": "user", "content": "/echo a"}]}).to_string();
    let fields = "host: x\r\ncontent-type: application/json\r\nx-request-id: mine\r\n";
    let response = demo.send(&format!("POST {CHAT}"), fields, &body).await;
    assert_eq!(response.json()["id"], "chatcmpl-mine");
    assert_eq!(demo.get("/v1/models/").await.status, 307);
}
