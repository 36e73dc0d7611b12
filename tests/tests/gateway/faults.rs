//! Faults between the gateway and a model server, in every way that a connection can go wrong: each ends in its documented
//! response, streamed or not, within its timeout, and is not seen at all where another model server can do better.

use std::time::{Duration, Instant};

use serde_json::json;
use sluicegate_sim::{Pace, Vendor};
use sluicegate_tests::client::Response;
use sluicegate_tests::upstream::{closed_port, ollama};
use sluicegate_tests::{Gateway, Script, Setup, Upstream, eventually, logs};
use tokio::net::TcpListener;

use crate::common::{assert_error, question, streamed, with};

/// The timeouts of the tests, far below the time after which a test gives up.
const TIMEOUTS: &str = "timeout = { connect = \"2s\", first-byte = \"400ms\", idle = \"400ms\" }";

/// How long any of them may take: its timeout, and what a busy machine needs.
const LONGEST: Duration = Duration::from_secs(10);

/// A fault, and what becomes of it.
struct Fault {
    what: &'static str,
    script: Script,
    status: u16,
    code: &'static str,
    /// Whether it comes after the first event: then a stream has begun, and nobody else is asked.
    mid_stream: bool,
    /// Whether another model server is asked.
    is_mended: bool,
}

impl Fault {
    fn new(what: &'static str, script: Script, status: u16, code: &'static str) -> Self {
        Self {
            what,
            script,
            status,
            code,
            mid_stream: false,
            is_mended: false,
        }
    }

    fn mended(self) -> Self {
        Self {
            is_mended: true,
            ..self
        }
    }

    fn mid_stream(self) -> Self {
        Self {
            mid_stream: true,
            ..self
        }
    }
}

/// The head of a stream and its first line.
fn begun() -> Script {
    Script::ndjson_head().chunk(format!("{}\n", ollama::content("so far")))
}

fn before_the_first_event() -> Vec<Fault> {
    let error = |status, text| Script::json(status, &ollama::error(text));
    vec![
        Fault::new("reset", Script::raw("").reset(), 502, "upstream_broken").mended(),
        Fault::new(
            "closed without a word",
            Script::raw("").cut(),
            502,
            "upstream_broken",
        )
        .mended(),
        Fault::new(
            "half a head",
            Script::raw("HTTP/1.1 200 OK\r\ncontent-ty").cut(),
            502,
            "upstream_broken",
        )
        .mended(),
        Fault::new(
            "a head and no more",
            Script::ndjson_head().cut(),
            502,
            "upstream_broken",
        )
        .mended(),
        Fault::new(
            "half a chunk",
            Script::ndjson_head().bytes("ff\r\n{\"model\":").cut(),
            502,
            "upstream_broken",
        )
        .mended(),
        Fault::new(
            "hangs before its head",
            Script::silent(),
            504,
            "upstream_first_byte_timeout",
        ),
        Fault::new(
            "hangs in its head",
            Script::raw("HTTP/1.1 200 OK\r\ncontent-ty").hang(),
            504,
            "upstream_first_byte_timeout",
        ),
        Fault::new(
            "hangs behind its head",
            Script::ndjson_head().hang(),
            504,
            "upstream_first_byte_timeout",
        ),
        Fault::new(
            "no HTTP",
            Script::raw("nonsense\r\n\r\n"),
            502,
            "upstream_invalid",
        ),
        Fault::new(
            "no chunk",
            Script::ndjson_head().bytes("zz\r\n").cut(),
            502,
            "upstream_invalid",
        ),
        Fault::new(
            "no JSON",
            Script::ndjson_head().chunk("hello?\n"),
            502,
            "upstream_invalid",
        ),
        Fault::new("500", error(500, "the runner died"), 502, "upstream_error"),
        Fault::new("429", error(429, "slow down"), 429, "rate_limit_exceeded").mended(),
        Fault::new("503", error(503, "server busy"), 503, "upstream_busy").mended(),
    ]
}

fn after_the_first_event() -> Vec<Fault> {
    vec![
        Fault::new(
            "reset in mid-stream",
            begun().reset(),
            502,
            "upstream_broken",
        ),
        Fault::new(
            "closed in mid-stream",
            begun().cut(),
            502,
            "upstream_broken",
        ),
        Fault::new(
            "half a chunk in mid-stream",
            begun().bytes("ff\r\n{\"model\":").cut(),
            502,
            "upstream_broken",
        ),
        Fault::new(
            "hangs in mid-stream",
            begun().hang(),
            504,
            "upstream_idle_timeout",
        ),
        Fault::new(
            "hangs inside of a chunk",
            begun().bytes("ff\r\n{\"model\":").hang(),
            504,
            "upstream_idle_timeout",
        ),
        Fault::new(
            "no chunk in mid-stream",
            begun().bytes("zz\r\n").cut(),
            502,
            "upstream_invalid",
        ),
        Fault::new(
            "no JSON in mid-stream",
            begun().chunk("hello?\n"),
            502,
            "upstream_invalid",
        ),
        Fault::new(
            "an error in mid-stream",
            begun().chunk(format!("{}\n", ollama::error("the runner died"))),
            502,
            "upstream_error",
        ),
    ]
    .into_iter()
    .map(Fault::mid_stream)
    .collect()
}

/// The response to a fault that nobody has mended.
#[track_caller]
fn assert_fault(fault: &Fault, response: &Response, is_streamed: bool) {
    let what = fault.what;
    if !(fault.mid_stream && is_streamed) {
        assert_error(response, fault.status, fault.code);
        let waits = matches!(fault.status, 503);
        assert_eq!(!response.header("retry-after").is_empty(), waits, "{what}");
        return;
    }
    assert_eq!((response.status, response.complete), (200, true), "{what}");
    let chat = response.streamed_chat();
    assert_eq!(chat.content, "so far", "{what}");
    assert_eq!(
        chat.error.expect("an error event")["code"],
        fault.code,
        "{what}"
    );
    assert_eq!((chat.done, chat.finish_reason), (false, None), "{what}");
}

#[tokio::test]
async fn every_fault_ends_in_its_documented_response_within_its_timeout() {
    let faults = before_the_first_event()
        .into_iter()
        .chain(after_the_first_event());
    for fault in faults {
        let upstream = Upstream::always(fault.script.clone()).await;
        let gateway = Setup::before(&upstream)
            .upstream(TIMEOUTS)
            .chat()
            .start()
            .await;
        // A burst: what one of them does must not change what the next one gets.
        for (body, is_streamed) in [(question(), false), (streamed(), true), (question(), false)] {
            let began = Instant::now();
            let response = gateway.client().chat(&body).await;
            assert!(
                began.elapsed() < LONGEST,
                "{}: {:?}",
                fault.what,
                began.elapsed()
            );
            assert_fault(&fault, &response, is_streamed);
        }
        assert_eq!(upstream.requests().len(), 3, "{}: once each", fault.what);
        let target = gateway.admin().get("/upstreams").await.json();
        let target = &target["upstreams"][0]["targets"][0];
        assert_eq!(
            (&target["in_flight"], &target["waiting"]),
            (&json!(0), &json!(0))
        );
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn with_another_model_server_left_only_faults_that_it_cannot_mend_are_seen() {
    for fault in before_the_first_event()
        .into_iter()
        .chain(after_the_first_event())
    {
        for (body, is_streamed) in [(question(), false), (streamed(), true)] {
            let upstream = Upstream::always(fault.script.clone()).await;
            let spare = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
            let gateway = before_spare(&upstream.url(), &spare).await;
            let response = gateway.client().chat(&body).await;
            if fault.is_mended {
                assert_eq!(response.status, 200, "{}: {}", fault.what, response.text());
                assert!(response.text().contains("Hello"), "{}", fault.what);
            } else {
                assert_fault(&fault, &response, is_streamed);
            }
            let asked = (upstream.requests().len(), spare.requests().len());
            assert_eq!(asked, (1, usize::from(fault.is_mended)), "{}", fault.what);
            gateway.shutdown().await;
        }
    }
}

async fn before_spare(url: &str, spare: &Upstream) -> Gateway {
    Setup::before_url(url)
        .upstream(TIMEOUTS)
        .chat_with_spare(spare)
        .start()
        .await
}

#[tokio::test]
async fn a_port_that_refuses_is_a_502_and_not_seen_where_another_server_is_left() {
    let (_kept, dead) = closed_port();
    let url = format!("http://{dead}");
    let alone = Setup::before_url(&url)
        .upstream(TIMEOUTS)
        .chat()
        .start()
        .await;
    let spare = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let helped = before_spare(&url, &spare).await;
    for body in [question(), streamed()] {
        let response = alone.client().chat(&body).await;
        assert_error(&response, 502, "upstream_unreachable");
        let response = helped.client().chat(&body).await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert!(response.text().contains("Hello"));
    }
    alone.shutdown().await;
    helped.shutdown().await;
}

#[tokio::test]
async fn a_slow_drip_is_no_fault_until_the_total_is_over() {
    let lines: String = ollama::stream(&["Hello"])
        .iter()
        .map(|line| format!("{line}\n"))
        .collect();
    let drips = lines
        .as_bytes()
        .chunks(16)
        .fold(Script::ndjson_head(), |script, bytes| {
            script.chunk(bytes).sleep(Duration::from_millis(15))
        });
    let upstream = Upstream::always(drips).await;
    let gateway = Setup::before(&upstream)
        .upstream(TIMEOUTS)
        .chat()
        .start()
        .await;
    let response = gateway.client().chat(&question()).await;
    assert_eq!(response.json()["choices"][0]["message"]["content"], "Hello");
    let chat = gateway.client().chat(&streamed()).await.streamed_chat();
    assert_eq!((chat.content.as_str(), chat.done), ("Hello", true));
    gateway.shutdown().await;

    let endless = (0..10_000).fold(Script::ndjson_head(), |script, _| {
        script
            .chunk(format!("{}\n", ollama::content(".")))
            .sleep(Duration::from_millis(15))
    });
    let upstream = Upstream::always(endless).await;
    let gateway = Setup::before(&upstream)
        .upstream("timeout = { total = \"500ms\" }")
        .chat()
        .start()
        .await;
    let response = gateway.client().chat(&question()).await;
    assert_error(&response, 504, "upstream_total_timeout");
    let response = gateway.client().chat(&streamed()).await;
    assert_eq!((response.status, response.complete), (200, true));
    let chat = response.streamed_chat();
    assert_eq!(
        chat.error.expect("an error")["code"],
        "upstream_total_timeout"
    );
    assert!(!chat.done);
    for request in upstream.requests() {
        request.disconnected().await;
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn without_ollama_vllm_answers_and_nobody_sees_a_difference() {
    let (socket, address) = closed_port();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let vllm = format!("http://{}", listener.local_addr().expect("bound"));
    let serving = tokio::spawn(Vendor::Vllm.serve(listener, Pace::FULL_SPEED));
    let gateway = Setup::before_url(&format!("http://{address}"))
        .upstream("health = { interval = \"50ms\" }")
        .section(&format!(
            "[upstream.spare]\nadapter = \"vllm\"\ntargets = [\"{vllm}\"]\n\
             [[model]]\nname = \"qwen3*\"\nupstream = \"ollama\"\n\
             fallback = [{{ upstream = \"spare\", as = \"demo\" }}]"
        ))
        .chat()
        .start()
        .await;
    let ask = async |body: &serde_json::Value| {
        let id = logs::id();
        let client = gateway.client().with("x-request-id", &id);
        let response = client.chat(body).await;
        assert_eq!(response.status, 200, "{}", response.text());
        (response, logs::seen(&id).await)
    };
    let echo = json!([{"role": "user", "content": "/echo Hello 你好"}]);
    for turn in 0..3 {
        let (response, seen) = ask(&with(question(), "messages", echo.clone())).await;
        let completion = response.json();
        assert_eq!(completion["model"], "qwen3:32b", "turn {turn}");
        let choice = &completion["choices"][0];
        assert_eq!(choice["message"]["content"], "Hello 你好");
        assert_eq!(choice["finish_reason"], "stop");
        assert!(completion["usage"]["completion_tokens"].as_u64() > Some(0));
        assert_eq!(
            (&seen["upstream"], &seen["error"]),
            (&json!("spare"), &json!(""))
        );

        let (response, seen) = ask(&with(streamed(), "messages", echo.clone())).await;
        let chat = response.streamed_chat();
        assert_eq!((chat.content.as_str(), chat.done), ("Hello 你好", true));
        assert!(
            chat.chunks
                .iter()
                .all(|chunk| chunk["model"] == "qwen3:32b")
        );
        assert_eq!(
            (&seen["upstream"], &seen["to"]),
            (&json!("spare"), &json!(vllm))
        );
    }
    // Ollama is back, and gets its requests again.
    let listener = socket.listen(64).expect("the port is ours");
    let ollama = tokio::spawn(Vendor::Ollama.serve(listener, Pace::FULL_SPEED));
    let mended = Instant::now();
    eventually("Ollama's first answer", async || {
        let (response, seen) = ask(&with(question(), "messages", echo.clone())).await;
        assert_eq!(
            response.json()["choices"][0]["message"]["content"],
            "Hello 你好"
        );
        (seen["upstream"] == "ollama").then_some(())
    })
    .await;
    assert!(mended.elapsed() < Duration::from_secs(10));
    gateway.shutdown().await;
    serving.abort();
    ollama.abort();
}
