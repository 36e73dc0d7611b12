//! What strangers send, on both sides: every answer is a proper error, and nothing is taken for what it is not.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::client::{Answer, Raw, Response};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Gateway, Script, Setup, Upstream, logs};
use tokio::net::TcpSocket;

const CHAT: &str = "/v1/chat/completions";

fn question() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "Hi?"}]})
}

async fn greets() -> Upstream {
    Upstream::start(|request| match request.path() {
        "/api/tags" => Script::json(200, &json!({"models": []})),
        _ => Script::ndjson(&ollama::stream(&["Hello"])),
    })
    .await
}

#[track_caller]
fn assert_error(response: &Response, status: u16, code: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    assert!(response.complete);
    let error = response.error();
    assert_eq!(error["code"], code);
    for member in ["message", "type", "param", "code"] {
        assert!(error.get(member).is_some(), "no {member} in {error}");
    }
    assert_eq!(response.header("content-type"), "application/json");
    assert!(!response.header("x-request-id").is_empty());
}

#[tokio::test]
async fn bodies_that_are_no_chat_request_are_400s_that_say_why() {
    let upstream = greets().await;
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
    let upstream = greets().await;
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
    let upstream = greets().await;
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
    let upstream = greets().await;
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
    let upstream = greets().await;
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
        assert_eq!(raw.answer().await.status, 200, "{content_type}");
        assert_eq!(
            upstream.next_request().await.header("content-type"),
            Some("application/json")
        );
    }
    let response = gateway
        .client()
        .with("content-encoding", "gzip")
        .chat(&question())
        .await;
    assert_error(&response, 415, "unsupported_coding");
    let response = gateway
        .client()
        .with("content-encoding", "identity")
        .chat(&question())
        .await;
    assert_eq!(response.status, 200);
    gateway.shutdown().await;
}

/// A megabyte of a body.
const MEGABYTE: usize = 1 << 20;

fn assert_answer(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], code);
    assert!(answer.complete);
}

#[tokio::test]
async fn a_body_of_33_mib_is_a_413_announced_or_not() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
    // Announced, and the client waits for a go-ahead: the answer comes at once.
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!(
        "{head}content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        33 * MEGABYTE
    ))
    .await;
    assert_answer(&raw.answer().await, 413, "body_too_large");
    // Announced, and sent all the same: the answer is not lost in a reset connection.
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!("{head}content-length: {}\r\n\r\n", 33 * MEGABYTE))
        .await;
    for _ in 0..33 {
        raw.send(vec![b'x'; MEGABYTE]).await;
    }
    assert_answer(&raw.answer().await, 413, "body_too_large");
    // Not announced.
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!("{head}transfer-encoding: chunked\r\n\r\n"))
        .await;
    for _ in 0..33 {
        raw.send(format!("{MEGABYTE:x}\r\n")).await;
        raw.send(vec![b'x'; MEGABYTE]).await;
        raw.send("\r\n").await;
    }
    raw.send("0\r\n\r\n").await;
    assert_answer(&raw.answer().await, 413, "body_too_large");
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_that_no_stage_reads_has_the_same_limit() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream)
        .limit("request-body = \"64KiB\"")
        .filter()
        .start()
        .await;
    let id = logs::id();
    let client = gateway.client().with("x-request-id", &id);
    let response = client
        .request(Method::POST, "/x", vec![b'x'; 100_000])
        .await;
    assert_error(&response, 413, "body_too_large");
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send("POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..10 {
        raw.send(format!("2710\r\n{}\r\n", "y".repeat(10_000)))
            .await;
    }
    raw.send("0\r\n\r\n").await;
    assert_answer(&raw.answer().await, 413, "body_too_large");
    // Exactly the limit passes.
    let response = gateway
        .client()
        .request(Method::POST, "/x", vec![b'z'; 64 << 10])
        .await;
    assert_eq!(response.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_waits_for_a_go_ahead_gets_one_only_if_its_body_is_wanted() {
    let upstream = greets().await;
    let keys = r#"{ name = "a", key = "sk-a" }"#;
    let gateway = Setup::before(&upstream).chat_with(keys, "").start().await;
    let body = question().to_string();
    let head = |key: &str| {
        format!(
            "POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
    };
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(head("sk-a")).await;
    assert_eq!(raw.answer().await.status, 100);
    raw.send(&body).await;
    assert_eq!(raw.answer().await.status, 200);
    let asked = upstream.next_request().await;
    assert!(!asked.fields.has("expect"));
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(head("wrong")).await;
    assert_answer(&raw.answer().await, 401, "invalid_api_key");
    gateway.shutdown().await;
}

#[tokio::test]
async fn too_many_and_too_large_header_fields_are_a_431() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let send = async |fields: String| {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!(
            "GET /v1/models HTTP/1.1\r\nhost: x\r\n{fields}\r\n"
        ))
        .await;
        raw.answer().await
    };
    let many = |count: usize| {
        (0..count)
            .map(|n| format!("x-{n}: 1\r\n"))
            .collect::<String>()
    };
    assert_eq!(send(many(99)).await.status, 200);
    assert_answer(&send(many(100)).await, 431, "head_too_large");
    assert_answer(
        &send(format!("x-large: {}\r\n", "y".repeat(70_000))).await,
        431,
        "head_too_large",
    );
    // One name very often is as many fields.
    assert_answer(
        &send("x-same: 1\r\n".repeat(200)).await,
        431,
        "head_too_large",
    );
    // Far past what the parser takes, there is no request to answer properly, but still the status.
    assert_eq!(send(many(3000)).await.status, 431);
    assert_eq!(
        send(format!("x-large: {}\r\n", "y".repeat(2 << 20)))
            .await
            .status,
        431
    );
    // Over HTTP/2 too.
    let client = gateway
        .client()
        .over_http2()
        .with("x-large", &"y".repeat(70_000));
    assert_error(&client.get("/v1/models").await, 431, "head_too_large");
    gateway.shutdown().await;
}

#[tokio::test]
async fn duplicated_fields_are_passed_on_in_order_and_the_first_key_counts() {
    let upstream = greets().await;
    let keys = r#"{ name = "a", key = "sk-a" }"#;
    let gateway = Setup::before(&upstream).chat_with(keys, "").start().await;
    let send = async |fields: &str| {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!(
            "GET /v1/models HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\n"
        ))
        .await;
        raw.answer().await
    };
    assert_eq!(
        send("x-api-key: sk-a\r\nx-twice: 1\r\nX-Twice: 2")
            .await
            .status,
        200
    );
    let asked = upstream.next_request().await;
    assert_eq!(asked.fields.all("x-twice"), ["1", "2"]);
    assert_eq!(
        send("x-api-key: wrong\r\nx-api-key: sk-a").await.status,
        401
    );
    assert_eq!(
        send("x-api-key: sk-a\r\nx-api-key: wrong").await.status,
        200
    );
    assert!(
        !upstream.next_request().await.fields.has("x-api-key"),
        "all of them are stripped"
    );
    let answer = send("x-api-key: sk-a\r\nx-request-id: one\r\nx-request-id: two").await;
    assert_eq!(answer.fields.all("x-request-id"), ["one"]);
    assert_eq!(
        upstream.next_request().await.fields.all("x-request-id"),
        ["one"]
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn two_lengths_in_one_request_smuggle_nothing() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    for fields in [
        format!(
            "content-length: {}\r\ntransfer-encoding: chunked",
            chunked.len() + smuggled.len()
        ),
        format!(
            "transfer-encoding: chunked\r\ncontent-length: {}",
            chunked.len() + smuggled.len()
        ),
        "content-length: 5\r\ncontent-length: 6".to_owned(),
        "content-length: 5, 6".to_owned(),
        "content-length: +5".to_owned(),
        "content-length: -5".to_owned(),
        "transfer-encoding: xchunked".to_owned(),
        "transfer-encoding: chunked, identity".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: identity".to_owned(),
        "transfer-encoding : chunked".to_owned(),
        "content-length: 5\r\n folded: 1".to_owned(),
    ] {
        let before = upstream.requests().len();
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!(
            "POST /x HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\n{chunked}{smuggled}"
        ))
        .await;
        let answer = raw.answer().await;
        assert!(
            matches!(answer.status, 200 | 400),
            "{fields}: {}",
            answer.status
        );
        drop(raw);
        // What came through came as one message with one length, and its body is what the winning length says.
        for request in &upstream.requests()[before..] {
            if request.path() == "/smuggled" {
                // The client's own second request on its connection, where chunked framing won: no smuggling.
                assert!(fields.contains("transfer-encoding: chunked"), "{fields}");
                continue;
            }
            assert_eq!(request.body, b"hello", "{fields}");
            let lengths = request.fields.all("content-length").len()
                + request.fields.all("transfer-encoding").len();
            assert_eq!(lengths, 1, "{fields}");
        }
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_request_body_that_breaks_its_framing_is_refused() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for rest in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "-1\r\n\r\n",
        "fffffffffffffffff\r\nx",
    ] {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!(
            "POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{rest}"
        ))
        .await;
        assert_answer(&raw.answer().await, 400, "invalid_request");
    }
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn clients_of_http_1_0_get_bodies_that_end_with_the_connection() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for stream in [false, true] {
        let mut body = question();
        body["stream"] = json!(stream);
        let body = body.to_string();
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!(
            "POST {CHAT} HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 200);
        assert!(
            !answer.fields.has("transfer-encoding"),
            "HTTP/1.0 knows no chunks"
        );
        assert!(answer.text().contains("Hello"));
        raw.closed().await;
        assert_eq!(upstream.next_request().await.version, "HTTP/1.1");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_is_no_http_is_closed_and_harms_nobody() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for junk in [
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /a b HTTP/1.1\r\nhost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ] {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(junk).await;
        raw.send("\r\n\r\n").await;
        raw.closed().await;
        assert_eq!(
            gateway.client().get("/v1/models").await.status,
            200,
            "after {junk:?}"
        );
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn paths_that_could_be_read_in_two_ways_are_refused() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let send = async |target: &str| {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n"))
            .await;
        raw.answer().await
    };
    for target in [
        "/v1/../api/delete",
        "/v1/%2e%2e/api",
        "/v1/.%2E/api",
        "/..",
        "/a/./b",
        "/v1/..%2fapi",
        "/v1/%2e%2e%2fapi/delete",
        "/v1/..\\api",
    ] {
        let answer = send(target).await;
        assert_eq!(answer.status, 400, "{target}");
        assert_answer(&answer, 400, "invalid_request");
    }
    assert!(upstream.requests().is_empty());
    for target in [
        "/v1/a..b",
        "/v1/.well-known",
        "/v1/%e4%bd%a0",
        "/a//b",
        "/?q=../x",
    ] {
        assert_eq!(send(target).await.status, 200, "{target}");
        assert_eq!(upstream.next_request().await.target, target);
    }
    // With a scheme and a host before it, as proxies are asked.
    assert_eq!(send("http://elsewhere.example/x?y=1").await.status, 200);
    let asked = upstream.next_request().await;
    assert_eq!(
        (asked.target.as_str(), asked.header("host")),
        ("/x?y=1", Some(upstream.address().to_string().as_str()))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_a_408() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream)
        .limit("body-timeout = \"150ms\"")
        .chat()
        .start()
        .await;
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{\"model\""
    ))
    .await;
    assert_answer(&raw.answer().await, 408, "request_timeout");
    raw.closed().await;
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_and_a_connection_that_idles_are_closed() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream)
        .limit("header-timeout = \"200ms\"")
        .limit("keep-alive = \"300ms\"")
        .chat()
        .start()
        .await;
    let mut slow = Raw::connect(gateway.address()).await;
    slow.send("GET /v1/models HT").await;
    slow.closed().await;
    let mut idle = Raw::connect(gateway.address()).await;
    idle.closed().await;
    let mut after = Raw::connect(gateway.address()).await;
    after
        .send("GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    assert_eq!(after.answer().await.status, 200);
    after.closed().await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_a_model_server_should_not_answer_is_a_502_that_says_so() {
    let upstream =
        Upstream::start(
            |request| match request.header("x-script").unwrap_or_default() {
                "html" => Script::html(200, "<html>Welcome to nginx!</html>"),
                "html error" => Script::html(502, "<html>Bad Gateway</html>"),
                "empty 403" => Script::empty(403),
                "redirect" => Script::redirect(302, "http://elsewhere.example/"),
                "permanent redirect" => Script::redirect(308, "/api/chat/"),
                "empty 200" => Script::empty(200),
                "no content" => Script::raw("HTTP/1.1 204 No Content\r\n\r\n"),
                "garbage" => Script::ndjson_head().piece("hello?\n"),
                "other json" => Script::ndjson(&[json!([1, 2])]),
                "nothing" => Script::raw("").cut(),
                "reset" => Script::raw("").reset(),
                "no http" => Script::raw("220 mail.example ESMTP\r\n\r\n").cut(),
                "half a head" => Script::raw("HTTP/1.1 200 OK\r\ncontent-ty").cut(),
                _ => Script::ndjson(&ollama::stream(&["Hello"])),
            },
        )
        .await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for (script, codes) in [
        ("html", &["upstream_invalid"][..]),
        ("html error", &["upstream_invalid"]),
        ("empty 403", &["upstream_configuration"]),
        ("redirect", &["upstream_configuration"]),
        ("permanent redirect", &["upstream_configuration"]),
        ("empty 200", &["upstream_invalid", "upstream_truncated"]),
        ("no content", &["upstream_invalid", "upstream_truncated"]),
        ("garbage", &["upstream_invalid"]),
        ("other json", &["upstream_invalid"]),
        ("nothing", &["upstream_broken"]),
        ("reset", &["upstream_broken"]),
        ("no http", &["upstream_invalid"]),
        ("half a head", &["upstream_broken"]),
    ] {
        for config in [json!(false), json!(true)] {
            let mut body = question();
            body["stream"] = config;
            let response = gateway.client().with("x-script", script).chat(&body).await;
            let code = response.error()["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            assert!(
                codes.contains(&code.as_str()),
                "{script}: {}",
                response.text()
            );
            assert_error(&response, 502, &code);
            assert!(!response.text().contains("<html>"), "{script}");
            assert!(
                !response.text().contains(&upstream.address().to_string()),
                "no internals: {}",
                response.text()
            );
        }
    }
    assert_eq!(gateway.client().chat(&question()).await.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn errors_of_the_model_server_reach_the_client_in_its_own_terms() {
    let upstream = Upstream::start(|request| {
        let status = request
            .header("x-status")
            .and_then(|status| status.parse().ok())
            .unwrap_or(200);
        let text = request.header("x-text").unwrap_or_default();
        Script::json(status, &ollama::error(text))
    })
    .await;
    for config in ["", "stream = \"as-client\""] {
        let gateway = Setup::before(&upstream).chat_with("", config).start().await;
        for (status, text, expected, code) in [
            ("404", "model 'x' not found", 404, "model_not_found"),
            (
                "400",
                "\"x\" does not support chat",
                400,
                "unsupported_value",
            ),
            (
                "500",
                "option \"stop\" must be of type array",
                400,
                "invalid_type",
            ),
            ("500", "the runner died", 502, "upstream_error"),
            (
                "503",
                "server busy, please try again.  maximum pending requests exceeded",
                503,
                "upstream_busy",
            ),
            ("429", "slow down", 429, "rate_limit_exceeded"),
            ("401", "unauthorized", 502, "upstream_unauthorized"),
        ] {
            for stream in [false, true] {
                let mut body = question();
                body["stream"] = json!(stream);
                let client = gateway
                    .client()
                    .with("x-status", status)
                    .with("x-text", text);
                let response = client.chat(&body).await;
                assert_error(&response, expected, code);
                assert_eq!(response.header("retry-after").is_empty(), expected != 503);
            }
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_model_server_that_is_not_there_is_a_502_and_one_that_takes_nobody_a_504() {
    let gone = Upstream::always(Script::empty(200)).await;
    let url = gone.url();
    drop(gone);
    let gateway = Setup::before_url(&url).chat().start().await;
    for stream in [false, true] {
        let mut body = question();
        body["stream"] = json!(stream);
        let id = logs::id();
        let response = gateway.client().with("x-request-id", &id).chat(&body).await;
        assert_error(&response, 502, "upstream_unreachable");
        assert!(!response.text().contains("127.0.0.1"), "no internals");
        let line = logs::failure(&id).await;
        assert!(
            line["error"]
                .as_str()
                .is_some_and(|error| error.contains(&url)),
            "the log names it: {line}"
        );
    }
    gateway.shutdown().await;

    // A listener whose queue is full: connections are neither taken nor refused.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    while let Ok(Ok(connection)) = tokio::time::timeout(
        Duration::from_millis(100),
        tokio::net::TcpStream::connect(address),
    )
    .await
    {
        waiting.push(connection);
    }
    let gateway = Setup::before_url(&format!("http://{address}"))
        .upstream("timeout = { connect = \"200ms\" }")
        .chat()
        .start()
        .await;
    let response = gateway.client().chat(&question()).await;
    assert_error(&response, 504, "upstream_connect_timeout");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_kept_connection_that_has_gone_stale_is_tried_once_more() {
    // Each connection serves one request and is closed without a word while it is kept for the next.
    let good = format!("{}\n{}\n", ollama::content("Hello"), ollama::done("stop"));
    let once = Script::raw(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n{good}",
        good.len()
    ))
    .cut();
    let upstream = Upstream::always(once).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for _ in 0..10 {
        let id = logs::id();
        let response = gateway
            .client()
            .with("x-request-id", &id)
            .chat(&question())
            .await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
    assert_eq!(upstream.requests().len(), 10, "no request was seen twice");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_kept_connection_that_dies_on_its_second_request_is_replaced_once_and_only_once() {
    // The first request of each connection is answered, the second one gets the connection closed.
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    let upstream = Upstream::start(move |request| {
        let is_first = seen.lock().expect("no panic").insert(request.connection);
        match (is_first, request.header("x-always").is_some()) {
            (true, false) => Script::ndjson(&ollama::stream(&["Hello"])),
            _ => Script::raw("").cut(),
        }
    })
    .await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for _ in 0..5 {
        let response = gateway.client().chat(&question()).await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
    // A server that closes every connection is asked twice at most.
    let before = upstream.requests().len();
    let response = gateway
        .client()
        .with("x-always", "1")
        .chat(&question())
        .await;
    assert_error(&response, 502, "upstream_broken");
    assert!(upstream.requests().len() - before <= 2);
    gateway.shutdown().await;
}

#[tokio::test]
async fn past_the_limit_of_exchanges_the_gateway_says_it_is_busy() {
    let upstream = Upstream::start(|request| match request.path() {
        "/hang" => Script::silent(),
        _ => Script::empty(200),
    })
    .await;
    let gateway = Setup::before(&upstream)
        .limit("exchanges = 2")
        .filter()
        .start()
        .await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send("GET /hang HTTP/1.1\r\nhost: x\r\n\r\n").await;
        upstream.next_request().await;
        held.push(raw);
    }
    let response = gateway.client().get("/x").await;
    assert_error(&response, 503, "overloaded");
    assert_eq!(response.header("retry-after"), "1");
    drop(held);
    sluicegate_tests::eventually("a free place", async || {
        (gateway.client().get("/x").await.status == 200).then_some(())
    })
    .await;
    gateway.shutdown().await;
}

/// The gateway of the test above, seen from the admin's side: unknown things there are errors of their own.
#[tokio::test]
async fn the_admin_interface_answers_what_it_does_not_know() {
    let upstream = greets().await;
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
