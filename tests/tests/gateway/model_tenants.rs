//! Models that are for some tenants: for all others there is no such model, neither to ask nor to see.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use sluicegate::builtin;
use sluicegate_config as config;
use sluicegate_gateway::snapshot;
use sluicegate_gateway::supply::Supply;
use sluicegate_tests::client::Response;
use sluicegate_tests::gateway::loader;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Client, Gateway, Script, Setup, Upstream, eventually};

use crate::common::{CHAT, assert_error, obliging};

const KEYS: &str = r#"{ name = "a", key = "sk-a" }, { name = "b", key = "sk-b" }, { name = "v", key = "sk-v", tenant = "vip-1" }"#;

fn question_to(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Hi?"}]})
}

/// An Ollama that says this, and has these models.
async fn says(text: &'static str, models: &'static [&'static str]) -> Upstream {
    let chat = obliging(ollama::stream(&[text]), ollama::document(text));
    let upstream = Upstream::start(move |request| match request.path() {
        "/api/tags" => {
            let models: Vec<_> = models.iter().map(|name| json!({"name": name})).collect();
            Script::json(200, &json!({"models": models}))
        }
        "/api/version" | "/api/ps" => Script::json(200, &json!({"version": "1.0", "models": []})),
        _ => chat(request),
    })
    .await;
    upstream.script_health();
    upstream
}

/// The route's own Ollama, and another one, each with a list that is known.
struct Scene {
    own: Upstream,
    other: Upstream,
}

impl Scene {
    async fn new() -> Self {
        Self {
            own: says("own", &["open:latest", "secret:latest", "small:latest"]).await,
            other: says("other", &["big:70b"]).await,
        }
    }

    /// Checked so often that the lists are soon there.
    fn setup(&self, models: &str) -> Setup {
        let other = format!(
            "[upstream.other]\nadapter = \"ollama\"\ntargets = [\"{}\"]\nhealth = {{ interval = \"20ms\" }}\n",
            self.other.url()
        );
        Setup::before(&self.own)
            .upstream("health = { interval = \"20ms\" }")
            .section(&(other + models))
    }

    async fn start(&self, models: &str) -> Gateway {
        let gateway = self.setup(models).chat_with(KEYS, "").start().await;
        self.filled().await;
        gateway
    }

    /// Waits until the gateway has both lists: when a second one is asked for, the first one has arrived.
    async fn filled(&self) {
        for upstream in [&self.own, &self.other] {
            eventually("a second list", async || {
                let requests = upstream.requests();
                let lists = requests.iter().filter(|it| it.path() == "/api/tags");
                (lists.count() > 1).then_some(())
            })
            .await;
        }
    }

    /// The models that clients have asked for since the last call, first those of the own Ollama.
    fn asked(&self) -> [Vec<Value>; 2] {
        [&self.own, &self.other].map(|upstream| {
            let requests = upstream.requests();
            let chats = requests.iter().filter(|it| it.path() == "/api/chat");
            chats.map(|chat| chat.json()["model"].clone()).collect()
        })
    }
}

fn client(gateway: &Gateway, key: &str) -> Client {
    gateway.client().with("x-api-key", key)
}

async fn said(client: &Client, model: &str) -> String {
    let response = client.post(CHAT, &question_to(model)).await;
    assert_eq!(response.status, 200, "{model}: {}", response.text());
    let text = &response.json()["choices"][0]["message"]["content"];
    text.as_str().expect("a text").to_owned()
}

/// What an error says, apart from what is different in each.
fn error(response: &Response) -> (u16, Value, Arc<str>) {
    let kind = response.header("content-type").into();
    (response.status, response.json(), kind)
}

fn ids(list: &Response) -> Vec<String> {
    assert_eq!(list.status, 200, "{}", list.text());
    let list = list.json();
    let models = list["data"].as_array().expect("a list").iter();
    models
        .map(|it| it["id"].as_str().expect("a name").to_owned())
        .collect()
}

const MODELS: &str = "[[model]]\nname = \"secret\"\ntenants = [\"a\", \"vip-*\"]\nupstream = \"ollama\"\n\
     [[model]]\nname = \"gpt\"\nupstream = \"ollama\"\nas = \"small:latest\"\n\
     [[model]]\nname = \"gpt\"\ntenants = [\"a\"]\nupstream = \"other\"\nas = \"big:70b\"\n\
     [[model]]\nname = \"*\"\nupstream = \"ollama\"\n";

#[tokio::test]
async fn others_get_the_answer_for_a_model_that_does_not_exist_and_nobody_is_asked() {
    let scene = Scene::new().await;
    // Nothing lets other names through.
    let (models, _) = MODELS.rsplit_once("[[model]]").expect("several");
    let gateway = scene.start(models).await;
    let (a, b, vip) = (
        client(&gateway, "sk-a"),
        client(&gateway, "sk-b"),
        client(&gateway, "sk-v"),
    );
    assert_eq!(said(&a, "secret").await, "own");
    assert_eq!(said(&vip, "secret").await, "own");
    for stream in [false, true] {
        let ask = async |model: &str| {
            let mut question = question_to(model);
            question["stream"] = json!(stream);
            b.post(CHAT, &question).await
        };
        let (kept, missing) = (ask("secret").await, ask("nobody").await);
        assert_error(&kept, 404, "model_not_found");
        let (kept, missing) = (error(&kept), error(&missing));
        let text = kept.1.to_string().replace("`secret`", "`nobody`");
        assert_eq!(
            (kept.0, text, kept.2),
            (missing.0, missing.1.to_string(), missing.2)
        );
        assert!(missing.1.to_string().contains("`gpt`"), "{}", missing.1);
    }
    let (kept, missing) = (
        b.get("/v1/models/secret").await,
        b.get("/v1/models/nobody").await,
    );
    assert_error(&kept, 404, "model_not_found");
    assert_eq!(
        kept.text().replace("`secret`", "`nobody`"),
        missing.text(),
        "the same"
    );
    assert_eq!(a.get("/v1/models/secret").await.status, 200);
    assert_eq!(
        scene.asked(),
        [vec![json!("secret"), json!("secret")], vec![]]
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn each_tenant_sees_a_list_of_its_own() {
    let scene = Scene::new().await;
    let gateway = scene.start(MODELS).await;
    let list = async |key: &str| ids(&client(&gateway, key).get("/v1/models").await);
    // What `*` lets through has Ollama's spelling. `secret:latest` is another spelling of what `b` must not see.
    let open = ["open:latest", "small:latest"];
    assert_eq!(list("sk-b").await, ["gpt", open[0], open[1]]);
    let kept = ["secret", "gpt", open[0], "secret:latest", open[1]];
    assert_eq!(list("sk-a").await, kept);
    assert_eq!(list("sk-v").await, kept);
    gateway.shutdown().await;

    // Where nothing is left, the list is empty.
    let (models, _) = MODELS.split_once("[[model]]\nname = \"gpt\"").expect("two");
    let gateway = scene.setup(models).chat_with(KEYS, "").start().await;
    assert_eq!(
        ids(&client(&gateway, "sk-b").get("/v1/models").await),
        Vec::<String>::new()
    );
    assert_eq!(
        ids(&client(&gateway, "sk-a").get("/v1/models").await),
        ["secret"]
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_tenants_own_entry_comes_first_and_no_pattern_or_spelling_leads_around_one() {
    let scene = Scene::new().await;
    let gateway = scene.start(MODELS).await;
    let (a, b) = (client(&gateway, "sk-a"), client(&gateway, "sk-b"));
    assert_eq!(said(&a, "gpt").await, "other");
    assert_eq!(said(&b, "gpt").await, "own");
    assert_eq!(said(&b, "open").await, "own");
    for spelling in ["library/secret", "registry.ollama.ai/library/secret:latest"] {
        let response = b.post(CHAT, &question_to(spelling)).await;
        assert_error(&response, 404, "model_not_found");
    }
    for spelling in ["secret", "secret:latest", "SECRET", "Secret:Latest"] {
        let response = b.post(CHAT, &question_to(spelling)).await;
        assert_error(&response, 404, "model_not_found");
        let shown = b.get(&format!("/v1/models/{spelling}")).await;
        assert_error(&shown, 404, "model_not_found");
    }
    // A body that the gateway cannot read names no model, and some servers would take their only one.
    let unnamed = b.post(CHAT, &json!({"messages": []})).await;
    assert_error(&unnamed, 400, "missing_required_parameter");
    let form = b.clone().with("content-type", "multipart/form-data");
    let form = form.post(CHAT, &question_to("secret")).await;
    assert_error(&form, 400, "missing_required_parameter");
    assert_eq!(
        scene.asked(),
        [
            vec![json!("small:latest"), json!("open")],
            vec![json!("big:70b")]
        ]
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_upstream_that_a_stage_chooses_is_no_way_around_either() {
    let scene = Scene::new().await;
    let gateway = scene
        .setup("[[model]]\nname = \"big*\"\ntenants = [\"a\"]\nupstream = \"ollama\"\n")
        .stages(KEYS, "")
        .plugin(
            "pin",
            "builtin:rewrite",
            "config.rules = [{ prefix = \"/v1/\", upstream = \"other\" }]",
        )
        .route("/v1/*", r#"["auth", "pin", "aggregate"]"#, "")
        .start()
        .await;
    scene.filled().await;
    let (a, b) = (client(&gateway, "sk-a"), client(&gateway, "sk-b"));
    assert_eq!(said(&a, "big:70b").await, "other");
    assert_eq!(said(&b, "tiny").await, "other");
    let refused = b.post(CHAT, &question_to("big:70b")).await;
    assert_error(&refused, 404, "model_not_found");
    assert_eq!(b.get("/v1/models/big:70b").await.status, 404);
    assert_eq!(ids(&a.get("/v1/models").await), ["big:70b"]);
    assert_eq!(ids(&b.get("/v1/models").await), Vec::<String>::new());
    assert_eq!(
        scene.asked(),
        [vec![], vec![json!("big:70b"), json!("tiny")]]
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn fronts_hide_them_too() {
    let scene = Scene::new().await;
    let gateway = scene
        .setup(MODELS)
        .stages(KEYS, "")
        .plugin("ollama-api", "builtin:ollama-api", "")
        .plugin("anthropic", "builtin:anthropic", "")
        .route("/api/*", r#"["ollama-api", "auth", "aggregate"]"#, "")
        .route("/v1/messages", r#"["anthropic", "auth", "aggregate"]"#, "")
        .start()
        .await;
    scene.filled().await;
    let (a, b) = (client(&gateway, "sk-a"), client(&gateway, "sk-b"));
    let tags = async |client: &Client| {
        let tags = client.get("/api/tags").await.json();
        let models = tags["models"].as_array().expect("a list").clone();
        let names = models.iter().map(|it| it["name"].clone());
        names.collect::<Vec<_>>()
    };
    let is_secret = |name: &Value| name.as_str().is_some_and(|it| it.starts_with("secret"));
    assert!(tags(&a).await.iter().any(is_secret));
    let seen = tags(&b).await;
    assert!(!seen.is_empty() && !seen.iter().any(is_secret), "{seen:?}");
    let show = async |client: &Client, model: &str| {
        let response = client.post("/api/show", &json!({"model": model})).await;
        (response.status, response.text())
    };
    assert_eq!(show(&a, "secret").await.0, 200);
    let (status, text) = show(&b, "secret").await;
    let missing = show(&b, "big:70b-x").await;
    assert_eq!(status, 404);
    // The pattern lets that name through, and Ollama does not have it: the front says the same.
    assert_eq!((status, text.replace("secret", "big:70b-x")), missing);
    let message = json!({"model": "secret", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi?"}]});
    assert_eq!(a.post("/v1/messages", &message).await.status, 200);
    let refused = b.post("/v1/messages", &message).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["type"]),
        (404, &json!("not_found_error"))
    );
    let chat = b.post("/api/chat", &question_to("secret")).await;
    assert_eq!(chat.status, 404);
    assert_eq!(scene.asked()[0], [json!("secret")]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn without_a_tenant_it_is_nobodys() {
    let scene = Scene::new().await;
    // Without keys, `auth` calls everybody `anonymous`; the second route has no gate at all.
    let gateway = scene
        .setup(MODELS)
        .stages("", "")
        .route(CHAT, r#"["auth", "aggregate"]"#, "")
        .route("/v1/completions", r#"["aggregate"]"#, "")
        .route("/v1/models", "[]", "")
        .start()
        .await;
    scene.filled().await;
    let client = gateway.client();
    let chat = client.post(CHAT, &question_to("secret")).await;
    assert_error(&chat, 404, "model_not_found");
    let completion = json!({"model": "secret", "prompt": "Hi?"});
    let completion = client.post("/v1/completions", &completion).await;
    assert_error(&completion, 404, "model_not_found");
    let list = ids(&client.get("/v1/models").await);
    assert_eq!(list, ["gpt", "open:latest", "small:latest"]);
    assert_eq!(scene.asked(), [vec![], vec![]] as [Vec<Value>; 2]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn check_warns_of_routes_on_which_nobody_is_sure_to_be_a_tenant() {
    let warnings = async |pipeline: &str, path: &str, adapter: &str| {
        let text = format!(
            "[[listener]]\nlisten = \"127.0.0.1:1\"\n\
             [upstream.main]\n{adapter}\ntargets = [\"http://127.0.0.1:11434\"]\n\
             [plugin.auth]\nsource = \"builtin:auth\"\nconfig.keys = [{{ name = \"a\", key = \"k\" }}]\n\
             [plugin.open]\nsource = \"builtin:auth\"\n\
             [plugin.ollama-api]\nsource = \"builtin:ollama-api\"\n\
             [[route]]\npath = {path:?}\npipeline = {pipeline}\nupstream = \"main\"\n\
             [[model]]\nname = \"m\"\nupstream = \"main\"\n\
             [[model]]\nname = \"s\"\ntenants = [\"a\"]\nupstream = \"main\"\n"
        );
        let config = config::parse(&text, Path::new("/"), &|_| None).expect("legal by itself");
        let supply = Supply::new(loader(), builtin::PLUGINS, None);
        let prepared = snapshot::prepare(config, &supply, None).await;
        let prepared = prepared.unwrap_or_else(|problems| panic!("{problems}"));
        let found = prepared.warnings().iter().map(|warning| {
            assert_eq!(warning.key, "model[1].tenants");
            assert!(warning.line.is_some() && warning.message.contains(path));
            warning.message.contains("authenticates")
        });
        found.collect::<Vec<_>>()
    };
    let ollama = "adapter = \"ollama\"";
    let none: [bool; 0] = [];
    assert_eq!(warnings(r#"["auth"]"#, CHAT, ollama).await, none);
    assert_eq!(warnings(r#"["auth"]"#, "/v1/*", ollama).await, none);
    assert_eq!(warnings(r#"["open"]"#, CHAT, ollama).await, [true]);
    assert_eq!(warnings("[]", "/v1/models", ollama).await, [true]);
    assert_eq!(warnings("[]", "/v1/models/*", ollama).await, [true]);
    assert_eq!(
        warnings(r#"["ollama-api"]"#, "/api/*", ollama).await,
        [true]
    );
    // Without an adapter the upstream serves whatever is below the path.
    assert_eq!(warnings(r#"["auth"]"#, CHAT, "").await, none);
    assert_eq!(warnings(r#"["auth"]"#, "/v1/*", "").await, [false]);
    assert_eq!(warnings(r#"["auth"]"#, "/api/chat", "").await, [false]);
    assert_eq!(warnings(r#"["open"]"#, "/*", "").await, [true, false]);
}
