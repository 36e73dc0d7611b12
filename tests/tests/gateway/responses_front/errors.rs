//! Errors at every moment.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::client::End;
use sluicegate_tests::upstream::{closed_port, ollama};
use sluicegate_tests::{Barrier, Script, Setup, Upstream, guest, logs};

use super::{
    PATH, before_ollama, before_vllm, client, events, front, last, names, post, question, streamed,
};
use crate::common::{assert_error, greets, with};

/// How a script goes on.
type Then = Box<dyn Fn(Script) -> Script>;

#[tokio::test]
async fn errors_from_before_the_model_server_are_those_of_openai() {
    let upstream = greets().await;
    let gateway = before_ollama(&upstream)
        .limit("request-body = \"1KiB\"\nheader-bytes = \"8KiB\"")
        .start()
        .await;
    for body in [question(), streamed()] {
        // Nobody's key: `auth` refuses behind the front.
        let response = gateway.client().post(PATH, &body).await;
        assert_error(&response, 401, "invalid_api_key");
        let long = with(body.clone(), "metadata", json!({"a": "x".repeat(2000)}));
        assert_error(&post(&gateway, &long).await, 413, "body_too_large");
        let fat = client(&gateway).with("x-fat", &"x".repeat(9000));
        assert_error(&fat.post(PATH, &body).await, 431, "head_too_large");
        for (act, status, code) in [
            ("request-head=trap", 502, "plugin_fault"),
            ("request-plan=whole, request-body=trap", 502, "plugin_fault"),
            ("request-head=fail", 418, ""),
        ] {
            let client = client(&gateway).with(guest::FIELD, act);
            let response = client.post(PATH, &body).await;
            if code.is_empty() {
                assert_eq!(response.error()["message"], "The guest refuses.");
                assert_eq!(response.status, status);
            } else {
                assert_error(&response, status, code);
            }
        }
    }
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_is_not_served_says_what_to_send_instead() {
    let upstream = greets().await;
    let gateway = before_ollama(&upstream).start().await;
    for (name, value, param) in [
        (
            "previous_response_id",
            json!("resp_1"),
            "previous_response_id",
        ),
        ("conversation", json!("conv_1"), "conversation"),
        ("background", json!(true), "background"),
        (
            "input",
            json!([{"type": "item_reference", "id": "msg_1"}]),
            "input[0].type",
        ),
        ("tools", json!([{"type": "web_search"}]), "tools[0].type"),
    ] {
        let id = logs::id();
        let client = client(&gateway).with("x-request-id", &id);
        let response = client.post(PATH, &with(streamed(), name, value)).await;
        assert_eq!(response.status, 400, "{name}");
        let error = response.error();
        assert_eq!(
            (&error["param"], &error["type"]),
            (&json!(param), &json!("invalid_request_error"))
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.contains("Use") || text.contains("Send")),
            "{error}"
        );
        // It is an error for the operator too.
        assert_eq!(logs::seen(&id).await["error"], error["code"]);
    }
    for (method, path, status, code) in [
        (Method::GET, "/v1/responses/resp_1", 404, "not_found"),
        (Method::DELETE, "/v1/responses/resp_1", 404, "not_found"),
        (
            Method::POST,
            "/v1/responses/resp_1/cancel",
            404,
            "not_found",
        ),
        (Method::GET, PATH, 405, "method_not_allowed"),
    ] {
        let response = client(&gateway).request(method, path, "").await;
        assert_error(&response, status, code);
        assert!(
            response.text().contains("not stored"),
            "{}",
            response.text()
        );
    }
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn errors_of_the_model_server_are_those_of_openai() {
    let missing = json!({"error": "model 'qwen3:32b' not found"});
    let busy =
        json!({"error": "server busy, please try again.  maximum pending requests exceeded"});
    for (script, status, code, retry_after) in [
        (Script::json(404, &missing), 404, "model_not_found", ""),
        (Script::json(503, &busy), 503, "upstream_busy", "2"),
        (Script::html(500, "<p>Oh"), 502, "upstream_error", ""),
        (Script::raw("").cut(), 502, "upstream_broken", ""),
        (
            Script::ndjson(&[ollama::error("the runner has died")]),
            502,
            "upstream_error",
            "",
        ),
    ] {
        let upstream = Upstream::always(script).await;
        let gateway = before_ollama(&upstream).start().await;
        for body in [question(), streamed()] {
            let response = post(&gateway, &body).await;
            assert_error(&response, status, code);
            assert_eq!(response.header("retry-after"), retry_after);
            assert_eq!(upstream.next_request().await.path(), "/api/chat");
        }
        gateway.shutdown().await;
    }
    // A server that is not there, and one that does not answer.
    let (_port, address) = closed_port();
    let silent = Upstream::always(Script::silent()).await;
    for (url, status, code) in [
        (format!("http://{address}"), 502, "upstream_unreachable"),
        (silent.url(), 504, "upstream_first_byte_timeout"),
    ] {
        let setup = Setup::before_url(&url).upstream("timeout = { first-byte = \"100ms\" }");
        let gateway = front(setup).start().await;
        for body in [question(), streamed()] {
            assert_error(&post(&gateway, &body).await, status, code);
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_parameter_that_the_adapter_refuses_has_the_client_s_name() {
    let upstream = greets().await;
    let gateway = before_ollama(&upstream).start().await;
    for (name, value, param) in [
        ("text", json!({"verbosity": "high"}), "text.verbosity"),
        ("reasoning", json!({"effort": "much"}), "reasoning.effort"),
        ("temperature", json!("hot"), "temperature"),
    ] {
        let response = post(&gateway, &with(question(), name, value)).await;
        assert_eq!(
            (response.status, &response.error()["param"]),
            (400, &json!(param)),
            "{}",
            response.text()
        );
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_stage_that_fails_on_the_response_is_an_error_of_openai_s_form() {
    let upstream = greets().await;
    let gateway = before_ollama(&upstream).start().await;
    for (acts, streams) in [
        ("response-head=trap", true),
        ("response-head=trap", false),
        ("response-plan=whole, response-body=trap", true),
        ("response-plan=whole, response-body=trap", false),
    ] {
        let body = with(question(), "stream", json!(streams));
        let client = client(&gateway).with(guest::FIELD, acts);
        assert_error(&client.post(PATH, &body).await, 502, "plugin_fault");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_error_in_mid_stream_is_a_failed_response_and_the_last_event() {
    let trap = "response-plan=sse, later-events=trap";
    let later = |line: Value| move |script: Script| script.chunk(format!("{line}\n"));
    let cases: [(&str, Then, &str, u16); 5] = [
        ("", Box::new(|script| script), "upstream_truncated", 502),
        (
            "",
            Box::new(later(ollama::error("the runner has died"))),
            "upstream_error",
            502,
        ),
        ("", Box::new(Script::cut), "upstream_broken", 502),
        ("", Box::new(Script::hang), "upstream_idle_timeout", 504),
        (
            trap,
            Box::new(later(ollama::content("more"))),
            "plugin_fault",
            502,
        ),
    ];
    for (acts, then, code, status) in cases {
        let gate = Barrier::new();
        let first = format!("{}\n", ollama::content("Hello"));
        let script = Script::ndjson_head().chunk(first).wait(&gate);
        let upstream = Upstream::always(then(script)).await;
        let gateway = before_ollama(&upstream)
            .upstream("timeout = { idle = \"200ms\" }")
            .start()
            .await;
        let id = logs::id();
        let client = client(&gateway)
            .with("x-request-id", &id)
            .with(guest::FIELD, acts);
        let mut stream = client
            .open(Method::POST, PATH, streamed().to_string())
            .await;
        assert_eq!(stream.status, 200);
        let mut events = Vec::new();
        while events.len() < 5 {
            events.push(stream.event().await.expect("the beginning"));
        }
        gate.open();
        while let Some(event) = stream.event().await {
            events.push(event);
        }
        assert_eq!(stream.end(), Some(End::Proper), "{code}");
        assert_eq!(
            names(&events),
            [
                "created",
                "in_progress",
                "output_item.added",
                "content_part.added",
                "output_text.delta",
                "failed"
            ],
            "{code}"
        );
        let response = last(&events);
        assert_eq!(
            (&response["status"], &response["error"]["code"]),
            (&json!("failed"), &json!(code))
        );
        assert!(response["error"]["message"].is_string());
        assert_eq!(events[5].json()["sequence_number"], 5);
        assert_eq!(
            (
                &response["output"][0]["status"],
                &response["output"][0]["content"][0]["text"]
            ),
            (&json!("incomplete"), &json!("Hello"))
        );
        let seen = logs::seen(&id).await;
        assert_eq!(
            (&seen["status"], &seen["error"]),
            (&json!(200), &json!(code))
        );
        if acts.is_empty() {
            // As one object: there is a status yet.
            assert_error(&client.post(PATH, &question()).await, status, code);
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn an_engine_of_vllm_that_dies_is_an_error_before_its_first_event_and_behind_it() {
    let died = json!({"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "param": null, "code": 500}});
    let died = format!("data: {died}\n\ndata: [DONE]\n\n");
    let begun = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hel"}, "finish_reason": null}]});
    let begun = format!("data: {begun}\n\n");
    let pause = Duration::from_millis(20);
    for (script, status) in [
        (Script::sse_head().chunk(died.clone()), 503),
        (Script::sse_head().chunk(begun.clone() + &died), 200),
        (
            Script::sse_head().chunk(begun).sleep(pause).chunk(died),
            200,
        ),
    ] {
        let upstream = Upstream::always(script).await;
        let gateway = before_vllm(&upstream).start().await;
        let response = post(&gateway, &streamed()).await;
        if status == 200 {
            let events = events(&response);
            assert_eq!(names(&events)[4..], ["output_text.delta", "failed"]);
            assert_eq!(last(&events)["output"][0]["content"][0]["text"], "Hel");
        } else {
            assert_eq!(response.status, status);
            assert!(response.error()["message"].is_string());
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn behind_an_early_head_an_error_is_a_failed_response() {
    for (bytes, code) in [
        (
            "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 39\r\n\r\n{\"error\":\"model 'qwen3:32b' not found\"}",
            "model_not_found",
        ),
        ("", "upstream_broken"),
    ] {
        let later = Barrier::new();
        let script = Script::raw("").wait(&later).bytes(bytes).cut();
        let upstream = Upstream::always(script).await;
        let gateway = before_ollama(&upstream)
            .server("heartbeat = \"30ms\"")
            .start()
            .await;
        let client = client(&gateway);
        let mut stream = client
            .open(Method::POST, PATH, streamed().to_string())
            .await;
        assert_eq!(stream.status, 200);
        later.open();
        let mut events = Vec::new();
        while let Some(event) = stream.event().await {
            events.push(event);
        }
        assert_eq!(names(&events), ["created", "in_progress", "failed"]);
        assert_eq!(last(&events)["error"]["code"], code);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_model() {
    let first = format!("{}\n", ollama::content("Hello"));
    let upstream = Upstream::always(Script::ndjson_head().chunk(first).hang()).await;
    let gateway = before_ollama(&upstream).start().await;
    let id = logs::id();
    let client = client(&gateway).with("x-request-id", &id);
    let mut stream = client
        .open(Method::POST, PATH, streamed().to_string())
        .await;
    stream.event().await.expect("the beginning");
    stream.hang_up().await;
    upstream.next_request().await.disconnected().await;
    let seen = logs::seen(&id).await;
    assert_eq!(
        (&seen["error"], &seen["status"]),
        (&json!("client_closed"), &json!(200))
    );
    gateway.shutdown().await;
}
