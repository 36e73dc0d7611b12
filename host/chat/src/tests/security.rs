//! The attacks that chat pages on local ports have seen, each as a test; those on logins are in `login`.

use hyper::header::HeaderMap;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::client::{closed, open};
use super::http::{Http, raw};
use super::login::{browser, page};
use super::{ANN, World, answered, eventually};

#[tokio::test]
async fn sockets_of_other_sites_are_refused_before_the_upgrade() {
    let world = World::new().await;
    let (cookie, _) = browser(&world).await;
    let port = world.chat().address().port();
    for origin in [
        "https://evil.example".to_owned(),
        "null".to_owned(),
        "http://127.0.0.1:1".to_owned(),
        "http://127.0.0.1".to_owned(),
        format!("https://127.0.0.1:{port}"),
        format!("http://localhost:{port}.evil.example"),
        "file://".to_owned(),
    ] {
        let fields = [("origin", origin.as_str()), ("cookie", cookie.as_str())];
        assert_eq!(
            open(&world.host(), &fields).await.err(),
            Some(403),
            "{origin}"
        );
    }
    for own in [
        format!("http://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        format!("http://[::1]:{port}"),
    ] {
        assert!(
            open(&world.host(), &[("origin", own.as_str())])
                .await
                .is_ok(),
            "{own}"
        );
    }
    let fields = [
        ("sec-fetch-site", "cross-site"),
        ("cookie", cookie.as_str()),
    ];
    assert_eq!(open(&world.host(), &fields).await.err(), Some(403));
}

#[tokio::test]
async fn names_that_were_made_to_point_here_are_not_served() {
    let world = World::new().await;
    let port = world.chat().address().port();
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        "127.0.0.1",
        "localhost",
        "",
    ] {
        for path in ["/", "/api/v1/me", "/ws", "/metrics", "/assets/x/y.js"] {
            let answer = raw(
                &world.host(),
                &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"),
            )
            .await;
            assert!(
                answer.starts_with("HTTP/1.1 421 "),
                "{host} {path}: {answer}"
            );
        }
    }
    let two = format!(
        "GET / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nhost: evil.example\r\nconnection: close\r\n\r\n"
    );
    assert!(!raw(&world.host(), &two).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn other_sites_cannot_write_or_read_through_the_api() {
    let world = World::new().await;
    let (cookie, bind) = browser(&world).await;
    let origin = page(&world);
    let http = Http::new(&world);
    let own = [
        ("cookie", cookie.as_str()),
        ("x-sluice-bind", bind.as_str()),
        ("origin", origin.as_str()),
    ];
    assert_eq!(
        http.post("/api/v1/sessions", &own, &json!({})).await.status,
        201
    );
    let with = |fields: &[(&'static str, &'static str)]| {
        let mut all: Vec<(&str, &str)> = own[..2].to_vec();
        all.extend(fields);
        all
    };
    for (fields, status) in [
        (with(&[]), 403),
        (with(&[("origin", "https://evil.example")]), 403),
        (with(&[("origin", "null")]), 403),
        (with(&[("origin", "http://127.0.0.1:9")]), 403),
        (with(&[("sec-fetch-site", "same-site")]), 403),
    ] {
        assert_eq!(
            http.post("/api/v1/sessions", &fields, &json!({}))
                .await
                .status,
            status,
            "{fields:?}"
        );
    }
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let answer = http
            .call_as("POST", "/api/v1/sessions", &own, kind, "{}")
            .await;
        assert_eq!(answer.status, 400, "{kind}");
    }
    assert_eq!(
        http.get(
            "/api/v1/sessions",
            &with(&[("origin", "https://evil.example")])
        )
        .await
        .status,
        403
    );
    let login = http
        .post(
            "/api/v1/login",
            &[("origin", "https://evil.example")],
            &json!({ "token": ANN }),
        )
        .await;
    assert_eq!(
        login.status, 403,
        "nobody is logged in to somebody else's account"
    );
    let answer = http.get("/api/v1/sessions", &own).await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    assert_eq!(answer.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn frames_that_are_too_big_or_no_frames_close_the_socket() {
    let world = World::with(|settings| settings.sockets.frame_bytes = 100_000).await;
    let send = async |message: Message| {
        let mut ann = world.ann().await;
        drop(futures_util::SinkExt::send(&mut ann.ws, message).await);
        closed(&mut ann.ws).await
    };
    let big = send(Message::Text("x".repeat(100_001).into())).await;
    assert!([4413, 1006].contains(&big), "{big}");
    for text in [
        "",
        "{",
        "null",
        "[]",
        r#"{"type":"req"}"#,
        r#"{"type":"res","id":"1","method":"ping"}"#,
    ] {
        assert_eq!(send(Message::Text(text.into())).await, 4400, "{text}");
    }
    let long = format!(
        r#"{{"type":"req","id":"{}","method":"ping"}}"#,
        "x".repeat(65)
    );
    assert_eq!(send(Message::Text(long.into())).await, 4400);
    assert_eq!(send(Message::Binary(vec![1, 2, 3].into())).await, 4400);
}

#[tokio::test]
async fn nobody_sees_or_touches_the_sessions_of_others() {
    let world = World::new().await;
    let (mut ann, session) = answered(&world, "private", "answer").await;
    let shown = ann.sub(&session).await;
    let (message, run) = (
        shown["messages"][1]["id"].clone(),
        shown["messages"][1]["run"].clone(),
    );
    let mut bob = world.bob().await;
    assert_eq!(
        bob.ok("sessions.list", &json!({})).await["sessions"],
        json!([])
    );
    assert_eq!(
        bob.ok("sessions.list", &json!({ "q": "private" })).await["sessions"],
        json!([])
    );
    let one = json!({ "session": session });
    for (method, params) in [
        ("sub", one.clone()),
        ("sessions.get", one.clone()),
        ("sessions.delete", one.clone()),
        ("sessions.restore", one.clone()),
        (
            "sessions.patch",
            json!({ "session": session, "title": "mine" }),
        ),
        ("sessions.read", json!({ "session": session, "seq": 1 })),
        ("messages.page", one.clone()),
        (
            "messages.get",
            json!({ "session": session, "message": message }),
        ),
        (
            "chat.send",
            json!({ "session": session, "cid": "x", "text": "t" }),
        ),
        (
            "chat.regenerate",
            json!({ "session": session, "message": message, "cid": "x" }),
        ),
        ("chat.stop", one.clone()),
        (
            "branch.select",
            json!({ "session": session, "leaf": message }),
        ),
        (
            "chat.queue.remove",
            json!({ "session": session, "cid": "x" }),
        ),
    ] {
        assert_eq!(
            bob.fails(method, &params).await["code"],
            "NOT_FOUND",
            "{method}"
        );
    }
    let request = run["request_id"].as_str().expect("an id");
    let card = bob
        .ok("cmd", &json!({ "name": "debug", "args": request }))
        .await["card"]
        .clone();
    assert_eq!(card["found"], false);
    let http = Http::new(&world);
    let bearer = format!("Bearer {}", super::BOB);
    for path in [
        format!("sessions/{session}/export"),
        format!("sessions/{session}/messages"),
        format!("runs/{}", run["id"].as_str().expect("an id")),
    ] {
        assert_eq!(
            http.get(&format!("/api/v1/{path}"), &[("authorization", &bearer)])
                .await
                .status,
            404,
            "{path}"
        );
    }
}

#[tokio::test]
async fn texts_cannot_become_markup_in_exports_nor_break_headers() {
    let world = World::new().await;
    let attack = "<img src=x onerror=alert(1)>\"'&\r\nset-cookie: a=b";
    let (mut ann, session) = answered(&world, attack, "<script>alert(2)</script>").await;
    ann.ok(
        "sessions.patch",
        &json!({ "session": session, "title": "</title><script>alert(3)</script>\r\nx: y" }),
    )
    .await;
    let http = Http::new(&world);
    let bearer = format!("Bearer {ANN}");
    for format in ["html", "md", "json"] {
        let path = format!("/api/v1/sessions/{session}/export?format={format}");
        let answer = http.get(&path, &[("authorization", &bearer)]).await;
        assert_eq!(answer.status, 200);
        assert!(
            answer.headers["content-disposition"]
                .to_str()
                .expect("text")
                .starts_with("attachment;")
        );
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert!(!answer.headers.contains_key("set-cookie") && !answer.headers.contains_key("x"));
        if format == "html" {
            assert!(
                !answer.text.contains("<script") && !answer.text.contains("<img"),
                "{}",
                answer.text
            );
            assert!(answer.text.contains("&lt;script&gt;alert(2)"));
        }
    }
}

#[tokio::test]
async fn a_models_name_or_a_request_id_cannot_lead_elsewhere() {
    let world = World::new().await;
    let mut ann = world.ann().await;
    for model in [
        "http://169.254.169.254/latest",
        "../../admin",
        "m1\r\nx-evil: 1",
        "m1?x=y#z",
    ] {
        let mut params = super::message(None, "q");
        params["model"] = json!(model);
        ann.ok("chat.send", &params).await;
        let call = world.fake.call().await;
        assert_eq!(
            call.body["model"], model,
            "it is data in the body and nothing else"
        );
        assert!(!call.headers.contains_key("x-evil"));
        call.answer("ok").await;
    }
    for args in [
        "req_../../secret",
        "req_a/b",
        "req_a b",
        "req_%2e%2e",
        &format!("req_{}", "a".repeat(70)),
    ] {
        let card = ann
            .ok("cmd", &json!({ "name": "debug", "args": args }))
            .await["card"]
            .clone();
        assert_eq!(card["kind"], "debug", "no trace of {args}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_protective_fields() {
    let world = World::new().await;
    let http = Http::new(&world);
    let check = |headers: &HeaderMap| {
        let policy = headers["content-security-policy"].to_str().expect("text");
        assert!(
            policy.contains("default-src 'none'")
                && policy.contains("require-trusted-types-for 'script'")
        );
        assert!(policy.contains(&format!("ws://{}", world.host())));
        for name in [
            "x-content-type-options",
            "referrer-policy",
            "cross-origin-opener-policy",
            "cross-origin-resource-policy",
            "permissions-policy",
        ] {
            assert!(headers.contains_key(name), "{name}");
        }
    };
    for path in [
        "/",
        "/api/v1/me",
        "/nothing",
        "/healthz",
        "/assets/x/y.js",
        "/ws",
    ] {
        check(&http.get(path, &[]).await.headers);
    }
}

#[tokio::test]
async fn images_in_messages_are_never_fetched_by_the_gateway() {
    let world = World::new().await;
    let trap = super::Fake::start().await;
    let text = format!("![x]({0}/image.png) <img src={0}/y.png> {0}", trap.url());
    let (mut ann, session) = answered(&world, &text, &text).await;
    ann.ok("sessions.list", &json!({ "q": "image" })).await;
    let bearer = format!("Bearer {ANN}");
    Http::new(&world)
        .get(
            &format!("/api/v1/sessions/{session}/export?format=html"),
            &[("authorization", &bearer)],
        )
        .await;
    assert!(trap.idle().await);
    eventually("the run is over", async || {
        ann.ok("sessions.get", &json!({ "session": session })).await["session"]["running"] == false
    })
    .await;
    assert!(trap.idle().await);
}

#[tokio::test]
async fn escapes_in_a_frame_mean_what_they_mean_in_json() {
    let world = World::new().await;
    let mut ann = world.ann().await;
    let frame_text =
        r#"{"type":"\u0072eq","id":"\u0041\"","method":"p\u0069ng","params":{"ts":1}}"#;
    futures_util::SinkExt::send(&mut ann.ws, Message::Text(frame_text.into()))
        .await
        .expect("sent");
    assert_eq!(ann.answer("A\"").await.expect("a pong")["ts"], 1.0);
}
