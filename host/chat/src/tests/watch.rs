//! Watching and coming back: nothing is lost and nothing comes twice, whatever happens to the socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::client::{Client, View};
use super::{World, answered, ask, eventually, running};
use crate::outbox::Frame;

fn id(value: &Value) -> &str {
    value.as_str().expect("an id")
}

/// Pieces of one to some dozens of bytes, with characters of all lengths.
fn pieces() -> Vec<String> {
    (0..400)
        .map(|n| {
            format!(
                "{n}{} ",
                ["a", "é", "你好", "😀😀😀", "\n```rust\n"][n % 5].repeat(n % 7)
            )
        })
        .collect()
}

#[tokio::test]
async fn a_socket_cut_a_hundred_times_in_one_answer_loses_nothing() {
    let world = World::new().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    let (run, reply) = (id(&sent["run"]).to_owned(), id(&sent["reply"]).to_owned());
    let pieces = pieces();
    let writer = tokio::spawn(async move {
        call.begin().await;
        for (n, piece) in pieces.iter().enumerate() {
            if n % 3 == 0 {
                call.reasoning(piece).await;
            }
            call.text(piece).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        call.finish("stop").await;
    });
    for cut in 0..100 {
        // Cut at once, or after some frames.
        for _ in 0..cut % 3 {
            if ann.view(&session).ended.is_empty() {
                ann.next_frame().await;
            }
        }
        ann.reconnect().await;
    }
    ann.ended(&session, &run).await;
    writer.await.expect("the proxy wrote all");
    let all = self::pieces();
    let view = ann.view(&session);
    assert_eq!(view.texts[&reply], all.concat());
    assert_eq!(
        view.reasoning[&reply],
        all.iter().step_by(3).cloned().collect::<String>()
    );
    assert!(world.chat().metrics()().contains("sluicegate_chat_resumes_total 100"));
}

#[tokio::test]
async fn a_refresh_in_mid_answer_shows_the_text_so_far_and_the_rest() {
    let world = World::new().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    let (run, reply) = (id(&sent["run"]).to_owned(), id(&sent["reply"]).to_owned());
    call.begin().await;
    let mut whole = String::new();
    for n in 0..10 {
        let piece = format!("{n}你好");
        call.text(&piece).await;
        whole.push_str(&piece);
        ann.shows(&session, &reply, &whole).await;
        let mut fresh = world.ann().await;
        let snapshot = fresh.sub(&session).await;
        assert_eq!(snapshot["mode"], "snapshot");
        assert_eq!(snapshot["messages"][1]["text"], whole);
        assert_eq!(snapshot["messages"][1]["status"], "streaming");
        assert_eq!(snapshot["runs"][0]["state"], "running");
        assert_eq!(snapshot["session"]["running"], true);
        ann = fresh;
    }
    call.finish("stop").await;
    ann.ended(&session, &run).await;
    assert_eq!(ann.view(&session).texts[&reply], whole);
}

#[tokio::test]
async fn a_run_that_ended_meanwhile_comes_as_events_with_its_final_message() {
    let world = World::new().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    let (run, reply) = (id(&sent["run"]).to_owned(), id(&sent["reply"]).to_owned());
    call.begin().await;
    call.text("first ").await;
    ann.shows(&session, &reply, "first ").await;
    let view: View = ann.view(&session).clone();
    drop(ann);
    call.text("second").await;
    call.finish("stop").await;
    let mut back = world.ann().await;
    eventually("the run has ended", async || {
        back.ok("sessions.get", &json!({ "session": session }))
            .await["session"]["running"]
            == false
    })
    .await;
    back.views.insert(session.clone(), view);
    let payload = back.resume(&session).await;
    assert_eq!(payload["mode"], "events");
    assert_eq!(payload["messages"][0]["text"], "first second");
    assert_eq!(payload["runs"], json!([]));
    assert!(back.view(&session).ended.contains_key(&run));
    assert_eq!(back.view(&session).texts[&reply], "first second");
}

#[tokio::test]
async fn positions_of_another_epoch_or_from_the_future_get_a_snapshot() {
    let world = World::new().await;
    let (mut ann, session) = answered(&world, "q", "a").await;
    let epoch = ann.welcome["epoch"].clone();
    for (epoch, after) in [(json!("e_other"), 1), (epoch.clone(), 99), (Value::Null, 1)] {
        let params = json!({ "session": session, "epoch": epoch, "after": after });
        assert_eq!(ann.ok("sub", &params).await["mode"], "snapshot");
    }
    let params = json!({ "session": session, "epoch": epoch, "after": 1 });
    assert_eq!(ann.ok("sub", &params).await["mode"], "events");
}

#[tokio::test]
async fn a_position_beyond_the_text_resets_that_run() {
    let world = World::new().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    let (run, reply) = (id(&sent["run"]).to_owned(), id(&sent["reply"]).to_owned());
    call.begin().await;
    call.text("你好").await;
    ann.shows(&session, &reply, "你好").await;
    for wrong in [7, 1, usize::MAX] {
        let mut back = world.ann().await;
        let seq = ann.view(&session).seq;
        let params = json!({ "session": session, "epoch": back.welcome["epoch"], "after": seq, "runs": { &run: { "text": wrong } } });
        let payload = back.ok("sub", &params).await;
        assert_eq!(
            (
                payload["runs"][0]["reset"].as_bool(),
                payload["runs"][0]["to"]["text"].as_u64()
            ),
            (Some(true), Some(0))
        );
    }
}

#[tokio::test]
async fn tabs_see_the_same_and_a_reader_that_stops_reading_holds_nobody_up() {
    let world = World::with(|settings| settings.sockets.outbox = 16).await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    let (run, reply) = (id(&sent["run"]).to_owned(), id(&sent["reply"]).to_owned());
    let mut tabs = [world.ann().await, world.ann().await];
    for tab in &mut tabs {
        tab.sub(&session).await;
    }
    let mut deaf = world.ann().await;
    deaf.sub(&session).await;
    call.begin().await;
    let piece = "0123456789abcdef".repeat(64);
    for _ in 0..3_000 {
        call.text(&piece).await;
    }
    call.finish("stop").await;
    for tab in [&mut ann].into_iter().chain(&mut tabs) {
        tab.ended(&session, &run).await;
        assert_eq!(tab.view(&session).texts[&reply].len(), 3_000 * piece.len());
    }
    // Nothing of its text waited for the deaf one: it still gets all of it, from the buffer, when it reads.
    deaf.ended(&session, &run).await;
    assert_eq!(deaf.view(&session).texts[&reply].len(), 3_000 * piece.len());
}

#[tokio::test]
async fn what_one_tab_does_the_others_see() {
    let world = World::new().await;
    let (mut ann, session) = answered(&world, "q", "a").await;
    let mut tab = world.ann().await;
    tab.sub(&session).await;
    ann.ok(
        "sessions.patch",
        &json!({ "session": session, "title": "  New\n title ", "pinned": true }),
    )
    .await;
    let changed = tab
        .notice(|notice| {
            notice["type"] == "sessions.changed" && notice["session"]["pinned"] == true
        })
        .await;
    assert_eq!(changed["session"]["title"], "New title");
    assert_eq!(tab.view(&session).names(), ["session.updated"]);
    ask(&world, &mut ann, Some(&session), "from the first tab", "b").await;
    let names = [
        "session.updated",
        "message.added",
        "run.started",
        "run.ended",
    ];
    while tab.view(&session).names() != names {
        tab.next_frame().await;
    }
    ann.ok("sessions.delete", &json!({ "session": session }))
        .await;
    tab.notice(|notice| notice["session"]["deleted_at"].is_u64())
        .await;
    assert_eq!(tab.view(&session).names().last(), Some(&"session.deleted"));
}

#[tokio::test]
async fn answers_that_nobody_saw_are_unread_until_somebody_looks() {
    let world = World::new().await;
    let (mut ann, session) = answered(&world, "q", "a").await;
    let listed = ann.ok("sessions.list", &json!({})).await;
    assert_eq!(listed["sessions"][0]["unread"], true);
    let mut tab = world.ann().await;
    let seq = ann.view(&session).seq;
    ann.ok("sessions.read", &json!({ "session": session, "seq": seq }))
        .await;
    tab.notice(|notice| {
        notice["type"] == "sessions.changed" && notice["session"]["unread"] == false
    })
    .await;
    ann.ok("sessions.read", &json!({ "session": session, "seq": 1 }))
        .await;
    assert_eq!(
        tab.ok("sessions.get", &json!({ "session": session })).await["session"]["unread"],
        false
    );
}

#[tokio::test]
async fn unsubscribing_ends_events_and_text() {
    let world = World::new().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    call.begin().await;
    call.text("a").await;
    ann.shows(&session, id(&sent["reply"]), "a").await;
    ann.ok("unsub", &json!({ "session": session })).await;
    ann.views.clear();
    call.text("b").await;
    call.finish("stop").await;
    ann.notice(|notice| {
        notice["type"] == "sessions.changed" && notice["session"]["running"] == false
    })
    .await;
    ann.ok("ping", &json!({ "ts": 1 })).await;
}

#[tokio::test]
async fn a_session_of_five_thousand_messages_opens_quickly() {
    let world = World::new().await;
    let messages: Vec<Value> = (0..5_000)
        .map(|n| {
            let role = if n % 2 == 0 { "user" } else { "assistant" };
            let parent = (n > 0).then(|| format!("m{}", n - 1));
            let text = format!("message {n} {}", "word ".repeat(40));
            json!({ "id": format!("m{n}"), "parent": parent, "role": role, "status": "done", "text": text, "created_at": 1 })
        })
        .collect();
    let session = json!({
        "id": "s", "title": "long", "titled": true, "pinned": false, "archived": false, "unread": false, "preview": "",
        "leaf": "m4999", "seq": 0, "created_at": 1, "updated_at": 1
    });
    let file = json!({ "format": "sluicegate.chat", "version": 1, "sessions": [{ "session": session, "messages": messages }] });
    let store = world.settings.store.clone();
    let imported =
        super::super::import(&store, "ann", &file.to_string()).expect("the file is good");
    assert_eq!((imported.sessions, imported.messages), (1, 5_000));
    let mut ann = world.ann().await;
    let listed = ann.ok("sessions.list", &json!({})).await;
    let session = id(&listed["sessions"][0]["id"]).to_owned();
    let started = tokio::time::Instant::now();
    let snapshot = ann.sub(&session).await;
    assert!(
        started.elapsed() < Duration::from_millis(300),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(snapshot["messages"].as_array().map(Vec::len), Some(50));
    assert_eq!(snapshot["more"], true);
    let mut before = snapshot["messages"][0]["id"].clone();
    let mut count = 50;
    loop {
        let page = ann
            .ok(
                "messages.page",
                &json!({ "session": session, "before": before, "limit": 200 }),
            )
            .await;
        count += page["messages"].as_array().expect("messages").len();
        before = page["messages"][0]["id"].clone();
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(count, 5_000);
}

/// A socket of a raw client whose receive buffer is small, after its hello. What the gateway sends it, nobody reads.
async fn silent(world: &World) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .set_recv_buffer_size(4 * 1024)
        .expect("a small buffer");
    let mut raw = socket
        .connect(world.chat().address())
        .await
        .expect("the gateway listens");
    let head = format!(
        "GET /ws HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: sluice.v1\r\n\r\n",
        world.host()
    );
    raw.write_all(head.as_bytes())
        .await
        .expect("the head is sent");
    let mut bytes = [0; 2_048];
    assert!(raw.read(&mut bytes).await.expect("an answer") > 0);
    let token = super::ANN;
    let hello = format!(
        r#"{{"type":"req","id":"1","method":"hello","params":{{"min":1,"max":1,"token":"{token}"}}}}"#
    );
    raw.write_all(&masked(&hello)).await.expect("sent");
    raw
}

/// A request to watch a session from its snapshot.
fn sub(session: &str) -> Vec<u8> {
    masked(&format!(
        r#"{{"type":"req","id":"2","method":"sub","params":{{"session":"{session}"}}}}"#
    ))
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_and_its_memory_given_back() {
    let world = World::with(|settings| settings.sockets.outbox = 8).await;
    let (mut ann, session) = answered(&world, "q", "a").await;
    let mut raw = silent(&world).await;
    raw.write_all(&sub(&session)).await.expect("sent");
    // Events beyond what the system buffers, and then beyond its queue.
    let big = "x".repeat(99_000);
    for n in 0..200 {
        if world.chat().metrics()().contains("sluicegate_chat_connections 1\n") {
            return;
        }
        let first =
            json!({ "session": session, "cid": format!("n{n}"), "text": big, "parent": null });
        let sent = ann.ok("chat.send", &first).await;
        world.fake.call().await.answer("ok").await;
        ann.ended(&session, id(&sent["run"])).await;
    }
    panic!("the socket was not given up");
}

/// A session whose only answer is as long as an answer may be, and the name of its user.
async fn long_answer(world: &World) -> (Client, String, String) {
    let (mut ann, session, sent, mut call) = running(world).await;
    call.begin().await;
    let piece = "0123456789abcdef".repeat(16 * 1024);
    for _ in 0..15 {
        call.text(&piece).await;
    }
    call.finish("stop").await;
    ann.ended(&session, id(&sent["run"])).await;
    let user = id(&ann.welcome["user"]["id"]).to_owned();
    (ann, session, user)
}

#[tokio::test]
async fn who_asks_again_and_again_and_reads_nothing_holds_one_answer() {
    let world = World::new().await;
    let (mut ann, session, user) = long_answer(&world).await;
    let mut raw = silent(&world).await;
    let asked = sub(&session);
    let answer = 15 * 256 * 1024;
    raw.write_all(&asked).await.expect("sent");
    eventually("the answer waits", async || {
        world.chat().core.connections.held(&user) > answer
    })
    .await;
    let mut most = 0;
    for _ in 0..5_000 {
        // It takes no more questions, or has been closed.
        let sent = tokio::time::timeout(Duration::from_millis(200), raw.write_all(&asked)).await;
        most = most.max(world.chat().core.connections.held(&user));
        if !matches!(sent, Ok(Ok(()))) {
            break;
        }
    }
    assert!(most < answer + 512 * 1024, "{most} bytes: it is there once");
    ann.ok("ping", &json!({ "ts": 0 })).await;
}

#[tokio::test]
async fn many_silent_readers_of_one_answer_hold_it_once() {
    let world = World::new().await;
    let (mut ann, session, user) = long_answer(&world).await;
    let mut readers = Vec::new();
    for _ in 0..100 {
        let mut raw = silent(&world).await;
        raw.write_all(&sub(&session)).await.expect("sent");
        readers.push(raw);
    }
    let watched = || async { world.chat().metrics()().contains("connections 101\n") };
    eventually("all of them are connected", watched).await;
    let answer = 15 * 256 * 1024;
    eventually("the answer waits", async || {
        world.chat().core.connections.held(&user) > answer
    })
    .await;
    // Everybody has been answered when somebody who came later is.
    ann.sub(&session).await;
    let held = world.chat().core.connections.held(&user);
    assert!(held < answer + 1_024 * 1024, "{held} bytes");
    drop(readers);
    eventually("it is given back", async || {
        world.chat().core.connections.held(&user) == 0
    })
    .await;
}

#[tokio::test]
async fn the_text_of_a_run_is_in_no_queue() {
    let world = World::new().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    let user = id(&ann.welcome["user"]["id"]).to_owned();
    call.begin().await;
    let piece = "0123456789abcdef".repeat(16 * 1024);
    for _ in 0..8 {
        call.text(&piece).await;
    }
    ann.shows(&session, id(&sent["reply"]), &piece.repeat(8))
        .await;
    let mut raw = silent(&world).await;
    let mut fresh = world.ann().await;
    for _ in 0..20 {
        raw.write_all(&sub(&session)).await.expect("sent");
    }
    let snapshot = fresh.sub(&session).await;
    let text = snapshot["messages"][1]["text"].as_str().expect("a text");
    assert_eq!(text.len(), 64 * 1024);
    let held = world.chat().core.connections.held(&user);
    assert!(held < 512 * 1024, "{held} bytes");
    fresh
        .shows(&session, id(&sent["reply"]), &piece.repeat(8))
        .await;
}

/// A text frame as clients send it.
fn masked(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("short");
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(length.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

#[tokio::test]
async fn pings_are_answered_and_ticks_are_not_needed_while_frames_flow() {
    let world = World::new().await;
    let mut ann: Client = world.ann().await;
    let pong = ann.ok("ping", &json!({ "ts": 12.5 })).await;
    assert_eq!(pong["ts"], 12.5);
    assert!(pong["now"].as_u64() > Some(1_700_000_000_000));
    ann.ws
        .send(Message::Ping(Default::default()))
        .await
        .expect("sent");
    ann.ok("visible", &json!({ "visible": false })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_to_hello_comes_first_whatever_is_told_to_all_meanwhile() {
    // More than is told: nobody is closed for reading slowly.
    let world = World::with(|settings| {
        settings.sockets.outbox = usize::MAX;
        settings.sockets.outbox_bytes = usize::MAX;
        settings.sockets.outbox_bytes_per_user = usize::MAX;
    })
    .await;
    let core = Arc::clone(&world.chat().core);
    let done = Arc::new(AtomicBool::new(false));
    let teller = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let notice = Frame::from(r#"{"type":"system"}"#.to_owned());
            let mut told = 0_u32;
            while !done.load(Ordering::Relaxed) {
                core.connections.to_all(&notice);
                told += 1;
            }
            told
        }
    });
    for _ in 0..100 {
        let first = world.ann().await.welcome;
        assert!(first["epoch"].is_string(), "{first}");
    }
    done.store(true, Ordering::Relaxed);
    assert!(teller.join().expect("it ends") > 100);
}
