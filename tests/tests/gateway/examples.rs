//! The configurations under `examples/`, each in front of simulated model servers: they are legal as they stand, and do what
//! their comments promise.

use serde_json::{Value, json};
use sluicegate_sim::{Pace, Vendor};
use sluicegate_tests::{Client, Gateway, eventually};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::common::CHAT;

const KEY: &str = "sk-client";

/// A simulated model server: its address as an example has it, and where it is here.
struct Server {
    written: &'static str,
    here: String,
}

/// The model servers of one example, as long as this exists.
#[derive(Default)]
struct Servers {
    all: Vec<Server>,
    tasks: JoinSet<()>,
}

impl Servers {
    async fn add(&mut self, written: &'static str, vendor: Vendor) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let here = listener.local_addr().expect("it is bound").to_string();
        self.tasks.spawn(async move {
            // It ends with the test.
            let _ = vendor.serve(listener, Pace::FULL_SPEED).await;
        });
        self.all.push(Server { written, here });
    }

    /// The example's gateway, on ports of the test's own, without the chat page.
    async fn start(&self, example: &str) -> Gateway {
        let mut toml = example
            .replace("127.0.0.1:8080", "127.0.0.1:0")
            .replace("127.0.0.1:9180", "127.0.0.1:0");
        for server in &self.all {
            assert!(toml.contains(server.written), "{}", server.written);
            toml = toml.replace(server.written, &server.here);
        }
        let env = |name: &str| match name {
            // As its comments say.
            name if !example.contains(name) => None,
            "SLUICEGATE_API_KEY" | "TEAM_A_KEY" | "VLLM_KEY" => Some(KEY.to_owned()),
            "TEAM_B_KEY" => Some("sk-team-b".to_owned()),
            _ => None,
        };
        Gateway::start_in(&toml, &env)
            .await
            .expect("a legal configuration")
    }
}

fn client(gateway: &Gateway) -> Client {
    gateway
        .client()
        .with("authorization", &format!("Bearer {KEY}"))
}

fn question(model: &str, stream: bool) -> Value {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "/echo one two"}]})
}

/// Asks a model, streamed and not; both responses are those of OpenAI's API, and the client's own name of the model is in them.
async fn talks(gateway: &Gateway, model: &str) {
    let whole = client(gateway).post(CHAT, &question(model, false)).await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    let json = whole.json();
    assert_eq!(json["choices"][0]["message"]["content"], "one two");
    assert_eq!(
        (&json["model"], &json["choices"][0]["finish_reason"]),
        (&json!(model), &json!("stop"))
    );
    let stream = client(gateway).post(CHAT, &question(model, true)).await;
    let chat = stream.streamed_chat();
    assert_eq!((chat.content.as_str(), chat.done), ("one two", true));
    let stranger = gateway.client().post(CHAT, &question(model, false)).await;
    assert_eq!(stranger.status, 401);
}

async fn lists(gateway: &Gateway, names: &[&str]) {
    eventually("the list of models", async || {
        let list = client(gateway).get("/v1/models").await;
        let list = list.json();
        let models = list["data"].as_array()?;
        let has = |name: &&str| models.iter().any(|model| model["id"] == **name);
        names.iter().all(has).then_some(())
    })
    .await;
}

#[tokio::test]
async fn ollama() {
    let mut servers = Servers::default();
    servers.add("127.0.0.1:11434", Vendor::Ollama).await;
    let gateway = servers
        .start(include_str!("../../../examples/ollama/sluicegate.toml"))
        .await;
    talks(&gateway, "demo").await;
    lists(&gateway, &["demo", "qwen3:32b"]).await;
    let other = gateway.client().with("x-api-key", "sk-team-b");
    assert_eq!(other.post(CHAT, &question("demo", false)).await.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn vllm() {
    let mut servers = Servers::default();
    servers.add("127.0.0.1:8000", Vendor::Vllm).await;
    servers.add("127.0.0.1:8001", Vendor::Vllm).await;
    let gateway = servers
        .start(include_str!("../../../examples/vllm/sluicegate.toml"))
        .await;
    let models = client(&gateway).get("/v1/models").await.json();
    let model = models["data"][0]["id"]
        .as_str()
        .expect("a model")
        .to_owned();
    // One replica, then the other.
    talks(&gateway, &model).await;
    talks(&gateway, &model).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn tgi() {
    let mut servers = Servers::default();
    servers.add("127.0.0.1:3000", Vendor::Tgi).await;
    let gateway = servers
        .start(include_str!("../../../examples/tgi/sluicegate.toml"))
        .await;
    talks(&gateway, "qwen3").await;
    lists(&gateway, &["qwen3"]).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn mixed() {
    let toml = include_str!("../../../examples/mixed/sluicegate.toml");
    // All three are there, then only the later ones of the fallbacks.
    for there in [
        [true, true, true],
        [false, true, true],
        [false, false, true],
    ] {
        let mut servers = Servers::default();
        let all = [
            ("127.0.0.1:11434", Vendor::Ollama),
            ("127.0.0.1:8000", Vendor::Vllm),
            ("127.0.0.1:3000", Vendor::Tgi),
        ];
        for (is_there, (written, vendor)) in there.into_iter().zip(all) {
            if is_there {
                servers.add(written, vendor).await;
            }
        }
        let mut gone = Vec::new();
        // The simulated vLLM has the same models as the simulated Ollama.
        let mut toml = toml.replace("Qwen/Qwen3-32B", "qwen3:32b");
        for (is_there, (written, _)) in there.into_iter().zip(all) {
            if !is_there {
                let (socket, address) = sluicegate_tests::upstream::closed_port();
                toml = toml.replace(written, &address.to_string());
                gone.push(socket);
            }
        }
        let gateway = servers.start(&toml).await;
        talks(&gateway, "large").await;
        lists(&gateway, &["large"]).await;
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn the_configuration_in_the_manifests_of_kubernetes_is_legal() {
    let manifests = include_str!("../../../examples/kubernetes/sluicegate.yaml");
    let (_, text) = manifests
        .split_once("sluicegate.toml: |\n")
        .expect("it is there");
    let (text, _) = text.split_once("\n---").expect("it ends");
    let lines = text
        .lines()
        .map(|line| line.strip_prefix("    ").unwrap_or(line));
    let toml = lines.collect::<Vec<_>>().join("\n");
    let folder = tempfile::tempdir().expect("a folder");
    let toml = toml
        .replace("/plugins", folder.path().to_str().expect("UTF-8"))
        .replace("0.0.0.0:8080", "127.0.0.1:0")
        .replace("0.0.0.0:9180", "127.0.0.1:0");
    let secrets = ["SLUICEGATE_API_KEY", "SLUICEGATE_ADMIN_TOKEN"];
    let env = |name: &str| secrets.contains(&name).then(|| KEY.to_owned());
    let gateway = Gateway::start_in(&toml, &env).await;
    gateway.expect("a legal configuration").shutdown().await;
}

#[test]
fn the_dashboard_shows_metrics_that_exist() {
    let dashboard = include_str!("../../../examples/grafana/dashboard.json");
    let _: Value = serde_json::from_str(dashboard).expect("JSON");
    let names = include_str!("../../../host/telemetry/src/names.rs");
    let found: std::collections::BTreeSet<_> = dashboard
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("sluicegate_"))
        .map(|word| word.trim_end_matches("_bucket").trim_end_matches("_total"))
        .collect();
    assert!(found.len() > 15);
    for name in found {
        assert!(names.contains(&format!("\"{name}\"")), "{name}");
    }
}
