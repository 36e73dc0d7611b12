//! Versions of a plugin: they come from a folder, are rejected for good, prove themselves, and are rolled back.

use std::fs;
use std::path::{Path, PathBuf};

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::{Client, Gateway, Script, Upstream, eventually, guest};
use tempfile::TempDir;

pub(crate) const TOKEN: &str = "admin-token";

/// A gateway with a plugin folder and a state folder; the plugin `mine` is a gate that does what requests say.
pub(crate) struct Scene {
    folder: TempDir,
    upstream: Upstream,
    /// Lines of `[swap]`.
    swap: &'static str,
}

impl Scene {
    pub(crate) async fn new(swap: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("filters")).expect("made");
        let scene = Self {
            folder,
            upstream: Upstream::always(Script::json(200, &json!({"ok": true}))).await,
            swap,
        };
        scene.drop_in("mine", &fs::read(guest::GATE).expect("it is built"));
        scene.configure("");
        scene
    }

    pub(crate) fn configuration(&self, sections: &str) -> String {
        format!(
            "[server]\ndrain-timeout = \"5s\"\nreload = \"1h\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"\n\
             [plugins]\ndir = \"filters\"\ncache = \"\"\n[state]\ndir = \"state\"\n[swap]\n{}\n\
             [[listener]]\nlisten = \"127.0.0.1:0\"\n\
             [upstream.main]\ntargets = [\"{}\"]\n\
             [[route]]\npath = \"/x\"\npipeline = [\"mine\"]\nupstream = \"main\"\n{sections}",
            self.swap,
            self.upstream.url()
        )
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("sluicegate.toml")
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join("filters").join(name)
    }

    pub(crate) fn configure(&self, sections: &str) {
        replace(&self.file(), self.configuration(sections));
    }

    /// A file in the folder, as a copy that is renamed into place.
    pub(crate) fn drop_in(&self, name: &str, component: &[u8]) {
        replace(&self.at(&format!("{name}.wasm")), component);
    }

    pub(crate) async fn start(&self) -> Running {
        let gateway = Gateway::start_from(&self.file()).await.expect("it starts");
        Running { gateway }
    }
}

/// A gateway that runs in a [`Scene`].
pub(crate) struct Running {
    pub(crate) gateway: Gateway,
}

impl Running {
    pub(crate) fn admin(&self) -> Client {
        let bearer = format!("Bearer {TOKEN}");
        self.gateway.admin().with("authorization", &bearer)
    }

    pub(crate) async fn plugin(&self, name: &str) -> Value {
        self.admin().get(&format!("/plugins/{name}")).await.json()
    }

    pub(crate) async fn live(&self) -> String {
        let plugin = self.plugin("mine").await;
        plugin["version_id"].as_str().expect("it is live").into()
    }

    /// Waits until another version than this one is live, and returns it.
    async fn another_than(&self, version: &str) -> String {
        eventually("another version", async || {
            let live = self.live().await;
            (live != version).then_some(live)
        })
        .await
    }

    /// Waits until a version of `mine` is rejected, at this stage, and returns it.
    pub(crate) async fn rejected(&self, stage: &str) -> Value {
        eventually(&format!("a rejection at {stage}"), async || {
            let plugin = self.plugin("mine").await;
            let versions = plugin["versions"].as_array()?.clone();
            let mut versions = versions.into_iter();
            versions.find(|it| it["rejected"]["stage"] == stage)
        })
        .await
    }

    async fn post(&self, path: &str) -> (u16, Value) {
        let response = self.admin().request(Method::POST, path, "").await;
        (response.status, response.json())
    }

    pub(crate) async fn get(&self) -> u16 {
        self.gateway.client().get("/x").await.status
    }

    /// As many requests that make the gate trap as roll a version back.
    async fn trap_five(&self) {
        let client = self.gateway.client().with(guest::FIELD, "check=trap");
        for _ in 0..5 {
            assert_eq!(client.get("/x").await.status, 502);
        }
    }

    pub(crate) async fn stop(self) {
        self.gateway.shutdown().await;
    }
}

fn replace(path: &Path, content: impl AsRef<[u8]>) {
    let beside = path.with_extension("new");
    fs::write(&beside, content).expect("written");
    fs::rename(&beside, path).expect("renamed");
}

/// The same component with another hash: a custom section with this byte is added.
pub(crate) fn variant(file: &str, byte: u8) -> Vec<u8> {
    let mut component = fs::read(file).expect("it is built");
    component.extend([0, 3, 1, b'v', byte]);
    component
}

#[tokio::test]
async fn a_component_in_the_folder_is_a_plugin_whose_new_versions_are_picked_up() {
    let scene = Scene::new("").await;
    let running = scene.start().await;
    assert_eq!(running.get().await, 200);
    let first = running.live().await;
    scene.drop_in("mine", &variant(guest::GATE, 1));
    let second = running.another_than(&first).await;
    assert_eq!(running.get().await, 200);
    let plugin = running.plugin("mine").await;
    let states: Vec<_> = plugin["versions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| (it["version_id"].clone(), it["state"].clone()))
        .collect();
    assert_eq!(states[0], (json!(second), json!("live")));
    // It is on probation: the first one is held.
    assert_eq!(states[1], (json!(first), json!("draining")));
    let version = &plugin["versions"][0];
    assert_eq!(version["generation"], 2);
    assert_eq!(version["figures"]["exchanges"], 0);
    assert!(version["figures"]["calls"].as_u64() > Some(1), "{version}");
    assert!(
        version["figures"]["instance_bytes"].as_u64() > Some(0),
        "{version}"
    );
    // What is in the folder and in no route is known, too.
    scene.drop_in("spare", b"");
    assert_eq!(running.plugin("spare").await["state"], "discovered");
    // A configuration beside it.
    replace(
        &scene.at("mine.toml"),
        "on-fault = \"closed\"\nlimits.cpu = \"7ms\"\n",
    );
    running.another_than(&second).await;

    // A file that is in use is gone: the version stays, and the reason is said.
    fs::remove_file(scene.at("mine.wasm")).expect("removed");
    let problem = eventually("a refusal", async || {
        let status = running.admin().get("/config").await.json();
        Some(status["refused"]["problems"][0].clone()).filter(Value::is_object)
    })
    .await;
    assert_eq!(problem["key"], "route[0].pipeline[0]");
    assert!(
        problem["message"]
            .as_str()
            .is_some_and(|it| it.contains("mine"))
    );
    assert_eq!(running.get().await, 200);
    running.stop().await;
}

#[tokio::test]
async fn what_cannot_be_used_is_rejected_at_its_stage_and_is_not_tried_again() {
    let scene = Scene::new("").await;
    let running = scene.start().await;
    let first = running.live().await;
    let gate = fs::read(guest::GATE).expect("it is built");
    for (component, stage) in [
        (gate[..gate.len() / 2].to_vec(), "compile"),
        (b"\0asm\x01\0\0\0".to_vec(), "format"),
        (b"#!/bin/sh".to_vec(), "format"),
        // A component with nothing in it.
        (b"\0asm\x0d\0\x01\0".to_vec(), "contract"),
    ] {
        scene.drop_in("mine", &component);
        let version = running.rejected(stage).await;
        let mend = version["rejected"]["mend"].as_str();
        assert!(mend.is_some_and(|mend| !mend.is_empty()), "{version}");
        assert_eq!(
            (running.get().await, running.live().await),
            (200, first.clone())
        );
    }
    // The same again is not loaded again, though the operator asks for it.
    let count = |plugin: &Value| plugin["versions"].as_array().map(Vec::len);
    let before = running.plugin("mine").await;
    let (status, config) = running.post("/reload").await;
    assert_eq!(
        (status, &config["kept"][0]["key"]),
        (422, &json!("plugin.mine.source"))
    );
    let after = running.plugin("mine").await;
    assert_eq!(
        before["versions"][0]["since_ms"],
        after["versions"][0]["since_ms"]
    );
    assert_eq!(count(&before), count(&after));

    // `configure` fails in all ways: a section with a name of its own.
    for (deed, stage) in [
        ("trap", "configure"),
        ("memory", "configure"),
        ("refuse", "configure"),
    ] {
        scene.drop_in("mine", &variant(guest::GATE, 9));
        let beside = format!("config.configure = \"{deed}\"\n");
        replace(&scene.at("mine.toml"), beside);
        eventually("a refusal", async || {
            let plugin = running.plugin("mine").await;
            let version = &plugin["versions"][0]["rejected"];
            (version["stage"] == stage).then_some(())
        })
        .await;
        assert_eq!(
            (running.get().await, running.live().await),
            (200, first.clone())
        );
        fs::remove_file(scene.at("mine.toml")).expect("removed");
        scene.drop_in("mine", &gate);
        eventually("the first version, and nothing refused", async || {
            let status = running.admin().get("/config").await.json();
            (status["refused"].is_null() && status["kept"] == json!([])).then_some(())
        })
        .await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_version_whose_faults_rise_is_rolled_back_by_itself_and_stays_so() {
    let scene = Scene::new("rollback = \"1m\"").await;
    let running = scene.start().await;
    let first = running.live().await;
    scene.drop_in("mine", &variant(guest::GATE, 1));
    let second = running.another_than(&first).await;
    let client = running.gateway.client().with(guest::FIELD, "check=trap");
    running.trap_five().await;
    let rejected = running.rejected("traffic").await;
    assert_eq!(rejected["version_id"], json!(second));
    assert_eq!(running.live().await, first);
    assert_eq!(running.get().await, 200);
    let metrics = running.admin().get("/metrics").await.text();
    let series = "sluicegate_plugin_rollbacks_total{plugin=\"mine\"} 1\n";
    assert!(metrics.contains(series), "{metrics}");
    let status = running.admin().get("/config").await.json();
    assert_eq!(status["kept"][0]["key"], "plugin.mine.source");

    // The first version does not fault more than it does: it stays.
    for _ in 0..10 {
        assert_eq!(client.get("/x").await.status, 502);
    }
    // Neither a reload nor a restart brings the second one back.
    assert_eq!(running.post("/reload").await.0, 422);
    assert_eq!(running.live().await, first);
    running.stop().await;
    let running = scene.start().await;
    assert_eq!(running.live().await, first);
    assert_eq!(
        running.rejected("traffic").await["version_id"],
        json!(second)
    );
    // The operator does.
    let (status, config) = running.post("/plugins/mine/activate").await;
    assert_eq!((status, &config["kept"]), (200, &json!([])));
    assert_eq!(running.live().await, second);
    // Another version is another matter.
    scene.drop_in("mine", &variant(guest::GATE, 2));
    running.another_than(&second).await;
    running.stop().await;
}

#[tokio::test]
async fn a_version_that_has_proved_itself_is_not_rolled_back() {
    let scene = Scene::new("rollback = \"300ms\"").await;
    let running = scene.start().await;
    let first = running.live().await;
    scene.drop_in("mine", &variant(guest::GATE, 1));
    let second = running.another_than(&first).await;
    eventually("the end of the probation", async || {
        let plugin = running.plugin("mine").await;
        (plugin["versions"][1]["state"] == "dropped").then_some(())
    })
    .await;
    let client = running.gateway.client().with(guest::FIELD, "check=trap");
    for _ in 0..20 {
        assert_eq!(client.get("/x").await.status, 502);
    }
    assert_eq!(running.live().await, second);
    // By hand it can be: its component was kept.
    let (status, plugin) = running.post("/plugins/mine/rollback").await;
    assert_eq!((status, &plugin["version_id"]), (200, &json!(first)));
    assert_eq!(
        running.rejected("operator").await["version_id"],
        json!(second)
    );
    let (status, refused) = running.post("/plugins/mine/rollback").await;
    assert_eq!(status, 409, "{refused}");
    running.stop().await;
    let running = scene.start().await;
    assert_eq!(running.live().await, first);
    running.stop().await;
}

#[tokio::test]
async fn a_section_that_makes_a_plugin_fault_is_rolled_back_and_nothing_else() {
    let scene = Scene::new("rollback = \"1m\"").await;
    let keys = |names: &[&str]| {
        let key = |name: &&str| format!("{{ name = \"{name}\", key = \"sk-{name}\" }}");
        let keys: Vec<_> = names.iter().map(key).collect();
        format!(
            "[[route]]\npath = \"/y\"\npipeline = [\"auth\", \"mine\"]\nupstream = \"main\"\n\
             [plugin.auth]\nsource = \"builtin:auth\"\nconfig.keys = [{}]\n",
            keys.join(", ")
        )
    };
    scene.configure(&keys(&["a", "leaked"]));
    let running = scene.start().await;
    let first = running.live().await;
    let leaked = running.gateway.client().with("x-api-key", "sk-leaked");
    assert_eq!(leaked.get("/y").await.status, 200);

    let section = "[plugin.mine]\nsource = \"filters/mine.wasm\"\nlimits.cpu = \"1s\"\n";
    scene.configure(&(keys(&["a", "leaked"]) + section));
    let second = running.another_than(&first).await;
    // A key is revoked meanwhile.
    scene.configure(&(keys(&["a"]) + section));
    eventually("the end of the key", async || {
        let status = leaked.get("/y").await.status;
        (status == 401).then_some(())
    })
    .await;
    running.trap_five().await;
    let rejected = running.rejected("traffic").await;
    assert_eq!(rejected["version_id"], json!(second));
    assert_eq!(running.live().await, first);
    assert_eq!(leaked.get("/y").await.status, 401, "it stays revoked");
    let status = running.admin().get("/config").await.json();
    assert_eq!(status["refused"], Value::Null);
    assert_eq!(status["kept"][0]["key"], "plugin.mine.source");

    // Other edits are applied, and the version stays, until the section changes.
    scene.configure(&(keys(&["a", "b"]) + section));
    let other = running.gateway.client().with("x-api-key", "sk-b");
    eventually("another key", async || {
        let status = other.get("/y").await.status;
        (status == 200).then_some(())
    })
    .await;
    assert_eq!(running.live().await, first);
    assert_eq!(running.post("/reload").await.0, 422);
    // A restart knows no other one than the version that is configured, and says so.
    running.stop().await;
    let running = scene.start().await;
    assert_eq!(running.live().await, second);
    let status = running.admin().get("/config").await.json();
    let message = status["kept"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("used all the same"), "{status}");
    scene.configure(&(keys(&["a"]) + &section.replace("\"1s\"", "\"2s\"")));
    running.another_than(&second).await;
    running.stop().await;
}

/// A route through a new plugin, whose calls fail.
const NEW: &str = "[[route]]\npath = \"/new\"\npipeline = [\"new\"]\nupstream = \"main\"\n";

async fn new_traps(running: &Running) {
    let client = running.gateway.client().with(guest::FIELD, "check=trap");
    eventually("the new route", async || {
        let status = client.get("/new").await.status;
        (status != 404).then_some(())
    })
    .await;
    for _ in 0..4 {
        client.get("/new").await;
    }
}

#[tokio::test]
async fn an_edit_that_adds_a_plugin_that_faults_is_undone() {
    let scene = Scene::new("rollback = \"1m\"").await;
    let running = scene.start().await;
    scene.drop_in("new", &fs::read(guest::GATE).expect("it is built"));
    scene.configure(NEW);
    new_traps(&running).await;
    eventually("the end of the route", async || {
        let status = running.gateway.client().get("/new").await.status;
        (status == 404).then_some(())
    })
    .await;
    assert_eq!(running.get().await, 200);
    let status = running.admin().get("/config").await.json();
    let message = status["kept"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("the configuration before"), "{status}");
    // It is refused as long as nothing of the plugin changes.
    assert_eq!(running.post("/reload").await.0, 422);
    scene.drop_in("new", &variant(guest::GATE, 1));
    eventually("the route again", async || {
        let status = running.gateway.client().get("/new").await.status;
        (status == 200).then_some(())
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn an_edit_that_does_more_than_to_add_a_plugin_is_not_undone() {
    let scene = Scene::new("rollback = \"1m\"").await;
    let running = scene.start().await;
    scene.drop_in("new", &fs::read(guest::GATE).expect("it is built"));
    let server = "[server]\n";
    let text = scene.configuration(NEW);
    let text = text.replace(server, "[server]\nheartbeat = \"1s\"\n");
    replace(&scene.file(), text);
    new_traps(&running).await;
    let message = eventually("a word about it", async || {
        let status = running.admin().get("/config").await.json();
        status["kept"][0]["message"].as_str().map(str::to_owned)
    })
    .await;
    assert!(message.contains("cannot be rolled back"), "{message}");
    assert_eq!(running.gateway.client().get("/new").await.status, 200);
    running.stop().await;
}

#[tokio::test]
async fn four_faults_do_not_roll_a_version_back() {
    let scene = Scene::new("rollback = \"1s\"").await;
    let running = scene.start().await;
    let first = running.live().await;
    scene.drop_in("mine", &variant(guest::GATE, 1));
    let second = running.another_than(&first).await;
    let client = running.gateway.client().with(guest::FIELD, "check=trap");
    for _ in 0..4 {
        assert_eq!(client.get("/x").await.status, 502);
    }
    eventually("the end of the probation", async || {
        let plugin = running.plugin("mine").await;
        (plugin["versions"][1]["state"] == "dropped").then_some(())
    })
    .await;
    assert_eq!(running.live().await, second);
    running.stop().await;
}

#[tokio::test]
async fn a_file_that_does_not_fit_its_place_is_rejected_and_the_rest_is_applied() {
    let scene = Scene::new("").await;
    let running = scene.start().await;
    let first = running.live().await;
    // An observer cannot be a stage.
    scene.drop_in("mine", &fs::read(guest::OBSERVER).expect("it is built"));
    running.rejected("place").await;
    assert_eq!(
        (running.live().await, running.get().await),
        (first.clone(), 200)
    );
    scene.configure("[[route]]\npath = \"/y\"\npipeline = [\"mine\"]\nupstream = \"main\"\n");
    eventually("the route", async || {
        let status = running.gateway.client().get("/y").await.status;
        (status == 200).then_some(())
    })
    .await;
    assert_eq!(running.live().await, first);
    running.stop().await;
}

#[tokio::test]
async fn components_that_nobody_can_go_back_to_are_not_kept() {
    let scene = Scene::new("rollback = \"1h\"").await;
    let running = scene.start().await;
    let mut live = running.live().await;
    for byte in 1..6 {
        scene.drop_in("mine", &variant(guest::GATE, byte));
        live = running.another_than(&live).await;
    }
    let kept = || {
        let files = fs::read_dir(scene.folder.path().join("state")).expect("a folder");
        let names = files.map(|it| it.expect("a file").file_name());
        names
            .filter(|it| it.to_string_lossy().ends_with(".wasm"))
            .count()
    };
    // That in force, and the first one, to which it can be rolled back.
    eventually("two components", async || (kept() == 2).then_some(())).await;
    running.stop().await;
}

#[tokio::test]
async fn without_a_state_folder_a_rollback_works_until_the_gateway_stops() {
    let scene = Scene::new("rollback = \"200ms\"").await;
    let text = scene
        .configuration("")
        .replace("dir = \"state\"", "dir = \"\"");
    replace(&scene.file(), text);
    let running = scene.start().await;
    let first = running.live().await;
    scene.drop_in("mine", &variant(guest::GATE, 1));
    let second = running.another_than(&first).await;
    eventually("the end of the probation", async || {
        let plugin = running.plugin("mine").await;
        (plugin["versions"][1]["state"] == "dropped").then_some(())
    })
    .await;
    assert_eq!(running.post("/plugins/mine/rollback").await.0, 200);
    assert_eq!(running.live().await, first);
    running.stop().await;
    assert!(!scene.folder.path().join("state").exists());
    let running = scene.start().await;
    assert_eq!(running.live().await, second);
    running.stop().await;
}

#[tokio::test]
async fn a_rollback_does_not_wait_for_a_plugin_that_is_compiled() {
    let scene = Scene::new("rollback = \"1m\"").await;
    let running = scene.start().await;
    let first = running.live().await;
    scene.drop_in("mine", &variant(guest::GATE, 1));
    let second = running.another_than(&first).await;
    // Its `configure` computes until its budget of seconds is used up.
    fs::copy(guest::GATE, scene.at("slow.wasm")).expect("copied");
    fs::write(scene.at("slow.toml"), "config.configure = \"loop\"\n").expect("written");
    let text = scene
        .configuration("")
        .replace("[\"mine\"]", "[\"mine\", \"slow\"]");
    replace(&scene.file(), text);
    eventually("the slow one", async || {
        let plugin = running.plugin("slow").await;
        (plugin["state"] == "loading").then_some(())
    })
    .await;
    running.trap_five().await;
    assert_eq!(
        running.rejected("traffic").await["version_id"],
        json!(second)
    );
    assert_eq!(running.plugin("slow").await["state"], "loading");
    assert_eq!(running.live().await, first);
    eventually("the slow one is rejected", async || {
        let plugin = running.plugin("slow").await;
        (plugin["versions"][0]["rejected"]["stage"] == "configure").then_some(())
    })
    .await;
    assert_eq!(running.live().await, first);
    running.stop().await;
}

#[tokio::test]
async fn a_gateway_starts_with_what_it_remembers_as_bad_if_there_is_nothing_else() {
    let scene = Scene::new("rollback = \"1m\"").await;
    let running = scene.start().await;
    let first = running.live().await;
    scene.drop_in("mine", &variant(guest::GATE, 1));
    let second = running.another_than(&first).await;
    running.trap_five().await;
    running.rejected("traffic").await;
    running.stop().await;
    // The component to go back to is lost.
    for file in fs::read_dir(scene.folder.path().join("state")).expect("a folder") {
        let file = file.expect("a file").path();
        if file.extension().is_some_and(|it| it == "wasm") {
            fs::remove_file(file).expect("removed");
        }
    }
    let running = scene.start().await;
    assert_eq!(running.live().await, second);
    assert_eq!(running.get().await, 200);
    running.stop().await;
}
