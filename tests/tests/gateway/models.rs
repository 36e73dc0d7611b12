//! The list of models, and single ones.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sluicegate_tests::client::Response;
use sluicegate_tests::upstream::{Request, closed_port};
use sluicegate_tests::{Gateway, Script, Setup, Upstream, eventually, logs};

#[tokio::test]
async fn models_are_listed_and_found_by_names_with_slashes_and_colons() {
    let tags = json!({"models": [
        {"name": "qwen3:32b", "model": "qwen3:32b", "modified_at": "2026-08-01T10:00:00.5Z", "size": 1},
        {"name": "someone/tuned:7b", "model": "someone/tuned:7b", "modified_at": "2026-08-01T12:00:00+02:00", "size": 1},
        {"name": "demo:latest", "model": "demo:latest", "modified_at": "2026-08-01T10:00:00Z", "size": 1},
    ]});
    let upstream = Upstream::always(Script::json(200, &tags)).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let list = gateway.client().get("/v1/models").await;
    assert_eq!(
        (list.status, list.header("content-type")),
        (200, "application/json")
    );
    assert_eq!(list.json()["object"], "list");
    let ids: Vec<_> = list.json()["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|model| model["id"].clone())
        .collect();
    assert_eq!(ids, ["qwen3:32b", "someone/tuned:7b", "demo:latest"]);
    let asked = upstream.next_request().await;
    assert_eq!(
        (
            asked.method.as_str(),
            asked.target.as_str(),
            asked.body.len()
        ),
        ("GET", "/api/tags", 0)
    );
    for (path, id) in [
        ("/v1/models/qwen3:32b", "qwen3:32b"),
        ("/v1/models/qwen3%3A32b", "qwen3:32b"),
        ("/v1/models/someone/tuned:7b", "someone/tuned:7b"),
        ("/v1/models/someone%2Ftuned%3A7b", "someone/tuned:7b"),
        ("/v1/models/demo", "demo:latest"),
        ("/v1/models/Demo:Latest", "demo:latest"),
        ("/v1/models/QWEN3:32B", "qwen3:32b"),
        ("/v1/models/Someone%2FTuned%3A7B", "someone/tuned:7b"),
        ("/v1/models/qwen3:32b?limit=3", "qwen3:32b"),
    ] {
        let model = gateway.client().get(path).await;
        assert_eq!(
            (model.status, &model.json()["id"]),
            (200, &json!(id)),
            "{path}"
        );
        assert_eq!(
            (&model.json()["object"], &model.json()["created"]),
            (&json!("model"), &json!(1_785_578_400))
        );
    }
    for path in [
        "/v1/models/nobody",
        "/v1/models/qwen3",
        "/v1/models/%00",
        "/v1/models/%25",
    ] {
        let missing = gateway.client().get(path).await;
        assert_eq!(
            (
                missing.status,
                &missing.error()["code"],
                &missing.error()["param"]
            ),
            (404, &json!("model_not_found"), &json!("model")),
            "{path}"
        );
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_server_without_models_has_an_empty_list() {
    for nothing in [json!({"models": []}), json!({"models": null}), json!({})] {
        let upstream = Upstream::always(Script::json(200, &nothing)).await;
        let gateway = Setup::before(&upstream).chat().start().await;
        assert_eq!(
            gateway.client().get("/v1/models").await.json(),
            json!({"object": "list", "data": []})
        );
        gateway.shutdown().await;
    }
}

/// Beside it, the gateway keeps the lists itself.
const CHECKED: &str = "health = { interval = \"20ms\" }";

/// An Ollama with these models, and one that embeds.
fn with_models(names: &'static [&'static str]) -> impl Fn(&Request) -> Script + Send + Sync {
    move |request| match request.path() {
        "/api/tags" => {
            let models: Vec<_> = names
                .iter()
                .map(|name| json!({"name": name, "details": {"context_length": 4096}}))
                .chain([json!({"name": "embed", "capabilities": ["embedding"]})])
                .collect();
            Script::json(200, &json!({"models": models}))
        }
        _ => Script::json(200, &json!({"version": "1.0", "models": []})),
    }
}

fn ids(list: &Value) -> Vec<String> {
    let models = list["data"].as_array().expect("a list");
    let id = |model: &Value| model["id"].as_str().expect("a name").to_owned();
    models.iter().map(id).collect()
}

/// Waits until the gateway has the list of each of these model servers: it asks for it beside a health check.
async fn filled(upstreams: &[&Upstream]) {
    for upstream in upstreams {
        eventually("a second list", async || {
            let all = upstream.requests();
            let lists = all.iter().filter(|request| request.path() == "/api/tags");
            let own =
                lists.filter(|request| request.header("user-agent") == Some("sluicegate-health"));
            // When the second one is asked for, the first one has arrived.
            (own.count() > 1).then_some(())
        })
        .await;
    }
}

/// The response to a client, and how many requests it led to.
async fn get(gateway: &Gateway, path: &str, upstreams: &[&Upstream]) -> (Response, usize) {
    let id = logs::id();
    let response = gateway.client().with("x-request-id", &id).get(path).await;
    let of_client = |upstream: &&Upstream| {
        let all = upstream.requests();
        let own = all
            .iter()
            .filter(|request| request.header("x-request-id") == Some(&id));
        own.count()
    };
    (response, upstreams.iter().map(of_client).sum())
}

#[tokio::test]
async fn a_list_that_is_known_costs_the_model_server_nothing() {
    let upstream = Upstream::start(with_models(&["demo:latest", "someone/tuned:7b"])).await;
    upstream.script_health();
    let setup = Setup::before(&upstream).upstream(CHECKED);
    let gateway = setup.chat().start().await;
    filled(&[&upstream]).await;
    let (list, asked) = get(&gateway, "/v1/models", &[&upstream]).await;
    let demo = json!({"id": "demo:latest", "object": "model", "created": 0, "owned_by": "library", "context_length": 4096});
    let tuned = json!({"id": "someone/tuned:7b", "object": "model", "created": 0, "owned_by": "someone", "context_length": 4096});
    let embed = json!({"id": "embed", "object": "model", "created": 0, "owned_by": "library", "capabilities": ["embedding"]});
    assert_eq!(
        (list.status, list.header("content-type"), asked),
        (200, "application/json", 0)
    );
    assert_eq!(
        list.json(),
        json!({"object": "list", "data": [demo, tuned, embed]})
    );
    for (path, model) in [
        ("/v1/models/demo:latest", &demo),
        ("/v1/models/DEMO", &demo),
        ("/v1/models/someone%2Ftuned%3A7b", &tuned),
        ("/v1/models/embed?x=1", &embed),
    ] {
        let (response, asked) = get(&gateway, path, &[&upstream]).await;
        assert_eq!((response.status, asked), (200, 0), "{path}");
        assert_eq!(&response.json(), model, "{path}");
    }
    let upstreams = gateway.admin().get("/upstreams").await.json();
    assert_eq!(upstreams["upstreams"][0]["targets"][0]["models"], 3);
    // It may be new: nobody but the model server knows.
    let (missing, asked) = get(&gateway, "/v1/models/new", &[&upstream]).await;
    assert_eq!((missing.status, asked), (404, 1));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_list_is_of_those_servers_that_are_up_and_of_now() {
    let names: Arc<Mutex<Vec<&str>>> = Arc::new(Mutex::new(vec!["first"]));
    let served = names.clone();
    let upstream = Upstream::start(move |request| {
        let names = served.lock().expect("no panic").clone();
        match (request.path(), names.is_empty()) {
            (_, true) => Script::json(503, &json!({"error": "loading"})),
            ("/api/tags", false) => {
                let models: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
                Script::json(200, &json!({"models": models}))
            }
            _ => Script::json(200, &json!({"version": "1.0", "models": []})),
        }
    })
    .await;
    upstream.script_health();
    let setup = Setup::before(&upstream).upstream(CHECKED);
    let gateway = setup.chat().start().await;
    for now in [
        vec!["first"],
        vec!["second", "first"],
        vec![],
        vec!["third"],
    ] {
        names.lock().expect("no panic").clone_from(&now);
        eventually("the list of now", async || {
            let list = gateway.client().get("/v1/models").await;
            match list.status {
                200 => (ids(&list.json()) == now).then_some(()),
                // The model server's own response, as without a list.
                503 => now.is_empty().then_some(()),
                other => panic!("{other}: {}", list.text()),
            }
        })
        .await;
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn models_that_are_routed_are_listed_under_their_names_here() {
    let one = Upstream::start(with_models(&["qwen3:32b", "llama3:8b", "secret"])).await;
    let two = Upstream::start(with_models(&["qwen3:8b", "llama3:8b"])).await;
    one.script_health();
    two.script_health();
    let models = format!(
        "[upstream.two]\nadapter = \"ollama\"\ntargets = [\"{}\"]\n{CHECKED}\n
         [[model]]\nname = \"fast\"\nupstream = \"two\"\nas = \"QWEN3:8B\"\n
         [[model]]\nname = \"gone\"\nupstream = \"two\"\nas = \"nowhere\"\n
         [[model]]\nname = \"big\"\nupstream = \"two\"\nas = \"nowhere\"\nfallback = [{{ upstream = \"ollama\", as = \"qwen3:32b\" }}]\n
         [[model]]\nname = \"llama*\"\nupstream = \"ollama\"\nfallback = [{{ upstream = \"two\" }}]\n
         [[model]]\nname = \"gpt-*\"\nupstream = \"two\"\nas = \"qwen3:8b\"\n",
        two.url()
    );
    let gateway = Setup::before(&one)
        .upstream(CHECKED)
        .section(&models)
        .chat()
        .start()
        .await;
    let both = [&one, &two];
    filled(&both).await;
    let (list, asked) = get(&gateway, "/v1/models", &both).await;
    assert_eq!((list.status, asked), (200, 0));
    // What no name lets through is not there: `secret`, `embed`, and the servers' own names.
    assert_eq!(ids(&list.json()), ["fast", "gone", "big", "llama3:8b"]);
    let lengths: Vec<_> = list.json()["data"].as_array().expect("a list").clone();
    let lengths: Vec<_> = lengths
        .iter()
        .map(|it| it.get("context_length").cloned())
        .collect();
    let known = Some(json!(4096));
    assert_eq!(lengths, [known.clone(), None, known.clone(), known.clone()]);
    for (name, status, length) in [
        ("fast", 200, known.clone()),
        ("gone", 200, None),
        // A pattern with a fixed model behind it cannot be listed, but whoever knows a name finds it.
        ("gpt-4o", 200, known.clone()),
        ("llama3:8b", 200, known),
        ("qwen3:8b", 404, None),
        ("secret", 404, None),
    ] {
        let (model, asked) = get(&gateway, &format!("/v1/models/{name}"), &both).await;
        assert_eq!((model.status, asked), (status, 0), "{name}");
        if status == 200 {
            let model = model.json();
            assert_eq!(
                (&model["id"], model.get("context_length")),
                (&json!(name), length.as_ref())
            );
        } else {
            assert_eq!(model.error()["code"], "model_not_found");
        }
    }
    // Whoever serves it may have it since a moment ago.
    let (model, asked) = get(&gateway, "/v1/models/llama9", &both).await;
    assert_eq!((model.status, asked), (404, 1));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_list_of_routed_models_needs_one_server_that_is_up() {
    let one = Upstream::start(with_models(&["a"])).await;
    let (_kept, closed) = closed_port();
    let gone = format!("http://{closed}");
    let model = "[[model]]\nname = \"alias\"\nupstream = \"ollama\"\n[[model]]\nname = \"*\"\nupstream = \"two\"\n";
    let two = |url: &str| {
        format!("[upstream.two]\nadapter = \"ollama\"\ntargets = [\"{url}\"]\n{CHECKED}\n")
    };
    let setup = |url: &str, other: &str| {
        Setup::before_url(url)
            .upstream(CHECKED)
            .section(&(two(other) + model))
            .chat()
    };
    let gateway = setup(&gone, &one.url()).start().await;
    eventually("the list", async || {
        let list = gateway.client().get("/v1/models").await;
        (list.status == 200 && ids(&list.json()) == ["alias", "a", "embed"]).then_some(())
    })
    .await;
    gateway.shutdown().await;

    let gateway = setup(&gone, &gone).start().await;
    eventually("an error", async || {
        let list = gateway.client().get("/v1/models").await;
        (list.status == 502 && list.error()["code"] == "upstream_unreachable").then_some(())
    })
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_list_that_is_too_large_to_keep_is_asked_for_each_time() {
    // Just above 4 MiB before the adapter, and as much behind it.
    let models: Vec<_> = (0..65_536)
        .map(|index| json!({"name": format!("model-{index:08}"), "digest": "0123456789abcdef0123456789abcdef"}))
        .collect();
    let tags = json!({"models": models});
    assert!(tags.to_string().len() > 4 * 1024 * 1024);
    let upstream = Upstream::start(move |request| match request.path() {
        "/api/tags" => Script::json(200, &tags),
        _ => Script::json(200, &json!({"version": "1.0", "models": []})),
    })
    .await;
    upstream.script_health();
    // Not more often: such a list is much work.
    let setup = Setup::before(&upstream).upstream("health = { interval = \"500ms\" }");
    let gateway = setup.chat().start().await;
    filled(&[&upstream]).await;
    let (list, asked) = get(&gateway, "/v1/models", &[&upstream]).await;
    assert_eq!(
        (list.status, ids(&list.json()).len(), asked),
        (200, 65_536, 1)
    );
    gateway.shutdown().await;
}
