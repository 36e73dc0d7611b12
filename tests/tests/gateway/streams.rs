//! Streams: cut anywhere, broken off, stalled, and many at once.

use std::time::Duration;

use serde_json::{Value, json};
use sluicegate_tests::client::{End, Response};
use sluicegate_tests::sse::Chat;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Barrier, Client, Script, Setup, Upstream, eventually, guest, logs};
use tokio::task::JoinSet;

/// The field with which a client tells the model server where to cut its response.
const CUT: &str = "x-cut";

fn question(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hi?"}]})
}

fn ndjson(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A model server that sends these bytes in two chunks, cut where the request says.
async fn cutting(content_type: &'static str, stream: String) -> Upstream {
    Upstream::start(move |request| {
        let at: usize = request
            .header(CUT)
            .and_then(|at| at.parse().ok())
            .unwrap_or(0);
        let (first, second) = stream.as_bytes().split_at(at);
        Script::status(200)
            .field("content-type", content_type)
            .chunked()
            .chunk(first)
            // Time for the first chunk to be taken on its own. Nothing depends on it but how much is tried out.
            .sleep(Duration::from_millis(1))
            .chunk(second)
    })
    .await
}

/// A response without the second in which it was made.
fn undated(response: &Response) -> (u16, String, bool) {
    let text = response.text();
    let mut parts = text.split("\"created\":");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out += "\"created\":";
        out += part.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    (response.status, out, response.complete)
}

/// Asks once for each place where a stream of this length can be cut; all responses must be alike. Gives one of them.
async fn at_every_cut(
    length: usize,
    ask: impl AsyncFn(Client) -> Response + Clone + 'static,
    client: &Client,
) -> Response {
    let whole = ask(client.clone().with(CUT, "0")).await;
    let mut next = 1..length;
    let mut running = JoinSet::new();
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            loop {
                while running.len() < 8
                    && let Some(at) = next.next()
                {
                    let (ask, client) = (ask.clone(), client.clone());
                    running.spawn_local(async move {
                        (at, ask(client.with(CUT, &at.to_string())).await)
                    });
                }
                let Some(done) = running.join_next().await else {
                    break;
                };
                let (at, response) = done.expect("no panic");
                assert_eq!(undated(&response), undated(&whole), "cut at {at}");
            }
        })
        .await;
    whole
}

/// A stream with text in several scripts, thoughts and a tool call: about 1 KB.
fn lines() -> Vec<Value> {
    vec![
        ollama::thinking("Hm… \u{2028}"),
        ollama::content("你好 \"wörld\"\n"),
        ollama::tool_call("call_1", "f", &json!({"é": "🦀"})),
        ollama::content("🦀"),
        ollama::done("stop"),
    ]
}

#[tokio::test]
async fn a_stream_cut_at_any_byte_comes_out_the_same() {
    let stream = ndjson(&lines());
    let length = stream.len();
    let upstream = cutting("application/x-ndjson", stream).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let client = gateway.client().with("x-request-id", "cut");
    let response = at_every_cut(
        length,
        async |client| client.chat(&question(true)).await,
        &client,
    )
    .await;
    let chat = response.streamed_chat();
    assert_eq!(
        (chat.content.as_str(), chat.reasoning.as_str()),
        ("你好 \"wörld\"\n🦀", "Hm… \u{2028}")
    );
    assert_eq!(
        chat.tool_calls[0]["function"]["arguments"],
        "{\"é\":\"🦀\"}"
    );
    assert!(chat.done);
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_aggregated_response_is_the_same_wherever_its_stream_is_cut() {
    let stream = ndjson(&lines());
    let length = stream.len();
    let upstream = cutting("application/x-ndjson", stream).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let client = gateway.client().with("x-request-id", "cut");
    let response = at_every_cut(
        length,
        async |client| client.chat(&question(false)).await,
        &client,
    )
    .await;
    assert_eq!(
        response.json()["choices"][0]["message"]["content"],
        "你好 \"wörld\"\n🦀"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_stream_that_fails_comes_out_the_same_wherever_it_is_cut() {
    let error = ollama::error("the runner has gone away");
    for (last, code) in [
        (Some(error), "upstream_error"),
        (None, "upstream_truncated"),
    ] {
        let mut lines = vec![ollama::content("你"), ollama::content("好")];
        lines.extend(last);
        let stream = ndjson(&lines);
        let length = stream.len();
        let upstream = cutting("application/x-ndjson", stream).await;
        let gateway = Setup::before(&upstream).chat().start().await;
        let client = gateway.client().with("x-request-id", "cut");
        let streamed = at_every_cut(
            length,
            async |client| client.chat(&question(true)).await,
            &client,
        )
        .await;
        let chat = streamed.streamed_chat();
        assert_eq!(
            (chat.content.as_str(), chat.done, streamed.complete),
            ("你好", false, true)
        );
        assert_eq!(chat.error.expect("an error event")["code"], code);
        let aggregated = at_every_cut(
            length,
            async |client| client.chat(&question(false)).await,
            &client,
        )
        .await;
        assert_eq!(
            (aggregated.status, &aggregated.error()["code"]),
            (502, &json!(code))
        );
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn an_unchanged_stream_keeps_its_bytes_wherever_it_is_cut() {
    let stream = ": hello\r\n\r\nid: 1\r\nretry: 5\r\ndata: a\r\ndata:  b\r\n\r\n\n\nevent: é\ndata\n\n:x\ndata: 你好\r\rdata: last\n\n";
    let upstream = cutting("text/event-stream", stream.to_owned()).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::WATCHER, "")
        .start()
        .await;
    let client = gateway.client().with(guest::FIELD, "response-plan=sse");
    let response = at_every_cut(stream.len(), async |client| client.get("/x").await, &client).await;
    assert_eq!(
        (response.text().as_str(), response.complete),
        (stream, true)
    );
    gateway.shutdown().await;

    let stream = "{\"a\":1}\r\n\n \n{\"b\":\"你\"}\n{\"c\":3}\n";
    let upstream = cutting("application/x-ndjson", stream.to_owned()).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::WATCHER, "")
        .start()
        .await;
    let client = gateway.client().with(guest::FIELD, "response-plan=ndjson");
    let response = at_every_cut(stream.len(), async |client| client.get("/x").await, &client).await;
    assert_eq!(
        (response.text().as_str(), response.complete),
        (stream, true)
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_event_and_aggregated_it_is_a_502() {
    let chunk = format!("{}\n", ollama::content("so far"));
    let head = || Script::ndjson_head().chunk(chunk.clone());
    for script in [
        // Between chunks, in a chunk's size, in its data, in the line's middle, by a reset, short of the length.
        head().cut(),
        head().bytes("1").cut(),
        head().bytes("20\r\n{\"mess").cut(),
        head().chunk("{\"message\":").cut(),
        head().bytes("zz\r\n").cut(),
        head().sleep(Duration::from_millis(20)).reset(),
        Script::status(200)
            .field("content-type", "application/x-ndjson")
            .length(5000)
            .chunk(chunk.clone())
            .cut(),
    ] {
        let what = format!("{script:?}");
        let upstream = Upstream::always(script).await;
        let gateway = Setup::before(&upstream).chat().start().await;
        let id = logs::id();
        let response = gateway
            .client()
            .with("x-request-id", &id)
            .chat(&question(true))
            .await;
        assert_eq!((response.status, response.complete), (200, true), "{what}");
        let chat = response.streamed_chat();
        assert_eq!(
            (chat.content.as_str(), chat.done, &chat.finish_reason),
            ("so far", false, &None),
            "{what}"
        );
        let error = chat.error.expect("an error event");
        assert!(
            matches!(
                error["code"].as_str(),
                Some("upstream_broken" | "upstream_invalid")
            ),
            "{what}: {error}"
        );
        assert_eq!(error["type"], "server_error");
        let seen = logs::seen(&id).await;
        assert_eq!(
            (&seen["status"], &seen["error"]),
            (&json!(200), &error["code"])
        );

        let aggregated = gateway.client().chat(&question(false)).await;
        assert_eq!(
            (aggregated.status, aggregated.complete),
            (502, true),
            "{what}"
        );
        assert_eq!(aggregated.error()["code"], error["code"]);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_its_end_is_truncated_and_its_tokens_counted_as_partial() {
    let lines = [
        ollama::content("a"),
        ollama::content("b"),
        ollama::content("c"),
    ];
    let upstream = Upstream::always(Script::ndjson(&lines)).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let id = logs::id();
    let response = gateway
        .client()
        .with("x-request-id", &id)
        .chat(&question(true))
        .await;
    let chat = response.streamed_chat();
    assert_eq!(
        (chat.content.as_str(), chat.done, response.complete),
        ("abc", false, true)
    );
    let seen = logs::seen(&id).await;
    assert_eq!(seen["error"], "upstream_truncated");
    assert_eq!(
        (
            &seen["note_usage"]["completion_tokens"],
            &seen["note_usage"]["partial"]
        ),
        (&json!(3), &json!(true))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_silent_model_server_is_given_up_and_its_request_ends() {
    let chunk = format!("{}\n", ollama::content("so far"));
    let upstream = Upstream::start(move |request| match request.header("x-script") {
        Some("silent") => Script::silent(),
        Some("head") => Script::ndjson_head().hang(),
        Some("trickle") => (0..1000).fold(Script::ndjson_head(), |script, _| {
            script.chunk(chunk.clone()).sleep(Duration::from_millis(20))
        }),
        _ => Script::ndjson_head().chunk(chunk.clone()).hang(),
    })
    .await;
    let gateway = Setup::before(&upstream)
        .upstream("timeout = { first-byte = \"150ms\", idle = \"150ms\", total = \"500ms\" }")
        .chat()
        .start()
        .await;
    for (script, code, sent) in [
        ("silent", "upstream_first_byte_timeout", false),
        ("head", "upstream_first_byte_timeout", false),
        ("stall", "upstream_idle_timeout", true),
        ("trickle", "upstream_total_timeout", true),
    ] {
        let client = gateway.client().with("x-script", script);
        let response = client.chat(&question(true)).await;
        upstream.next_request().await.disconnected().await;
        if sent {
            let chat = response.streamed_chat();
            assert_eq!(
                (response.status, response.complete, chat.done),
                (200, true, false),
                "{script}"
            );
            assert_eq!(chat.error.expect("an error event")["code"], code);
        } else {
            assert_eq!(
                (response.status, &response.error()["code"]),
                (504, &json!(code)),
                "{script}"
            );
        }
        let aggregated = client.chat(&question(false)).await;
        upstream.next_request().await.disconnected().await;
        assert_eq!(
            (aggregated.status, &aggregated.error()["code"]),
            (504, &json!(code)),
            "{script}"
        );
        assert_eq!(aggregated.error()["type"], "server_error");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_event_goes_on_as_soon_as_it_is_there() {
    let later = Barrier::new();
    let script = Script::ndjson_head()
        .chunk(format!("{}\n", ollama::content("now")))
        .wait(&later)
        .chunk(format!("{}\n", ollama::content(" and then")))
        .chunk(format!("{}\n", ollama::done("stop")));
    let upstream = Upstream::always(script).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let mut stream = gateway.client().open_chat(&question(true)).await;
    assert_eq!(stream.text().await, "now");
    later.release();
    let mut events = Vec::new();
    while let Some(event) = stream.event().await {
        events.push(event);
    }
    let chat = Chat::of(&events);
    assert_eq!(
        (chat.content.as_str(), chat.done, stream.end()),
        (" and then", true, Some(End::Proper))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_hundred_streams_at_once_do_not_mix() {
    let upstream = Upstream::start(|request| {
        let body = request.json();
        let word = body["messages"][0]["content"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let lines: Vec<Value> = (0..20)
            .map(|_| ollama::content(&word))
            .chain([ollama::done("stop")])
            .collect();
        Script::ndjson(&lines)
    })
    .await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let mut running = JoinSet::new();
    for number in 0..100 {
        let client = gateway.client();
        running.spawn(async move {
            let word = format!("<{number}>");
            let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": word}]});
            (word, client.chat(&body).await.streamed_chat())
        });
    }
    while let Some(done) = running.join_next().await {
        let (word, chat) = done.expect("no panic");
        assert_eq!((chat.content, chat.done), (word.repeat(20), true));
    }
    eventually("the end of all exchanges", async || {
        let series = r#"sluicegate_requests_in_flight{route="/v1/chat/completions"}"#;
        (gateway.metric(series).await == 0.0).then_some(())
    })
    .await;
    gateway.shutdown().await;
}
