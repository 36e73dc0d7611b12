//! HTTP requests that are not valid chat requests: each gets an error that says why.

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::client::Raw;
use sluicegate_tests::{Gateway, Setup};

use crate::common::{CHAT, assert_error, question, says_hello};

#[tokio::test]
async fn bodies_that_are_no_chat_request_are_400s_that_say_why() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for (body, code, param) in [
        (&b""[..], "invalid_json", Value::Null),
        (b" ", "invalid_json", Value::Null),
        (b"{", "invalid_json", Value::Null),
        (b"model=m", "invalid_json", Value::Null),
        (
            b"{\"model\":\"\xff\xfe\",\"messages\":[]}",
            "invalid_json",
            Value::Null,
        ),
        (
            b"\xef\xbb\xbf{\"model\":\"m\"}",
            "missing_required_parameter",
            json!("messages"),
        ),
        (b"[]", "invalid_json", Value::Null),
        (b"null", "invalid_json", Value::Null),
        (
            b"{\"model\":\"m\"}",
            "missing_required_parameter",
            json!("messages"),
        ),
        (
            b"{\"model\":\"m\",\"messages\":[]}",
            "invalid_value",
            json!("messages"),
        ),
        (
            b"{\"model\":\"m\",\"messages\":{}}",
            "invalid_type",
            json!("messages"),
        ),
        (
            b"{\"model\":7,\"messages\":[]}",
            "invalid_type",
            json!("model"),
        ),
    ] {
        let response = gateway.client().request(Method::POST, CHAT, body).await;
        assert_error(&response, 400, code);
        let error = response.error();
        assert_eq!(
            (&error["type"], &error["param"]),
            (&json!("invalid_request_error"), &param),
            "{}",
            String::from_utf8_lossy(body)
        );
    }
    let deep = "[".repeat(100_000);
    let response = gateway.client().request(Method::POST, CHAT, deep).await;
    assert_error(&response, 400, "invalid_json");
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn parameters_of_the_wrong_type_are_named() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for (name, value) in [
        ("stream", json!("true")),
        ("stream", json!(1)),
        ("stream", json!({})),
        ("temperature", json!("hot")),
        ("max_tokens", json!("9")),
        ("stop", json!(5)),
        ("tools", json!({})),
        ("response_format", json!("json")),
    ] {
        let mut body = question();
        body[name] = value;
        let response = gateway.client().chat(&body).await;
        assert_error(&response, 400, "invalid_type");
        assert_eq!(response.error()["param"], name);
    }
    for (name, value) in [
        ("n", json!(2)),
        ("tool_choice", json!("required")),
        ("logit_bias", json!({"1": 1})),
    ] {
        let mut body = question();
        body[name] = value;
        let response = gateway.client().chat(&body).await;
        assert_error(&response, 400, "unsupported_value");
        assert_eq!(response.error()["param"], name);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn every_parameter_may_be_null_and_then_is_as_if_absent() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    gateway.client().chat(&question()).await;
    let plain = upstream.next_request().await.json();
    for name in [
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        "n",
        "stop",
        "seed",
        "max_tokens",
        "max_completion_tokens",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "response_format",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning_effort",
        "reasoning",
        "verbosity",
        "modalities",
        "audio",
        "prediction",
        "store",
        "metadata",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "web_search_options",
        "user",
        "functions",
        "function_call",
        "keep_alive",
        "options",
        "think",
        "num_ctx",
    ] {
        let mut body = question();
        body[name] = Value::Null;
        let response = gateway.client().chat(&body).await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        assert_eq!(upstream.next_request().await.json(), plain, "{name}");
    }
    let mut body = question();
    body["messages"][0]["name"] = Value::Null;
    body["messages"].as_array_mut().expect("a list").push(
        json!({"role": "assistant", "content": null, "refusal": null, "audio": null, "function_call": null,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
    );
    body["messages"]
        .as_array_mut()
        .expect("a list")
        .push(json!({"role": "tool", "tool_call_id": "a", "content": "1"}));
    assert_eq!(gateway.client().chat(&body).await.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn model_names_with_slashes_and_colons_reach_the_model_server_as_they_are() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for model in [
        "hf.co/someone/model-GGUF:Q4_K_M",
        "a/b:c",
        "ünï:code",
        "with \"quotes\" \\ and\nlines",
    ] {
        let mut body = question();
        body["model"] = json!(model);
        let response = gateway.client().chat(&body).await;
        assert_eq!(
            (response.status, &response.json()["model"]),
            (200, &json!(model))
        );
        assert_eq!(upstream.next_request().await.json()["model"], model);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_unknown_content_type_is_no_reason_to_refuse() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for content_type in [
        "application/x-www-form-urlencoded",
        "text/plain",
        "nonsense",
        "application/json; charset=utf-8",
    ] {
        let mut raw = Raw::connect(gateway.address()).await;
        let body = question().to_string();
        raw.send(format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
        assert_eq!(raw.response().await.status, 200, "{content_type}");
        assert_eq!(
            upstream.next_request().await.header("content-type"),
            Some("application/json")
        );
    }
    let response = gateway
        .client()
        .with("content-encoding", "br")
        .chat(&question())
        .await;
    assert_error(&response, 415, "unsupported_coding");
    assert_eq!(response.header("accept-encoding"), "gzip, zstd");
    let response = gateway
        .client()
        .with("content-encoding", "identity")
        .chat(&question())
        .await;
    assert_eq!(response.status, 200);
    gateway.shutdown().await;
}

/// The gateway of the test above, seen from the admin's side: unknown things there are errors of their own.
#[tokio::test]
async fn the_admin_interface_answers_what_it_does_not_know() {
    let upstream = says_hello().await;
    let gateway: Gateway = Setup::before(&upstream).chat().start().await;
    assert_eq!(gateway.admin().get("/nowhere").await.status, 404);
    let post = gateway.admin().request(Method::POST, "/livez", "x").await;
    assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD"));
    assert_eq!(
        gateway
            .admin()
            .request(Method::HEAD, "/livez", "")
            .await
            .status,
        200
    );
    gateway.shutdown().await;
}
