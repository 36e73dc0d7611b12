//! `/debug`: what the card says of each layer, to whom, and that it leaves no trace.

use serde_json::json;

use super::{World, answered};

#[tokio::test]
async fn debug_shows_the_chain_and_leaves_no_trace() {
    let world = World::new().await;
    let target = json!({ "target": "127.0.0.1:11434", "state": "up", "circuit": "open", "version": "0.12.3" });
    let upstreams = json!({ "upstreams": [{ "name": "ollama", "targets": [target] }] });
    world.fake.page("/readyz", 503, &json!({ "ready": false }));
    world.fake.page("/upstreams", 200, &upstreams);
    world.fake.page(
        "/plugins",
        200,
        &json!({ "plugins": [{ "name": "auth" }, { "name": "ollama" }] }),
    );
    let (mut ann, session) = answered(&world, "q", "a").await;
    let shown = ann.sub(&session).await;
    let request = shown["messages"][1]["run"]["request_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    world.fake.page(
        &format!("/exchanges/{request}"),
        200,
        &json!({ "status": 200, "ttft_ms": 3.4, "ms": 8, "stages_ms": 1, "route": "chat" }),
    );
    let sent = ann.send(Some(&session), "/debug\nignored").await;
    assert_eq!(
        (sent["status"].as_str(), sent["message"].is_null()),
        (Some("card"), true)
    );
    let card = &sent["card"];
    let row = |section: usize, id: &str| {
        let rows = card["sections"][section]["rows"].as_array().expect("rows");
        rows.iter()
            .find(|row| row["id"] == id)
            .unwrap_or_else(|| panic!("{id} in {card}"))
            .clone()
    };
    let names: Vec<_> = card["sections"]
        .as_array()
        .expect("sections")
        .iter()
        .map(|s| s["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(names, ["gateway", "proxy", "model", "connection"]);
    assert_eq!(row(0, "connections")["value"], 1);
    assert_eq!(row(1, "reachable")["value"], true);
    assert_eq!(
        (
            row(1, "circuit")["level"].as_str(),
            row(1, "circuit")["hint"]["code"].as_str()
        ),
        (Some("bad"), Some("circuit_open"))
    );
    assert_eq!(row(1, "plugins")["value"], json!(["auth", "ollama"]));
    assert_eq!(card["sections"][1]["level"], "bad");
    assert_eq!(row(2, "target")["value"], "127.0.0.1:11434");
    assert_eq!(row(2, "version")["value"], "0.12.3");
    assert_eq!(row(3, "conn")["value"], ann.welcome["conn"]);
    assert_eq!(
        card["requests"][0]["layers"][1],
        json!({ "layer": "proxy", "ttft_ms": 3, "ms": 8 })
    );
    assert_eq!(
        card["requests"][0]["layers"][2],
        json!({ "layer": "model", "ms": 7 })
    );
    let traced = ann
        .ok("cmd", &json!({ "name": "debug", "args": request }))
        .await["card"]
        .clone();
    assert_eq!(
        (traced["kind"].as_str(), traced["found"].as_bool()),
        (Some("trace"), Some(true))
    );
    assert_eq!(traced["layers"][0]["facts"]["session"], session.as_str());
    assert_eq!(traced["layers"][1]["facts"]["route"], "chat");
    assert!(world.fake.idle().await, "no model was asked");
    let after = ann.sub(&session).await;
    assert_eq!(
        (&after["seq"], after["messages"].as_array().map(Vec::len)),
        (&shown["seq"], Some(2)),
        "nothing was stored"
    );
    let literal = ann.send(Some(&session), "//debug").await;
    let call = world.fake.call().await;
    assert_eq!(call.told().last().map(String::as_str), Some("user: /debug"));
    call.answer("?").await;
    ann.ended(&session, literal["run"].as_str().expect("a run"))
        .await;
}

#[tokio::test]
async fn debug_shows_each_model_server_and_only_what_is_known_of_it() {
    let world = World::new().await;
    let upstreams = json!({ "upstreams": [{ "name": "ollama", "targets": [
        { "target": "a:1", "state": "up", "reason": null, "version": "0.12.3", "loaded": ["m1"] },
        { "target": "b:2", "state": "up", "reason": null, "version": "0.12.4", "loaded": [] },
        { "target": "c:3", "state": "down", "reason": "refused", "version": null, "loaded": null },
    ] }] });
    world.fake.page("/upstreams", 200, &upstreams);
    let mut ann = world.ann().await;
    let card = ann.ok("cmd", &json!({ "name": "debug" })).await["card"].clone();
    let rows = card["sections"][2]["rows"].as_array().expect("rows");
    let shown: Vec<_> = rows
        .iter()
        .filter(|row| ["target", "version", "loaded"].contains(&row["id"].as_str().expect("an id")))
        .map(|row| {
            (
                row["id"].clone(),
                row["value"].clone(),
                row["level"].clone(),
            )
        })
        .collect();
    let expected = [
        ("target", json!("a:1"), "ok"),
        ("version", json!("0.12.3"), "ok"),
        ("loaded", json!(["m1"]), "ok"),
        ("target", json!("b:2"), "ok"),
        ("version", json!("0.12.4"), "ok"),
        ("loaded", json!([]), "ok"),
        ("target", json!("c:3"), "bad"),
    ]
    .map(|(id, value, level)| (json!(id), value, json!(level)));
    assert_eq!(shown, expected);
    let down = rows
        .iter()
        .find(|row| row["value"] == "c:3")
        .expect("it is there");
    assert_eq!(
        (&down["hint"]["code"], &down["hint"]["subject"]),
        (&json!("model_down"), &json!("c:3"))
    );
}

#[tokio::test]
async fn debug_tells_what_is_down_and_without_the_right_only_that() {
    let nobody = super::Fake::start().await;
    let (url, address) = (nobody.url(), nobody.address.to_string());
    drop(nobody);
    let world = World::with(|settings| {
        settings.endpoint.clone_from(&url);
        settings.admin = Some(url);
    })
    .await;
    let mut ann = world.ann().await;
    let card = ann.ok("cmd", &json!({ "name": "debug" })).await["card"].clone();
    let reachable = &card["sections"][1]["rows"][1];
    assert_eq!(
        (
            reachable["value"].as_bool(),
            reachable["hint"]["code"].as_str()
        ),
        (Some(false), Some("proxy_down"))
    );
    assert_eq!(reachable["hint"]["subject"], address.as_str());
    let mut bob = world.bob().await;
    let card = bob.ok("cmd", &json!({ "name": "debug" })).await["card"].clone();
    let ids: Vec<_> = card["sections"]
        .as_array()
        .expect("sections")
        .iter()
        .map(|s| s["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(ids, ["proxy", "model"]);
    assert_eq!(card["requests"], json!([]));
}
