//! What operators do through the admin interface: they put components in, follow what happens, and are told why something is
//! refused.

use std::collections::VecDeque;
use std::fs;

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::client::Stream;
use sluicegate_tests::sse::{Event, Parser};
use sluicegate_tests::{Client, eventually, guest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::versions::{Running, Scene, TOKEN, variant};

async fn put(
    client: &Client,
    path: &str,
    component: impl Into<hyper::body::Bytes>,
) -> (u16, Value) {
    let response = client.request(Method::PUT, path, component).await;
    (response.status, response.json())
}

/// The event stream. Its ids are what no chat stream may have, so that it is parsed here.
struct Followed {
    stream: Stream,
    parser: Parser,
    ready: VecDeque<Event>,
}

impl Followed {
    async fn by(client: &Client) -> Self {
        let stream = client.open(Method::GET, "/events", "").await;
        assert_eq!(stream.header("content-type"), "text/event-stream");
        Self {
            stream,
            parser: Parser::default(),
            ready: VecDeque::new(),
        }
    }

    /// The id of the last event.
    fn last_id(&self) -> String {
        let ids = self.parser.offences.iter();
        let id = ids.filter_map(|line| line.strip_prefix("id: ")).next_back();
        id.expect("every event has one").to_owned()
    }

    /// The name and the data of the next event; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        while self.ready.is_empty() {
            let bytes = self.stream.bytes().await?;
            self.ready.extend(self.parser.push(&bytes));
        }
        let event = self.ready.pop_front()?;
        let data = event.json();
        Some((event.name, data))
    }
}

async fn start() -> (Scene, Running) {
    let scene = Scene::new("").await;
    let running = scene.start().await;
    (scene, running)
}

#[tokio::test]
async fn a_component_is_checked_then_written_then_live() {
    let (scene, running) = start().await;
    let admin = running.admin();
    let first = running.live().await;
    let new = variant(guest::GATE, 1);

    let (status, shown) = put(&admin, "/plugins/mine?dry-run=1", new.clone()).await;
    assert_eq!((status, &shown["written"]), (200, &json!(false)), "{shown}");
    assert_eq!(shown["exports"], json!(["gate"]));
    let version = shown["version_id"].as_str().expect("a version").to_owned();
    assert_ne!(version, first);
    assert_eq!(running.live().await, first);
    assert_eq!(
        fs::read(scene.at("mine.wasm")).expect("a file"),
        fs::read(guest::GATE).expect("a file")
    );

    let (status, shown) = put(&admin, "/plugins/mine", new.clone()).await;
    assert_eq!(
        (status, &shown["written"], &shown["state"]),
        (200, &json!(true), &json!("live")),
        "{shown}"
    );
    // When the response is there, it is in force.
    assert_eq!(running.live().await, version);
    assert_eq!(running.get().await, 200);
    assert_eq!(fs::read(scene.at("mine.wasm")).expect("a file"), new);

    // A plugin that no route names yet.
    let (status, shown) = put(&admin, "/plugins/spare", new).await;
    assert_eq!(
        (status, &shown["state"]),
        (200, &json!("discovered")),
        "{shown}"
    );
    assert_eq!(running.plugin("spare").await["state"], "discovered");
    running.stop().await;
}

#[tokio::test]
async fn what_is_refused_leaves_the_folder_as_it_was_and_says_why() {
    let (scene, running) = start().await;
    let admin = running.admin();
    let gate = fs::read(guest::GATE).expect("it is built");
    let (status, shown) = put(&admin, "/plugins/mine", gate[..gate.len() / 2].to_vec()).await;
    assert_eq!(
        (status, &shown["rejected"]["stage"]),
        (422, &json!("compile")),
        "{shown}"
    );
    for part in ["reason", "mend"] {
        assert!(
            shown["rejected"][part]
                .as_str()
                .is_some_and(|it| !it.is_empty()),
            "{shown}"
        );
    }
    // It loads, but an observer cannot be a stage.
    let observer = fs::read(guest::OBSERVER).expect("it is built");
    for path in ["/plugins/mine?dry-run=1", "/plugins/mine"] {
        let (status, shown) = put(&admin, path, observer.clone()).await;
        let key = &shown["problems"][0]["key"];
        assert_eq!(
            (status, key),
            (422, &json!("route[0].pipeline[0]")),
            "{shown}"
        );
    }
    // As it would be configured: what the file beside it says counts.
    fs::write(scene.at("spare.toml"), "config.configure = \"refuse\"\n").expect("written");
    let (status, shown) = put(&admin, "/plugins/spare", gate.clone()).await;
    assert_eq!(
        (status, &shown["rejected"]["stage"]),
        (422, &json!("configure")),
        "{shown}"
    );
    fs::write(scene.at("spare.toml"), "config = 1\n").expect("written");
    let (status, shown) = put(&admin, "/plugins/spare", gate.clone()).await;
    let key = shown["problems"][0]["key"].as_str().unwrap_or_default();
    assert!(status == 422 && key.contains("spare.toml"), "{shown}");
    for (path, wanted) in [
        ("/plugins/My_Plugin", 400),
        (&*format!("/plugins/{}", "x".repeat(65)), 400),
        ("/plugins/..", 400),
        ("/plugins/mine?dryrun=1", 400),
        ("/plugins/mine?dry-run=yes", 400),
    ] {
        let (status, shown) = put(&admin, path, gate.clone()).await;
        assert_eq!(status, wanted, "{path}: {shown}");
        assert!(shown["error"].is_string());
    }
    let (status, shown) = put(&admin, "/plugins/spare", vec![0; (32 << 20) + 1]).await;
    assert_eq!(status, 413, "{shown}");
    let files = fs::read_dir(scene.at("")).expect("a folder");
    let mut names: Vec<_> = files.map(|it| it.expect("a file").file_name()).collect();
    names.sort();
    assert_eq!(names, ["mine.wasm", "spare.toml"]);
    assert_eq!(fs::read(scene.at("mine.wasm")).expect("a file"), gate);

    // Nothing is changed without the token.
    let anybody = running.gateway.admin();
    assert_eq!(put(&anybody, "/plugins/mine", gate.clone()).await.0, 401);
    for path in [
        "/plugins/mine/rollback",
        "/plugins/mine/activate",
        "/reload",
    ] {
        assert_eq!(anybody.request(Method::POST, path, "").await.status, 401);
        assert_eq!(admin.get(path).await.status, 405, "{path}");
    }
    for path in ["/plugins/nobody/rollback", "/plugins/nobody/activate"] {
        assert_eq!(admin.request(Method::POST, path, "").await.status, 404);
    }
    assert_eq!(admin.get("/plugins/nobody").await.status, 404);
    running.stop().await;
}

#[tokio::test]
async fn a_component_has_no_place_where_the_name_means_something_else() {
    let scene = Scene::new("").await;
    scene.configure(
        "[plugin.other]\nsource = \"builtin:auth\"\n[plugin.auth]\nsource = \"builtin:auth\"\n",
    );
    let running = scene.start().await;
    let gate = fs::read(guest::GATE).expect("it is built");
    for path in ["/plugins/other", "/plugins/auth"] {
        let (status, shown) = put(&running.admin(), path, gate.clone()).await;
        assert_eq!(status, 409, "{shown}");
    }
    running.stop().await;

    let text = scene.configuration("").replace("dir = \"filters\"\n", "");
    let text = text + "[plugin.mine]\nsource = \"filters/mine.wasm\"\n";
    fs::write(scene.file(), text).expect("written");
    let running = scene.start().await;
    let (status, shown) = put(&running.admin(), "/plugins/mine", gate).await;
    let error = shown["error"].as_str().unwrap_or_default();
    assert!(status == 409 && error.contains("[plugins]"), "{shown}");
    running.stop().await;
}

#[tokio::test]
async fn what_happens_can_be_followed_and_taken_up_again() {
    let (scene, running) = start().await;
    let admin = running.admin();
    let mut events = Followed::by(&admin).await;
    assert_eq!(
        put(&admin, "/plugins/mine", variant(guest::GATE, 1))
            .await
            .0,
        200
    );
    let mut seen = Vec::new();
    loop {
        let (name, data) = events.next().await.expect("it goes on");
        assert!(data["at_ms"].is_u64(), "{data}");
        seen.push((name, data["state"].as_str().unwrap_or_default().to_owned()));
        if data["state"] == "in_force" {
            break;
        }
    }
    let states: Vec<_> = seen
        .iter()
        .map(|(name, state)| (name.as_str(), state.as_str()))
        .collect();
    assert_eq!(
        states,
        [
            ("plugin", "loading"),
            ("plugin", "draining"),
            ("plugin", "live"),
            ("config", "in_force"),
        ]
    );
    // Whoever comes again gets what was missed.
    let last = events.last_id();
    drop(events);
    scene.drop_in("mine", b"nothing");
    running.rejected("format").await;
    let mut again = Followed::by(&admin.clone().with("last-event-id", &last)).await;
    loop {
        let (_, data) = again.next().await.expect("it goes on");
        assert_ne!(data["state"], "draining", "what was seen is not told again");
        if data["state"] == "rejected" {
            assert_eq!(data["rejected"]["stage"], "format");
            break;
        }
    }
    // Of another process, long ago.
    let mut lost = Followed::by(&admin.clone().with("last-event-id", "1")).await;
    assert_eq!(lost.next().await.expect("an event").0, "lost");
    let wrong = admin.clone().with("last-event-id", "first");
    assert_eq!(wrong.get("/events").await.status, 400);
    assert_eq!(running.gateway.admin().get("/events").await.status, 401);
    // The stream does not hold up the end of the gateway.
    running.stop().await;
    while again.next().await.is_some() {}
}

#[tokio::test]
async fn those_who_follow_leave_connections_for_others() {
    let (_scene, running) = start().await;
    let admin = running.admin();
    let mut following = Vec::new();
    for _ in 0..16 {
        following.push(Followed::by(&admin).await);
    }
    let refused = admin.get("/events").await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(admin.get("/livez").await.status, 200);
    drop(following.pop());
    eventually("a place", async || {
        let stream = admin.open(Method::GET, "/events", "").await;
        (stream.header("content-type") == "text/event-stream").then_some(())
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn one_upload_at_a_time_is_held_in_memory() {
    let (_scene, running) = start().await;
    let admin = running.admin();
    let new = variant(guest::GATE, 1);
    let mut slow = TcpStream::connect(admin.address())
        .await
        .expect("it listens");
    let head = format!(
        "PUT /plugins/mine?dry-run=1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        new.len()
    );
    slow.write_all(head.as_bytes()).await.expect("sent");
    eventually("the second is refused", async || {
        let (status, shown) = put(&admin, "/plugins/mine?dry-run=1", new.clone()).await;
        (status == 429 && shown["error"].is_string()).then_some(())
    })
    .await;
    // The first one is not disturbed, and its end makes room.
    slow.write_all(&new).await.expect("sent");
    let mut response = String::new();
    slow.read_to_string(&mut response)
        .await
        .expect("a response");
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    let (status, shown) = put(&admin, "/plugins/mine?dry-run=1", new).await;
    assert_eq!(status, 200, "{shown}");
    running.stop().await;
}
