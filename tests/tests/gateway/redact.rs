//! The plugin `redact` between a client and a model server that repeats what it is told. Its own tests cover all cases.

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Gateway, Script, Setup, Upstream, guest, logs};

const CHAT: &str = "/v1/chat/completions";
const MAIL: &str = "alice@example.com";
const PHONE: &str = "13812345678";

/// The usual pipeline with `redact` on one side of `aggregate`.
async fn gateway(upstream: &Upstream, config: &str, pipeline: &str) -> Gateway {
    Setup::before(upstream)
        .stages("", "")
        .plugin(
            "redact",
            "builtin:redact",
            &format!("config = {{ {config} }}"),
        )
        .route(CHAT, pipeline, r#"observers = ["observer"]"#)
        .start()
        .await
}

/// A model server that says again what it was told last, in chunks of three characters.
async fn echo() -> Upstream {
    Upstream::start(|request| {
        let body = request.json();
        let messages = body["messages"].as_array().cloned().unwrap_or_default();
        let said = messages
            .last()
            .and_then(|it| it["content"].as_str())
            .unwrap_or_default();
        let chars: Vec<char> = said.chars().collect();
        let texts: Vec<String> = chars.chunks(3).map(|it| it.iter().collect()).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        Script::ndjson(&ollama::stream(&texts))
    })
    .await
}

fn question(text: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": text}]})
}

fn streamed(text: &str) -> Value {
    let mut body = question(text);
    body["stream"] = json!(true);
    body
}

#[tokio::test]
async fn the_model_server_gets_placeholders_and_the_client_gets_its_own_words() {
    for pipeline in [r#"["aggregate", "redact"]"#, r#"["redact", "aggregate"]"#] {
        let upstream = echo().await;
        let gateway = gateway(&upstream, "restore = true", pipeline).await;
        let text = format!("I am {MAIL}, call {PHONE} or write to {MAIL} [EMAIL_1]");
        let expected = "I am [EMAIL_2], call [PHONE_1] or write to [EMAIL_2] [EMAIL_1]";
        let id = logs::id();
        let client = gateway.client().with("x-request-id", &id);

        let response = client.chat(&question(&text)).await;
        assert_eq!(response.json()["choices"][0]["message"]["content"], text);
        let sent = upstream.next_request().await.json();
        assert_eq!(sent["messages"][0]["content"], expected);
        let seen = logs::seen(&id).await.to_string();
        assert!(
            seen.contains("redacted") && !seen.contains(MAIL) && !seen.contains(PHONE),
            "{seen}"
        );

        let chat = gateway
            .client()
            .chat(&streamed(&text))
            .await
            .streamed_chat();
        assert_eq!((chat.content.as_str(), chat.done), (text.as_str(), true));
        let sent = upstream.next_request().await.json();
        assert_eq!(sent["messages"][0]["content"], expected);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn what_the_model_says_by_itself_is_hidden_at_every_cut() {
    let said = format!("It is {MAIL}, and ");
    for at in 0..said.len() {
        let (first, second) = said.split_at(at);
        let upstream =
            Upstream::always(Script::ndjson(&ollama::stream(&[first, second, MAIL]))).await;
        let gateway = gateway(&upstream, "", r#"["aggregate", "redact"]"#).await;
        let response = gateway.client().chat(&streamed("Who?")).await;
        assert!(
            !response.text().contains("example.com"),
            "{}",
            response.text()
        );
        let chat = response.streamed_chat();
        assert_eq!(
            (chat.content.as_str(), chat.done),
            ("It is [EMAIL], and [EMAIL]", true)
        );
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn text_that_cannot_be_part_of_a_match_is_not_held_back() {
    let upstream = Upstream::always(
        Script::ndjson_head()
            .chunk(format!("{}\n", ollama::content("你好，alice@exam")))
            .hang(),
    )
    .await;
    let gateway = gateway(&upstream, "", r#"["aggregate", "redact"]"#).await;
    let mut stream = gateway.client().open_chat(&streamed("Hi")).await;
    let mut content = String::new();
    // The model server says no more, so this would wait for ever if the beginning were held back too.
    while content != "你好，" {
        let chunk = stream.event().await.expect("an event").json();
        content.push_str(
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .unwrap_or_default(),
        );
        assert!("你好，".starts_with(&content), "{content}");
    }
    stream.hang_up().await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_error_that_repeats_the_prompt_is_searched_before_and_in_a_stream() {
    let said = json!({"error": format!("the prompt of {MAIL} is too long")});
    let refuses = Upstream::always(Script::json(400, &said)).await;
    let breaks = Upstream::always(Script::ndjson(&[ollama::content("Hello, al"), said])).await;
    for (upstream, status) in [(refuses, 400), (breaks, 200)] {
        for body in [streamed("Hi"), question("Hi")] {
            let gateway = gateway(&upstream, "", r#"["aggregate", "redact"]"#).await;
            let response = gateway.client().chat(&body).await;
            if body["stream"] == true {
                assert_eq!(response.status, status);
            } else {
                assert!(response.status >= 400, "{}", response.status);
            }
            let text = response.text();
            assert!(text.contains("the prompt of [EMAIL] is too long"), "{text}");
            assert!(!text.contains(MAIL), "{text}");
            assert!(!text.contains("[DONE]"), "{text}");
            gateway.shutdown().await;
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_with_an_error_and_without_what_was_held() {
    let line = |text| format!("{}\n", ollama::content(text));
    let script = Script::ndjson_head()
        .chunk(line("I am "))
        .chunk(line("alice@exam"))
        .cut();
    let upstream = Upstream::always(script).await;
    let gateway = gateway(&upstream, "", r#"["aggregate", "redact"]"#).await;
    let response = gateway.client().chat(&streamed("Hi")).await;
    let text = response.text();
    assert!(
        text.contains("upstream_broken") && !text.contains("alice"),
        "{text}"
    );
    assert_eq!(response.streamed_chat().content, "I am ");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_request_that_cannot_be_searched_is_refused_and_nobody_is_asked() {
    let upstream = echo().await;
    let gateway = gateway(&upstream, "", r#"["aggregate", "redact"]"#).await;
    let response = gateway
        .client()
        .post(CHAT, &json!({"model": "m", "prompt": [1, 2, 3]}))
        .await;
    assert_eq!(
        (response.status, &response.error()["code"]),
        (400, &json!("redact_unreadable"))
    );
    let response = gateway
        .client()
        .request(Method::POST, CHAT, format!("write to {MAIL}"))
        .await;
    assert_eq!(
        (response.status, &response.error()["code"]),
        (400, &json!("redact_unreadable"))
    );
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_front_gets_hidden_words_and_placeholders_back() {
    let upstream = echo().await;
    let gateway = Setup::before(&upstream)
        .stages("", "")
        .plugin("anthropic", "builtin:anthropic", "")
        .plugin("redact", "builtin:redact", "config = { restore = true }")
        .route(
            "/v1/messages",
            r#"["anthropic", "aggregate", "redact"]"#,
            "",
        )
        .start()
        .await;
    let mut body = question(&format!("I am {MAIL}"));
    body["max_tokens"] = json!(99);
    let response = gateway.client().post("/v1/messages", &body).await;
    assert_eq!(
        response.json()["content"][0]["text"],
        format!("I am {MAIL}")
    );
    let sent = upstream.next_request().await.json();
    assert_eq!(sent["messages"][0]["content"], "I am [EMAIL_1]");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_may_grow_and_a_longer_one_is_refused() {
    let answer = json!({"id": "c", "choices": [{"index": 0, "message": {"content": "Hi"}}]});
    let upstream = Upstream::always(Script::json(200, &answer)).await;
    let gateway = Setup::before(&upstream)
        .plugin(
            "redact",
            "builtin:redact",
            r#"config = { replacement = "[what nobody may see]" }"#,
        )
        .route(CHAT, r#"["redact"]"#, "")
        .start()
        .await;
    let body = |length: usize| {
        let [start, end] = [
            r#"{"model":"m","messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,"#,
            r#""}},{"type":"text","text":"a@b.c.de 4111111111111111 a@b.io"}]}]}"#,
        ];
        let data = "A".repeat(length - start.len() - end.len());
        [start, &data, end].concat()
    };
    let limit = 32 << 20;
    let client = gateway.client();
    let response = client.request(Method::POST, CHAT, body(limit)).await;
    assert_eq!(response.json(), answer);
    let sent = upstream.next_request().await;
    let text = &sent.json()["messages"][0]["content"][1]["text"];
    assert_eq!(
        text,
        "[what nobody may see] [what nobody may see] [what nobody may see]"
    );
    assert!(sent.body.len() > limit);
    let response = client.request(Method::POST, CHAT, body(limit + 1)).await;
    assert_eq!(response.status, 413, "{}", response.text());
    assert_eq!(upstream.requests().len(), 1);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_search_that_takes_too_long_is_the_clients_to_mend() {
    let upstream = echo().await;
    let config = r#"detect = [], rules = [{ regex = "x[0-9x]{3,200}y" }]"#;
    let gateway = gateway(&upstream, config, r#"["aggregate", "redact"]"#).await;
    let response = gateway.client().chat(&question(&"x".repeat(1 << 20))).await;
    assert_eq!(
        (response.status, &response.error()["code"]),
        (413, &json!("redact_too_large"))
    );
    assert!(upstream.requests().is_empty());
    // A prompt of this length is none too long by itself.
    let text = "a word, 12 or more ".repeat(50_000);
    let response = gateway.client().chat(&question(&text)).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let sent = upstream.next_request().await.json();
    assert!(sent["messages"][0]["content"] == text);
    gateway.shutdown().await;
}

/// The guest `words` is what an author writes; it shares the windows of the SDK.
#[tokio::test]
async fn a_filter_made_with_the_sdk_replaces_words_that_are_cut() {
    let words = ["this is a simu", "lation of a simul", "acrum 模", "拟"];
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&words))).await;
    let config = r#"config = { words = ["simulation", "模拟"], by = "[…]" }"#;
    let gateway = Setup::before(&upstream)
        .stages("", "")
        .plugin("words", guest::WORDS, config)
        .route(CHAT, r#"["aggregate", "words"]"#, "")
        .start()
        .await;
    let expected = "this is a […] of a simulacrum […]";
    let response = gateway.client().chat(&question("Hi?")).await;
    assert_eq!(
        response.json()["choices"][0]["message"]["content"],
        expected
    );
    let chat = gateway
        .client()
        .chat(&streamed("Hi?"))
        .await
        .streamed_chat();
    assert_eq!((chat.content.as_str(), chat.done), (expected, true));
    gateway.shutdown().await;
}
