//! Which target of an upstream is asked, when it fails, is busy, or is lost: what clients see, and what the targets get.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluicegate_config as config;
use sluicegate_tests::upstream::{Request, ollama};
use sluicegate_tests::{Barrier, Gateway, Script, Setup, Upstream, eventually, within};
use tokio::task::JoinSet;

use crate::common::{assert_error, question, streamed, with};

/// A script of an Ollama that streams one word.
fn hello() -> Script {
    Script::ndjson(&ollama::stream(&["Hello"]))
}

/// An Ollama that does this as long as it is broken, and greets otherwise.
async fn breaking(broken: &Arc<AtomicBool>, fault: Script) -> Upstream {
    let broken = broken.clone();
    Upstream::start(move |_| {
        if broken.load(Ordering::Relaxed) {
            fault.clone()
        } else {
            hello()
        }
    })
    .await
}

/// The targets of the first upstream as `/upstreams` shows them.
async fn shown(gateway: &Gateway) -> Vec<Value> {
    let document = gateway.admin().get("/upstreams").await.json();
    let targets = document["upstreams"][0]["targets"].as_array();
    targets.expect("a list").clone()
}

/// Waits until the first target is shown as `check` wants it.
async fn shown_with(gateway: &Gateway, what: &str, check: impl Fn(&Value) -> bool) {
    eventually(what, async || {
        shown(gateway)
            .await
            .first()
            .filter(|it| check(it))
            .map(|_| ())
    })
    .await;
}

/// Sends so many requests, eight at a time, which must all be answered; `when` says when that was.
async fn served(gateway: &Gateway, count: usize, when: &str) {
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let client = gateway.client();
        clients.spawn(async move {
            let mut failed = Vec::new();
            for turn in 0..count / 8 {
                let body = if turn % 2 == 0 {
                    question()
                } else {
                    streamed()
                };
                let response = client.chat(&body).await;
                if response.status != 200 || !response.text().contains("Hello") {
                    failed.push(response.status);
                }
            }
            failed
        });
    }
    let failed = clients.join_all().await.concat();
    assert!(failed.is_empty(), "{when}: {failed:?}");
}

fn urls(upstreams: &[&Upstream]) -> Vec<String> {
    upstreams.iter().map(|upstream| upstream.url()).collect()
}

/// How many chats they got. Beside its health, a server is also asked for its models.
fn asked(upstreams: &[&Upstream]) -> usize {
    let all = upstreams.iter().flat_map(|upstream| upstream.requests());
    all.filter(|request| request.path() == "/api/chat").count()
}

/// An Ollama without models that answers chats like this.
async fn chats(script: Script) -> Upstream {
    Upstream::start(move |request| match request.path() {
        "/api/chat" => script.clone(),
        _ => Script::json(200, &json!({"models": []})),
    })
    .await
}

/// The next chat that the server gets.
async fn next_chat(upstream: &Upstream) -> Arc<Request> {
    loop {
        let request = upstream.next_request().await;
        if request.path() == "/api/chat" {
            return request;
        }
    }
}

#[tokio::test]
async fn one_failing_target_of_three_costs_no_client_an_error_and_little_load_and_comes_back() {
    let busy = Script::json(503, &ollama::error("server busy"));
    let error = Script::html(502, "<html>Bad Gateway</html>");
    // One that refuses is spared for a while, often before its breaker has a reason to open.
    for (what, fault, opens) in [
        ("resets", Script::raw("").reset(), true),
        (
            "breaks off behind its head",
            Script::ndjson_head().cut(),
            true,
        ),
        ("is busy", busy, false),
        ("has a proxy with nothing behind it", error, false),
    ] {
        let broken = Arc::new(AtomicBool::new(true));
        let bad = breaking(&broken, fault).await;
        let (one, two) = (
            Upstream::always(hello()).await,
            Upstream::always(hello()).await,
        );
        let gateway = Setup::before_urls(&urls(&[&bad, &one, &two]))
            .upstream("breaker = { failures = 3, open = \"4s\" }")
            .chat()
            .start()
            .await;
        served(&gateway, 40, &format!("{what}: while it opens")).await;
        if opens {
            assert_ne!(shown(&gateway).await[0]["circuit"], "closed", "{what}");
            let series = format!(
                "sluicegate_upstream_breaker{{upstream=\"ollama\",target=\"{}\",state=\"closed\"}}",
                bad.url()
            );
            assert!(gateway.metric(&series).await == 0.0, "{what}");
        }

        let (before, of_bad) = (asked(&[&bad, &one, &two]), asked(&[&bad]));
        served(&gateway, 400, &format!("{what}: once it is open")).await;
        let extra = asked(&[&bad, &one, &two]) - before - 400;
        assert!(extra <= 80, "{what}: the budget is 20%, and it was {extra}");
        assert_eq!(extra, asked(&[&bad]) - of_bad, "{what}: only the bad one");

        broken.store(false, Ordering::Relaxed);
        let (mended, before) = (Instant::now(), asked(&[&bad]));
        within("its return", async {
            loop {
                served(&gateway, 8, &format!("{what}: as it comes back")).await;
                let circuit = shown(&gateway).await[0]["circuit"].clone();
                if circuit == "closed" && asked(&[&bad]) > before {
                    break;
                }
            }
        })
        .await;
        assert!(mended.elapsed() < Duration::from_secs(10), "{what}");
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_health_check_that_passes_again_brings_a_target_back_at_once() {
    let broken = Arc::new(AtomicBool::new(true));
    let bad = breaking(&broken, Script::raw("").reset()).await;
    let good = Upstream::always(hello()).await;
    let gateway = Setup::before_urls(&urls(&[&bad, &good]))
        .upstream("health = { interval = \"20ms\" }")
        // Without its health it would be tried in two and a half minutes at the earliest.
        .upstream("breaker = { failures = 2, open = \"20m\" }")
        .upstream("slow-start = \"0s\"")
        .chat()
        .start()
        .await;
    served(&gateway, 40, "while its breaker opens").await;
    shown_with(&gateway, "the open breaker", |it| it["circuit"] == "open").await;
    bad.set_healthy(false);
    shown_with(&gateway, "its failure", |it| it["state"] == "down").await;
    let before = asked(&[&bad]);
    broken.store(false, Ordering::Relaxed);
    bad.set_healthy(true);
    shown_with(&gateway, "its return", |it| it["state"] == "up").await;
    assert_eq!(shown(&gateway).await[0]["circuit"], "half-open");
    served(&gateway, 16, "as it comes back").await;
    assert_eq!(shown(&gateway).await[0]["circuit"], "closed");
    assert!(asked(&[&bad]) > before + 1, "it gets its share");
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_only_target_is_asked_though_its_breaker_is_open() {
    let broken = Arc::new(AtomicBool::new(true));
    let only = breaking(&broken, Script::raw("").reset()).await;
    let gateway = Setup::before(&only)
        .upstream("breaker = { failures = 2, open = \"20m\" }")
        .chat()
        .start()
        .await;
    for _ in 0..4 {
        let response = gateway.client().chat(&question()).await;
        assert_error(&response, 502, "upstream_broken");
    }
    assert_eq!(asked(&[&only]), 4, "each of them was sent, and once");
    assert_eq!(shown(&gateway).await[0]["circuit"], "open");
    broken.store(false, Ordering::Relaxed);
    assert_eq!(gateway.client().chat(&question()).await.status, 200);
    assert_eq!(shown(&gateway).await[0]["circuit"], "closed");
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_is_the_requests_fault_or_the_clients_opens_no_breaker() {
    let unknown = ollama::error("model \"x\" not found, try pulling it first");
    let limited = json!({"error": "slow down"});
    for (what, script) in [
        ("a model that it does not have", Script::json(404, &unknown)),
        ("429", Script::json(429, &limited)),
    ] {
        let only = Upstream::always(script).await;
        let gateway = Setup::before(&only)
            .upstream("breaker = { failures = 1 }")
            .chat()
            .start()
            .await;
        for _ in 0..3 {
            let status = gateway.client().chat(&question()).await.status;
            assert!((400..500).contains(&status), "{what}");
        }
        assert_eq!(shown(&gateway).await[0]["circuit"], "closed", "{what}");
        gateway.shutdown().await;
    }
    let silent = Upstream::always(Script::silent()).await;
    let gateway = Setup::before(&silent)
        .upstream("breaker = { failures = 1 }")
        .filter()
        .start()
        .await;
    for _ in 0..3 {
        let client = gateway.client();
        let asking = tokio::spawn(async move { client.chat(&streamed()).await });
        let request = silent.next_request().await;
        asking.abort();
        request.disconnected().await;
    }
    eventually("the end of the visits", async || {
        (shown(&gateway).await[0]["in_flight"] == 0).then_some(())
    })
    .await;
    assert_eq!(
        shown(&gateway).await[0]["circuit"],
        "closed",
        "clients left"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn further_attempts_end_with_the_budget() {
    for (budget, most) in [("10%", 10), ("0%", 0)] {
        let cut = || Upstream::always(Script::raw("").cut());
        let (one, two) = (cut().await, cut().await);
        let gateway = Setup::before_urls(&urls(&[&one, &two]))
            .upstream(&format!("attempts = {{ budget = \"{budget}\" }}"))
            .upstream("breaker = { open = \"0s\" }")
            .chat()
            .start()
            .await;
        let began = Instant::now();
        for _ in 0..60 {
            let response = gateway.client().chat(&question()).await;
            assert_error(&response, 502, "upstream_broken");
        }
        // With little traffic it is ten in ten seconds, counted in halves.
        let halves = began.elapsed().as_secs() / 5 + 1;
        let extra = asked(&[&one, &two]) - 60;
        let most = most * usize::try_from(halves).expect("a few");
        assert!(extra <= most, "{budget}: {extra}");
        assert_eq!(extra == 0, most == 0, "{budget}");
        let mut refused = 0.0;
        for url in urls(&[&one, &two]) {
            let series = format!(
                "sluicegate_upstream_failed_attempts_total{{upstream=\"ollama\",target=\"{url}\",result=\"over_budget\"}}"
            );
            refused += gateway.metric(&series).await;
        }
        assert!(refused as usize >= 60 - most, "{budget}: {refused}");
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_target_that_says_when_to_come_again_is_left_alone_until_then() {
    for status in [429, 503] {
        let refusal = Script::status(status)
            .field("content-type", "application/json")
            .field("retry-after", "60")
            .body(ollama::error("slow down").to_string());
        let (busy, free) = (
            Upstream::always(refusal).await,
            Upstream::always(hello()).await,
        );
        let gateway = Setup::before_urls(&urls(&[&busy, &free]))
            .chat()
            .start()
            .await;
        served(&gateway, 40, &format!("{status} is no client's error")).await;
        // Eight at a time may meet it before the first has been told.
        assert!((1..=8).contains(&asked(&[&busy])), "{status}");
        let left_alone = shown(&gateway).await[0]["left_alone_ms"].as_u64();
        assert!((30_000..=60_000).contains(&left_alone.expect("a number")));
        let before = asked(&[&busy]);
        served(&gateway, 40, "while it is left alone").await;
        assert_eq!(asked(&[&busy]), before, "{status}");
        gateway.shutdown().await;

        // Alone it is asked, and the client hears what it says.
        let gateway = Setup::before(&busy).chat().start().await;
        for _ in 0..2 {
            let response = gateway.client().chat(&question()).await;
            assert_eq!(
                (response.status, response.header("retry-after")),
                (status, "60")
            );
        }
        assert_eq!(asked(&[&busy]), before + 2);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn requests_that_belong_together_go_to_the_same_target() {
    let session = |name: &str| question_of(name, "x", "Hi?");
    for (affinity, is_header) in [
        ("{ header = \"X-Session-Id\" }", true),
        ("\"user\"", false),
        ("\"prompt\"", false),
    ] {
        let hellos = [hello(), hello(), hello()].map(Upstream::always);
        let [one, two, three] = hellos;
        let all = [one.await, two.await, three.await];
        let gateway = Setup::before_urls(&urls(&all.each_ref()))
            .upstream(&format!("affinity = {affinity}"))
            .chat()
            .start()
            .await;
        let mut own = Vec::new();
        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
            let before = all.each_ref().map(|upstream| upstream.requests().len());
            for turn in 0..4 {
                let client = gateway
                    .client()
                    .with("x-session-id", if is_header { name } else { "same" });
                let body = match affinity {
                    "\"prompt\"" => {
                        question_of("same", name, &format!("{}{turn}", "long ".repeat(300)))
                    }
                    _ if is_header => question_of("same", "x", &turn.to_string()),
                    _ => session(name),
                };
                assert_eq!(client.chat(&body).await.status, 200);
            }
            let after = all.each_ref().map(|upstream| upstream.requests().len());
            let got: Vec<_> = before
                .iter()
                .zip(after)
                .map(|(before, after)| after - before)
                .collect();
            let at = got.iter().position(|count| *count == 4);
            own.push(at.unwrap_or_else(|| panic!("{affinity}: {name} is spread as {got:?}")));
        }
        own.sort_unstable();
        own.dedup();
        assert!(own.len() > 1, "{affinity}: all of them go to {own:?}");
        gateway.shutdown().await;
    }
}

/// What this user asks, after this system prompt.
fn question_of(user: &str, system: &str, text: &str) -> Value {
    json!({"model": "m", "user": user, "messages": [
        {"role": "system", "content": system},
        {"role": "user", "content": text},
    ]})
}

#[tokio::test]
async fn a_target_that_is_lost_while_an_attempt_waits_is_given_up() {
    let lost = chats(Script::silent()).await;
    let spare = Upstream::always(hello()).await;
    let gateway = Setup::before(&lost)
        .upstream("health = { interval = \"20ms\" }")
        .chat_with_spare(&spare)
        .start()
        .await;
    for body in [question(), streamed()] {
        lost.set_healthy(true);
        shown_with(&gateway, "its health", |it| it["state"] == "up").await;
        let client = gateway.client();
        let asking = tokio::spawn(async move { client.chat(&body).await });
        let waiting = next_chat(&lost).await;
        lost.set_healthy(false);
        let response = asking.await.expect("no panic");
        assert_eq!(response.status, 200, "{}", response.text());
        assert!(response.text().contains("Hello"));
        waiting.disconnected().await;
    }
    assert_eq!((asked(&[&lost]), asked(&[&spare])), (2, 2));
    gateway.shutdown().await;
}

#[tokio::test]
async fn where_no_other_target_is_left_failing_health_checks_end_no_attempt() {
    let loads = Barrier::new();
    let cold = chats(
        Script::ndjson_head().wait(&loads).chunks(
            ollama::stream(&["Hello"])
                .iter()
                .map(|line| format!("{line}\n")),
        ),
    )
    .await;
    let gateway = Setup::before(&cold)
        .upstream("health = { interval = \"20ms\" }")
        .chat()
        .start()
        .await;
    let client = gateway.client();
    let asking = tokio::spawn(async move { client.chat(&question()).await });
    next_chat(&cold).await;
    cold.set_healthy(false);
    let failed = cold.health_checks() + 5;
    eventually("some checks that fail", async || {
        (cold.health_checks() >= failed).then_some(())
    })
    .await;
    loads.open();
    assert_eq!(asking.await.expect("no panic").status, 200);
    assert_eq!(asked(&[&cold]), 1);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_target_that_is_busy_gets_less() {
    let held = Barrier::new();
    let script = Script::ndjson_head().wait(&held).chunks(
        ollama::stream(&["Hello"])
            .iter()
            .map(|line| format!("{line}\n")),
    );
    let slow = Upstream::always(script).await;
    let quick = Upstream::always(hello()).await;
    let gateway = Setup::before_urls(&urls(&[&slow, &quick]))
        .chat()
        .start()
        .await;
    let client = gateway.client();
    let first = tokio::spawn(async move { client.chat(&streamed()).await });
    slow.next_request().await;
    for _ in 0..10 {
        let body = with(question(), "stream", json!(false));
        assert_eq!(gateway.client().chat(&body).await.status, 200);
    }
    assert_eq!(asked(&[&slow]), 1, "it is at work for the first one");
    held.open();
    assert_eq!(first.await.expect("no panic").status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn silence_and_responses_that_break_off_open_a_breaker() {
    let begun = || Script::ndjson_head().chunk(format!("{}\n", ollama::content("so far")));
    for (what, script) in [
        ("no head in time", Script::silent()),
        ("no first byte in time", Script::ndjson_head().hang()),
        ("no HTTP", Script::raw("nonsense\r\n\r\n")),
        ("broken off in mid-stream", begun().cut()),
        ("silent in mid-stream", begun().hang()),
    ] {
        let only = Upstream::always(script).await;
        let gateway = Setup::before(&only)
            .upstream("breaker = { failures = 2, open = \"20m\" }")
            .upstream("timeout = { first-byte = \"200ms\", idle = \"200ms\" }")
            .chat()
            .start()
            .await;
        for expected in ["closed", "open"] {
            gateway.client().chat(&streamed()).await;
            assert_eq!(shown(&gateway).await[0]["circuit"], expected, "{what}");
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_of_a_target() {
    let bad = Upstream::always(Script::raw("").reset()).await;
    let good = Upstream::always(hello()).await;
    let setup = || {
        Setup::before_urls(&urls(&[&bad, &good]))
            .upstream("breaker = { failures = 1, open = \"20m\" }")
            .chat()
    };
    let gateway = setup().start().await;
    served(&gateway, 16, "while its breaker opens").await;
    assert_eq!(shown(&gateway).await[0]["circuit"], "open");
    let other = setup().upstream("slow-start = \"5s\"").toml();
    let other = config::parse(&other, Path::new("."), &|_| None).expect("legal");
    let control = gateway.running().control();
    control.apply(other).await.expect("in force");
    assert_eq!(shown(&gateway).await[0]["circuit"], "open");
    let before = asked(&[&bad]);
    served(&gateway, 16, "after the reload").await;
    assert_eq!(asked(&[&bad]), before, "it is still left alone");
    gateway.shutdown().await;
}
