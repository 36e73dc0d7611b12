//! Attempts: a failure that another model server may mend is not seen by anybody; any other failure decides the exchange.

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::upstream::{closed_port, ollama};
use sluicegate_tests::{Barrier, Gateway, Script, Setup, Upstream, guest, logs};

use crate::common::{assert_error, question, streamed};

/// An upstream that speaks OpenAI's API, under the name `spare`.
fn spare(upstream: &Upstream) -> String {
    format!("[upstream.spare]\ntargets = [\"{}\"]\n", upstream.url())
}

/// A chat completion of a server that speaks OpenAI's API.
fn completion(text: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "spare-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    })
}

/// Asks until each of two targets has been the first one, and gives the last summaries as the observer saw them.
async fn in_turn(gateway: &Gateway, ask: impl AsyncFn(&Gateway, &str)) -> Vec<Value> {
    let mut seen = Vec::new();
    for _ in 0..2 {
        let id = logs::id();
        ask(gateway, &id).await;
        seen.push((*logs::seen(&id).await).clone());
    }
    seen
}

fn most_attempts(seen: &[Value]) -> u64 {
    let attempts = seen.iter().filter_map(|seen| seen["attempts"].as_u64());
    attempts.max().unwrap_or(0)
}

#[tokio::test]
async fn a_dead_target_costs_no_client_an_error() {
    let (_socket, dead) = closed_port();
    let alive = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let gateway = Setup::before_urls(&[format!("http://{dead}"), alive.url()])
        .chat()
        .start()
        .await;
    let seen = in_turn(&gateway, async |gateway, id| {
        let client = gateway.client().with("x-request-id", id);
        let response = client.chat(&streamed()).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let chat = response.streamed_chat();
        assert_eq!((chat.content.as_str(), chat.done), ("Hello", true));
    })
    .await;
    assert_eq!(
        most_attempts(&seen),
        2,
        "one of them met the dead one first"
    );
    for request in alive.requests() {
        assert_eq!(request.path(), "/api/chat");
        assert_eq!(request.json()["model"], "qwen3:32b");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_target_that_dies_before_anything_has_left_its_adapter_is_passed_over() {
    for (what, dying) in [
        ("before its head", Script::raw("").cut()),
        ("behind its head", Script::ndjson_head().cut()),
        (
            "inside the first line",
            Script::ndjson_head().chunk("{\"model\":").cut(),
        ),
        ("with 503", Script::json(503, &ollama::error("server busy"))),
        (
            "with 429",
            Script::json(429, &json!({"error": "slow down"})),
        ),
    ] {
        let dying = Upstream::always(dying).await;
        let alive = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
        let gateway = Setup::before_urls(&[dying.url(), alive.url()])
            .chat()
            .start()
            .await;
        let seen = in_turn(&gateway, async |gateway, id| {
            let client = gateway.client().with("x-request-id", id);
            for body in [question(), streamed()] {
                let response = client.chat(&body).await;
                assert_eq!(response.status, 200, "{what}: {}", response.text());
                assert!(response.text().contains("Hello"), "{what}");
            }
        })
        .await;
        assert!(!dying.requests().is_empty(), "{what}");
        assert_eq!(dying.requests()[0].json(), alive.requests()[0].json());
        for seen in seen {
            assert_eq!(seen["to"], alive.url(), "{what}");
            assert_eq!(seen["note_usage"].get("partial"), None, "{what}");
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn what_another_server_cannot_mend_decides() {
    for (script, status, code) in [
        (
            Script::json(
                404,
                &ollama::error("model \"x\" not found, try pulling it first"),
            ),
            404,
            "model_not_found",
        ),
        (
            Script::json(200, &json!(["no", "line"])),
            502,
            "upstream_invalid",
        ),
        (Script::raw("nonsense\r\n\r\n"), 502, "upstream_invalid"),
    ] {
        let first = Upstream::always(script.clone()).await;
        let second = Upstream::always(script).await;
        let gateway = Setup::before_urls(&[first.url(), second.url()])
            .chat()
            .start()
            .await;
        let response = gateway.client().chat(&question()).await;
        assert_error(&response, status, code);
        if status == 502 {
            assert_eq!(response.header("x-should-retry"), "false");
        }
        assert_eq!(
            first.requests().len() + second.requests().len(),
            1,
            "{code}"
        );
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_failure_after_the_first_event_is_not_tried_again() {
    let breaking = || {
        Script::ndjson_head()
            .chunk(format!("{}\n", ollama::content("so far")))
            .cut()
    };
    let (first, second) = (
        Upstream::always(breaking()).await,
        Upstream::always(breaking()).await,
    );
    let gateway = Setup::before_urls(&[first.url(), second.url()])
        .chat()
        .start()
        .await;
    let chat = gateway.client().chat(&streamed()).await.streamed_chat();
    assert_eq!(chat.content, "so far");
    assert_eq!(chat.error.expect("an error")["code"], "upstream_broken");
    assert_eq!(first.requests().len() + second.requests().len(), 1);
    gateway.shutdown().await;
}

#[tokio::test]
async fn without_another_target_the_client_gets_the_last_failure_with_the_shortest_wait() {
    let busy = |seconds: &str| {
        Script::status(503)
            .field("content-type", "application/json")
            .field("retry-after", seconds)
            .body(ollama::error("server busy").to_string())
    };
    let one = Upstream::always(busy("7")).await;
    let other = Upstream::always(busy("30")).await;
    let third = Upstream::always(busy("60")).await;
    let fourth = Upstream::always(busy("1")).await;
    let urls = [one.url(), other.url(), third.url(), fourth.url()];
    let gateway = Setup::before_urls(&urls).chat().start().await;
    let id = logs::id();
    let client = gateway.client().with("x-request-id", &id);
    let response = client.chat(&question()).await;
    assert_eq!(response.status, 503, "{}", response.text());
    let all = [&one, &other, &third, &fourth];
    let waits = [7, 30, 60, 1];
    let shortest = all
        .iter()
        .zip(waits)
        .filter(|(upstream, _)| !upstream.requests().is_empty())
        .map(|(_, wait)| wait)
        .min();
    assert_eq!(response.header("retry-after").parse().ok(), shortest);
    assert_eq!(all.map(|it| it.requests().len()).iter().sum::<usize>(), 3);
    assert_eq!(logs::seen(&id).await["attempts"], 3);
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_number_of_attempts_is_configured() {
    let busy = Script::json(503, &ollama::error("server busy"));
    let one = Upstream::always(busy.clone()).await;
    let other = Upstream::always(busy).await;
    let gateway = Setup::before_urls(&[one.url(), other.url()])
        .upstream("attempts = { max = 1 }")
        .chat()
        .start()
        .await;
    assert_eq!(gateway.client().chat(&question()).await.status, 503);
    assert_eq!(one.requests().len() + other.requests().len(), 1);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_that_is_passed_on_unread_is_sent_once() {
    let dying = Upstream::always(Script::raw("").cut()).await;
    let alive = Upstream::always(Script::json(200, &json!({"a": 1}))).await;
    let gateway = Setup::before_urls(&[dying.url(), alive.url()])
        .filter()
        .start()
        .await;
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let client = gateway.client();
        let response = client.request(Method::POST, "/x", "not JSON").await;
        statuses.push(response.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502], "the body was gone with the first one");
    // The same bytes as JSON are kept, and so is a body that a stage looked at.
    for (body, acts) in [("{\"kept\":true}", ""), ("not JSON", "request-plan=whole")] {
        for _ in 0..2 {
            let client = gateway.client().with(guest::FIELD, acts);
            let response = client.request(Method::POST, "/x", body).await;
            assert_eq!(response.status, 200, "{body}");
            let sent = alive.requests().pop().expect("it was asked");
            assert_eq!(sent.body, body.as_bytes());
        }
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_of_which_nothing_was_sent_goes_to_the_next_target() {
    let (_socket, dead) = closed_port();
    let alive = Upstream::always(Script::json(200, &json!({"a": 1}))).await;
    let gateway = Setup::before_urls(&[format!("http://{dead}"), alive.url()])
        .filter()
        .start()
        .await;
    for turn in 0..2 {
        let client = gateway.client();
        let response = client.request(Method::POST, "/x", "not JSON").await;
        assert_eq!(response.status, 200, "turn {turn}: {}", response.text());
        let sent = alive.requests().pop().expect("it was asked");
        assert_eq!(sent.body, b"not JSON");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_fallback_of_another_vendor_answers_through_its_own_adapter_or_none() {
    let (_socket, dead) = closed_port();
    let other = Upstream::always(Script::json(200, &completion("from the spare"))).await;
    let gateway = Setup::before_url(&format!("http://{dead}"))
        .section(&(spare(&other) + "key = \"sk-spare\"\n"))
        .stages("", "")
        .plugin("key", guest::GATE, "")
        .route(
            "/v1/chat/completions",
            r#"["key", "auth", "aggregate"]"#,
            "methods = [\"POST\"]\nobservers = [\"observer\"]\nfallback = [\"spare\"]",
        )
        .start()
        .await;
    let id = logs::id();
    let client = gateway.client().with("x-request-id", &id);
    // The key that a stage sets is for the first upstream alone.
    let client = client.with(guest::FIELD, "check=key");
    let response = client.chat(&question()).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(
        response.json()["choices"][0]["message"]["content"],
        "from the spare"
    );
    let asked = other.next_request().await;
    assert_eq!(
        (asked.path(), asked.json()),
        ("/v1/chat/completions", question()),
        "as the client asked, not as the first adapter wrote it"
    );
    assert_eq!(asked.header("authorization"), Some("Bearer sk-spare"));
    let seen = logs::seen(&id).await;
    assert_eq!(
        (&seen["attempts"], &seen["upstream"], &seen["to"]),
        (&json!(2), &json!("spare"), &json!(other.url()))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn without_an_adapter_the_head_decides() {
    for status in [429, 502, 503, 504] {
        let busy = Upstream::always(Script::json(status, &json!({"error": "busy"}))).await;
        let other = Upstream::always(Script::json(200, &completion("second"))).await;
        let gateway = Setup::before_url(&busy.url())
            .section(&spare(&other))
            .plugin("guest", guest::FILTER, "")
            .route("/*", r#"["guest"]"#, "fallback = [\"spare\"]")
            .start()
            .await;
        let response = gateway.client().chat(&question()).await;
        assert_eq!(response.status, 200, "after {status}");
        assert_eq!((busy.requests().len(), other.requests().len()), (1, 1));
        gateway.shutdown().await;
    }
    // What another server cannot mend passes as it is, and so does the last one.
    for (status, asked) in [(404, (1, 0)), (500, (1, 0)), (503, (1, 1))] {
        let script = Script::json(status, &json!({"as": "it is"}));
        let first = Upstream::always(script.clone()).await;
        let other = Upstream::always(script).await;
        let gateway = Setup::before_url(&first.url())
            .section(&spare(&other))
            .plugin("guest", guest::FILTER, "")
            .route("/*", r#"["guest"]"#, "fallback = [\"spare\"]")
            .start()
            .await;
        let response = gateway.client().chat(&question()).await;
        assert_eq!(response.status, status);
        assert_eq!(response.json(), json!({"as": "it is"}));
        assert_eq!((first.requests().len(), other.requests().len()), asked);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_client_that_waits_for_a_stream_gets_heartbeats_through_all_attempts() {
    let (first_waits, second_waits) = (Barrier::new(), Barrier::new());
    let dying = Upstream::always(Script::raw("").wait(&first_waits).cut()).await;
    let alive = Script::ndjson_head().wait(&second_waits).chunks(
        ollama::stream(&["Hello"])
            .iter()
            .map(|line| format!("{line}\n")),
    );
    let alive = Upstream::always(alive).await;
    let gateway = Setup::before_url(&dying.url())
        .server("heartbeat = \"20ms\"")
        .section(&format!(
            "[upstream.spare]\nadapter = \"ollama\"\ntargets = [\"{}\"]",
            alive.url()
        ))
        .stages("", "")
        .route(
            "/v1/chat/completions",
            r#"["auth", "aggregate"]"#,
            "fallback = [\"spare\"]",
        )
        .start()
        .await;
    let mut stream = gateway.client().open_chat(&streamed()).await;
    assert_eq!(stream.status, 200);
    dying.next_request().await;
    first_waits.open();
    alive.next_request().await;
    for _ in 0..3 {
        let bytes = stream.bytes().await.expect("the stream goes on");
        assert!(bytes.starts_with(b": ping\n"), "{bytes:?}");
    }
    second_waits.open();
    let chat = stream.rest().await.streamed_chat();
    assert_eq!((chat.content.as_str(), chat.done), ("Hello", true));
    gateway.shutdown().await;
}
