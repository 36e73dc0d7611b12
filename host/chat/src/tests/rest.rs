//! The REST API.

use serde_json::{Value, json};

use super::http::{Http, raw};
use super::{ANN, BOB, World, answered, running};

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn sessions_can_be_made_changed_binned_and_brought_back() {
    let world = World::new().await;
    let http = Http::new(&world);
    let own = bearer(ANN);
    let own = [("authorization", own.as_str())];
    let made = http
        .post("/api/v1/sessions", &own, &json!({ "title": "One" }))
        .await;
    assert_eq!(
        (made.status, made.json["session"]["title"].as_str()),
        (201, Some("One"))
    );
    let path = format!(
        "/api/v1/sessions/{}",
        made.json["session"]["id"].as_str().expect("an id")
    );
    let got = http.get(&path, &own).await;
    assert_eq!(got.headers["etag"], "\"0\"");
    let with = [own[0], ("if-match", "\"0\"")];
    let patched = http
        .call(
            "PATCH",
            &path,
            &with,
            Some(&json!({ "title": "Two", "archived": true })),
        )
        .await;
    assert_eq!(
        (patched.status, patched.json["session"]["title"].as_str()),
        (200, Some("Two"))
    );
    assert_eq!(
        http.call("PATCH", &path, &with, Some(&json!({ "title": "Three" })))
            .await
            .status,
        412
    );
    assert_eq!(
        http.get("/api/v1/sessions", &own).await.json["sessions"],
        json!([])
    );
    assert_eq!(
        http.get("/api/v1/sessions?archived=1", &own).await.json["sessions"][0]["title"],
        "Two"
    );
    assert!(
        http.call("DELETE", &path, &own, Some(&json!({})))
            .await
            .json["session"]["deleted_at"]
            .is_u64()
    );
    assert_eq!(
        http.get("/api/v1/sessions?deleted=true", &own).await.json["sessions"][0]["title"],
        "Two"
    );
    assert_eq!(
        http.post(&format!("{path}/messages"), &own, &json!({ "text": "t" }))
            .await
            .status,
        404
    );
    let back = http
        .post(&format!("{path}/restore"), &own, &json!({}))
        .await;
    assert!(back.json["session"]["deleted_at"].is_null());
    for (method, path, status) in [
        ("GET", "/api/v1/sessions/ses_none", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/sessions?limit=x", 400),
        ("POST", "/api/v1/sessions", 400),
        ("GET", "/v1/models", 404),
    ] {
        let body = (method == "POST").then(|| json!([1]));
        let answer = http.call(method, path, &own, body.as_ref()).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.json["error"]["code"].is_string(), "{}", answer.text);
    }
}

#[tokio::test]
async fn the_list_is_paged_in_order_with_pinned_sessions_first() {
    let world = World::new().await;
    let mut ann = world.ann().await;
    let mut made = Vec::new();
    for n in 0..7 {
        let created = ann
            .ok("sessions.create", &json!({ "title": n.to_string() }))
            .await;
        made.push(created["session"]["id"].clone());
    }
    ann.ok(
        "sessions.patch",
        &json!({ "session": made[2], "pinned": true }),
    )
    .await;
    let mut titles = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let page = ann
            .ok("sessions.list", &json!({ "limit": 3, "cursor": cursor }))
            .await;
        titles.extend(
            page["sessions"]
                .as_array()
                .expect("sessions")
                .iter()
                .map(|s| s["title"].as_str().expect("a title").to_owned()),
        );
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    let whole = ann.ok("sessions.list", &json!({ "limit": 100 })).await;
    let whole = whole["sessions"].as_array().expect("sessions");
    let in_one: Vec<_> = whole
        .iter()
        .map(|s| s["title"].as_str().expect("a title"))
        .collect();
    assert_eq!(titles, in_one, "the pages together are the list");
    assert_eq!((titles.len(), titles[0].as_str()), (7, "2"));
    let times: Vec<_> = whole[1..]
        .iter()
        .map(|s| s["updated_at"].as_u64())
        .collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "latest first: {times:?}");
}

#[tokio::test]
async fn a_program_gets_its_answer_as_one_json_or_as_frames() {
    let world = World::new().await;
    let http = Http::new(&world);
    let own = bearer(ANN);
    let made = http
        .post("/api/v1/sessions", &[("authorization", &own)], &json!({}))
        .await;
    let path = format!(
        "/api/v1/sessions/{}/messages",
        made.json["session"]["id"].as_str().expect("an id")
    );
    let keyed = [("authorization", own.as_str()), ("idempotency-key", "k1")];
    let body = json!({ "text": "q", "options": { "temperature": 0 } });
    let (answer, ()) = tokio::join!(http.post(&path, &keyed, &body), async {
        world.fake.call().await.answer("whole").await;
    });
    assert_eq!(
        (answer.status, answer.json["answer"]["text"].as_str()),
        (200, Some("whole"))
    );
    let again = http.post(&path, &keyed, &body).await;
    assert_eq!(
        (
            again.json["dup"].as_bool(),
            again.json["answer"]["text"].as_str()
        ),
        (Some(true), Some("whole"))
    );
    let body = json!({ "text": "q2", "stream": true });
    let (answer, ()) = tokio::join!(http.post(&path, &keyed[..1], &body), async {
        let mut call = world.fake.call().await;
        call.begin().await;
        call.text("in ").await;
        call.text("pieces").await;
        call.finish("stop").await;
    });
    assert!(
        answer.headers["content-type"]
            .to_str()
            .expect("text")
            .starts_with("text/event-stream")
    );
    let frames: Vec<Value> = answer
        .text
        .split("\n\n")
        .filter_map(|event| serde_json::from_str(event.strip_prefix("data: ")?).ok())
        .collect();
    let text: String = frames
        .iter()
        .filter(|f| f["type"] == "delta")
        .map(|f| f["text"].as_str().expect("text"))
        .collect();
    assert_eq!(text, "in pieces");
    assert_eq!(frames.last().expect("frames")["ev"], "run.ended");
    assert!(world.fake.idle().await);
}

#[tokio::test]
async fn runs_messages_usage_models_and_colours_can_be_asked_for() {
    let world = World::new().await;
    let (mut ann, session) = answered(&world, "q", "a").await;
    let http = Http::new(&world);
    let own = bearer(ANN);
    let own = [("authorization", own.as_str())];
    let page = http
        .get(
            &format!("/api/v1/sessions/{session}/messages?limit=1"),
            &own,
        )
        .await;
    assert_eq!(
        (
            page.json["messages"][0]["text"].as_str(),
            page.json["more"].as_bool()
        ),
        (Some("a"), Some(true))
    );
    let run = page.json["messages"][0]["run"]["id"]
        .as_str()
        .expect("a run")
        .to_owned();
    assert_eq!(
        http.get(&format!("/api/v1/runs/{run}"), &own).await.json["finish"],
        "stop"
    );
    assert_eq!(
        http.post(&format!("/api/v1/runs/{run}/stop"), &own, &json!({}))
            .await
            .json["stopping"],
        false
    );
    let usage = http.get("/api/v1/usage", &own).await;
    assert_eq!(
        (
            usage.json["days"][0]["runs"].as_u64(),
            usage.json["days"][0]["out"].as_u64()
        ),
        (Some(1), Some(11))
    );
    assert_eq!(
        http.get("/api/v1/usage?from=2026-02-30", &own).await.status,
        400
    );
    let models = http.get("/api/v1/models", &own).await;
    assert_eq!(
        models.json["models"],
        json!([{ "id": "m1", "default": true }, { "id": "m2" }])
    );
    let coloured = http
        .post(
            "/api/v1/highlight",
            &own,
            &json!({ "lang": "rust", "text": "fn a() {}" }),
        )
        .await;
    assert_eq!(coloured.json["ranges"][0], json!([0, 2, "keyword"]));
    assert_eq!(
        coloured.json,
        ann.ok(
            "code.highlight",
            &json!({ "lang": "rust", "text": "fn a() {}" })
        )
        .await
    );
    let metrics = http.get("/metrics", &[]).await;
    assert!(metrics.text.contains("sluicegate_chat_connections 1"));
}

#[tokio::test]
async fn what_is_exported_can_be_imported_as_something_new() {
    let world = World::new().await;
    let (mut ann, session) = answered(&world, "问题 one", "answer **one**").await;
    ann.ok(
        "sessions.patch",
        &json!({ "session": session, "title": "Title", "system": "Be brief." }),
    )
    .await;
    let http = Http::new(&world);
    let (own, other) = (bearer(ANN), bearer(BOB));
    let md = http
        .get(
            &format!("/api/v1/sessions/{session}/export?format=md"),
            &[("authorization", &own)],
        )
        .await;
    assert!(
        md.text.starts_with("# Title\n") && md.text.contains("answer **one**"),
        "{}",
        md.text
    );
    let file = http.get("/api/v1/export", &[("authorization", &own)]).await;
    for owner in [&other, &own] {
        let done = http
            .post("/api/v1/import", &[("authorization", owner)], &file.json)
            .await;
        assert_eq!(done.json, json!({ "sessions": 1, "messages": 2 }));
    }
    let mut bob = world.bob().await;
    let listed = bob.ok("sessions.list", &json!({ "q": "问题" })).await;
    let copy = listed["sessions"][0].clone();
    assert_ne!(copy["id"], session.as_str());
    assert_eq!(
        (copy["title"].as_str(), copy["system"].as_str()),
        (Some("Title"), Some("Be brief."))
    );
    let shown = bob.sub(copy["id"].as_str().expect("an id")).await;
    assert_eq!(shown["messages"][1]["text"], "answer **one**");
    let mut broken = file.json.clone();
    broken["sessions"][0]["messages"][0]["parent"] = json!("msg_elsewhere");
    let refused = http
        .post("/api/v1/import", &[("authorization", &own)], &broken)
        .await;
    assert_eq!(
        (
            refused.status,
            refused.json["error"]["details"]["param"].as_str()
        ),
        (400, Some("body"))
    );
    assert_eq!(
        ann.ok("sessions.list", &json!({})).await["sessions"]
            .as_array()
            .map(Vec::len),
        Some(2),
        "nothing of it came in"
    );
}

#[tokio::test]
async fn readiness_follows_the_layers_and_liveness_does_not() {
    let world = World::new().await;
    let http = Http::new(&world);
    assert_eq!(http.get("/healthz", &[]).await.status, 200);
    super::eventually("it is ready", async || {
        http.get("/readyz", &[]).await.status == 200
    })
    .await;
    let probe = raw(
        &world.host(),
        "GET /healthz HTTP/1.1\r\nhost: 10.1.2.3\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(
        probe.starts_with("HTTP/1.1 200"),
        "probes do not know the name"
    );
}

#[tokio::test]
async fn a_database_that_cannot_be_written_is_not_ready() {
    let world = World::new().await;
    let http = Http::new(&world);
    super::eventually("it is ready", async || {
        http.get("/readyz", &[]).await.status == 200
    })
    .await;
    // A disk that is full: what is there can be read, and nothing can be added.
    let pages = async |more: i64| {
        let set = move |c: &rusqlite::Connection| {
            let pages: i64 = c.pragma_query_value(None, "page_count", |row| row.get(0))?;
            Ok(c.pragma_update(None, "max_page_count", pages + more)?)
        };
        world.chat().core.store.write(set).await.expect("set");
    };
    pages(0).await;
    let own = bearer(ANN);
    let fields = [("authorization", own.as_str())];
    let new = json!({ "system": "no room ".repeat(4_000) });
    let refused = http.post("/api/v1/sessions", &fields, &new).await;
    assert_eq!(refused.json["error"]["code"], "STORE_UNAVAILABLE");
    let ready = http.get("/readyz", &[]).await;
    assert_eq!(
        (ready.status, &ready.json["store"]),
        (503, &json!(false)),
        "{}",
        ready.json
    );
    pages(1_000).await;
    super::eventually("it is ready again", async || {
        http.get("/readyz", &[]).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn the_openai_api_is_passed_through_to_those_with_a_token_if_it_is_on() {
    let world = World::with(|settings| settings.passthrough = true).await;
    let http = Http::new(&world);
    let own = bearer(ANN);
    let models = http.get("/v1/models", &[("authorization", &own)]).await;
    assert_eq!(models.json["data"][0]["id"], "m1");
    assert_eq!(
        http.get("/v1/models", &[]).await.json["error"]["code"],
        "unauthenticated"
    );
    let body =
        json!({ "model": "m1", "messages": [{ "role": "user", "content": "q" }], "stream": true });
    let fields = [
        ("authorization", own.as_str()),
        ("x-request-id", "req_mine"),
    ];
    let (answer, ()) = tokio::join!(http.post("/v1/chat/completions", &fields, &body), async {
        let call = world.fake.call().await;
        assert_eq!(
            (
                call.headers["x-request-id"].as_str(),
                call.headers.get("authorization")
            ),
            ("req_mine", None)
        );
        call.answer("through").await;
    });
    assert_eq!(
        (answer.status, answer.headers["x-request-id"].to_str().ok()),
        (200, Some("req_mine"))
    );
    assert!(
        answer.text.contains("through") && answer.text.ends_with("data: [DONE]\n\n"),
        "{}",
        answer.text
    );
    let origin = format!("http://{}", world.host());
    assert_eq!(
        http.post(
            "/v1/chat/completions",
            &[fields[0], ("origin", &origin)],
            &body
        )
        .await
        .status,
        401
    );
    let off = World::new().await;
    assert_eq!(
        Http::new(&off)
            .post("/v1/chat/completions", &fields, &body)
            .await
            .status,
        404
    );
    let (_ann, _, _, _call) = running(&off).await;
}
