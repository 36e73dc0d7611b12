//! Targets that are the addresses of a name: they join, leave and drain as lookups tell, and a resolver that fails breaks nothing.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sluicegate_gateway::supply::Lookups;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Barrier, Gateway, Script, Setup, Upstream, eventually, logs};
use sluicegate_upstream::names::{LookingUp, Resolve};
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::command::{name, run};
use crate::common::{assert_error, question, streamed};
use crate::lifecycle::ready;

/// How often names are looked up here.
const INTERVAL: Duration = Duration::from_millis(20);

/// A resolver that says what the test wants.
#[derive(Clone, Debug, Default)]
struct Scripted {
    /// The last bytes of the addresses in 127.0.0.0/24; `None`: it fails.
    found: Arc<Mutex<Option<Vec<u8>>>>,
    asked: Arc<AtomicUsize>,
}

impl Scripted {
    fn of(found: &[u8]) -> Self {
        let resolver = Self::default();
        resolver.set(Some(found));
        resolver
    }

    fn set(&self, found: Option<&[u8]>) {
        *self.found.lock().expect("no panic while it is held") = found.map(<[u8]>::to_vec);
    }

    /// Waits for two lookups: the second one has begun after this call.
    async fn looks_twice(&self) {
        let before = self.asked.load(Ordering::SeqCst);
        eventually("two lookups", async || {
            (self.asked.load(Ordering::SeqCst) >= before + 2).then_some(())
        })
        .await;
    }
}

impl Resolve for Scripted {
    fn look_up<'a>(&'a self, host: &'a str) -> LookingUp<'a> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            assert!(host.starts_with("model.servers."), "{host}");
            let found = self.found.lock().expect("no panic while it is held");
            let found = found.clone();
            let found = found.ok_or_else(|| io::Error::other("no such name"))?;
            Ok(found
                .into_iter()
                .map(|it| IpAddr::from([127, 0, 0, it]))
                .collect())
        })
    }
}

/// A resolver that never says anything.
#[derive(Debug)]
struct Silent;

impl Resolve for Silent {
    fn look_up<'a>(&'a self, _: &'a str) -> LookingUp<'a> {
        Box::pin(std::future::pending())
    }
}

/// Listeners at 127.0.0.1 to 127.0.0.`count`, all on one port.
async fn listeners(count: u8) -> Vec<TcpListener> {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = first.local_addr().expect("it is bound").port();
        let mut all = vec![first];
        for last in 2..=count {
            all.extend(TcpListener::bind((IpAddr::from([127, 0, 0, last]), port)).await);
        }
        if all.len() == usize::from(count) {
            return all;
        }
    }
}

/// Ollamas at such addresses that do this for each chat; and the port.
async fn servers(
    count: u8,
    script: impl Fn() -> Script + Clone + Send + Sync + 'static,
) -> (Vec<Upstream>, u16) {
    let mut servers = Vec::new();
    for listener in listeners(count).await {
        let script = script.clone();
        servers.push(Upstream::start_on(listener, move |request| {
            match request.path() {
                "/api/chat" => script(),
                _ => Script::json(200, &json!({"models": []})),
            }
        }));
    }
    let port = servers[0].address().port();
    (servers, port)
}

fn hello() -> Script {
    Script::ndjson(&ollama::stream(&["Hello"]))
}

/// How many chats a server got.
fn chats(server: &Upstream) -> usize {
    let requests = server.requests();
    requests
        .iter()
        .filter(|it| it.path() == "/api/chat")
        .count()
}

/// A gateway in front of a name; no two tests share one.
async fn gateway(setup: &Setup, resolver: impl Resolve + 'static) -> Gateway {
    let lookups = Lookups {
        resolver: Arc::new(resolver),
        interval: INTERVAL,
    };
    match Gateway::start_resolving(&setup.toml(), lookups).await {
        Ok(gateway) => gateway,
        Err(error) => panic!("{error:#}"),
    }
}

fn url(host: &str, port: u16) -> String {
    format!("dns+http://{host}:{port}")
}

/// The first upstream as `/upstreams` shows it.
async fn shown(gateway: &Gateway) -> Value {
    let document = gateway.admin().get("/upstreams").await.json();
    document["upstreams"][0].clone()
}

/// Waits until these are the targets, by the last bytes of their addresses.
async fn has_targets(gateway: &Gateway, port: u16, wanted: &[u8]) {
    let wanted: BTreeSet<_> = wanted
        .iter()
        .map(|last| format!("http://127.0.0.{last}:{port}"))
        .collect();
    eventually("the targets", async || {
        let shown = shown(gateway).await;
        let targets = shown["targets"].as_array().expect("a list");
        let labels = targets.iter().filter_map(|it| it["target"].as_str());
        let labels: BTreeSet<_> = labels.map(str::to_owned).collect();
        (labels == wanted).then_some(())
    })
    .await;
}

async fn asks(gateway: &Gateway, count: usize) {
    for _ in 0..count {
        let response = gateway.client().chat(&question()).await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
}

#[tokio::test]
async fn each_address_is_asked_under_the_name_and_joins_and_leaves_with_its_metrics() {
    let (servers, port) = servers(3, hello).await;
    let resolver = Scripted::of(&[1, 2]);
    let setup = Setup::before_url(&url("model.servers.one", port))
        .upstream("slow-start = \"0s\"")
        .chat();
    let gateway = gateway(&setup, resolver.clone()).await;
    // The first lookup is over when the gateway serves, so that no request comes too early.
    asks(&gateway, 10).await;
    let before: Vec<_> = servers.iter().map(chats).collect();
    assert_eq!(before.iter().sum::<usize>(), 10);
    assert!(
        before[0] > 0 && before[1] > 0 && before[2] == 0,
        "{before:?}"
    );
    for server in &servers[..2] {
        let asked = server.next_request().await;
        assert_eq!(
            asked.header("host"),
            Some(&*format!("model.servers.one:{port}"))
        );
    }
    let name = &shown(&gateway).await["names"][0];
    let expected = json!({"name": url("model.servers.one", port), "addresses": 2, "error": null});
    assert_eq!(name, &expected);

    resolver.set(Some(&[2, 3]));
    has_targets(&gateway, port, &[2, 3]).await;
    asks(&gateway, 10).await;
    let after: Vec<_> = servers.iter().map(chats).collect();
    assert_eq!(after.iter().sum::<usize>(), 20);
    assert_eq!(after[0], before[0], "it is gone");
    assert!(after[1] > before[1] && after[2] > 0, "{after:?}");
    let series = |last: u8| {
        format!(
            "sluicegate_upstream_in_flight{{upstream=\"ollama\",target=\"http://127.0.0.{last}:{port}\"}}"
        )
    };
    eventually("the series of the one that is gone are too", async || {
        let text = gateway.admin().get("/metrics").await.text();
        assert!(text.contains(&series(2)) && text.contains(&series(3)));
        (!text.contains(&format!("127.0.0.1:{port}"))).then_some(())
    })
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_exchange_ends_at_an_address_that_is_gone_and_no_other_begins_there() {
    let barrier = Barrier::new();
    let slow = {
        let barrier = barrier.clone();
        move || {
            Script::ndjson_head()
                .chunk(format!("{}\n", ollama::content("one")))
                .wait(&barrier)
                .chunk(format!("{}\n", ollama::done("stop")))
        }
    };
    let (servers, port) = servers(2, slow).await;
    let resolver = Scripted::of(&[1]);
    let setup = Setup::before_url(&url("model.servers.two", port)).chat();
    let gateway = gateway(&setup, resolver.clone()).await;
    let mut running = gateway.client().open_chat(&streamed()).await;
    assert_eq!(running.text().await, "one");
    resolver.set(Some(&[2]));
    has_targets(&gateway, port, &[2]).await;
    let mut next = gateway.client().open_chat(&streamed()).await;
    assert_eq!(next.text().await, "one");
    assert_eq!((chats(&servers[0]), chats(&servers[1])), (1, 1));
    let in_flight = format!(
        "sluicegate_upstream_in_flight{{upstream=\"ollama\",target=\"http://127.0.0.1:{port}\"}}"
    );
    assert_eq!(gateway.metric(&in_flight).await, 1.0, "it drains");
    barrier.open();
    for response in [running.rest().await, next.rest().await] {
        assert!(response.complete && response.text().contains("[DONE]"));
    }
    eventually("its series are gone", async || {
        let text = gateway.admin().get("/metrics").await.text();
        (!text.contains(&in_flight)).then_some(())
    })
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_is_known_stays_in_use_while_the_resolver_fails_and_the_log_says_so_once() {
    let (servers, port) = servers(2, hello).await;
    let resolver = Scripted::of(&[1]);
    let label = url("model.servers.three", port);
    let setup = Setup::before_url(&label).chat();
    let gateway = gateway(&setup, resolver.clone()).await;
    for (found, error) in [(None, "no such name"), (Some(&[][..]), "it has no address")] {
        resolver.set(found);
        eventually("the error is shown", async || {
            let shown = shown(&gateway).await;
            (shown["names"][0]["error"] == error).then_some(())
        })
        .await;
        resolver.looks_twice().await;
        asks(&gateway, 1).await;
        has_targets(&gateway, port, &[1]).await;
        let lines = logs::lines(|line| line["name"] == label && line["error"] == error);
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
    let failed = format!(
        "sluicegate_upstream_lookups_total{{upstream=\"ollama\",name=\"{label}\",result=\"failed\"}}"
    );
    assert!(gateway.metric(&failed).await >= 4.0);
    resolver.set(Some(&[1, 2]));
    has_targets(&gateway, port, &[1, 2]).await;
    assert_eq!(shown(&gateway).await["names"][0]["error"], Value::Null);
    let of_name = logs::lines(|line| line["name"] == label);
    let is_back = |line: &&Arc<Value>| line["msg"].as_str().is_some_and(|it| it.contains("again"));
    assert_eq!(of_name.iter().filter(is_back).count(), 1);
    assert_eq!(chats(&servers[0]), 2);
    gateway.shutdown().await;
}

#[tokio::test]
async fn without_any_address_the_gateway_runs_and_its_error_names_the_name() {
    let (servers, port) = servers(1, hello).await;
    let resolver = Scripted::default();
    let setup = Setup::before_url(&url("model.servers.four", port)).chat();
    let gateway = gateway(&setup, resolver.clone()).await;
    let response = gateway.client().chat(&question()).await;
    assert_error(&response, 502, "upstream_unreachable");
    let message = response.error()["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(message.contains("`model.servers.four`"), "{message}");
    let readiness = ready(&gateway.admin(), false).await;
    let missing = &readiness["missing"][0];
    assert_eq!(missing["target"], url("model.servers.four", port));
    assert_eq!(missing["reason"], "no such name");
    resolver.set(Some(&[1]));
    ready(&gateway.admin(), true).await;
    asks(&gateway, 1).await;
    assert_eq!(chats(&servers[0]), 1);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_silent_resolver_holds_nothing_up_and_the_fallback_serves() {
    let spare = Upstream::start(|_| hello()).await;
    let setup = Setup::before_url("dns+http://model.servers.five:1").chat_with_spare(&spare);
    let gateway = gateway(&setup, Silent).await;
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let client = gateway.client();
        clients.spawn(async move { client.chat(&question()).await.status });
    }
    assert_eq!(clients.join_all().await, [200; 8]);
    assert_eq!(spare.requests().len(), 8);
    let shown = shown(&gateway).await;
    assert_eq!(shown["targets"], json!([]));
    assert_eq!(shown["names"][0]["addresses"], 0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_address_that_nobody_listens_at_costs_no_client_an_error() {
    let (servers, port) = servers(1, hello).await;
    // Nobody listens at the other one.
    let resolver = Scripted::of(&[1, 250]);
    let setup = Setup::before_url(&url("model.servers.six", port))
        .upstream("health = { path = \"/api/version\", interval = \"20ms\" }")
        .chat();
    let gateway = gateway(&setup, resolver).await;
    asks(&gateway, 8).await;
    assert_eq!(chats(&servers[0]), 8);
    eventually("each has a health of its own", async || {
        let shown = shown(&gateway).await;
        let targets = shown["targets"].as_array().expect("a list");
        let mut states: Vec<_> = targets
            .iter()
            .filter_map(|it| it["state"].as_str())
            .collect();
        states.sort_unstable();
        (states == ["down", "up"]).then_some(())
    })
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_systems_own_resolver_is_asked_by_the_gateway_and_by_doctor() {
    let upstream = Upstream::start(|request| match request.path() {
        "/api/tags" => Script::json(200, &json!({"models": [{"name": "m", "model": "m"}]})),
        _ => hello(),
    })
    .await;
    let label = url("localhost", upstream.address().port());
    let setup = Setup::before_url(&label).chat();
    let gateway = setup.start().await;
    asks(&gateway, 4).await;
    let file = NamedTempFile::with_suffix(".toml").expect("a file");
    let only_upstream = format!(
        "[chat]\nlisten = \"127.0.0.1:1\"\n[upstream.main]\nadapter = \"ollama\"\ntargets = [\"{label}\"]\n"
    );
    std::fs::write(file.path(), only_upstream).expect("written");
    let said = run(&["doctor", "--config", name(file.path())]).await;
    let lines: Vec<_> = said.out.lines().collect();
    assert!(
        lines[0].starts_with("ok    name `localhost` of model servers `main`: "),
        "{}",
        said.out
    );
    assert!(lines[0].contains("127.0.0.1"), "{}", said.out);
    let server = format!("ok    model server `main` at {label}: up");
    assert!(lines[1].starts_with(&server), "{}", said.out);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_reload_goes_on_with_what_is_known_of_a_name() {
    let (servers, port) = servers(2, hello).await;
    let resolver = Scripted::of(&[1, 2]);
    let setup = Setup::before_url(&url("model.servers.seven", port)).chat();
    let gateway = gateway(&setup, resolver.clone()).await;
    asks(&gateway, 10).await;
    let connections: Vec<_> = servers.iter().map(Upstream::connections).collect();
    resolver.set(None);
    resolver.looks_twice().await;
    let text = setup.upstream("timeout = { idle = \"7s\" }").toml();
    let config = sluicegate_config::parse(&text, std::path::Path::new("."), &|_| None);
    let applied = gateway.running().control().apply(config.expect("legal"));
    applied.await.expect("in force");
    asks(&gateway, 4).await;
    let now: Vec<_> = servers.iter().map(Upstream::connections).collect();
    assert_eq!(now, connections, "the same targets, with their connections");
    resolver.looks_twice().await;
    resolver.set(Some(&[2]));
    has_targets(&gateway, port, &[2]).await;
    gateway.shutdown().await;
}
