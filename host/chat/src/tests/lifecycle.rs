//! Starting, stopping, and what is left after a hard end.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::client::{closed, open};
use super::{World, eventually, message, running};
use crate::{Chat, Error, Settings, StoreError, backup, login_code};
use sluicegate_config::Tls;
use sluicegate_serve as server;

fn id(value: &Value) -> String {
    value.as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_stop_says_goodbye_lets_answers_finish_and_takes_no_new_ones() {
    let mut world = World::new().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    call.begin().await;
    call.text("half ").await;
    ann.shows(&session, &id(&sent["reply"]), "half ").await;
    let chat = world.chat.take().expect("it runs");
    let host = chat.address().to_string();
    let stopping = tokio::spawn(chat.shutdown(Duration::from_secs(10)));
    let bye = ann.notice(|notice| notice["type"] == "bye").await;
    assert!(bye["reason"] == "restart" && bye["reconnect_after_ms"].as_u64() > Some(0));
    let refused = ann
        .fails("chat.send", &message(Some(&session), "more"))
        .await;
    assert_eq!(
        (refused["code"].as_str(), refused["retry_after_ms"].is_u64()),
        (Some("SHUTTING_DOWN"), true)
    );
    drop(host);
    call.text("whole").await;
    call.finish("stop").await;
    let end = ann.ended(&session, &id(&sent["run"])).await;
    assert_eq!(end["finish"], "stop");
    assert_eq!(closed(&mut ann.ws).await, 4503);
    stopping.await.expect("it stops");
    world.begin().await;
    let mut back = world.ann().await;
    assert_eq!(
        back.sub(&session).await["messages"][1]["text"],
        "half whole"
    );
}

#[tokio::test]
async fn answers_that_do_not_finish_in_time_are_kept_as_interrupted_and_can_be_continued() {
    let mut world = World::new().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    call.begin().await;
    call.text("half ").await;
    ann.shows(&session, &id(&sent["reply"]), "half ").await;
    let started = Instant::now();
    world.restart(Duration::from_millis(100)).await;
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    call.hung_up().await;
    let mut back = world.ann().await;
    let shown = back.sub(&session).await["messages"][1].clone();
    assert_eq!(
        (shown["text"].as_str(), shown["status"].as_str()),
        (Some("half "), Some("interrupted"))
    );
    let more = json!({ "session": session, "message": sent["reply"], "cid": "more" });
    let sent = back.ok("chat.continue", &more).await;
    let mut call = world.fake.call().await;
    assert_eq!(call.told(), ["user: question", "assistant: half "]);
    call.begin().await;
    call.text("whole").await;
    call.finish("stop").await;
    back.ended(&session, &id(&sent["run"])).await;
    assert_eq!(
        back.sub(&session).await["messages"][1]["text"],
        "half whole"
    );
}

/// The same as a kill: nothing gets to run any more, and only what is on disk counts.
#[test]
fn after_a_hard_end_the_text_that_was_kept_is_there_and_clients_learn_of_it() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let first = runtime();
    let (world, session, reply, view) = first.block_on(async {
        let world = World::new().await;
        let (mut ann, session, sent, mut call) = running(&world).await;
        let reply = id(&sent["reply"]);
        call.begin().await;
        call.reasoning("hm").await;
        call.text("你好 half").await;
        ann.shows(&session, &reply, "你好 half").await;
        let copy = world.settings.store.clone();
        eventually("the text is on disk", async || {
            let reader = rusqlite::Connection::open(&copy).expect("the database can be read");
            let kept: String = reader
                .query_row(
                    "SELECT coalesce(group_concat(text, ''), '') FROM partials",
                    [],
                    |row| row.get(0),
                )
                .expect("a text");
            kept == "你好 half"
        })
        .await;
        let view = ann.view(&session).clone();
        // A copy of the files, as they are at this moment, is what a kill leaves.
        let killed = world.settings.store.with_file_name("killed.db");
        for suffix in ["", "-wal"] {
            let (from, to) = (
                copy.display().to_string() + suffix,
                killed.display().to_string() + suffix,
            );
            std::fs::copy(from, to).expect("the files can be copied");
        }
        (world, session, reply, view)
    });
    let mut world = world;
    first.block_on(world.stop(Duration::ZERO));
    world.settings.store = world.settings.store.with_file_name("killed.db");
    first.block_on(async {
        world.begin().await;
        let mut back = world.ann().await;
        back.views.insert(session.clone(), view);
        let payload = back.resume(&session).await;
        assert_eq!(
            payload["mode"], "events",
            "the epoch is the same, so the client goes on from where it was"
        );
        assert_eq!(payload["events"][0]["data"]["finish"], "interrupted");
        assert_eq!(payload["messages"][0]["text"], "你好 half");
        assert_eq!(payload["messages"][0]["reasoning"], "hm");
        let listed = back.ok("sessions.list", &json!({ "q": "你好" })).await;
        assert_eq!(
            listed["sessions"][0]["hits"][0]["message"],
            reply.as_str(),
            "it can be found"
        );
        world.stop(Duration::ZERO).await;
    });
}

#[tokio::test]
async fn waiting_messages_survive_a_restart() {
    let mut world = World::new().await;
    let (mut ann, session, _, _call) = running(&world).await;
    ann.ok(
        "chat.send",
        &json!({ "session": session, "cid": "w1", "text": "waiting" }),
    )
    .await;
    world.restart(Duration::ZERO).await;
    let mut back = world.ann().await;
    let snapshot = back.sub(&session).await;
    assert_eq!(snapshot["queue"][0]["text"], "waiting");
    let sent = back
        .ok(
            "chat.send",
            &json!({ "session": session, "cid": "w1", "text": "waiting" }),
        )
        .await;
    assert_eq!(
        (sent["dup"].as_bool(), sent["status"].as_str()),
        (Some(true), Some("queued"))
    );
}

#[tokio::test]
async fn one_database_has_one_gateway_and_bad_settings_none() {
    let world = World::new().await;
    let second = Chat::start(
        Settings {
            listen: ([127, 0, 0, 1], 0).into(),
            ..world.settings.clone()
        },
        &[],
    )
    .await;
    assert!(matches!(
        second.err(),
        Some(Error::Store(StoreError::InUse(_)))
    ));
    let taken = Settings {
        listen: world.chat().address(),
        ..world.settings.clone()
    };
    assert!(matches!(
        Chat::start(taken, &[]).await.err(),
        Some(Error::Listen(server::Error::Bind { .. }))
    ));
    let folder = world.settings.store.with_file_name("none.pem");
    let tls = Tls {
        cert: folder.clone(),
        key: folder.clone(),
    };
    let broken = Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        tls: Some(tls),
        ..world.settings.clone()
    };
    match Chat::start(broken, &[]).await.err() {
        Some(Error::Listen(server::Error::Tls(error))) => {
            let path = folder.display().to_string();
            assert!(error.to_string().starts_with(&path), "{error}");
        }
        other => panic!("refused, not {other:?}"),
    }
    let remote = Settings {
        listen: ([0, 0, 0, 0], 0).into(),
        users: Vec::new(),
        ..world.settings.clone()
    };
    match Chat::start(remote, &[]).await.err() {
        Some(Error::Settings(problems)) => assert_eq!(problems.len(), 2),
        other => panic!("refused, not {other:?}"),
    }
}

#[tokio::test]
async fn a_backup_of_the_live_database_is_whole_and_starts_a_new_epoch() {
    let mut world = World::new().await;
    let (mut ann, session) = super::answered(&world, "q", "a").await;
    let copy = world.settings.store.with_file_name("copy.db");
    backup(&world.settings.store, &copy).expect("it can be copied");
    assert!(
        backup(&world.settings.store, &copy).is_err(),
        "nothing is overwritten"
    );
    let epoch = ann.welcome["epoch"].clone();
    super::ask(&world, &mut ann, Some(&session), "after the backup", "b").await;
    let view = ann.view(&session).clone();
    world.stop(Duration::ZERO).await;
    world.settings.store = copy;
    world.begin().await;
    let mut back = world.ann().await;
    assert_ne!(back.welcome["epoch"], epoch);
    back.views.insert(session.clone(), view);
    let payload = back.resume(&session).await;
    assert_eq!(
        (
            payload["mode"].as_str(),
            payload["messages"].as_array().map(Vec::len)
        ),
        (Some("snapshot"), Some(2))
    );
}

#[tokio::test]
async fn a_code_from_the_command_line_logs_in_to_the_running_gateway() {
    let world = World::new().await;
    let code = login_code(&world.settings.store).expect("a code");
    let http = super::http::Http::new(&world);
    assert_eq!(
        http.post("/api/v1/login", &[], &json!({ "code": code }))
            .await
            .json["user"]["name"],
        "local"
    );
}

#[tokio::test]
async fn while_it_stops_new_sockets_are_refused() {
    let mut world = World::new().await;
    let (ann, _, _, _call) = running(&world).await;
    let chat = world.chat.take().expect("it runs");
    let host = chat.address().to_string();
    let stopping = tokio::spawn(chat.shutdown(Duration::from_millis(300)));
    eventually(
        "the gateway stops",
        async || match tokio::net::TcpStream::connect(&host).await {
            Err(_) => true,
            // Accepted by the system while the gateway still held the address: nobody answers any more.
            Ok(_) => tokio::time::timeout(Duration::from_millis(50), open(&host, &[]))
                .await
                .is_err(),
        },
    )
    .await;
    drop(ann);
    stopping.await.expect("it stops");
}
