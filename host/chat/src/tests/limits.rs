//! Limits: who waits, who is refused, and what they are told.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{closed, frame, open, request};
use super::{ANN, World, eventually, message, running};

fn id(value: &Value) -> String {
    value.as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn too_many_messages_are_told_how_long_to_wait() {
    let world = World::with(|settings| settings.limits.sends_per_minute = 3).await;
    let mut ann = world.ann().await;
    for _ in 0..3 {
        ann.send(None, "q").await;
    }
    let error = ann.fails("chat.send", &message(None, "q")).await;
    assert_eq!(
        (error["code"].as_str(), error["retryable"].as_bool()),
        (Some("RATE_LIMITED"), Some(true))
    );
    let wait = error["retry_after_ms"].as_u64().expect("a time");
    assert!((1_000..=20_000).contains(&wait), "{wait}");
    let mut bob = world.bob().await;
    bob.send(None, "another user has a rate of the own").await;
}

#[tokio::test]
async fn refused_messages_do_not_count() {
    let world = World::with(|settings| settings.limits.sends_per_minute = 2).await;
    let (mut ann, session, _, _call) = running(&world).await;
    for _ in 0..5 {
        let busy = json!({ "session": session, "cid": "x", "text": "t", "when": "reject" });
        assert_eq!(ann.fails("chat.send", &busy).await["code"], "RUN_ACTIVE");
    }
    ann.send(None, "q").await;
}

#[tokio::test]
async fn runs_beyond_the_slots_wait_their_turn_and_can_be_stopped_there() {
    let world = World::with(|settings| {
        settings.limits.runs_per_user = 1;
        settings.limits.waiting_per_user = 2;
    })
    .await;
    let (mut ann, _, _, call) = running(&world).await;
    let mut waiting = Vec::new();
    for place in 1..=2 {
        let sent = ann.send(None, &format!("q{place}")).await;
        assert_eq!(sent["status"], "waiting");
        let session = id(&sent["session"]);
        let snapshot = ann.sub(&session).await;
        assert_eq!(
            (
                &snapshot["runs"][0]["state"],
                &snapshot["messages"][1]["status"]
            ),
            (&json!("queued"), &json!("queued"))
        );
        waiting.push((session, id(&sent["run"])));
    }
    let full = ann.fails("chat.send", &message(None, "q3")).await;
    assert_eq!(
        (full["code"].as_str(), full["retry_after_ms"].is_u64()),
        (Some("QUEUE_FULL"), true)
    );
    let mut bob = world.bob().await;
    assert_eq!(
        bob.send(None, "q").await["status"],
        "started",
        "another user is not held up"
    );
    let second = waiting[1].1.clone();
    ann.ok("chat.stop", &json!({ "run": waiting[0].1 })).await;
    let end = ann.ended(&waiting[0].0, &waiting[0].1).await;
    assert_eq!(
        (end["finish"].as_str(), end["to"]["text"].as_u64()),
        (Some("stopped"), Some(0))
    );
    let moved = ann
        .notice(|notice| notice["type"] == "position" && notice["run"] == second.as_str())
        .await;
    assert_eq!(
        (moved["state"].as_str(), moved["position"].as_u64()),
        (Some("queued"), Some(1))
    );
    call.answer("done").await;
    world.fake.call().await;
    let call = world.fake.call().await;
    assert_eq!(call.told(), ["user: q2"]);
    call.answer("mine").await;
    ann.ended(&waiting[1].0, &waiting[1].1).await;
    assert!(ann.view(&waiting[1].0).names().contains(&"run.started"));
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_name() {
    let world = World::with(|settings| settings.limits.message_chars = 10).await;
    let mut ann = world.ann().await;
    let long = ann
        .fails("chat.send", &message(None, &"好".repeat(11)))
        .await;
    assert_eq!(
        (long["code"].as_str(), long["details"]["limit"].as_u64()),
        (Some("TOO_LARGE"), Some(10))
    );
    ann.send(None, &"好".repeat(10)).await;
    let code = json!({ "lang": "rust", "text": "x".repeat(205_000) });
    assert_eq!(
        ann.fails("code.highlight", &code).await["code"],
        "TOO_LARGE"
    );
    let created = ann.ok("sessions.create", &json!({})).await;
    let session = id(&created["session"]["id"]);
    let title = json!({ "session": session, "title": "x".repeat(201) });
    assert_eq!(
        ann.fails("sessions.patch", &title).await["details"]["param"],
        "title"
    );
    let system = json!({ "session": session, "system": "x".repeat(40_000) });
    assert_eq!(
        ann.fails("sessions.patch", &system).await["code"],
        "TOO_LARGE"
    );
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_refused_and_the_socket_stays() {
    let world = World::new().await;
    let mut ann = world.ann().await;
    for (method, params) in [
        ("no.such", json!({})),
        ("chat.send", json!({ "cid": "x" })),
        ("chat.send", json!({ "cid": "", "text": "t" })),
        ("chat.send", json!({ "cid": "a b", "text": "t" })),
        ("chat.send", json!({ "cid": "x", "text": " \n" })),
        (
            "chat.send",
            json!({ "cid": "x", "text": "t", "when": "never" }),
        ),
        (
            "chat.send",
            json!({ "cid": "x", "text": "t", "options": { "temperature": 9 } }),
        ),
        ("chat.stop", json!({})),
        ("hello", json!({ "min": 1, "max": 1 })),
        ("cmd", json!({ "name": "rm" })),
        ("sub", json!([])),
    ] {
        assert_eq!(
            ann.fails(method, &params).await["code"],
            "BAD_FRAME",
            "{method} {params}"
        );
    }
    for method in ["sub", "sessions.get", "messages.page"] {
        assert_eq!(
            ann.fails(method, &json!({ "session": "ses_none" })).await["code"],
            "NOT_FOUND"
        );
    }
    ann.ok("ping", &json!({ "ts": 0 })).await;
}

#[tokio::test]
async fn a_socket_that_sends_too_fast_is_slowed_and_a_deaf_one_closed() {
    let world = World::with(|settings| settings.sockets.frames_per_second = 5).await;
    let mut ann = world.ann().await;
    let ids: Vec<String> = {
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(ann.begin("ping", &json!({ "ts": 0 })).await);
        }
        ids
    };
    let mut refused = 0;
    for id in ids {
        if let Err(error) = ann.answer(&id).await {
            assert_eq!(error["code"], "RATE_LIMITED");
            assert!(error["retry_after_ms"].as_u64() > Some(0));
            refused += 1;
        }
    }
    assert!((5..=10).contains(&refused), "{refused}");
    for _ in 0..400 {
        let frame = json!({ "type": "req", "id": "x", "method": "ping" }).to_string();
        if futures_util::SinkExt::send(
            &mut ann.ws,
            tokio_tungstenite::tungstenite::Message::Text(frame.into()),
        )
        .await
        .is_err()
        {
            break;
        }
    }
    assert!([4429, 1006].contains(&closed(&mut ann.ws).await));
}

#[tokio::test]
async fn sockets_per_address_are_counted_and_given_back() {
    let world = World::with(|settings| settings.limits.connections_per_address = 2).await;
    let ann = world.ann().await;
    let _second = world.ann().await;
    assert_eq!(open(&world.host(), &[]).await.err(), Some(429));
    drop(ann);
    eventually("the place is free again", async || {
        open(&world.host(), &[]).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_socket_that_says_nothing_or_too_much_at_first_is_closed() {
    let world = World::new().await;
    let mut silent = open(&world.host(), &[]).await.expect("an upgrade");
    let mut large = open(&world.host(), &[]).await.expect("an upgrade");
    request(
        &mut large,
        "1",
        "hello",
        &json!({ "min": 1, "max": 1, "token": "x".repeat(70_000) }),
    )
    .await;
    assert_eq!(closed(&mut large).await, 4413);
    let mut other = open(&world.host(), &[]).await.expect("an upgrade");
    request(&mut other, "1", "ping", &json!({})).await;
    assert_eq!(closed(&mut other).await, 4400);
    let mut old = open(&world.host(), &[]).await.expect("an upgrade");
    request(
        &mut old,
        "1",
        "hello",
        &json!({ "min": 2, "max": 3, "token": ANN }),
    )
    .await;
    assert_eq!(
        frame(&mut old).await.expect("a reason")["error"]["code"],
        "UNSUPPORTED_VERSION"
    );
    assert_eq!(closed(&mut old).await, 4400);
    let code = tokio::time::timeout(Duration::from_secs(15), async {
        loop {
            if let Ok(message) = tokio::time::timeout(
                Duration::from_secs(12),
                futures_util::StreamExt::next(&mut silent),
            )
            .await
            {
                match message {
                    Some(Ok(tokio_tungstenite::tungstenite::Message::Close(Some(close)))) => {
                        return u16::from(close.code);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return 1006,
                }
            }
        }
    });
    assert_eq!(code.await.expect("it is closed"), 4408);
}
