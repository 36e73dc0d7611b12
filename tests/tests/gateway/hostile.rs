//! Plugins that misbehave while they serve: the client gets the documented error, and other exchanges are not affected.

mod budgets;
mod observers;

use std::sync::Arc;

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::client::{End, Response};
use sluicegate_tests::{Barrier, Client, Gateway, Script, Setup, Upstream, guest, logs, within};
use tokio::task::JoinSet;

/// A stream of three events.
pub(crate) fn events() -> Script {
    Script::sse_head().chunks(["data: one\n\n", "data: two\n\n", "data: three\n\n"])
}

/// A client that tells the guest what to do.
pub(crate) fn told(gateway: &Gateway, acts: &str) -> Client {
    gateway.client().with(guest::FIELD, acts)
}

pub(crate) fn assert_plugin_fault(response: &Response) {
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
async fn each_deed_has_its_own_log_line_and_metric() {
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

/// The explanations of failed calls in the exchange `id`.
async fn explanations(gateway: &Gateway, acts: &str) -> Vec<Arc<Value>> {
    let id = logs::id();
    let client = told(gateway, acts).with("x-request-id", &id);
    assert_plugin_fault(&client.post("/x", &json!({})).await);
    logs::failure(&id).await;
    logs::lines(|line| line["target"] == "sluicegate::plugin::failure" && line["req"] == *id)
}

#[tokio::test]
async fn a_failed_call_is_explained_once_for_each_place() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for (acts, phase, words) in [
        ("request-head=trap", "request.head", "`Err` with a fault"),
        (
            "request-plan=whole, request-body=trap",
            "request.body",
            "`Err` with a fault",
        ),
        ("request-head=memory", "request.head", "raise `memory`"),
        ("request-head=loop", "request.head", "raise `cpu`"),
    ] {
        let first = explanations(&gateway, acts).await;
        let [line] = &first[..] else {
            panic!("{acts}: {first:?}");
        };
        assert_eq!(
            (&line["plugin"], &line["phase"]),
            (&json!("guest"), &json!(phase))
        );
        let mend = line["mend"].as_str().expect("a text");
        assert!(mend.contains(words), "{acts}: {mend}");
        let backtrace = line["backtrace"].as_str().expect("a text");
        assert_eq!(
            backtrace.contains("function "),
            acts.contains("trap"),
            "{backtrace}"
        );
        assert_eq!(explanations(&gateway, acts).await.len(), 0, "{acts}, again");
    }
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
async fn a_gate_that_fails_open_lets_the_request_pass() {
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
async fn results_that_break_the_contract_are_plugin_faults() {
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
async fn a_fault_in_mid_stream_is_an_error_event_and_ends_the_upstream_request() {
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
