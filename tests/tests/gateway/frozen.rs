//! A model server that is up but inactive since a client has left.

use std::io::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluicegate_sim::{self as demo, Pace, Quirks};
use sluicegate_tests::upstream::{Request, ollama};
use sluicegate_tests::{Client, Gateway, Script, Setup, Upstream, eventually, logs};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::common::{assert_error, question, streamed, with};

/// A simulated Ollama, which ends with the set.
async fn simulated(pace: Pace, quirks: Quirks) -> (String, JoinSet<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let mut server = JoinSet::new();
    server.spawn(demo::serve_with(listener, pace, quirks));
    (url, server)
}

async fn unloads(gateway: &Gateway, url: &str, result: &str) -> f64 {
    let labels = format!("{{upstream=\"ollama\",target=\"{url}\",result=\"{result}\"}}");
    let series = format!("sluicegate_upstream_unloads_total{labels}");
    gateway.metric(&series).await
}

fn ask(message: &str) -> Value {
    json!({"model": "demo", "stream": true, "messages": [{"role": "user", "content": message}]})
}

/// What a client that stays has got, and how long that took.
async fn stays(client: &Client) -> (String, Duration) {
    let began = Instant::now();
    let response = client.chat(&ask("/long 20")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.complete);
    let chat = response.streamed_chat();
    assert_eq!(chat.error, None);
    assert!(chat.done);
    (chat.content, began.elapsed())
}

/// A client that leaves after the first of the response.
async fn leaves(client: &Client) {
    let mut stream = client.open_chat(&ask("/long 20")).await;
    assert_eq!(stream.status, 200);
    stream.event().await.expect("the role");
    stream.event().await.expect("some text");
    stream.hang_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_that_stays_gets_its_whole_response_from_an_ollama_that_freezes() {
    const CLIENTS: usize = 200;
    let pace = Pace {
        load: Duration::from_millis(50),
        first_token: Duration::from_millis(5),
        token: Duration::from_millis(3),
    };
    let quirks = Quirks {
        leak_every: NonZeroU32::new(10),
    };
    let (url, _server) = simulated(pace, quirks).await;
    let gateway = Setup::before_url(&url)
        .upstream("timeout = { stall = \"2s\" }\nhealth = { interval = \"1s\" }")
        .server("heartbeat = \"1s\"")
        .chat()
        .start()
        .await;
    let client = gateway.client();
    let (whole, _) = stays(&client).await;
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let (next, client, whole) = (next.clone(), client.clone(), whole.clone());
        clients.spawn(async move {
            let mut slowest = Duration::ZERO;
            loop {
                match next.fetch_add(1, Ordering::Relaxed) {
                    CLIENTS.. => return slowest,
                    at if at % 3 == 2 => leaves(&client).await,
                    _ => {
                        let (content, took) = stays(&client).await;
                        assert_eq!(content, whole);
                        slowest = slowest.max(took);
                    }
                }
            }
        });
    }
    let slowest = clients.join_all().await.into_iter().max();
    let freed = unloads(&gateway, &url, "freed").await;
    let failed = unloads(&gateway, &url, "failed").await;
    // What it cost, for who reads the output.
    let _ = writeln!(
        std::io::stderr(),
        "{freed} unloads helped, {failed} did not; the slowest client took {slowest:?}"
    );
    // 66 clients leave, and every tenth of those takes the slot along that leaves between two lines.
    assert!((4.0..=7.0).contains(&freed), "{freed}");
    assert!(failed.abs() < 0.5, "{failed}");
    let state = gateway.admin().get("/upstreams").await.json();
    assert_eq!(state["upstreams"][0]["targets"][0]["state"], "up");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_long_prompt_unloads_nothing() {
    let pace = Pace {
        load: Duration::ZERO,
        first_token: Duration::from_secs(1),
        token: Duration::ZERO,
    };
    let (url, _server) = simulated(pace, Quirks::default()).await;
    let gateway = Setup::before_url(&url)
        .upstream("timeout = { stall = \"100ms\" }")
        .chat()
        .start()
        .await;
    for _ in 0..2 {
        let id = logs::id();
        let client = gateway.client().with("x-request-id", &id);
        let chat = client.chat(&ask("/echo Hello")).await.streamed_chat();
        assert_eq!((chat.content.as_str(), chat.done), ("Hello", true));
        assert_eq!(logs::seen(&id).await["attempts"], 1);
    }
    assert!(unloads(&gateway, &url, "freed").await < 0.5);
    assert!(unloads(&gateway, &url, "failed").await < 0.5);
    gateway.shutdown().await;
}

/// A server that works until it is `frozen`; then it responds to everything but chats.
async fn freezing(frozen: &Arc<AtomicBool>) -> Upstream {
    let frozen = frozen.clone();
    let upstream = Upstream::start(move |request| match request.path() {
        "/api/ps" => Script::json(200, &json!({"models": [{"name": "qwen3:32b"}]})),
        "/api/version" => Script::json(200, &json!({"version": "1.0"})),
        "/api/chat" if is_unload(request) => Script::json(200, &ollama::done("unload")),
        _ if frozen.load(Ordering::Relaxed) => Script::silent(),
        _ => answering(request),
    })
    .await;
    upstream.script_health();
    upstream
}

/// Half a response to clients that will leave, a whole one to others.
fn answering(request: &Request) -> Script {
    let is_ollama = request.path() == "/api/chat";
    let chunk = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n\n";
    match (request.header("x-leaves"), is_ollama) {
        (Some(_), true) => Script::ndjson_head()
            .chunk(format!("{}\n", ollama::content("so far")))
            .hang(),
        (None, true) => Script::ndjson(&ollama::stream(&["Hello"])),
        (Some(_), false) => Script::sse_head().chunk(chunk).hang(),
        (None, false) => Script::sse_head().chunk(chunk).chunk("data: [DONE]\n\n"),
    }
}

fn is_unload(request: &Request) -> bool {
    request.json()["messages"] == json!([]) && request.json()["keep_alive"] == json!(0)
}

fn unload_requests(upstream: &Upstream) -> usize {
    let all = upstream.requests();
    let unloads = all
        .iter()
        .filter(|request| request.path() == "/api/chat" && is_unload(request));
    unloads.count()
}

/// A client that leaves in mid-stream, and which of the servers has seen it leave.
async fn leave(gateway: &Gateway, upstreams: &[&Upstream]) -> usize {
    let id = logs::id();
    let client = gateway.client().with("x-leaves", "1");
    let client = client.with("x-request-id", &id);
    let mut stream = client.open_chat(&streamed()).await;
    stream.event().await.expect("some of it");
    stream.hang_up().await;
    for (at, upstream) in upstreams.iter().enumerate() {
        let all = upstream.requests();
        let is_its = |request: &&Arc<Request>| request.header("x-request-id") == Some(&id);
        if let Some(request) = all.iter().find(is_its) {
            request.disconnected().await;
            return at;
        }
    }
    panic!("nobody was asked");
}

async fn state(gateway: &Gateway, target: usize) -> Value {
    let document = gateway.admin().get("/upstreams").await.json();
    document["upstreams"][0]["targets"][target].clone()
}

#[tokio::test]
async fn where_an_unload_does_not_help_the_error_says_what_to_restart() {
    let frozen = Arc::new(AtomicBool::new(false));
    let upstream = freezing(&frozen).await;
    let gateway = Setup::before(&upstream)
        .upstream("timeout = { stall = \"300ms\", first-byte = \"60s\" }")
        .server("heartbeat = \"50ms\"")
        .chat()
        .start()
        .await;
    leave(&gateway, &[&upstream]).await;
    frozen.store(true, Ordering::Relaxed);
    let id = logs::id();
    let client = gateway.client().with("x-request-id", &id);
    let response = client.chat(&question()).await;
    assert_error(&response, 504, "upstream_stalled");
    assert_eq!(response.header("x-should-retry"), "false");
    let message = response.error()["message"].to_string();
    assert!(message.contains("restart Ollama"), "{message}");
    assert_eq!(
        logs::seen(&id).await["attempts"],
        2,
        "once before, once behind the unload"
    );
    assert_eq!(unload_requests(&upstream), 1);
    assert!(unloads(&gateway, &upstream.url(), "failed").await > 0.5);
    let stalled = state(&gateway, 0).await;
    assert_eq!(stalled["state"], "stalled");
    let reason = stalled["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("qwen3:32b") && reason.contains("restart Ollama"),
        "{reason}"
    );
    // One unload for one hang-up, however many are waiting; a stream is told by an event.
    let chat = gateway.client().chat(&streamed()).await.streamed_chat();
    assert_eq!(chat.error.expect("an error")["code"], "upstream_stalled");
    assert_eq!(unload_requests(&upstream), 1);
    // Somebody restarts it.
    frozen.store(false, Ordering::Relaxed);
    assert_eq!(gateway.client().chat(&question()).await.status, 200);
    assert_eq!(state(&gateway, 0).await["state"], "up");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_stalled_ollama_is_passed_over_where_another_is_left() {
    let frozen = Arc::new(AtomicBool::new(false));
    let first = freezing(&frozen).await;
    let spare = freezing(&Arc::new(AtomicBool::new(false))).await;
    let gateway = Setup::before(&first)
        .upstream("timeout = { stall = \"300ms\" }")
        .section(&format!(
            "[upstream.spare]\nadapter = \"ollama\"\ntargets = [\"{}\"]",
            spare.url()
        ))
        .stages("", "")
        .route(
            "/v1/chat/completions",
            r#"["auth", "aggregate"]"#,
            "observers = [\"observer\"]\nfallback = [\"spare\"]",
        )
        .start()
        .await;
    leave(&gateway, &[&first]).await;
    frozen.store(true, Ordering::Relaxed);
    for attempts in [3, 1] {
        let id = logs::id();
        let client = gateway.client().with("x-request-id", &id);
        assert_eq!(client.chat(&question()).await.status, 200);
        let seen = logs::seen(&id).await;
        assert_eq!(
            (&seen["upstream"], &seen["attempts"]),
            (&json!("spare"), &json!(attempts))
        );
    }
    assert_eq!(unload_requests(&first), 1);
    gateway.shutdown().await;
}

/// The gateway before servers that speak OpenAI's API themselves.
fn others(urls: &[String]) -> Setup {
    Setup::before_urls(urls)
        .upstream("timeout = { stall = \"300ms\" }")
        .plugin("auth", "builtin:auth", "config = { keys = [] }")
        .route("/v1/*", r#"["auth"]"#, "")
}

#[tokio::test]
async fn another_vendor_s_server_is_marked_and_passed_over_and_asked_nothing() {
    let frozen = [false, false].map(|frozen| Arc::new(AtomicBool::new(frozen)));
    let (one, other) = (freezing(&frozen[0]).await, freezing(&frozen[1]).await);
    let gateway = others(&[one.url(), other.url()]).start().await;
    let stalled = leave(&gateway, &[&one, &other]).await;
    frozen[stalled].store(true, Ordering::Relaxed);
    // Each of the two would be the first one every other time.
    for _ in 0..4 {
        let response = gateway.client().chat(&streamed()).await;
        assert_eq!((response.status, response.complete), (200, true));
    }
    let state = state(&gateway, stalled).await;
    assert_eq!(state["state"], "stalled", "{state}");
    let asked = [&one, &other].map(|upstream| upstream.requests());
    assert_eq!(
        asked[stalled].len(),
        2,
        "the client that left, and one that waited"
    );
    let mut all = asked.iter().flatten();
    assert!(all.all(|request| request.path() == "/v1/chat/completions"));
    gateway.shutdown().await;
}

#[tokio::test]
async fn where_no_other_is_left_a_suspicion_is_no_error() {
    let waits = sluicegate_tests::Barrier::new();
    let barrier = waits.clone();
    let frozen = Arc::new(AtomicBool::new(false));
    let is_frozen = frozen.clone();
    let upstream = Upstream::start(move |request| {
        if is_frozen.load(Ordering::Relaxed) {
            Script::raw("").wait(&barrier).chunk(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
            )
        } else {
            answering(request)
        }
    })
    .await;
    let gateway = others(&[upstream.url()]).start().await;
    leave(&gateway, &[&upstream]).await;
    frozen.store(true, Ordering::Relaxed);
    let client = gateway.client();
    let asked = tokio::spawn(async move { client.chat(&with(question(), "n", json!(1))).await });
    eventually("the mark", async || {
        let state = state(&gateway, 0).await;
        (state["state"] == "stalled").then_some(())
    })
    .await;
    waits.open();
    let response = asked.await.expect("no panic");
    assert_eq!((response.status, response.json()), (200, json!({})));
    assert_eq!(state(&gateway, 0).await["state"], "up", "something came");
    gateway.shutdown().await;
}
