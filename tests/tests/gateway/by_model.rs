//! Routing by model: who is asked, under which name, and what the client sees of it.

use serde_json::{Value, json};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Client, Gateway, Script, Setup, Upstream, guest, logs};

use crate::common::{CHAT, assert_error, obliging, with};

/// A question to this model.
fn question_to(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Hi?"}]})
}

/// An Ollama that says this, and has no models in its list.
async fn says(text: &'static str) -> Upstream {
    let chat = obliging(ollama::stream(&[text]), ollama::document(text));
    Upstream::start(move |request| match request.path() {
        "/api/tags" => Script::json(200, &json!({"models": []})),
        _ => chat(request),
    })
    .await
}

/// What was said, and by which model, as the client sees it; streamed or not.
async fn answer(client: &Client, model: &str, stream: bool) -> (String, String) {
    let body = with(question_to(model), "stream", json!(stream));
    let response = client.post(CHAT, &body).await;
    assert_eq!(response.status, 200, "{}", response.text());
    if stream {
        let events = response.events();
        let chunks: Vec<Value> = events
            .iter()
            .filter(|event| event.data != "[DONE]")
            .map(|event| event.json())
            .collect();
        let content = |chunk: &Value| {
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        };
        let said = chunks.iter().filter_map(content).collect();
        for chunk in &chunks {
            assert_eq!(chunk["model"], chunks[0]["model"]);
        }
        (
            said,
            chunks[0]["model"].as_str().expect("a name").to_owned(),
        )
    } else {
        let json = response.json();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        (
            text(&json["choices"][0]["message"]["content"]),
            text(&json["model"]),
        )
    }
}

/// The upstream `ollama` is the route's own; `second` and `third` are Ollamas, too.
struct Scene {
    own: Upstream,
    second: Upstream,
    third: Upstream,
}

impl Scene {
    async fn new() -> Self {
        Self {
            own: says("own").await,
            second: says("second").await,
            third: says("third").await,
        }
    }

    fn setup(&self, models: &str) -> Setup {
        let section = |name: &str, upstream: &Upstream| {
            format!(
                "[upstream.{name}]\nadapter = \"ollama\"\ntargets = [\"{}\"]\nkey = \"sk-{name}\"\n",
                upstream.url()
            )
        };
        Setup::before(&self.own)
            .section(&section("second", &self.second))
            .section(&section("third", &self.third))
            .section(models)
    }

    async fn start(&self, models: &str) -> Gateway {
        self.setup(models).chat().start().await
    }
}

#[tokio::test]
async fn a_model_is_asked_where_it_is_served_under_its_name_there() {
    let scene = Scene::new().await;
    let models = "[[model]]\nname = \"qwen3*\"\nupstream = \"second\"\nas = \"qwen3:32b\"\n\
                  [[model]]\nname = \"qwen3-tiny\"\nupstream = \"third\"\n\
                  [[model]]\nname = \"*\"\nupstream = \"ollama\"\n";
    let gateway = scene.start(models).await;
    let client = gateway.client();
    for stream in [false, true] {
        for (model, said, upstream, there) in [
            ("qwen3", "second", &scene.second, "qwen3:32b"),
            ("qwen3-big", "second", &scene.second, "qwen3:32b"),
            ("qwen3-tiny", "third", &scene.third, "qwen3-tiny"),
            ("llama3", "own", &scene.own, "llama3"),
        ] {
            let (text, name) = answer(&client, model, stream).await;
            assert_eq!((text.as_str(), name.as_str()), (said, model));
            assert_eq!(upstream.next_request().await.json()["model"], there);
        }
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_model_that_nobody_serves_is_not_found_and_nobody_is_asked() {
    let scene = Scene::new().await;
    let models = "[[model]]\nname = \"qwen3:32b\"\nupstream = \"second\"\n";
    let gateway = scene.start(models).await;
    let response = gateway.client().chat(&question_to("qwen3:32")).await;
    assert_error(&response, 404, "model_not_found");
    let error = response.error();
    assert_eq!(error["param"], "model");
    let message = error["message"].as_str().expect("a text");
    assert!(message.contains("`qwen3:32b`"), "{message}");
    let long = gateway.client().chat(&question_to(&"x".repeat(1000))).await;
    assert_error(&long, 404, "model_not_found");
    assert!(long.body.len() < 1000);
    // The list is of what is served, too.
    let list = gateway.client().get("/v1/models").await;
    assert_eq!(list.status, 200, "{}", list.text());
    assert_eq!(list.json()["data"][0]["id"], "qwen3:32b");
    assert_eq!(list.json()["data"][1], Value::Null);
    for upstream in [&scene.own, &scene.second, &scene.third] {
        assert_eq!(upstream.requests().len(), 0);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_fallback_is_asked_under_its_own_name_of_the_model() {
    let scene = Scene::new().await;
    // It may be asked again at once, so the second request meets it too.
    let busy = Script::status(503)
        .field("content-type", "application/json")
        .field("retry-after", "0")
        .body(json!({"error": "busy"}).to_string());
    let busy = Upstream::always(busy).await;
    let busy_section = format!(
        "[upstream.busy]\nadapter = \"ollama\"\ntargets = [\"{}\"]\n",
        busy.url()
    );
    let models = "[[model]]\nname = \"alias\"\nupstream = \"busy\"\nas = \"first:7b\"\n\
                  fallback = [{ upstream = \"second\", as = \"second:7b\" }, { upstream = \"third\" }]\n";
    let gateway = scene.setup(&(busy_section + models)).chat().start().await;
    let client = gateway.client();
    for stream in [false, true] {
        let id = logs::id();
        let client = client.clone().with("x-request-id", &id);
        let (text, name) = answer(&client, "alias", stream).await;
        assert_eq!((text.as_str(), name.as_str()), ("second", "alias"));
        assert_eq!(busy.next_request().await.json()["model"], "first:7b");
        assert_eq!(
            scene.second.next_request().await.json()["model"],
            "second:7b"
        );
        let seen = logs::seen(&id).await;
        assert_eq!(
            (&seen["attempts"], &seen["upstream"]),
            (&json!(2), &json!("second"))
        );
    }
    assert_eq!(scene.third.requests().len(), 0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_upstream_that_a_stage_chooses_wins() {
    let scene = Scene::new().await;
    let models = "[[model]]\nname = \"*\"\nupstream = \"second\"\nas = \"other\"\n";
    let gateway = scene
        .setup(models)
        .stages("", "")
        .plugin(
            "pin",
            "builtin:rewrite",
            "config.rules = [{ exact = \"/v1/chat/completions\", upstream = \"third\" }]",
        )
        .route(
            CHAT,
            r#"["pin", "auth", "aggregate"]"#,
            "methods = [\"POST\"]",
        )
        .start()
        .await;
    let (text, name) = answer(&gateway.client(), "mine", false).await;
    assert_eq!((text.as_str(), name.as_str()), ("third", "mine"));
    assert_eq!(scene.third.next_request().await.json()["model"], "mine");
    assert_eq!(scene.second.requests().len(), 0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_key_that_a_stage_sets_goes_to_the_routes_own_upstream_alone() {
    let scene = Scene::new().await;
    let models = "[[model]]\nname = \"far\"\nupstream = \"second\"\n\
                  [[model]]\nname = \"near\"\nupstream = \"ollama\"\nfallback = [{ upstream = \"third\" }]\n";
    let gateway = scene
        .setup(models)
        .stages("", "")
        .plugin("key", guest::GATE, "")
        .route(
            CHAT,
            r#"["auth", "key", "aggregate"]"#,
            "methods = [\"POST\"]",
        )
        .start()
        .await;
    let client = gateway.client().with(guest::FIELD, "check=key");
    answer(&client, "far", false).await;
    let far = scene.second.next_request().await;
    assert_eq!(far.header("authorization"), Some("Bearer sk-second"));
    answer(&client, "near", false).await;
    let near = scene.own.next_request().await;
    let sent = near.header("authorization").expect("the stage's");
    assert!(
        !sent.contains("sk-second") && !sent.contains("sk-third"),
        "{sent}"
    );
    gateway.shutdown().await;
}
