//! Plugins that misbehave while they serve: the client gets the documented error, and nobody else notices.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::Method;
use serde_json::json;
use sluicegate_tests::client::{End, Response};
use sluicegate_tests::{
    Barrier, Client, Gateway, Script, Setup, Upstream, eventually, guest, logs, within,
};
use tokio::task::JoinSet;

/// A stream of three events.
fn events() -> Script {
    Script::sse_head().chunks(["data: one\n\n", "data: two\n\n", "data: three\n\n"])
}

/// A client that tells the guest what to do.
fn told(gateway: &Gateway, acts: &str) -> Client {
    gateway.client().with(guest::FIELD, acts)
}

fn assert_plugin_fault(response: &Response) {
    assert_eq!(response.status, 502, "{}", response.text());
    let error = response.error();
    assert_eq!(error["code"], "plugin_fault");
    assert_eq!(error["type"], "server_error");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("`guest`"), "it names the stage: {message}");
    assert_eq!(response.header("x-should-retry"), "false");
    assert!(response.complete);
}

/// What the log says of a fault, and the metric's label for it.
const DEEDS: [(&str, &str, &str); 4] = [
    ("loop", "it used up its CPU budget", "deadline"),
    ("memory", "memory limit", "memory"),
    ("trap", "trapped", "trap"),
    ("stack", "trapped", "trap"),
];

#[tokio::test]
async fn every_deed_in_every_phase_before_the_head_is_a_502_and_the_next_exchange_works() {
    let upstream = Upstream::always(Script::json(200, &json!({"a": 1}))).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for (phase, plans) in [
        ("request-head", ""),
        ("request-body", "request-plan=whole"),
        ("response-head", ""),
        ("response-body", "response-plan=whole"),
        ("response-chunk", "response-plan=chunks"),
        ("response-events", "response-plan=document"),
        ("response-end", "response-plan=document"),
    ] {
        for (deed, _, _) in DEEDS {
            let client = told(&gateway, &format!("{phase}={deed}, {plans}"));
            let response = client.post("/x", &json!({})).await;
            assert_plugin_fault(&response);
        }
        let response = gateway.client().post("/x", &json!({})).await;
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, r#"{"a":1}"#),
            "after {phase}"
        );
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn each_deed_has_its_own_words_in_the_log_and_its_own_figure() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for (deed, words, label) in DEEDS {
        let series =
            format!(r#"sluicegate_plugin_faults_total{{plugin="guest",reason="{label}"}}"#);
        let before = gateway.metric(&series).await;
        let id = logs::id();
        let client = told(&gateway, &format!("request-head={deed}")).with("x-request-id", &id);
        assert_plugin_fault(&client.get("/x").await);
        let line = logs::failure(&id).await;
        assert_eq!(line["code"], "plugin_fault");
        assert_eq!(line["level"], "warn");
        let error = line["error"].as_str().expect("a reason");
        assert!(
            error.contains(words) || error.contains("budget"),
            "{deed}: {error}"
        );
        assert_eq!(gateway.metric(&series).await - before, 1.0, "{deed}");
    }
    assert!(
        upstream.requests().is_empty(),
        "a failed stage is closed by default"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_gate_that_misbehaves_refuses_the_exchange() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let setup = Setup::before(&upstream).guest(guest::GATE, "limits = { output = \"1MiB\" }");
    let gateway = setup.start().await;
    for act in [
        "loop",
        "memory",
        "trap",
        "stack",
        "reply-99",
        "reply-101",
        "reply-600",
        "reply-oversize",
        "fail-200",
    ] {
        assert_plugin_fault(&told(&gateway, &format!("check={act}")).get("/x").await);
        assert_eq!(gateway.client().get("/x").await.status, 200, "after {act}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_gate_on_fault_open_lets_through_what_it_cannot_judge() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::GATE, "on-fault = \"open\"")
        .start()
        .await;
    for act in ["loop", "memory", "trap"] {
        let response = told(&gateway, &format!("check={act}")).get("/x").await;
        assert_eq!(response.status, 200, "{act}");
    }
    // A decision is not a fault.
    let response = told(&gateway, "check=fail").get("/x").await;
    assert_eq!(
        (response.status, response.error()["code"].as_str()),
        (418, Some("guest_refuses"))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn answers_that_break_the_contract_are_plugin_faults() {
    let upstream = Upstream::always(events()).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for acts in [
        "request-head=reply-99",
        "request-head=reply-600",
        "request-head=fail-200",
        "request-head=reply-fields",
        "response-head=reply-fields",
        "request-plan=whole, request-body=reply-99",
        "request-plan=whole, request-body=reply-oversize",
        "request-plan=whole, request-body=oversize",
        "response-head=reply-99",
        "response-head=fail-200",
        "response-plan=whole, response-body=oversize",
        "response-plan=chunks, response-chunk=oversize",
        "response-plan=sse, response-events=oversize",
        "response-plan=document, response-end=oversize",
        "response-plan=document",
        "response-plan=document, response-events=upper",
        "request-plan=look, request-body=upper",
    ] {
        let response = told(&gateway, acts).post("/x", &json!({})).await;
        assert_eq!(response.status, 502, "{acts}: {}", response.text());
        assert_plugin_fault(&response);
        let response = gateway.client().post("/x", &json!({})).await;
        assert_eq!(response.status, 200, "after {acts}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_fault_in_mid_stream_is_an_error_event_and_the_model_server_is_let_go() {
    let later = Barrier::new();
    let script = Script::sse_head().chunk("data: one\n\n").wait(&later);
    let upstream = Upstream::always(script.chunk("data: two\n\n").hang()).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for (act, code) in [
        ("loop", "plugin_fault"),
        ("memory", "plugin_fault"),
        ("trap", "plugin_fault"),
        ("oversize", "plugin_fault"),
        ("fail", "guest_refuses"),
    ] {
        let client = told(&gateway, &format!("response-plan=sse, later-events={act}"));
        let mut stream = client.open(Method::GET, "/x", "").await;
        assert_eq!(stream.event().await.expect("an event").data, "one");
        later.release();
        let error = stream.event().await.expect("an error").json();
        assert_eq!(error["error"]["code"], code, "{act}");
        assert_eq!(stream.event().await, None, "{act}");
        assert_eq!(stream.end(), Some(End::Proper), "{act}: a proper end");
        upstream.next_request().await.disconnected().await;
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn other_exchanges_go_on_while_one_plugin_misbehaves() {
    let upstream = Upstream::start(|request| match request.path() {
        "/slow" => Script::sse_head().chunks((0..200).map(|n| format!("data: {n}\n\n"))),
        _ => Script::empty(200),
    })
    .await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let client = told(&gateway, "response-plan=sse");
    let mut streams = JoinSet::new();
    for _ in 0..4 {
        let client = client.clone();
        streams.spawn(async move { client.get("/slow").await });
    }
    for act in ["loop", "memory", "trap", "stack"] {
        assert_plugin_fault(
            &told(&gateway, &format!("request-head={act}"))
                .get("/x")
                .await,
        );
    }
    let expected: String = (0..200).map(|n| format!("data: {n}\n\n")).collect();
    while let Some(response) = within("a stream beside the faults", streams.join_next()).await {
        let response = response.expect("no panic");
        assert_eq!(
            (response.text(), response.complete),
            (expected.clone(), true)
        );
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_stage_that_fails_open_drops_out_and_the_exchange_goes_on() {
    let upstream = Upstream::always(events()).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::WATCHER, "on-fault = \"open\"")
        .start()
        .await;
    let body = "data: one\n\ndata: two\n\ndata: three\n\n";
    for acts in [
        "request-head=trap",
        "request-head=loop",
        "request-plan=whole, request-body=trap",
        "request-plan=look, request-body=lie",
        "response-head=trap",
        "response-plan=whole, response-body=trap",
        "response-plan=chunks, response-chunk=trap",
        "response-plan=sse, response-events=trap",
        "response-plan=sse, response-end=trap",
        "response-plan=sse, response-events=memory",
        // Lies about what it changes are faults too.
        "request-plan=whole, request-body=lie",
        "response-plan=whole, response-body=lie",
        "response-plan=chunks, response-chunk=lie",
        "response-plan=sse, response-events=lie",
        "response-plan=sse, response-end=lie",
        "response-plan=ndjson",
        "response-plan=document",
    ] {
        let response = told(&gateway, acts).post("/x", &json!({"k": "v"})).await;
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, body),
            "{acts}"
        );
        assert!(response.complete, "{acts}");
        let request = upstream.next_request().await;
        assert_eq!(request.json(), json!({"k": "v"}), "{acts}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_lie_about_changing_nothing_is_a_plugin_fault_where_the_stage_is_closed() {
    let upstream = Upstream::always(events()).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::WATCHER, "")
        .start()
        .await;
    for acts in [
        "request-plan=whole, request-body=lie",
        "response-plan=whole, response-body=lie",
        "response-plan=chunks, response-chunk=lie",
        "response-plan=sse, response-events=lie",
        "response-plan=ndjson",
        "response-plan=document",
    ] {
        assert_plugin_fault(&told(&gateway, acts).post("/x", &json!({})).await);
    }
    // The end comes when the head and the events have gone out.
    let response = told(&gateway, "response-plan=sse, response-end=lie")
        .get("/x")
        .await;
    let last = response.events().pop().expect("an event");
    assert_eq!(last.json()["error"]["code"], "plugin_fault");
    assert!(!response.text().contains("one more"), "{}", response.text());
    gateway.shutdown().await;
}

// A thread waits with it, so there must be others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_sleeps_is_stopped_by_the_clock() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::LIBRARY, "")
        .start()
        .await;
    let began = Instant::now();
    let sleeping = told(&gateway, "check=sleep");
    let (slow, quick) = tokio::join!(sleeping.get("/x"), async {
        let response = gateway.client().get("/x").await;
        (response, began.elapsed())
    });
    assert_plugin_fault(&slow);
    let slept = began.elapsed();
    assert!(slept >= Duration::from_secs(5), "{slept:?}");
    assert_eq!(quick.0.status, 200);
    assert!(quick.1 < slept, "the sleeper holds nobody up");
    let series = r#"sluicegate_plugin_faults_total{plugin="guest",reason="stalled"}"#;
    assert_eq!(gateway.metric(series).await, 1.0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn chatter_past_a_hundred_lines_a_call_is_dropped_and_counted() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::GATE, "")
        .start()
        .await;
    let id = logs::id();
    let client = told(&gateway, "check=log").with("x-request-id", &id);
    assert_eq!(client.get("/x").await.status, 200);
    let lines = logs::lines(|line| line["req"] == id.as_str() && line["msg"] == "chatter");
    assert_eq!(lines.len(), 100);
    assert_eq!(
        (&lines[7]["line"], &lines[7]["plugin"]),
        (&json!(7), &json!("guest"))
    );
    let series = r#"sluicegate_plugin_log_lines_dropped_total{plugin="guest"}"#;
    assert_eq!(gateway.metric(series).await, 50.0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_log_line_costs_what_a_line_may_cost() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::GATE, "limits = { cpu = \"1s\", memory = \"64MiB\" }")
        .start()
        .await;
    for act in ["log-members", "log-equal-members"] {
        let id = logs::id();
        let client = told(&gateway, &format!("check={act}")).with("x-request-id", &id);
        assert_eq!(client.get("/x").await.status, 200, "{act}");
        let lines = logs::lines(|line| line["req"] == id.as_str() && line["msg"] == "members");
        assert_eq!(lines.len(), 1, "{act}");
        let fields = lines[0]["fields"]
            .as_str()
            .expect("what became of the fields");
        assert!(
            fields.starts_with("left out: ") && fields.ends_with(" bytes"),
            "{fields}"
        );
    }
    let id = logs::id();
    let client = told(&gateway, "check=log-flood").with("x-request-id", &id);
    assert_eq!(client.get("/x").await.status, 200);
    let lines = logs::lines(|line| line["req"] == id.as_str() && line["plugin"] == "guest");
    assert!(
        (1..=32).contains(&lines.len()),
        "256 KiB of 8 KiB each: {}",
        lines.len()
    );
    assert!(lines.iter().all(|line| {
        line["msg"]
            .as_str()
            .is_some_and(|text| text.len() == 8 << 10)
    }));
    let series = r#"sluicegate_plugin_log_lines_dropped_total{plugin="guest"}"#;
    assert_eq!(gateway.metric(series).await, (100 - lines.len()) as f64);
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_the_host_does_for_a_guest_counts_for_its_budget() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(
            guest::GATE,
            "limits = { cpu = \"40ms\", memory = \"64MiB\" }",
        )
        .start()
        .await;
    // A note that is too long is refused before it is read, so this one comes to its end.
    let quick = told(&gateway, "check=notes-flood").get("/x").await;
    assert!(matches!(quick.status, 200 | 502), "{}", quick.status);
    let endless = told(&gateway, "check=names-flood").get("/x").await;
    assert_plugin_fault(&endless);
    let series = r#"sluicegate_plugin_faults_total{plugin="guest",reason="deadline"}"#;
    assert!(gateway.metric(series).await >= 1.0);
    assert_eq!(told(&gateway, "check=none").get("/x").await.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_a_gate_may_not_change_is_an_error_value_and_not_a_trap() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::GATE, "")
        .start()
        .await;
    for act in ["own", "upstream", "notes"] {
        let response = told(&gateway, &format!("check={act}")).get("/x").await;
        assert_eq!(
            (response.status, response.error()["code"].as_str()),
            (500, Some("illegal_change")),
            "{act}"
        );
    }
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_a_gate_may_change_reaches_the_model_server() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::GATE, "")
        .start()
        .await;
    told(&gateway, "check=path").get("/x?q=1").await;
    assert_eq!(upstream.next_request().await.target, "/elsewhere?q=1");
    told(&gateway, "check=host").get("/x").await;
    assert_eq!(
        upstream.next_request().await.header("host"),
        Some("model.example")
    );
    told(&gateway, "check=key")
        .with("authorization", "Bearer the-clients")
        .get("/x")
        .await;
    let request = upstream.next_request().await;
    assert_eq!(
        request.fields.all("authorization"),
        ["Bearer for-the-model-server"]
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_stages_own_response_goes_out_as_it_is_but_for_the_gateways_fields() {
    let upstream = Upstream::always(Script::json(200, &json!({"from": "model"}))).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for acts in [
        "request-head=reply",
        "request-plan=whole, request-body=reply",
        "response-head=reply",
        "response-plan=whole, response-body=reply",
    ] {
        let id = logs::id();
        let response = told(&gateway, acts)
            .with("x-request-id", &id)
            .post("/x", &json!({}))
            .await;
        assert_eq!(
            (response.status, response.text().as_str()),
            (203, r#"{"from":"guest"}"#),
            "{acts}"
        );
        assert_eq!(response.header("x-from"), "guest");
        assert_eq!(response.header("x-request-id"), id);
        assert_eq!(response.fields.get_all("content-length").iter().count(), 1);
        assert!(response.complete);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_refusal_keeps_the_stages_own_status_code_and_parameter() {
    let upstream = Upstream::always(events()).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for acts in [
        "request-head=fail",
        "request-plan=whole, request-body=fail",
        "response-head=fail",
        "response-plan=whole, response-body=fail",
        "response-plan=chunks, response-chunk=fail",
        "response-plan=sse, response-events=fail",
        "response-plan=document, response-end=fail",
    ] {
        let response = told(&gateway, acts).post("/x", &json!({})).await;
        assert_eq!(response.status, 418, "{acts}");
        assert_eq!(
            response.error(),
            json!({"message": "The guest refuses.", "type": "invalid_request_error", "param": "x", "code": "guest_refuses"})
        );
    }
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_guest_that_counts_in_a_global_always_says_one() {
    let upstream = Upstream::always(Script::json(200, &json!({}))).await;
    let gateway = Setup::before(&upstream)
        .plugin("gate", guest::GATE, "")
        .plugin("filter", guest::FILTER, "")
        .route("/*", r#"["gate", "filter"]"#, "")
        .start()
        .await;
    let client = told(&gateway, "request-plan=whole, response-plan=whole");
    let mut exchanges = JoinSet::new();
    for _ in 0..400 {
        let client = client.clone();
        exchanges.spawn(async move { client.post("/x", &json!({})).await });
    }
    while let Some(response) = exchanges.join_next().await {
        let response = response.expect("no panic");
        assert_eq!((response.status, response.header("x-exchange")), (200, "1"));
    }
    let requests = upstream.requests();
    assert_eq!(requests.len(), 400);
    assert!(
        requests
            .iter()
            .all(|request| request.header("x-gate-calls") == Some("1"))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_observer_that_traps_loses_its_batch_and_nothing_else() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::GATE, "")
        .start()
        .await;
    assert_eq!(
        told(&gateway, "check=trap-observer").get("/x").await.status,
        200
    );
    let series = r#"sluicegate_plugin_faults_total{plugin="observer",reason="trap"}"#;
    eventually("the observer's fault", async || {
        (gateway.metric(series).await >= 1.0).then_some(())
    })
    .await;
    let id = logs::id();
    let client = gateway.client().with("x-request-id", &id);
    assert_eq!(client.get("/x").await.status, 200);
    assert_eq!(logs::seen(&id).await["status"], 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_observer_that_sleeps_is_stopped_by_the_clock_and_holds_nobody_up() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .plugin("gate", guest::GATE, "")
        .plugin("sleeper", guest::SLEEPER, "")
        .plugin("observer", guest::OBSERVER, "")
        .route(
            "/*",
            r#"["gate"]"#,
            r#"observers = ["sleeper", "observer"]"#,
        )
        .start()
        .await;
    let ask = async |acts: &str| {
        let id = logs::id();
        let client = told(&gateway, acts).with("x-request-id", &id);
        assert_eq!(client.get("/x").await.status, 200);
        id
    };
    let awake = async |id: String| {
        logs::line("the sleeper's line", |line| line["awake"] == id.as_str()).await
    };
    // While it sleeps, exchanges are served and the other observer sees them.
    let asleep = ask("check=sleep-observer").await;
    logs::seen(&asleep).await;
    let series = r#"sluicegate_plugin_faults_total{plugin="sleeper",reason="stalled"}"#;
    assert_eq!(gateway.metric(series).await, 0.0, "it sleeps");
    logs::seen(&ask("").await).await;
    // Then it loses its batch, and sees what comes later.
    eventually("the sleeper's fault", async || {
        (gateway.metric(series).await >= 1.0).then_some(())
    })
    .await;
    awake(ask("").await).await;
    assert_eq!(upstream.requests().len(), 3);
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_standard_library_works_and_finds_nothing_but_time_and_the_log() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::LIBRARY, "")
        .start()
        .await;
    let id = logs::id();
    let response = gateway.client().with("x-request-id", &id).get("/x").await;
    let found = response.json();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    assert!(
        found["seconds"]
            .as_u64()
            .expect("a time")
            .abs_diff(now.as_secs())
            < 120
    );
    assert_eq!(
        (&found["three"], &found["nine"], &found["elapsed"]),
        (&json!(5), &json!(9), &json!(true))
    );
    assert_eq!(
        (&found["file"], &found["socket"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(
        (&found["variables"], &found["arguments"]),
        (&json!(0), &json!(0))
    );
    for (words, level) in [
        ("library prints for", "info"),
        ("library complains for", "warn"),
    ] {
        let wanted = format!("{words} {id}");
        let line = logs::line(words, |line| line["msg"] == wanted.as_str()).await;
        assert_eq!(
            (&line["plugin"], &line["level"]),
            (&json!("guest"), &json!(level))
        );
    }
    gateway.shutdown().await;
}
