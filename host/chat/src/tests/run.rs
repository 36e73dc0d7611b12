//! Runs: what the proxy is asked, and what its responses become.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{World, answered, ask, eventually, message, running};

#[tokio::test]
async fn an_answer_streams_whole_with_its_figures_and_one_request_id() {
    let world = World::new().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    let (run, reply) = (
        sent["run"].as_str().expect("a run"),
        sent["reply"].as_str().expect("a message"),
    );
    assert_eq!(sent["status"], "started");
    assert_eq!(
        call.headers["x-request-id"],
        sent["request_id"].as_str().expect("an id")
    );
    assert!(call.headers["traceparent"].starts_with("00-"));
    assert_eq!(call.body["model"], "m1");
    assert_eq!(call.body["stream"], true);
    assert_eq!(call.body["stream_options"]["include_usage"], true);
    assert_eq!(call.told(), ["user: question"]);
    call.begin().await;
    call.reasoning("让我想想").await;
    call.text("你好，").await;
    ann.shows(&session, reply, "你好，").await;
    call.text("world").await;
    call.finish("length").await;
    let end = ann.ended(&session, run).await;
    assert_eq!(end["finish"], "length");
    assert_eq!(end["usage"], json!({ "in": 7, "out": 11 }));
    assert_eq!(end["request_id"], sent["request_id"]);
    assert!(end["ttft_ms"].is_u64() && end["duration_ms"].is_u64() && end["reasoning_ms"].is_u64());
    let view = ann.view(&session);
    assert_eq!(
        (view.texts[reply].as_str(), view.reasoning[reply].as_str()),
        ("你好，world", "让我想想")
    );
    let stored = ann
        .ok(
            "messages.get",
            &json!({ "session": session, "message": reply }),
        )
        .await;
    assert_eq!(stored["message"]["text"], "你好，world");
    assert_eq!(stored["message"]["status"], "done");
    assert_eq!(stored["message"]["run"]["request_id"], sent["request_id"]);
}

#[tokio::test]
async fn reasoning_that_the_server_left_in_the_text_is_split_off_and_never_sent_back() {
    let world = World::new().await;
    let (mut ann, session) = answered(&world, "one", "<think>hm</think>\n\nfirst").await;
    let sent = ann.send(Some(&session), "two").await;
    let call = world.fake.call().await;
    assert_eq!(call.told(), ["user: one", "assistant: first", "user: two"]);
    call.answer("second").await;
    ann.ended(&session, sent["run"].as_str().expect("a run"))
        .await;
}

#[tokio::test]
async fn one_client_id_makes_one_message_however_often_and_wherever_it_is_sent() {
    let world = World::new().await;
    let mut tabs = Vec::new();
    for _ in 0..5 {
        tabs.push(world.ann().await);
    }
    let params = json!({ "session": null, "cid": "5b1e", "text": "once" });
    let mut waiting = Vec::new();
    for (at, tab) in tabs.iter_mut().enumerate() {
        for _ in 0..10 {
            waiting.push((at, tab.begin("chat.send", &params).await));
        }
    }
    let mut first = 0;
    let mut seen = std::collections::HashSet::new();
    for (at, id) in waiting {
        let sent = tabs[at].answer(&id).await.expect("every one succeeds");
        first += usize::from(sent["dup"] == false);
        seen.insert((
            sent["session"].to_string(),
            sent["message"].to_string(),
            sent["run"].to_string(),
        ));
    }
    assert_eq!((first, seen.len()), (1, 1));
    world.fake.call().await.answer("done").await;
    assert!(world.fake.idle().await);
    let sessions = tabs[0].ok("sessions.list", &json!({})).await;
    assert_eq!(sessions["sessions"].as_array().map(Vec::len), Some(1));
    let session = sessions["sessions"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    eventually("the end is told to those who ask again", async || {
        tabs[1]
            .ok(
                "chat.send",
                &json!({ "session": session, "cid": "5b1e", "text": "once" }),
            )
            .await["status"]
            == "ended"
    })
    .await;
}

#[tokio::test]
async fn the_session_knows_its_model_and_system_prompt() {
    let world = World::new().await;
    let mut ann = world.ann().await;
    let created = ann
        .ok(
            "sessions.create",
            &json!({ "model": "m2", "system": "Be brief." }),
        )
        .await;
    let session = created["session"]["id"].as_str().expect("an id").to_owned();
    let sent = ann.ok("chat.send", &message(Some(&session), "hi")).await;
    let call = world.fake.call().await;
    assert_eq!(call.body["model"], "m2");
    assert_eq!(call.told(), ["system: Be brief.", "user: hi"]);
    ann.sub(&session).await;
    call.answer("yes").await;
    ann.ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    let patched = ann
        .ok(
            "sessions.patch",
            &json!({ "session": session, "system": null, "model": null }),
        )
        .await;
    assert!(patched["session"]["system"].is_null() && patched["session"]["model"].is_null());
    let mut params = message(Some(&session), "again");
    params["model"] = json!("m3");
    params["options"] = json!({ "temperature": 0.5, "max_tokens": 9 });
    ann.ok("chat.send", &params).await;
    let call = world.fake.call().await;
    assert_eq!(
        (
            call.body["model"].as_str(),
            call.body["max_tokens"].as_u64()
        ),
        (Some("m3"), Some(9))
    );
    assert_eq!(call.body["temperature"], 0.5);
    assert_eq!(
        ann.ok("sessions.get", &json!({ "session": session })).await["session"]["model"],
        "m3"
    );
    call.answer("ok").await;
}

#[tokio::test]
async fn text_is_on_disk_while_the_answer_still_streams() {
    let world = World::new().await;
    let (_ann, _, _, mut call) = running(&world).await;
    let started = Instant::now();
    call.begin().await;
    call.text(&"x".repeat(5_000)).await;
    let path = world.settings.store.clone();
    eventually("4 KiB are kept at once", async || kept(&path) == 5_000).await;
    assert!(started.elapsed() < Duration::from_millis(900));
    call.text("y").await;
    eventually("a little is kept after a second", async || {
        kept(&path) == 5_001
    })
    .await;
}

fn kept(path: &std::path::Path) -> i64 {
    let reader = rusqlite::Connection::open(path).expect("the database can be read");
    reader
        .query_row(
            "SELECT coalesce(sum(length(text)), 0) FROM partials",
            [],
            |row| row.get(0),
        )
        .expect("a number")
}

#[tokio::test]
async fn the_log_and_the_metrics_know_the_run_but_no_text() {
    let world = World::new().await;
    let (mut ann, session) = answered(&world, "secret question", "secret answer").await;
    ask(&world, &mut ann, Some(&session), "more", "text").await;
    let metrics = world.chat().metrics()();
    assert!(
        metrics.contains("sluicegate_chat_runs_total{finish=\"stop\"} 2"),
        "{metrics}"
    );
    assert!(metrics.contains("sluicegate_chat_tokens_total{direction=\"out\"} 22"));
    assert!(!metrics.contains("secret"));
}
