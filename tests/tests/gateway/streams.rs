//! Streams: cut anywhere, broken off, stalled, too large, held up by one end or the other.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::client::{End, Raw, Response};
use sluicegate_tests::sse::Chat;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{
    Barrier, Client, Gateway, Script, Setup, Upstream, eventually, guest, logs,
};
use tokio::task::JoinSet;

/// The field with which a client tells the model server where to cut its answer.
const CUT: &str = "x-cut";

fn question(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hi?"}]})
}

fn ndjson(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A model server that sends these octets in two pieces, cut where the request says.
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
            .piece(first)
            // Time for the first piece to be taken on its own. Nothing depends on it but how much is tried out.
            .sleep(Duration::from_millis(1))
            .piece(second)
    })
    .await
}

/// An answer without the second in which it was made.
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

/// Asks once for each place where a stream of this length can be cut; all answers must be alike. Gives one of them.
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
async fn a_stream_cut_at_any_octet_comes_out_the_same() {
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
async fn an_aggregated_answer_is_the_same_wherever_its_stream_is_cut() {
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
            ("你好", false, false)
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
async fn an_unchanged_stream_keeps_its_octets_wherever_it_is_cut() {
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
    let piece = format!("{}\n", ollama::content("so far"));
    let head = || Script::ndjson_head().piece(piece.clone());
    for script in [
        // Between chunks, in a chunk's size, in its data, in the line's middle, by a reset, short of the length.
        head().cut(),
        head().octets("1").cut(),
        head().octets("20\r\n{\"mess").cut(),
        head().piece("{\"message\":").cut(),
        head().octets("zz\r\n").cut(),
        head().sleep(Duration::from_millis(20)).reset(),
        Script::status(200)
            .field("content-type", "application/x-ndjson")
            .length(5000)
            .piece(piece.clone())
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
        assert_eq!((response.status, response.complete), (200, false), "{what}");
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
            (&seen["status"], &seen["error"], &seen["cancelled"]),
            (&json!(200), &error["code"], &json!(false))
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
        ("abc", false, false)
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
async fn a_model_server_that_falls_silent_is_given_up_and_let_go() {
    let piece = format!("{}\n", ollama::content("so far"));
    let upstream = Upstream::start(move |request| match request.header("x-script") {
        Some("silent") => Script::silent(),
        Some("head") => Script::ndjson_head().hang(),
        Some("trickle") => (0..1000).fold(Script::ndjson_head(), |script, _| {
            script.piece(piece.clone()).sleep(Duration::from_millis(20))
        }),
        _ => Script::ndjson_head().piece(piece.clone()).hang(),
    })
    .await;
    let gateway = Setup::before(&upstream)
        .upstream("timeout = { first-byte = \"150ms\", idle = \"150ms\", total = \"500ms\" }")
        .chat()
        .start()
        .await;
    for (script, code, sent) in [
        ("silent", "upstream_first_byte_timeout", false),
        ("head", "upstream_idle_timeout", false),
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
                (200, false, false),
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

/// Pieces of a stream that is far larger than what sockets hold.
const PIECES: usize = 64;
const PIECE: usize = 1 << 20;

/// A stream of large events; the barrier counts how far it has got.
fn large(progress: &Barrier) -> Script {
    let event = format!("data: {}\n\n", "x".repeat(PIECE - 8));
    progress.open();
    (0..PIECES).fold(Script::sse_head(), |script, _| {
        script.wait(progress).piece(event.clone())
    })
}

/// Comes back when the model server has stopped sending; says how many pieces it has begun.
async fn standstill(progress: &Barrier) -> usize {
    progress.reached(1).await;
    let mut last = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = progress.count();
        if now == last {
            return now;
        }
        last = now;
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_stops_the_model_server_and_nobody_else() {
    for acts in ["", "response-plan=sse", "response-plan=chunks"] {
        let progress = Barrier::new();
        let script = large(&progress);
        let upstream = Upstream::start(move |request| match request.path() {
            "/large" => script.clone(),
            _ => Script::empty(200),
        })
        .await;
        let gateway = Setup::before(&upstream)
            .guest(guest::WATCHER, "")
            .start()
            .await;
        let mut reader = Raw::connect(gateway.address()).await;
        reader
            .send(format!(
                "GET /large HTTP/1.1\r\nhost: x\r\n{}: {acts}\r\n\r\n",
                guest::FIELD
            ))
            .await;
        let sent = standstill(&progress).await;
        assert!(
            sent < PIECES / 2,
            "{sent} of {PIECES} pieces were taken for a client that reads nothing ({acts})"
        );
        assert_eq!(
            gateway.client().get("/small").await.status,
            200,
            "others are served"
        );
        // When it reads again, it gets it all.
        let answer = reader.answer().await;
        assert!(answer.complete);
        assert_eq!(answer.body.len(), PIECES * PIECE);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_for_too_long_is_cut_off() {
    let progress = Barrier::new();
    let upstream = Upstream::always(large(&progress)).await;
    let gateway = Setup::before(&upstream)
        .limit("write-timeout = \"300ms\"")
        .filter()
        .start()
        .await;
    let id = logs::id();
    let mut reader = Raw::connect(gateway.address()).await;
    reader
        .send(format!(
            "GET /x HTTP/1.1\r\nhost: x\r\nx-request-id: {id}\r\n\r\n"
        ))
        .await;
    upstream.next_request().await.disconnected().await;
    assert_eq!(logs::seen(&id).await["cancelled"], true);
    assert!(!reader.answer().await.complete);
    gateway.shutdown().await;
}

#[tokio::test]
async fn large_events_pass_up_to_their_limit_and_not_past_it() {
    let text = "y".repeat(1 << 20);
    let lines = [ollama::content(&text), ollama::done("stop")];
    let upstream = Upstream::always(Script::ndjson(&lines)).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let chat = gateway.client().chat(&question(true)).await.streamed_chat();
    assert_eq!((chat.content.len(), chat.done), (text.len(), true));
    let aggregated = gateway.client().chat(&question(false)).await;
    assert_eq!(
        aggregated.json()["choices"][0]["message"]["content"]
            .as_str()
            .map(str::len),
        Some(text.len())
    );
    gateway.shutdown().await;

    let gateway = Setup::before(&upstream)
        .limit("event = \"256KiB\"")
        .chat()
        .start()
        .await;
    let response = gateway.client().chat(&question(false)).await;
    assert_eq!(
        (response.status, &response.error()["code"]),
        (502, &json!("upstream_invalid"))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn events_before_one_that_is_too_large_are_not_lost() {
    let stream = format!(
        "data: one\n\ndata: two\n\ndata: {}\n\n",
        "z".repeat(100_000)
    );
    let script = Script::status(200)
        .field("content-type", "text/event-stream")
        .body(stream);
    let upstream = Upstream::always(script).await;
    let gateway = Setup::before(&upstream)
        .limit("event = \"64KiB\"")
        .guest(guest::WATCHER, "")
        .start()
        .await;
    let client = gateway.client().with(guest::FIELD, "response-plan=sse");
    let response = client.get("/x").await;
    let events = response.events();
    let data: Vec<_> = events.iter().map(|event| event.data.as_str()).collect();
    assert_eq!(data[..2], ["one", "two"]);
    assert_eq!(events[2].json()["error"]["code"], "upstream_invalid");
    assert_eq!((events.len(), response.complete), (3, false));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_response_that_a_stage_wants_whole_has_a_limit() {
    let upstream = Upstream::always(
        Script::status(200)
            .field("content-type", "application/json")
            .body("x".repeat(100_000)),
    )
    .await;
    let gateway = Setup::before(&upstream)
        .limit("response-body = \"64KiB\"")
        .filter()
        .start()
        .await;
    for plan in ["whole", "document"] {
        let client = gateway.client().with(
            guest::FIELD,
            &format!("response-plan={plan}, response-end=body"),
        );
        let response = client.get("/x").await;
        assert_eq!(
            (response.status, &response.error()["code"]),
            (502, &json!("upstream_invalid")),
            "{plan}"
        );
    }
    // Nobody wants to see this one.
    let response = gateway.client().get("/x").await;
    assert_eq!((response.status, response.body.len()), (200, 100_000));
    gateway.shutdown().await;
}

/// What a guest makes of three events.
async fn three(gateway: &Gateway, acts: &str) -> Response {
    gateway.client().with(guest::FIELD, acts).get("/x").await
}

#[tokio::test]
async fn each_plan_shows_the_body_as_it_says() {
    let stream = "data: one\n\ndata: two\n\ndata: three\n\n";
    let upstream = Upstream::always(Script::sse_head().piece(stream)).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for (acts, content_type, body) in [
        ("", "text/event-stream", stream),
        ("response-plan=whole", "text/event-stream", stream),
        (
            "response-plan=whole, response-body=upper",
            "text/event-stream",
            &stream.to_uppercase(),
        ),
        (
            "response-plan=chunks, response-chunk=upper",
            "text/event-stream",
            &stream.to_uppercase(),
        ),
        (
            "response-plan=chunks, response-chunk=sign",
            "text/event-stream",
            &format!("{stream}[end]"),
        ),
        (
            "response-plan=chunks, response-chunk=drop",
            "text/event-stream",
            "",
        ),
        (
            "response-plan=sse, response-events=upper",
            "text/event-stream",
            "data: ONE\n\ndata: TWO\n\ndata: THREE\n\n",
        ),
        (
            "response-plan=sse, response-events=drop",
            "text/event-stream",
            "",
        ),
        (
            "response-plan=sse, response-end=events",
            "text/event-stream",
            &format!("{stream}data: the end\n\n"),
        ),
        (
            "response-plan=sse, response-events=drop, response-end=events",
            "text/event-stream",
            "data: the end\n\n",
        ),
        (
            "response-plan=ndjson",
            "application/x-ndjson",
            "one\ntwo\nthree\n",
        ),
        (
            "response-plan=ndjson, response-events=upper",
            "application/x-ndjson",
            "ONE\nTWO\nTHREE\n",
        ),
        (
            "response-plan=document, response-end=body",
            "application/json",
            "{\"events\":3}",
        ),
        (
            "response-plan=document, response-events=drop, response-end=body",
            "application/json",
            "{\"events\":3}",
        ),
    ] {
        let response = three(&gateway, acts).await;
        assert_eq!(
            (response.status, response.text().as_str(), response.complete),
            (200, body, true),
            "{acts}"
        );
        assert_eq!(response.header("content-type"), content_type, "{acts}");
    }
    let response = three(&gateway, "response-head=status").await;
    assert_eq!((response.status, response.text().as_str()), (207, stream));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_that_is_no_stream_is_one_event_and_an_empty_one_too() {
    for body in ["{\"a\": 1}", ""] {
        let upstream = Upstream::always(
            Script::status(200)
                .field("content-type", "application/json")
                .body(body),
        )
        .await;
        let gateway = Setup::before(&upstream).filter().start().await;
        let response = three(&gateway, "response-plan=document, response-end=body").await;
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "{\"events\":1}")
        );
        let response = three(&gateway, "response-plan=sse, response-events=sizes").await;
        assert_eq!(
            (response.header("content-type"), response.text().as_str()),
            ("text/event-stream", "data: 1\n\n")
        );
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_stage_that_has_enough_ends_the_body_and_lets_the_model_server_go() {
    let upstream = Upstream::always(
        Script::sse_head()
            .piece("data: one\n\ndata: two\n\n")
            .hang(),
    )
    .await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for (acts, body) in [
        ("response-plan=sse, response-events=finish", "data: ONE\n\n"),
        (
            "response-plan=sse, response-events=finish, response-end=events",
            "data: ONE\n\ndata: the end\n\n",
        ),
    ] {
        let id = logs::id();
        let client = gateway
            .client()
            .with(guest::FIELD, acts)
            .with("x-request-id", &id);
        let response = client.get("/x").await;
        assert_eq!((response.text().as_str(), response.complete), (body, true));
        upstream.next_request().await.disconnected().await;
        let seen = logs::seen(&id).await;
        assert_eq!(
            (&seen["error"], &seen["cancelled"], &seen["events"]),
            (&json!(""), &json!(false), &json!(2))
        );
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn events_are_handed_over_in_batches_of_what_has_arrived() {
    let stream: String = (0..100).map(|n| format!("data: {n}\n\n")).collect();
    let script = Script::status(200)
        .field("content-type", "text/event-stream")
        .body(stream);
    let upstream = Upstream::always(script).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let response = three(&gateway, "response-plan=sse, response-events=sizes").await;
    let sizes: Vec<usize> = response
        .events()
        .iter()
        .map(|event| event.data.parse().expect("a size"))
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 100);
    assert!(
        sizes.iter().all(|size| (1..=32).contains(size)),
        "{sizes:?}"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_event_goes_on_as_soon_as_it_is_there() {
    let later = Barrier::new();
    let script = Script::ndjson_head()
        .piece(format!("{}\n", ollama::content("now")))
        .wait(&later)
        .piece(format!("{}\n", ollama::content(" and then")))
        .piece(format!("{}\n", ollama::done("stop")));
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
async fn a_body_that_nobody_wants_to_see_is_passed_on_octet_for_octet() {
    let body: Vec<u8> = (0..=255_u8).cycle().take(300_000).collect();
    let fixed = Script::status(200)
        .field("content-type", "application/octet-stream")
        .body(body.clone());
    let chunked = Script::status(200).chunked().pieces(body.chunks(7919));
    let until_close = Script::status(200).until_close().pieces(body.chunks(7919));
    for (script, length) in [(fixed, "300000"), (chunked, ""), (until_close, "")] {
        let upstream = Upstream::always(script).await;
        let gateway = Setup::before(&upstream).filter().start().await;
        let response = gateway
            .client()
            .request(Method::POST, "/x", body.clone())
            .await;
        assert_eq!((response.status, response.complete), (200, true));
        assert!(response.body == body);
        assert_eq!(response.header("content-length"), length);
        assert!(upstream.next_request().await.body == body);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_coded_answer_is_passed_on_by_stages_that_skip_it_and_refused_to_others() {
    let script = Script::status(200)
        .field("content-type", "text/event-stream")
        .field("content-encoding", "gzip")
        .body("\u{1f}\u{8b}…");
    let upstream = Upstream::always(script).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let response = gateway.client().get("/x").await;
    assert_eq!(
        (response.status, response.header("content-encoding")),
        (200, "gzip")
    );
    let response = three(&gateway, "response-plan=sse").await;
    assert_eq!(
        (response.status, &response.error()["code"]),
        (502, &json!("upstream_invalid"))
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
