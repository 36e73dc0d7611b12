//! The simulated TGI over real connections, against what a real one sent.

use serde_json::{Value, json};

use crate::Vendor;
use crate::testing::{Demo, Response};

const CHAT: &str = "/v1/chat/completions";

async fn tgi() -> Demo {
    Demo::of_vendor(Vendor::Tgi, None).await
}

async fn ask(demo: &Demo, message: &str, more: &Value) -> Response {
    let mut body = json!({"messages": [{"role": "user", "content": message}]});
    for (name, value) in more.as_object().expect("members") {
        body[name] = value.clone();
    }
    demo.post(CHAT, &body.to_string()).await
}

fn tool(name: &str, properties: &Value) -> Value {
    json!({"type": "function", "function": {"name": name,
        "parameters": {"type": "object", "properties": properties}}})
}

fn arguments(events: &[Value]) -> String {
    let calls = events
        .iter()
        .map(|event| &event["choices"][0]["delta"]["tool_calls"][0]);
    calls
        .filter_map(|call| call["function"]["arguments"].as_str())
        .collect()
}

/// What a recording of a real server looks like: names of members and kinds of values, not the values.
#[tokio::test]
async fn every_response_has_the_form_of_the_real_one() {
    tgi()
        .await
        .is_like(include_str!("tests/recorded.json"))
        .await;
}

#[tokio::test]
async fn thinking_stays_in_the_content() {
    let demo = tgi().await;
    let whole = ask(&demo, "Hello", &json!({})).await.json();
    let content = whole["choices"][0]["message"]["content"]
        .as_str()
        .expect("a text");
    assert!(content.starts_with("<think>\n"));
    let (thoughts, answer) = content
        .split_once("</think>")
        .expect("an end of the thoughts");
    assert!(thoughts.contains("simulation") && answer.contains("simulated"));
    let events = ask(&demo, "Hello", &json!({"stream": true})).await.events();
    let deltas = events.iter().map(|event| &event["choices"][0]["delta"]);
    let said: String = deltas
        .clone()
        .filter_map(|delta| delta["content"].as_str())
        .collect();
    assert_eq!(said, content);
    assert!(deltas.take(5).all(|delta| delta["role"] == "assistant"));
}

#[tokio::test]
async fn a_stream_loses_arguments_of_tools_and_a_document_does_not() {
    let demo = tgi().await;
    let weather = tool("get_weather", &json!({"city": {"type": "string"}}));
    let time = tool("get_time", &json!({}));
    for (question, tool, whole, streamed) in [
        (
            "The weather in Oslo?",
            &weather,
            r#"{"city":"Oslo"}"#,
            r#"{ "city": "Oslo"}"#,
        ),
        ("What time is it?", &time, "{}", "{"),
    ] {
        let document = ask(&demo, question, &json!({"tools": [tool]})).await.json();
        let choice = &document["choices"][0];
        let call = &choice["message"]["tool_calls"][0];
        assert_eq!(call["function"]["arguments"], whole);
        assert_eq!(
            (&call["id"], &choice["finish_reason"]),
            (&json!("0"), &json!("stop"))
        );
        let events = ask(&demo, question, &json!({"tools": [tool], "stream": true}))
            .await
            .events();
        assert_eq!(arguments(&events), streamed);
        let reasons = events
            .iter()
            .map(|event| &event["choices"][0]["finish_reason"]);
        assert!(reasons.into_iter().all(Value::is_null));
    }
    let broken = ask(&demo, "/error call", &json!({"tools": [weather]})).await;
    assert_eq!(
        (broken.status, &broken.json()["error_type"]),
        (422, &json!("tool_error"))
    );
    let both = ask(
        &demo,
        "The weather and the time?",
        &json!({"tools": [weather, time]}),
    )
    .await
    .json();
    assert_eq!(
        both["choices"][0]["message"]["tool_calls"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn the_count_of_a_text_without_tools_is_that_of_another_one() {
    let demo = tgi().await;
    let weather = tool("get_weather", &json!({"city": {"type": "string"}}));
    let counts = async |question: &str| {
        let whole = ask(&demo, question, &json!({"tools": [weather]}))
            .await
            .json();
        whole["usage"]["completion_tokens"].clone()
    };
    assert_eq!(
        counts("/echo one").await,
        counts("/echo one two three four").await
    );
}

#[tokio::test]
async fn limits_over_a_run_are_overshot() {
    let demo = tgi().await;
    for (most, served) in [(5, 5), (1024, 1024), (1100, 2048)] {
        let whole = ask(&demo, "/long 3000", &json!({"max_tokens": most})).await;
        assert_eq!(whole.json()["usage"]["completion_tokens"], served, "{most}");
        assert_eq!(
            whole.field("x-generated-tokens"),
            Some(served.to_string().as_str())
        );
    }
}

#[tokio::test]
async fn a_stop_sequence_stays_and_its_name_leaks() {
    let demo = tgi().await;
    let whole = ask(&demo, "/echo one two three", &json!({"stop": ["two"]}))
        .await
        .json();
    let choice = &whole["choices"][0];
    assert_eq!(
        (&choice["message"]["content"], &choice["finish_reason"]),
        (&json!("one two"), &json!("stop_sequence"))
    );
    // It is not seen where no token ends with it.
    let whole = ask(&demo, "/echo one two three", &json!({"stop": ["tw"]}))
        .await
        .json();
    assert_eq!(whole["choices"][0]["message"]["content"], "one two three");
}

#[tokio::test]
async fn a_streamed_completion_shows_the_end_of_the_turn() {
    let demo = tgi().await;
    let body = json!({"prompt": "/echo one", "stream": true}).to_string();
    let events = demo.post("/v1/completions", &body).await.events();
    let last = &events[events.len() - 2];
    let choice = &last["choices"][0];
    assert_eq!(
        (&choice["text"], &choice["finish_reason"]),
        (&json!("<|im_end|>"), &json!("eos_token"))
    );
    assert!(last["usage"].is_object());
}

#[tokio::test]
async fn errors_in_streams_have_status_200_and_the_code_of_a_mistake() {
    let demo = tgi().await;
    let stream = json!({"stream": true});
    for message in ["/error 429", "/error 424", "/error mid", "/error abort"] {
        let response = ask(&demo, message, &stream).await;
        let events = response.events();
        assert_eq!(response.status, 200, "{message}");
        assert_eq!(
            events[events.len() - 2]["error"]["http_status_code"],
            422,
            "{message}"
        );
        assert_eq!(events[events.len() - 1], "[DONE]", "{message}");
    }
    for (message, status) in [
        ("/error 429", 429),
        ("/error mid", 424),
        ("/error 404", 404),
    ] {
        assert_eq!(
            ask(&demo, message, &json!({})).await.status,
            status,
            "{message}"
        );
    }
    assert!(!ask(&demo, "/error reset", &stream).await.complete);
}

#[tokio::test]
async fn a_result_beside_a_content_has_lost_its_call() {
    let demo = tgi().await;
    let told = async |content: Value| {
        let calls = json!([{"id": "0", "type": "function", "function": {"name": "get_weather", "arguments": {}}}]);
        let body = json!({"messages": [{"role": "user", "content": "The weather?"},
            {"role": "assistant", "content": content, "tool_calls": calls},
            {"role": "tool", "content": "12 degrees", "tool_call_id": "0"}]});
        let whole = demo.post(CHAT, &body.to_string()).await.json();
        whole["choices"][0]["message"]["content"].to_string()
    };
    assert!(told(Value::Null).await.contains("get_weather: 12 degrees"));
    assert!(!told(json!("")).await.contains("get_weather"));
}

#[tokio::test]
async fn a_key_is_asked_for_where_tgi_asks_for_it() {
    let demo = Demo::of_vendor(Vendor::Tgi, Some("sekrit")).await;
    let send = async |line: &str, key: &str| {
        let fields =
            format!("host: x\r\ncontent-type: application/json\r\nauthorization: {key}\r\n");
        let body = json!({"inputs": "/echo a"}).to_string();
        demo.send(line, &fields, &body).await
    };
    let wrong = send("POST /generate", "Bearer wrong").await;
    assert_eq!((wrong.status, wrong.body.as_str()), (401, ""));
    assert_eq!(send("POST /generate", "bearer SEKRIT").await.status, 200);
    for open in [
        "GET /health",
        "GET /info",
        "GET /v1/models",
        "POST /chat_tokenize",
        "OPTIONS /generate",
    ] {
        assert_eq!(send(open, "none").await.status, 200, "{open}");
    }
}

#[tokio::test]
async fn forms_are_checked_before_everything_else() {
    let demo = tgi().await;
    let plain = demo
        .send(
            &format!("POST {CHAT}"),
            "host: x\r\ncontent-type: text/plain\r\n",
            "{}",
        )
        .await;
    assert_eq!(plain.status, 415);
    let large = json!({"inputs": "x".repeat(2 << 20)}).to_string();
    assert_eq!(demo.post("/generate", &large).await.status, 413);
    let trailing = demo
        .post("/generate", r#"{"inputs": "/echo a"} more"#)
        .await;
    assert_eq!(trailing.json()["generated_text"], "a");
}
