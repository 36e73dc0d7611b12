//! Messages that wait for the run of their session.

use serde_json::json;

use super::{World, eventually, running};

#[tokio::test]
async fn messages_that_wait_are_sent_in_order_and_can_be_moved_removed_or_pushed_before() {
    let world = World::new().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    let queue = |cid: &str, when: &str| json!({ "session": session, "cid": cid, "text": cid, "when": when });
    for cid in ["a", "b", "c"] {
        assert_eq!(
            ann.ok("chat.send", &queue(cid, "queue")).await["status"],
            "queued"
        );
    }
    let busy = ann.fails("chat.send", &queue("x", "reject")).await;
    assert_eq!(
        (busy["code"].as_str(), &busy["details"]["run"]),
        (Some("RUN_ACTIVE"), &sent["run"])
    );
    ann.ok(
        "chat.queue.move",
        &json!({ "session": session, "cid": "c", "to": 0 }),
    )
    .await;
    ann.ok(
        "chat.queue.remove",
        &json!({ "session": session, "cid": "a" }),
    )
    .await;
    assert_eq!(
        ann.fails(
            "chat.queue.remove",
            &json!({ "session": session, "cid": "a" })
        )
        .await["code"],
        "NOT_FOUND"
    );
    let mut late = world.ann().await;
    let snapshot = late.sub(&session).await;
    let waiting: Vec<_> = snapshot["queue"]
        .as_array()
        .expect("a queue")
        .iter()
        .map(|item| item["cid"].clone())
        .collect();
    assert_eq!(waiting, ["c", "b"]);
    call.begin().await;
    ann.ok("chat.send", &queue("now", "interrupt")).await;
    call.hung_up().await;
    for expected in ["now", "c", "b"] {
        let call = world.fake.call().await;
        assert_eq!(
            call.told().last().map(String::as_str),
            Some(format!("user: {expected}").as_str())
        );
        call.answer("fine").await;
    }
    eventually("all is said", async || {
        late.resume(&session).await;
        late.view(&session).ended.len() == 4
    })
    .await;
    assert!(world.fake.idle().await);
}

#[tokio::test]
async fn after_a_failure_waiting_messages_wait_for_somebody_to_act() {
    let world = World::new().await;
    let (mut ann, session, sent, call) = running(&world).await;
    ann.ok(
        "chat.send",
        &json!({ "session": session, "cid": "later", "text": "later" }),
    )
    .await;
    call.refuse(500, "").await;
    ann.ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    let snapshot = ann.sub(&session).await;
    assert_eq!(snapshot["queue"][0]["cid"], "later");
    assert!(world.fake.idle().await);
    ann.send(Some(&session), "last").await;
    for expected in ["user: later", "user: last"] {
        let call = world.fake.call().await;
        assert_eq!(call.told().last().map(String::as_str), Some(expected));
        call.answer("fine").await;
    }
}
