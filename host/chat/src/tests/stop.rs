//! How a run is stopped, and what happens to the messages behind it.

use std::time::Duration;

use serde_json::json;

use super::{World, eventually, message, running};

#[tokio::test]
async fn stop_reaches_the_proxy_at_once_and_keeps_the_text() {
    let world = World::new().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    let (run, reply) = (
        sent["run"].as_str().expect("a run"),
        sent["reply"].as_str().expect("a message"),
    );
    call.begin().await;
    call.text("half").await;
    ann.shows(&session, reply, "half").await;
    let stopped = ann.ok("chat.stop", &json!({ "run": run })).await;
    assert_eq!(stopped["stopping"], true);
    assert!(call.hung_up().await < Duration::from_millis(500));
    let end = ann.ended(&session, run).await;
    assert_eq!(
        (end["finish"].as_str(), end["to"]["text"].as_u64()),
        (Some("stopped"), Some(4))
    );
    ann.notice(|notice| notice["type"] == "position" && notice["state"] == "stopping")
        .await;
    let again = ann.ok("chat.stop", &json!({ "run": run })).await;
    assert_eq!(again["stopping"], false, "stopping twice is no mistake");
    let stored = ann
        .ok(
            "messages.get",
            &json!({ "session": session, "message": reply }),
        )
        .await;
    assert_eq!(
        (
            stored["message"]["status"].as_str(),
            stored["message"]["text"].as_str()
        ),
        (Some("stopped"), Some("half"))
    );
}

#[tokio::test]
async fn a_stop_holds_what_waits_and_an_interruption_does_not() {
    let world = World::new().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    call.begin().await;
    call.text("half").await;
    ann.shows(&session, sent["reply"].as_str().expect("a message"), "half")
        .await;
    let waits = ann.send(Some(&session), "waits").await;
    assert_eq!(waits["status"], "queued");
    ann.ok("chat.stop", &json!({ "session": session })).await;
    ann.ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    let shown = ann.sub(&session).await;
    assert_eq!(shown["queue"][0]["text"], "waits");
    assert_eq!(shown["runs"], json!([]));
    assert!(world.fake.idle().await, "the model is asked for nothing");
    // Whoever acts lets it go on: what waits comes first.
    let behind = ann.send(Some(&session), "behind it").await;
    assert_eq!(behind["status"], "queued");
    let mut call = world.fake.call().await;
    assert_eq!(
        call.told(),
        ["user: question", "assistant: half", "user: waits"]
    );
    call.begin().await;
    let mut instead = message(Some(&session), "in its place");
    instead["when"] = json!("interrupt");
    ann.ok("chat.send", &instead).await;
    let call = world.fake.call().await;
    assert_eq!(
        call.told().last().map(String::as_str),
        Some("user: in its place")
    );
    call.answer("done").await;
    let call = world.fake.call().await;
    assert_eq!(
        call.told().last().map(String::as_str),
        Some("user: behind it")
    );
    call.answer("done").await;
}

#[tokio::test]
async fn stop_before_the_first_byte_works_from_another_tab_and_by_session() {
    let world = World::new().await;
    let (mut ann, session, sent, call) = running(&world).await;
    let mut other = world.ann().await;
    assert_eq!(
        other.ok("chat.stop", &json!({ "session": session })).await["stopping"],
        true
    );
    assert!(call.hung_up().await < Duration::from_millis(500));
    let end = ann
        .ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    assert_eq!(end["finish"], "stopped");
}

#[tokio::test]
async fn a_run_goes_on_without_any_client_and_is_stopped_when_nobody_comes_back() {
    let world = World::with(|settings| settings.orphan_timeout = Duration::from_millis(1)).await;
    let (ann, session, sent, mut call) = running(&world).await;
    drop(ann);
    call.begin().await;
    call.text("to nobody").await;
    assert!(call.hung_up().await < Duration::from_secs(12));
    let mut back = world.ann().await;
    let run = sent["run"].as_str().expect("a run");
    eventually("the run has ended", async || {
        let snapshot = back.sub(&session).await;
        snapshot["messages"][1]["run"]["finish"] == "abandoned"
            && snapshot["messages"][1]["run"]["id"] == run
    })
    .await;
    assert_eq!(
        back.view(&session).snapshot["messages"][1]["text"],
        "to nobody"
    );
}

#[tokio::test]
async fn a_deleted_session_stops_its_run_and_sends_nothing_more_until_it_is_back() {
    let world = World::new().await;
    let (mut ann, session, sent, call) = running(&world).await;
    let waiting = json!({ "session": session, "cid": "later", "text": "later" });
    ann.ok("chat.send", &waiting).await;
    ann.ok("sessions.delete", &json!({ "session": session }))
        .await;
    call.hung_up().await;
    let end = ann
        .ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    assert_eq!(end["finish"], "stopped");
    assert_eq!(
        ann.fails("chat.send", &message(Some(&session), "x")).await["code"],
        "NOT_FOUND"
    );
    assert!(world.fake.idle().await);
    ann.ok("sessions.restore", &json!({ "session": session }))
        .await;
    assert_eq!(ann.sub(&session).await["queue"][0]["cid"], "later");
    ann.send(Some(&session), "go on").await;
    let call = world.fake.call().await;
    assert_eq!(call.told().last().map(String::as_str), Some("user: later"));
    call.answer("fine").await;
    world.fake.call().await.answer("fine").await;
}
