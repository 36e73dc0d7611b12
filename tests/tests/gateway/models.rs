//! The list of models, and single ones.

use serde_json::json;
use sluicegate_tests::{Script, Setup, Upstream};

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
