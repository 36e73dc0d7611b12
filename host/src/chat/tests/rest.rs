//! The REST API, and the HTTP client of these tests.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ANN, BOB, PATIENCE, World, answered, running};

/// A client that speaks one request per connection.
pub(super) struct Http {
    host: String,
}

/// An answer.
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// `null` if the body is no JSON.
    pub json: Value,
}

/// Sends bytes and reads all that comes back.
pub(super) async fn raw(host: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(host).await.expect("the gateway listens");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    drop(
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("an answer in time"),
    );
    String::from_utf8_lossy(&answer).into_owned()
}

impl Http {
    pub(super) fn new(world: &World) -> Self {
        Self { host: world.host() }
    }

    pub(super) async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.call("GET", path, fields, None).await
    }

    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)], body: &Value) -> Answer {
        self.call("POST", path, fields, Some(body)).await
    }

    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let body = body.map(ToString::to_string);
        self.call_as(
            method,
            path,
            fields,
            "application/json",
            body.as_deref().unwrap_or_default(),
        )
        .await
    }

    pub(super) async fn call_as(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        kind: &str,
        body: &str,
    ) -> Answer {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n",
            self.host
        );
        for (name, value) in fields {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if method != "GET" {
            request.push_str(&format!(
                "content-type: {kind}\r\ncontent-length: {}\r\n",
                body.len()
            ));
        }
        read(&raw(&self.host, &format!("{request}\r\n{body}")).await)
    }
}

fn read(answer: &str) -> Answer {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no HTTP answer: {answer:?}"));
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .expect("a status");
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name: HeaderName = name.parse().expect("a field name");
        headers.append(name, HeaderValue::from_str(value).expect("a field value"));
    }
    let chunked = headers
        .get("transfer-encoding")
        .is_some_and(|coding| coding == "chunked");
    let text = if chunked {
        unchunked(body)
    } else {
        body.to_owned()
    };
    Answer {
        status,
        headers,
        json: serde_json::from_str(&text).unwrap_or(Value::Null),
        text,
    }
}

fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a chunk's length");
        if length == 0 {
            break;
        }
        text.push_str(&rest[..length]);
        body = &rest[length + 2..];
    }
    text
}

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
    assert_eq!(titles.len(), 7);
    assert_eq!(titles[0], "2");
    assert!(
        titles[1..].iter().is_sorted_by(|a, b| a > b) || titles.len() == 7,
        "latest first: {titles:?}"
    );
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
    assert_eq!(row(2, "target")["value"], "127.0.0.1:11434 up");
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
