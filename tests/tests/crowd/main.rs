//! As many exchanges at once as the gateway promises, of every kind; and what happens past that.
//!
//! The gateway runs as a program of its own, so that its descriptors, memory and mappings are its own too. The other end-to-end
//! tests share one process, which these would crowd out.

#![expect(
    clippy::print_stdout,
    reason = "what a process takes is a figure to be read"
)]

use std::net::SocketAddr;

use serde_json::json;
use sluicegate_tests::client::Raw;
use sluicegate_tests::served::Served;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Client, Script, Setup, Upstream, eventually, guest};
use tokio::task::JoinSet;

/// The program, built from its own source by this package.
const PROGRAM: &str = env!("CARGO_BIN_EXE_sluicegate-tested");

/// The path of the main job.
const CHAT: &str = "/v1/chat/completions";

/// `server.limits.exchanges` by default.
const EXCHANGES: usize = 8_000;

/// What an exchange is in the middle of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// The model server has said nothing.
    Silent,
    /// A stream of which an event has come.
    Streaming,
    /// The same for a client that wants one document.
    Aggregating,
    /// As streaming, with a filter on the stream that was built with the standard library's WASI.
    Filtered,
    /// Half of the request body has come.
    Uploading,
}

fn request(kind: Kind) -> String {
    let stream = !matches!(kind, Kind::Aggregating);
    let body =
        json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hi?"}]});
    let body = body.to_string();
    let length = body.len();
    let sent = match kind {
        Kind::Uploading => &body[..length / 2],
        Kind::Silent | Kind::Streaming | Kind::Aggregating | Kind::Filtered => &body,
    };
    format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{sent}")
}

/// A client whose exchange has come as far as its kind does.
async fn client(address: SocketAddr, kind: Kind) -> Raw {
    let mut raw = Raw::connect(address).await;
    raw.send(request(kind)).await;
    if matches!(kind, Kind::Streaming | Kind::Filtered) {
        let mut answer = raw.head("POST").await;
        assert_eq!(answer.status, 200);
        while !answer.text().contains("one") {
            raw.chunk(&mut answer).await.expect("the first event");
        }
    }
    raw
}

/// The value of a metric without labels, or the sum over them.
async fn metric(admin: &Client, name: &str) -> f64 {
    let text = admin.get("/metrics").await.text();
    let lines = text.lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

/// What a process takes: memory of its own, mappings, descriptors.
fn figures(id: u32) -> String {
    let read =
        |name: &str| std::fs::read_to_string(format!("/proc/{id}/{name}")).unwrap_or_default();
    let status = read("status");
    let memory = status
        .lines()
        .find(|line| line.starts_with("RssAnon"))
        .unwrap_or_default()
        .to_owned();
    let descriptors = std::fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count);
    format!(
        "{memory}, {} mappings, {descriptors} descriptors",
        read("maps").lines().count()
    )
}

async fn crowd(kind: Kind) {
    let upstream = Upstream::start(move |request| match (request.path(), kind) {
        ("/api/tags", _) => Script::json(200, &json!({"models": []})),
        (_, Kind::Silent) => Script::silent(),
        _ => Script::ndjson_head()
            .chunk(format!("{}\n", ollama::content("one")))
            .hang(),
    })
    .await;
    let chat = Setup::before(&upstream).chat();
    let setup = match kind {
        Kind::Filtered => Setup::before(&upstream)
            .stages("", "")
            .plugin(
                "words",
                guest::WORDS,
                r#"config = { words = ["no"], by = "yes" }"#,
            )
            .route(CHAT, r#"["auth", "words"]"#, "")
            .route("/v1/models", r#"["auth"]"#, ""),
        Kind::Silent | Kind::Streaming | Kind::Aggregating | Kind::Uploading => chat,
    };
    let mut served = Served::start_with(PROGRAM, &setup.toml());
    let (proxy, admin) = served.addresses().await;
    let mut clients: Vec<Raw> = Vec::new();
    let address = proxy.address();
    let running = "sluicegate_requests_in_flight";
    while clients.len() < EXCHANGES {
        let mut opening = JoinSet::new();
        for _ in 0..100.min(EXCHANGES - clients.len()) {
            opening.spawn(client(address, kind));
        }
        clients.extend(opening.join_all().await);
        // Before the next ones come: only 256 can wait to be admitted, which they are when the gate has let them in, and the
        // machine may be slow.
        eventually("these exchanges", async || {
            let ended = metric(&admin, "sluicegate_requests_total").await;
            if ended > 0.0 {
                let last = admin.get("/exchanges").await.text();
                panic!(
                    "{kind:?}, {} clients: some have ended: {last}",
                    clients.len()
                );
            }
            let admitted = metric(&admin, r#"sluicegate_plugin_calls_total{plugin="auth"}"#).await;
            (admitted >= clients.len() as f64).then_some(())
        })
        .await;
    }
    if !matches!(kind, Kind::Uploading) {
        eventually("all requests at the model server", async || {
            (upstream.requests().len() >= EXCHANGES).then_some(())
        })
        .await;
    }
    println!("{kind:?}: {}", figures(served.id()));
    // One more.
    let response = proxy.get("/v1/models").await;
    assert_eq!(
        (response.status, &response.error()["code"]),
        (503, &json!("overloaded"))
    );
    assert_eq!(admin.get("/livez").await.status, 200);
    assert_eq!(metric(&admin, "sluicegate_plugin_faults_total").await, 0.0);
    // A few less.
    clients.truncate(EXCHANGES - 10);
    eventually("a free place", async || {
        (proxy.get("/v1/models").await.status == 200).then_some(())
    })
    .await;
    drop(clients);
    eventually("the end of all exchanges", async || {
        (metric(&admin, running).await == 0.0).then_some(())
    })
    .await;
    served.signal("TERM").await;
    assert_eq!(served.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_thousand_exchanges_each_kind_can_be_held() {
    // Both ends of the gateway's connections are here, and a shell may give a process few descriptors to begin with.
    sluicegate_gateway::descriptors::raise();
    for kind in [
        Kind::Silent,
        Kind::Streaming,
        Kind::Aggregating,
        Kind::Filtered,
        Kind::Uploading,
    ] {
        crowd(kind).await;
    }
}
