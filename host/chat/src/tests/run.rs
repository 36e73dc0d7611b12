//! Runs: what the proxy is asked, what comes of its answers, and how a run is stopped.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::fake::Fake;
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
async fn failures_name_their_layer_and_keep_what_came() {
    let world = World::new().await;
    let cases = [
        (404, "model_not_found", "MODEL_NOT_FOUND", "model"),
        (400, "context_length_exceeded", "CONTEXT_OVERFLOW", "model"),
        (503, "circuit_open", "CIRCUIT_OPEN", "proxy"),
        (502, "upstream_unreachable", "UPSTREAM_UNREACHABLE", "model"),
        (
            504,
            "upstream_first_byte_timeout",
            "UPSTREAM_TIMEOUT",
            "model",
        ),
        (302, "", "UPSTREAM_CONFIGURATION", "proxy"),
        (502, "upstream_error", "UPSTREAM_ERROR", "model"),
        (
            502,
            "upstream_unauthorized",
            "UPSTREAM_UNAUTHORIZED",
            "model",
        ),
    ];
    for (status, code, expected, layer) in cases {
        let (mut ann, session, sent, call) = running(&world).await;
        call.refuse(status, code).await;
        let end = ann
            .ended(&session, sent["run"].as_str().expect("a run"))
            .await;
        assert_eq!(end["finish"], "error");
        assert_eq!(
            (
                end["error"]["code"].as_str(),
                end["error"]["layer"].as_str()
            ),
            (Some(expected), Some(layer)),
            "{end}"
        );
        assert_eq!(end["error"]["request_id"], sent["request_id"]);
    }
    let (mut ann, session, sent, mut call) = running(&world).await;
    call.begin().await;
    call.text("half").await;
    drop(call);
    let end = ann
        .ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    assert_eq!(
        (end["error"]["code"].as_str(), end["to"]["text"].as_u64()),
        (Some("STREAM_TRUNCATED"), Some(4))
    );
    let (mut ann, session, sent, mut call) = running(&world).await;
    call.begin().await;
    call.text("half").await;
    call.event(&json!({ "error": { "message": "x", "code": "upstream_idle_timeout" } }))
        .await;
    let end = ann
        .ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    assert_eq!(end["error"]["code"], "UPSTREAM_TIMEOUT");
    assert_eq!(
        ann.view(&session).texts[sent["reply"].as_str().expect("a message")],
        "half"
    );
}

#[tokio::test]
async fn an_endpoint_may_be_given_as_to_openai_s_clients() {
    let world = World::with(|settings| settings.endpoint.push_str("/v1")).await;
    let (_, session) = answered(&world, "question", "answer").await;
    assert!(session.starts_with("ses_"));
}

#[tokio::test]
async fn a_redirect_is_an_error_and_never_followed() {
    let world = World::new().await;
    let elsewhere = Fake::start().await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    let target = elsewhere.url();
    call.raw(&format!("HTTP/1.1 307 X\r\nlocation: {target}/v1/chat/completions\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
        .await;
    let end = ann
        .ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    assert_eq!(end["error"]["code"], "UPSTREAM_CONFIGURATION");
    assert!(elsewhere.idle().await);
}

#[tokio::test]
async fn a_stall_is_a_timeout() {
    let world = World::with(|settings| settings.timeouts.idle = Duration::from_millis(50)).await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    call.begin().await;
    call.text("half").await;
    let end = ann
        .ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    assert_eq!(
        (
            end["error"]["code"].as_str(),
            end["error"]["layer"].as_str()
        ),
        (Some("UPSTREAM_TIMEOUT"), Some("model"))
    );
    assert!(call.hung_up().await < Duration::from_secs(1));
}

#[tokio::test]
async fn an_answer_beyond_the_limit_ends_with_length() {
    let world = World::with(|settings| settings.limits.answer = 10).await;
    let (mut ann, session, sent, mut call) = running(&world).await;
    call.begin().await;
    call.text("12345678").await;
    call.text("90123").await;
    let end = ann
        .ended(&session, sent["run"].as_str().expect("a run"))
        .await;
    assert_eq!(
        (end["finish"].as_str(), end["to"]["text"].as_u64()),
        (Some("length"), Some(8))
    );
    call.hung_up().await;
}

#[tokio::test]
async fn with_the_proxy_down_everything_else_works_and_the_page_learns_when_it_is_back() {
    let nobody = Fake::start().await;
    let address = nobody.address;
    drop(nobody);
    let world = World::with(|settings| settings.endpoint = format!("http://{address}")).await;
    let mut ann = world.ann().await;
    let sent = ann.send(None, "question").await;
    let session = sent["session"].as_str().expect("a session").to_owned();
    ann.sub(&session).await;
    eventually("the run has ended", async || {
        ann.sub(&session).await["messages"][1]["status"] == "error"
    })
    .await;
    let failed = &ann.view(&session).snapshot["messages"][1];
    assert_eq!(failed["run"]["error"]["code"], "UPSTREAM_UNREACHABLE");
    assert_eq!(failed["run"]["error"]["layer"], "proxy");
    assert_eq!(
        ann.ok("models.list", &json!({})).await["health"]["proxy"],
        "down"
    );
    let fake = Fake::at(address).await;
    ann.notice(|notice| notice["type"] == "system" && notice["health"]["proxy"] == "up")
        .await;
    let again = json!({ "session": session, "message": failed_id(&ann, &session), "cid": "again" });
    let sent = ann.ok("chat.regenerate", &again).await;
    fake.call().await.answer("here").await;
    ann.ended(&session, sent["run"].as_str().expect("a run"))
        .await;
}

#[tokio::test]
async fn a_run_that_fails_below_makes_the_gateway_look_again_at_once() {
    let world = World::new().await;
    let (mut ann, _, _, call) = running(&world).await;
    eventually("all is well", async || {
        ann.ok("models.list", &json!({})).await["health"]["model"] == "up"
    })
    .await;
    world.fake.page("/v1/models", 502, &json!({}));
    drop(call);
    // Long before it would look by itself.
    ann.notice(|notice| notice["type"] == "system" && notice["health"]["model"] == "down")
        .await;
}

fn failed_id(client: &super::Client, session: &str) -> String {
    client.view(session).snapshot["messages"][1]["id"]
        .as_str()
        .expect("an id")
        .to_owned()
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
