//! The adapters for model servers that speak OpenAI's API, with responses as the servers send them.

use serde_json::{Value, json};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Script, Setup, Upstream};

use crate::common::{CHAT, assert_error, question, streamed, with};

const OPENAI: &str = include_str!("../../../plugins/openai/tests/fixtures/responses.json");
const VLLM: &str = include_str!("../../../plugins/vllm/tests/fixtures/responses.json");
const TGI: &str = include_str!("../../../plugins/tgi/tests/fixtures/responses.json");
const TGI_ERRORS: &str = include_str!("../../../plugins/tgi/tests/fixtures/errors.json");

/// A recorded response as the server sends it.
fn recorded(fixture: &str, name: &str) -> Script {
    let cases: Vec<Value> = serde_json::from_str(fixture).expect("a list of cases");
    let case = cases.into_iter().find(|case| case["case"] == name);
    let case = case.unwrap_or_else(|| panic!("no case {name}"));
    let text = |event: &Value| {
        event
            .as_str()
            .map_or_else(|| event.to_string(), str::to_owned)
    };
    match case["events"].as_array() {
        Some(events) => {
            let events = events
                .iter()
                .map(|event| format!("data: {}\n\n", text(event)));
            Script::sse_head().chunks(events)
        }
        None => {
            let status = case["status"].as_u64().unwrap_or(200);
            Script::json(u16::try_from(status).expect("a status"), &case["body"])
        }
    }
}

/// The usual chat pipeline with this adapter.
fn with_adapter(upstream: &Upstream, name: &str) -> Setup {
    Setup::before(upstream)
        .stages("", "")
        .adapter(name)
        .chat_routes()
}

fn weather() -> Value {
    json!([{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}])
}

/// The arguments of the only call of a message.
#[track_caller]
fn assert_calls(message: &Value, arguments: &Value) {
    let calls = message["tool_calls"].as_array().expect("calls");
    assert_eq!(calls.len(), 1, "{message}");
    let function = &calls[0]["function"];
    let text = function["arguments"].as_str().expect("a text");
    let found: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(
        (&function["name"], &found),
        (&json!("get_weather"), arguments)
    );
}

#[tokio::test]
async fn a_server_of_openais_api_behind_a_path_of_its_own() {
    let case = "thoughts under the older name, then a call in fragments";
    let upstream = Upstream::always(recorded(OPENAI, case)).await;
    let url = format!("{}/openai/v1", upstream.url());
    let gateway = Setup::before_url(&url)
        .stages("", "")
        .adapter("openai")
        .chat_routes()
        .start()
        .await;
    let asked = with(with(question(), "tools", weather()), "frob", json!(1.5));

    let completion = gateway.client().chat(&asked).await.json();
    let choice = &completion["choices"][0];
    assert_eq!(
        (&completion["model"], &choice["finish_reason"]),
        (&json!("qwen3:32b"), &json!("tool_calls"))
    );
    assert_eq!(choice["message"]["reasoning"], "I must.\n");
    assert_calls(&choice["message"], &json!({"city": "Paris"}));
    assert_eq!(completion["usage"]["completion_tokens"], 35);
    let sent = upstream.next_request().await;
    assert_eq!(sent.target, "/openai/v1/chat/completions");
    let expected = with(
        with(asked.clone(), "stream", json!(true)),
        "stream_options",
        json!({"include_usage": true}),
    );
    assert_eq!(sent.json(), expected);

    let chat = gateway
        .client()
        .chat(&with(asked, "stream", json!(true)))
        .await
        .streamed_chat();
    assert_eq!(
        (chat.done, chat.usage, chat.finish_reason.as_deref()),
        (true, None, Some("tool_calls"))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn vllm_gets_only_what_clients_may_say() {
    let case = "thoughts, then a call without arguments in its first fragment";
    let upstream = Upstream::always(recorded(VLLM, case)).await;
    let gateway = with_adapter(&upstream, "vllm").start().await;
    let mut asked = with(question(), "tools", weather());
    for (name, value) in [
        ("chat_template", json!("{{ 1 }}")),
        ("priority", json!(-1)),
        ("think", json!(false)),
        ("min_p", json!(0.05)),
    ] {
        asked = with(asked, name, value);
    }
    let completion = gateway.client().chat(&asked).await.json();
    let choice = &completion["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["reasoning"], "\nI.\n");
    assert_calls(&choice["message"], &json!({"city": "Paris"}));
    let text = completion.to_string();
    assert!(
        !text.contains("vllm") && !text.contains("token_ids"),
        "{text}"
    );
    let sent = upstream.next_request().await;
    assert_eq!(sent.target, CHAT);
    let sent = sent.json();
    for name in ["chat_template", "priority", "think"] {
        assert_eq!(sent.get(name), None, "{name}");
    }
    assert_eq!(sent["min_p"], 0.05);
    assert_eq!(
        sent["chat_template_kwargs"],
        json!({"enable_thinking": false, "thinking": false})
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn tgi_is_asked_for_tools_in_one_object_and_the_client_gets_its_stream() {
    let case = "a call in one object: the same id in every response, a finish reason of text";
    let upstream = Upstream::always(recorded(TGI, case)).await;
    let gateway = with_adapter(&upstream, "tgi").start().await;
    let asked = with(streamed(), "tools", weather());
    let asked = with(asked, "stream_options", json!({"include_usage": true}));
    let chat = gateway.client().chat(&asked).await.streamed_chat();
    assert_eq!(
        (chat.done, chat.finish_reason.as_deref()),
        (true, Some("tool_calls"))
    );
    let deltas: Vec<&Value> = chat
        .chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"])
        .collect();
    assert_eq!(deltas[0]["role"], "assistant");
    assert_calls(deltas[1], &json!({"location": "Paris", "unit": "celsius"}));
    assert_eq!(chat.usage.expect("asked for")["total_tokens"], 299);
    let sent = upstream.next_request().await;
    assert_eq!(sent.target, CHAT);
    let sent = sent.json();
    assert_eq!(
        (&sent["model"], &sent["stream"], sent.get("stream_options")),
        (&json!("tgi"), &json!(false), None)
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_failure_inside_of_tgis_stream_leads_to_the_next_server() {
    let dead = Upstream::always(recorded(TGI_ERRORS, "a failure as the first event")).await;
    let spare = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let other = format!(
        "[upstream.spare]\ntargets = [{:?}]\nadapter = \"ollama\"",
        spare.url()
    );
    let gateway = Setup::before(&dead)
        .stages("", "")
        .adapter("tgi")
        .section(&other)
        .route(CHAT, r#"["auth", "aggregate"]"#, "fallback = [\"spare\"]")
        .start()
        .await;
    let chat = gateway.client().chat(&streamed()).await.streamed_chat();
    assert_eq!((chat.content.as_str(), chat.done), ("Hello", true));
    assert_eq!(dead.next_request().await.target, CHAT);
    assert_eq!(spare.next_request().await.target, "/api/chat");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_text_in_place_of_a_call_is_a_response_though_tgi_calls_it_an_error() {
    let upstream = Upstream::always(recorded(TGI, "a text in place of a call")).await;
    let gateway = with_adapter(&upstream, "tgi").start().await;
    for asked in [question(), streamed()] {
        let asked = with(asked, "tools", weather());
        let response = gateway.client().chat(&asked).await;
        assert_eq!(
            (response.status, response.complete),
            (200, true),
            "{}",
            response.text()
        );
        let (content, reason) = if asked["stream"] == json!(true) {
            let chat = response.streamed_chat();
            assert!(chat.done);
            (json!(chat.content), json!(chat.finish_reason))
        } else {
            let choice = &response.json()["choices"][0];
            (
                choice["message"]["content"].clone(),
                choice["finish_reason"].clone(),
            )
        };
        assert_eq!(
            (content, reason),
            (json!("Hello there, friend!"), json!("stop"))
        );
        assert_eq!(upstream.next_request().await.json()["stream"], false);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn tokens_are_counted_by_the_server_or_estimated() {
    let path = "/v1/chat/completions/input_tokens";
    let counted = json!({"count": 9, "tokenize_response": [{"id": 1}, {"id": 2}]});
    let asked = with(question(), "tools", weather());
    for (adapter, target, expected) in [
        ("vllm", Some("/tokenize"), Some(9)),
        ("tgi", Some("/chat_tokenize"), Some(2)),
        ("openai", None, None),
        ("ollama", None, None),
    ] {
        let upstream = Upstream::always(Script::json(200, &counted)).await;
        let gateway = Setup::before(&upstream)
            .stages("", "")
            .adapter(adapter)
            .route("/v1/*", r#"["auth", "aggregate"]"#, "")
            .start()
            .await;
        let response = gateway.client().post(path, &asked).await;
        assert_eq!(response.status, 200, "{adapter}: {}", response.text());
        let tokens = response.json()["input_tokens"].as_u64().expect("a number");
        let estimated = response.header("x-sluicegate-estimate");
        match target {
            Some(target) => {
                assert_eq!((Some(tokens), estimated), (expected, ""), "{adapter}");
                let sent = upstream.next_request().await;
                assert_eq!(sent.target, target);
                let sent = sent.json();
                assert_eq!(sent["messages"], asked["messages"]);
                assert!(sent["tools"].is_array() && sent.get("stream").is_none());
            }
            None => {
                assert!(tokens > 20 && estimated == "true", "{adapter}: {tokens}");
                assert!(upstream.requests().is_empty(), "{adapter}");
            }
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn what_a_server_cannot_do_is_dropped_where_the_operator_wants_it() {
    let openais = json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]});
    let openais = Script::sse_head().chunks([
        format!("data: {openais}\n\n"),
        "data: [DONE]\n\n".to_owned(),
    ]);
    let ollamas = Script::ndjson(&ollama::stream(&["Hi"]));
    let asked = [
        ("n", json!(2)),
        ("logit_bias", json!({"7": 1})),
        ("web_search_options", json!({})),
    ];
    let asked = asked
        .into_iter()
        .fold(streamed(), |body, (name, value)| with(body, name, value));
    for (adapter, script, dropped) in [
        ("ollama", &ollamas, "logit_bias, n, web_search_options"),
        ("tgi", &openais, "logit_bias, n, web_search_options"),
        ("vllm", &openais, "web_search_options"),
        ("openai", &openais, ""),
    ] {
        let upstream = Upstream::always(script.clone()).await;
        let gateway = Setup::before(&upstream)
            .stages("", "")
            .plugin(
                "lenient",
                &format!("builtin:{adapter}"),
                "config = { unsupported = \"drop\" }",
            )
            .adapter("lenient")
            .chat_routes()
            .start()
            .await;
        let response = gateway.client().chat(&asked).await;
        assert_eq!(response.status, 200, "{adapter}: {}", response.text());
        assert_eq!(
            response.header("x-sluicegate-dropped"),
            dropped,
            "{adapter}"
        );
        let chat = response.streamed_chat();
        assert_eq!(
            (chat.content.as_str(), chat.done),
            ("Hi", true),
            "{adapter}"
        );
        let sent = upstream.next_request().await.json();
        for name in ["n", "logit_bias", "web_search_options"] {
            let is_dropped = dropped.split(", ").any(|dropped| dropped == name);
            assert_eq!(
                sent.get(name).is_none(),
                is_dropped,
                "{adapter}: {name} of {sent}"
            );
        }
        // What is wrong in itself is refused under every policy.
        if adapter == "ollama" {
            let wrong = with(asked.clone(), "n", json!("2"));
            let response = gateway.client().chat(&wrong).await;
            assert_error(&response, 400, "invalid_type");
            assert_eq!(response.header("x-sluicegate-dropped"), "");
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn only_the_server_that_responds_says_what_it_dropped() {
    let dead = Upstream::always(Script::json(503, &ollama::error("server busy"))).await;
    let chunk = json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]});
    let spare =
        Script::sse_head().chunks([format!("data: {chunk}\n\n"), "data: [DONE]\n\n".to_owned()]);
    let spare = Upstream::always(spare).await;
    let other = format!(
        "[upstream.spare]\ntargets = [{:?}]\nadapter = \"vllm\"",
        spare.url()
    );
    let gateway = Setup::before(&dead)
        .stages("", "unsupported = \"drop\"")
        .section(&other)
        .route(CHAT, r#"["auth", "aggregate"]"#, "fallback = [\"spare\"]")
        .start()
        .await;
    let response = gateway
        .client()
        .chat(&with(streamed(), "n", json!(2)))
        .await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("x-sluicegate-dropped"), "");
    assert_eq!(dead.next_request().await.json().get("n"), None);
    assert_eq!(spare.next_request().await.json()["n"], 2);
    gateway.shutdown().await;
}
