//! Scripted exchanges that end early: what a plugin sees of that, and what comes out.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hyper::{Method, Request, Response, StatusCode};
use sluicegate_config as config;
use sluicegate_gateway::exchange::scripted::{
    self, Cause, Cut, Interruption, Outcome, Point, Script,
};
use sluicegate_plugin_host::{Engine, Loader, Plugin};
use sluicegate_telemetry::metrics::Metrics;
use sluicegate_tests::guest;

const STREAM: &str = "data: one\n\ndata: two\n\n";
/// Bytes of its first event.
const FIRST: usize = "data: one\n\n".len();

async fn load(component: &str) -> Arc<Plugin> {
    let configured = config::Plugin {
        name: "guest".into(),
        source: config::Source::File(Path::new(component).to_owned()),
        fail_open: false,
        limits: config::SetLimits::default(),
        config: serde_json::json!({}),
        secrets: std::collections::BTreeSet::new(),
        grant: config::Grant::default(),
    };
    let bytes = std::fs::read(component).expect("it was compiled");
    let loader = Loader::new(Engine::repeatable().expect("an engine"));
    let metrics = Metrics::new().plugin("guest");
    let loaded = loader.load(&configured, bytes.into(), metrics).await;
    loaded.expect("a plugin")
}

/// A chat that streams, with what a guest is to do.
fn script(acts: &str, at: Point, by: Cause) -> Script {
    let mut request = Request::new(Bytes::from_static(b"{\"model\":\"m\",\"stream\":true}"));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = "/v1/chat/completions".parse().expect("a path");
    let fields = request.headers_mut();
    fields.insert(guest::FIELD, acts.parse().expect("a value"));
    let mut response = Response::new(Bytes::from_static(STREAM.as_bytes()));
    let kind = "text/event-stream".parse().expect("a value");
    response.headers_mut().insert("content-type", kind);
    let interruption = Some(Interruption { at, by });
    Script {
        interruption,
        ..Script::new(request, Some(response))
    }
}

/// What comes out, whatever the cut.
async fn run(plugin: &Arc<Plugin>, script: &Script) -> Outcome {
    let whole = scripted::run(plugin, script, Cut::Whole).await;
    let bytes = scripted::run(plugin, script, Cut::Every(1)).await;
    assert_eq!(body(&whole), body(&bytes));
    whole
}

fn body(outcome: &Outcome) -> Option<String> {
    let body = outcome.client.as_ref().map(Response::body);
    body.map(|body| String::from_utf8_lossy(body).into_owned())
}

fn phases(outcome: &Outcome) -> Vec<&'static str> {
    outcome.calls.iter().map(|call| call.phase.name()).collect()
}

#[tokio::test]
async fn closing_is_told_wherever_the_client_leaves() {
    let plugin = load(guest::COMBINED).await;
    for (at, gets) in [
        (Point::RequestBody, None),
        (Point::Response, None),
        (Point::Behind(0), None),
        (Point::Behind(FIRST), Some("data: one\n\n")),
        (Point::End, Some(STREAM)),
    ] {
        let outcome = run(&plugin, &script("", at, Cause::ClientLeaves)).await;
        let closed = outcome.notes.iter().find(|(name, _)| name == "closed");
        assert_eq!(
            closed.map(|(_, json)| json.as_str()),
            Some("\"client_closed\""),
            "{at:?}"
        );
        assert_eq!(phases(&outcome), ["gate.check", "closing.closed"], "{at:?}");
        assert_eq!(body(&outcome).as_deref(), gets, "{at:?}");
        let is_asked = at != Point::RequestBody;
        assert_eq!(outcome.upstream.is_some(), is_asked, "{at:?}");
    }
}

#[tokio::test]
async fn a_reply_from_inside_is_seen_also_without_the_request_body() {
    let plugin = load(guest::FILTER).await;
    let acts = "request-plan=whole, response-plan=whole, response-body=upper";
    let mut reply = Response::new(Bytes::from_static(b"cached"));
    *reply.status_mut() = StatusCode::ACCEPTED;
    let at = |at| script(acts, at, Cause::Reply(reply.clone()));
    let outcome = run(&plugin, &at(Point::RequestBody)).await;
    let head = outcome.client.as_ref().map(Response::status);
    assert_eq!(head, Some(StatusCode::ACCEPTED));
    assert_eq!(body(&outcome).as_deref(), Some("CACHED"));
    let seen = ["request.head", "response.head", "response.body"];
    assert_eq!(phases(&outcome), seen);
    assert!(outcome.upstream.is_none() && outcome.failures.is_empty());
    let outcome = run(&plugin, &at(Point::Response)).await;
    assert_eq!(phases(&outcome).get(1), Some(&"request.body"));
    assert_eq!(body(&outcome).as_deref(), Some("CACHED"));
}

#[tokio::test]
async fn a_failure_in_mid_stream_is_one_more_event_and_no_end() {
    let plugin = load(guest::FILTER).await;
    let acts = "response-plan=sse, response-events=upper";
    for (by, code) in [
        (Cause::ModelServer, "UPSTREAM_BROKEN"),
        (Cause::Gateway, "OVERLOADED"),
        (Cause::Fault, "INNER_FAULT"),
    ] {
        let outcome = run(&plugin, &script(acts, Point::Behind(FIRST), by)).await;
        let body = body(&outcome).expect("a stream");
        let (first, error) = body.split_at(FIRST);
        assert_eq!(first, "data: ONE\n\n");
        assert!(
            error.starts_with("data: {\"ERROR\"") && error.contains(code),
            "{error}"
        );
        assert!(!phases(&outcome).contains(&"events.end"), "{code}");
        assert_eq!(outcome.failures.len(), 1, "{code}");
    }
    // As long as the head is held back, it is a response.
    let acts = "response-plan=document, response-end=body";
    let broken = script(acts, Point::Behind(FIRST), Cause::ModelServer);
    let outcome = run(&plugin, &broken).await;
    let head = outcome.client.as_ref().map(Response::status);
    assert_eq!(head, Some(StatusCode::BAD_GATEWAY));
    assert!(!phases(&outcome).contains(&"events.end"));
}

#[tokio::test]
async fn behind_an_early_head_all_that_comes_is_an_event() {
    let plugin = load(guest::FILTER).await;
    let acts = "response-plan=sse, response-events=upper";
    let mut early = script(acts, Point::End, Cause::ModelServer);
    (early.early_head, early.interruption) = (true, None);
    let document = Response::new(Bytes::from_static(b"{\"a\":1}"));
    early.response = Some(document);
    let outcome = run(&plugin, &early).await;
    assert_eq!(body(&outcome).as_deref(), Some("data: {\"A\":1}\n\n"));
    early.interruption = Some(Interruption {
        at: Point::Behind(3),
        by: Cause::ModelServer,
    });
    let outcome = run(&plugin, &early).await;
    let head = outcome.client.as_ref().map(Response::status);
    assert_eq!(head, Some(StatusCode::OK));
    let body = body(&outcome).expect("a stream");
    assert!(
        body.starts_with("data: {\"ERROR\"") && body.contains("UPSTREAM_BROKEN"),
        "{body}"
    );
}

#[tokio::test]
async fn a_front_alone_sees_a_failure_at_the_entrance() {
    let failed = script("", Point::Entrance, Cause::Gateway);
    let outcome = run(&load(guest::FRONT).await, &failed).await;
    assert!(
        phases(&outcome).contains(&"response.head"),
        "{:?}",
        phases(&outcome)
    );
    let outcome = run(&load(guest::FILTER).await, &failed).await;
    assert!(phases(&outcome).is_empty(), "{:?}", phases(&outcome));
    let head = outcome.client.as_ref().map(Response::status);
    assert_eq!(head, Some(StatusCode::SERVICE_UNAVAILABLE));
}
