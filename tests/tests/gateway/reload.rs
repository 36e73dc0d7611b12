//! Hot reload: files change in all the ways in which files change, and the gateway follows or stays as it is.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sluicegate::builtin;
use sluicegate_tests::{Barrier, Client, Gateway, Script, Upstream, eventually, guest};
use tempfile::TempDir;
use tokio::net::TcpStream;

const TOKEN: &str = "admin-token";

/// Two model servers, a folder with a configuration, and a gateway that was started from it.
struct Scene {
    folder: TempDir,
    one: Upstream,
    two: Upstream,
    gateway: Gateway,
}

/// A configuration whose route leads to this model server, with these sections in addition.
fn configuration(upstream: &Upstream, sections: &str) -> String {
    format!(
        "[server]\ndrain-timeout = \"5s\"\nreload = \"1h\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"\n\
         [[listener]]\nlisten = \"127.0.0.1:0\"\n\
         [upstream.main]\ntargets = [\"{}\"]\n\
         [[route]]\npath = \"/x\"\npipeline = [\"open\"]\nupstream = \"main\"\n\
         [plugin.open]\nsource = \"builtin:auth\"\n{sections}",
        upstream.url()
    )
}

async fn names(name: &str) -> Upstream {
    Upstream::always(Script::json(200, &json!({"from": name}))).await
}

/// As editors and tools write that want to be safe: beside the file, and renamed over it.
fn replace(path: &Path, content: impl AsRef<[u8]>) {
    let beside = path.with_extension("new");
    fs::write(&beside, content).expect("written");
    fs::rename(&beside, path).expect("renamed");
}

impl Scene {
    async fn new() -> Self {
        let (one, two) = (names("one").await, names("two").await);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("sluicegate.toml");
        fs::write(&file, configuration(&one, "")).expect("written");
        let gateway = Gateway::start_from(&file).await.expect("it starts");
        Self {
            folder,
            one,
            two,
            gateway,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("sluicegate.toml")
    }

    fn admin(&self) -> Client {
        let bearer = format!("Bearer {TOKEN}");
        self.gateway.admin().with("authorization", &bearer)
    }

    /// Which model server responds.
    async fn from(&self) -> String {
        let response = self.gateway.client().get("/x").await;
        response.json()["from"].as_str().unwrap_or_default().into()
    }

    async fn until_from(&self, wanted: &str) {
        let what = format!("a response of {wanted}");
        let look = async || (self.from().await == wanted).then_some(());
        eventually(&what, look).await;
    }

    async fn status(&self) -> Value {
        self.admin().get("/config").await.json()
    }

    /// The problems of the last configuration, once it is refused.
    async fn refused(&self) -> Vec<Value> {
        eventually("a refusal", async || {
            let problems = self.status().await["refused"]["problems"].take();
            problems.as_array().cloned()
        })
        .await
    }
}

#[tokio::test]
async fn a_file_that_is_renamed_into_place_or_written_in_place_is_read() {
    let scene = Scene::new().await;
    assert_eq!(scene.from().await, "one");
    replace(&scene.file(), configuration(&scene.two, ""));
    scene.until_from("two").await;
    fs::write(scene.file(), configuration(&scene.one, "")).expect("written");
    scene.until_from("one").await;
    // Twice in the same second: the second one counts.
    fs::write(scene.file(), configuration(&scene.two, "# a\n")).expect("written");
    fs::write(scene.file(), configuration(&scene.one, "# bcd\n")).expect("written");
    fs::write(scene.file(), configuration(&scene.two, "# b\n")).expect("written");
    scene.until_from("two").await;
    let series = "sluicegate_config_last_reload_successful";
    let metrics = scene.admin().get("/metrics").await.text();
    assert!(metrics.contains(&format!("{series} 1\n")), "{metrics}");
    scene.gateway.shutdown().await;
}

#[tokio::test]
async fn a_broken_file_changes_nothing_until_it_is_mended() {
    let scene = Scene::new().await;
    let broken = configuration(&scene.two, "[server.limits]\nexchanges = \"many\"\n");
    fs::write(scene.file(), broken).expect("written");
    let problems = scene.refused().await;
    assert_eq!(problems[0]["key"], "server.limits.exchanges");
    assert_eq!(problems[0]["line"], 18);
    assert_eq!(scene.from().await, "one");
    let metrics = scene.admin().get("/metrics").await.text();
    let series = "sluicegate_config_last_reload_successful 0\n";
    assert!(metrics.contains(series), "{metrics}");
    // A copy that is slow, or an editor that has written half: what is there is not a configuration.
    let whole = configuration(&scene.two, "");
    fs::write(scene.file(), &whole[..whole.len() / 2]).expect("written");
    eventually("the half is refused", async || {
        let status = scene.status().await;
        (status["refused"]["problems"][0]["key"] != "server.limits.exchanges").then_some(())
    })
    .await;
    assert_eq!(scene.from().await, "one");
    fs::write(scene.file(), whole).expect("written");
    scene.until_from("two").await;
    assert_eq!(scene.status().await["refused"], Value::Null);
    scene.gateway.shutdown().await;
}

#[tokio::test]
async fn a_volume_whose_link_is_swapped_is_followed() {
    let (one, two) = (names("one").await, names("two").await);
    let volume = tempfile::tempdir().expect("a folder");
    let at = |name: &str| volume.path().join(name);
    for (name, upstream) in [("..1", &one), ("..2", &two)] {
        fs::create_dir(at(name)).expect("made");
        fs::write(
            at(name).join("sluicegate.toml"),
            configuration(upstream, ""),
        )
        .expect("written");
    }
    symlink("..1", at("..data")).expect("linked");
    symlink("..data/sluicegate.toml", at("sluicegate.toml")).expect("linked");
    let gateway = Gateway::start_from(&at("sluicegate.toml")).await;
    let gateway = gateway.expect("it starts");
    symlink("..2", at("..data_tmp")).expect("linked");
    fs::rename(at("..data_tmp"), at("..data")).expect("renamed");
    eventually("a response of two", async || {
        let response = gateway.client().get("/x").await;
        (response.json()["from"] == "two").then_some(())
    })
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_folder_that_is_removed_and_made_anew_is_found_again() {
    let (one, two) = (names("one").await, names("two").await);
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("config");
    let file = folder.join("sluicegate.toml");
    fs::create_dir(&folder).expect("made");
    fs::write(&file, configuration(&one, "")).expect("written");
    let gateway = Gateway::start_from(&file).await.expect("it starts");
    let from = async || gateway.client().get("/x").await.json()["from"].clone();
    fs::remove_dir_all(&folder).expect("removed");
    let bearer = format!("Bearer {TOKEN}");
    let admin = gateway.admin().with("authorization", &bearer);
    eventually("a refusal", async || {
        let status = admin.get("/config").await.json();
        (!status["refused"].is_null()).then_some(())
    })
    .await;
    assert_eq!(from().await, "one");
    fs::create_dir(&folder).expect("made");
    fs::write(&file, configuration(&two, "")).expect("written");
    eventually("a response of two", async || {
        (from().await == "two").then_some(())
    })
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_change_that_nobody_tells_of_is_found_at_the_interval() {
    let scene = Scene::new().await;
    let often = |upstream| configuration(upstream, "").replace("\"1h\"", "\"50ms\"");
    replace(&scene.file(), often(&scene.two));
    scene.until_from("two").await;
    // Written through another name, in a folder that is not watched.
    let elsewhere = tempfile::tempdir_in(scene.folder.path()).expect("a folder");
    let other = elsewhere.path().join("other-name");
    fs::hard_link(scene.file(), &other).expect("linked");
    fs::write(&other, often(&scene.one)).expect("written");
    scene.until_from("one").await;
    scene.gateway.shutdown().await;
}

#[tokio::test]
async fn a_plugin_file_a_secret_and_their_problems_are_followed() {
    let scene = Scene::new().await;
    let (wasm, secret) = (
        scene.folder.path().join("p.wasm"),
        scene.folder.path().join("key"),
    );
    let auth = builtin::PLUGINS.find("auth").expect("it ships");
    fs::write(&wasm, auth).expect("written");
    fs::write(&secret, "first\n").expect("written");
    let sections = "[plugin.p]\nsource = \"p.wasm\"\nconfig.keys = [{ name = \"a\", key = { file = \"key\" } }]\n";
    let text = configuration(&scene.one, sections).replace("[\"open\"]", "[\"p\"]");
    replace(&scene.file(), text);
    let status = async |key: &str| {
        let client = scene.gateway.client().with("x-api-key", key);
        client.get("/x").await.status
    };
    let until = async |key: &str, wanted: u16| {
        let what = format!("{wanted} for the key {key:?}");
        eventually(&what, async || (status(key).await == wanted).then_some(())).await;
    };
    until("wrong", 401).await;
    assert_eq!(status("first").await, 200);
    replace(&secret, "second\n");
    until("second", 200).await;
    assert_eq!(status("first").await, 401);

    // A component that cannot be used: the version in force stays.
    fs::write(&wasm, &auth[..auth.len() / 2]).expect("written");
    let kept = async |wanted: &str| {
        eventually("a version that is kept", async || {
            let status = scene.status().await;
            let key = status["kept"][0]["key"].as_str()?;
            key.starts_with(wanted).then_some(status)
        })
        .await
    };
    let status_now = kept("plugin.p.source").await;
    assert_eq!(status_now["refused"], Value::Null);
    let metrics = scene.admin().get("/metrics").await.text();
    let series = "sluicegate_config_last_reload_successful 0\n";
    assert!(metrics.contains(series), "{metrics}");
    assert_eq!((status("second").await, status("first").await), (200, 401));
    // Another plugin under the same name takes no keys: its schema refuses them.
    fs::copy(guest::BARE, &wasm).expect("copied");
    kept("plugin.p.config").await;
    assert_eq!(status("second").await, 200);
    // What has nothing to do with it is applied all the same.
    let heartbeat = "[server]\nheartbeat = \"1s\"\n";
    let text = fs::read_to_string(scene.file()).expect("a file");
    replace(&scene.file(), text.replace("[server]\n", heartbeat));
    let generation = status_now["generation"].as_u64();
    eventually("another generation", async || {
        (scene.status().await["generation"].as_u64() > generation).then_some(())
    })
    .await;
    kept("plugin.p.source").await;
    fs::write(&wasm, auth).expect("written");
    eventually("the configured version", async || {
        let kept = scene.status().await["kept"].take();
        kept.as_array()?.is_empty().then_some(())
    })
    .await;
    scene.gateway.shutdown().await;
}

#[tokio::test]
async fn listeners_come_and_go_while_exchanges_end_where_they_began() {
    let barrier = Barrier::new();
    let script = Script::sse_head().chunk("data: one\n\n").wait(&barrier);
    let upstream = Upstream::always(script.chunk("data: two\n\n")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sluicegate.toml");
    fs::write(&file, configuration(&upstream, "")).expect("written");
    let gateway = Gateway::start_from(&file).await.expect("it starts");
    let before = gateway.address();
    let mut stream = gateway.client().open(hyper::Method::GET, "/x", "").await;
    assert_eq!(stream.event().await.expect("an event").data, "one");

    // A free port of another loopback address, so that the old listener is not the one that is wanted.
    let (socket, free) = sluicegate_tests::upstream::closed_port();
    drop(socket);
    let other = SocketAddr::from(([127, 0, 0, 2], free.port()));
    let text = configuration(&upstream, "");
    let (head, rest) = text
        .split_once("[[listener]]\nlisten = \"127.0.0.1:0\"")
        .expect("there");
    replace(
        &file,
        format!("{head}[[listener]]\nlisten = \"{other}\"{rest}"),
    );
    eventually("the new listener", async || {
        TcpStream::connect(other).await.ok()
    })
    .await;
    eventually("the old listener is closed", async || {
        TcpStream::connect(before).await.err().map(drop)
    })
    .await;
    barrier.open();
    let ended = stream.rest().await;
    assert!(
        ended.complete && ended.text().contains("two"),
        "{}",
        ended.text()
    );
    assert_eq!(Client::new(other).get("/x").await.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_listener_that_cannot_be_opened_refuses_the_whole() {
    let scene = Scene::new().await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let taken = taken.local_addr().expect("bound");
    let occupied = tokio::net::TcpListener::bind(taken).await.err();
    // The port is free again: take it for good.
    let _holder = occupied
        .is_none()
        .then_some(())
        .map(|()| std::net::TcpListener::bind(taken));
    let listener = format!(
        "[[listener]]\nlisten = \"{}\"\n",
        scene.gateway.admin_address()
    );
    replace(&scene.file(), configuration(&scene.two, &listener));
    let problems = scene.refused().await;
    assert_eq!(problems[0]["key"], "listener[1].listen");
    assert_eq!(scene.from().await, "one");
    scene.gateway.shutdown().await;
}

#[tokio::test]
async fn what_needs_a_restart_refuses_the_whole() {
    let scene = Scene::new().await;
    let text = configuration(
        &scene.two,
        "[log]\nformat = \"text\"\n[chat]\nlisten = \"127.0.0.1:0\"\n",
    );
    replace(&scene.file(), text);
    let problems = scene.refused().await;
    let keys: Vec<_> = problems
        .iter()
        .map(|problem| problem["key"].clone())
        .collect();
    assert_eq!(keys, ["chat", "log.format"]);
    assert!(
        problems[0]["message"]
            .as_str()
            .is_some_and(|text| text.contains("restart"))
    );
    assert_eq!(scene.from().await, "one");
    scene.gateway.shutdown().await;
}

#[tokio::test]
async fn the_admin_interface_reloads_for_whoever_has_the_token() {
    let scene = Scene::new().await;
    let quiet = configuration(&scene.one, "").replace("\"1h\"", "\"0s\"");
    replace(&scene.file(), &quiet);
    eventually("another generation", async || {
        (scene.status().await["generation"] == 2).then_some(())
    })
    .await;
    // It watches no more: only a request makes it read.
    replace(
        &scene.file(),
        quiet.replace(&scene.one.url(), &scene.two.url()),
    );
    let post = async |client: &Client| client.request(hyper::Method::POST, "/reload", "").await;
    assert_eq!(post(&scene.gateway.admin()).await.status, 401);
    assert_eq!(scene.from().await, "one");
    let response = post(&scene.admin()).await;
    assert_eq!(
        (response.status, &response.json()["generation"]),
        (200, &json!(3))
    );
    assert_eq!(scene.from().await, "two");
    assert_eq!(scene.admin().get("/reload").await.status, 405);
    replace(&scene.file(), "[[listener]]\n");
    let response = post(&scene.admin()).await;
    assert_eq!(response.status, 422);
    let problems = response.json()["refused"]["problems"]
        .as_array()
        .map(Vec::len);
    assert!(problems.is_some_and(|problems| problems > 0));
    scene.gateway.shutdown().await;
}

#[tokio::test]
async fn without_a_token_the_admin_interface_changes_nothing() {
    let one = names("one").await;
    let text = configuration(&one, "").replace(&format!("token = \"{TOKEN}\"\n"), "");
    let gateway = Gateway::start(&text).await.expect("it starts");
    let response = gateway
        .admin()
        .request(hyper::Method::POST, "/reload", "")
        .await;
    assert_eq!(response.status, 403);
    assert!(response.text().contains("token"));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_reload_goes_on_when_whoever_asked_for_it_has_left() {
    let scene = Scene::new().await;
    let quiet = |upstream| configuration(upstream, "").replace("\"1h\"", "\"0s\"");
    replace(&scene.file(), quiet(&scene.one));
    eventually("another generation", async || {
        (scene.status().await["generation"] == 2).then_some(())
    })
    .await;
    replace(&scene.file(), quiet(&scene.two));
    let admin = scene.admin();
    let post = admin.request(hyper::Method::POST, "/reload", "");
    let left = tokio::time::timeout(std::time::Duration::from_millis(1), post).await;
    drop(left);
    scene.until_from("two").await;
    scene.gateway.shutdown().await;
}

#[tokio::test]
async fn the_admin_interface_has_the_rule_for_hosts_of_the_configuration_in_force() {
    let scene = Scene::new().await;
    let status = async |host: &str| {
        let client = scene.gateway.admin().with("host", host);
        client.get("/config").await.status
    };
    let until = async |host: &str, wanted: u16| {
        let what = format!("{wanted} for {host}");
        eventually(&what, async || (status(host).await == wanted).then_some(())).await;
    };
    assert_eq!(status("evil.example").await, 401);
    // Without a token browsers may come by an address or localhost only.
    let token = format!("token = \"{TOKEN}\"\n");
    let text = configuration(&scene.one, "").replace(&token, "");
    replace(&scene.file(), &text);
    until("evil.example", 403).await;
    assert_eq!(status("localhost").await, 200);
    let named = text.replace("[admin]\n", "[admin]\nhosts = [\"good.example\"]\n");
    replace(&scene.file(), named);
    until("good.example", 200).await;
    assert_eq!(status("evil.example").await, 403);
    scene.gateway.shutdown().await;
}

#[tokio::test]
async fn a_pipe_in_place_of_the_file_is_refused_and_blocks_nothing() {
    let scene = Scene::new().await;
    fs::remove_file(scene.file()).expect("removed");
    let made = std::process::Command::new("mkfifo")
        .arg(scene.file())
        .status();
    assert!(made.expect("it is there").success());
    eventually("a refusal that says why", async || {
        let status = scene.status().await;
        (status["refused"]["problems"][0]["message"] == "is not a file").then_some(())
    })
    .await;
    assert_eq!(scene.from().await, "one");
    replace(&scene.file(), configuration(&scene.two, ""));
    scene.until_from("two").await;
    scene.gateway.shutdown().await;
}
