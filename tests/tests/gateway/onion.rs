//! The way outward: replies, refusals and failures pass the stages before, which may rewrite them; a failure of those is
//! still a proper error.

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::client::{Raw, Response};
use sluicegate_tests::upstream::closed_port;
use sluicegate_tests::{Barrier, Client, Gateway, Script, Setup, Upstream, guest, logs};

/// A front, a gate and a filter in this order, on all paths; the last two do as the request says.
fn stages(setup: Setup) -> Setup {
    setup
        .plugin("front", guest::FRONT, "")
        .plugin("gate", guest::GATE, "")
        .plugin("filter", guest::FILTER, "limits = { output = \"1MiB\" }")
        .plugin("observer", guest::OBSERVER, "")
        .route(
            "/*",
            r#"["front", "gate", "filter"]"#,
            "methods = [\"GET\", \"POST\"]\nobservers = [\"observer\"]",
        )
}

fn told(gateway: &Gateway, acts: &str) -> Client {
    gateway.client().with(guest::FIELD, acts)
}

/// The front has wrapped this error, and has seen its status.
#[track_caller]
fn assert_wrapped(response: &Response, status: u16, code: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    assert!(response.complete);
    let body = response.json();
    assert_eq!(body["front"], status, "{body}");
    let error = &body["was"]["error"];
    assert_eq!(error["code"], code, "{body}");
    for member in ["message", "type", "param", "code"] {
        assert!(error.get(member).is_some(), "no {member} in {error}");
    }
}

#[tokio::test]
async fn a_reply_of_an_inner_stage_passes_the_stages_before_it() {
    let upstream = Upstream::always(Script::json(200, &json!({}))).await;
    let gateway = stages(Setup::before(&upstream)).start().await;
    for acts in [
        "check=reply",
        "request-head=reply",
        "request-plan=whole, request-body=reply",
    ] {
        let response = told(&gateway, acts).post("/x", &json!({})).await;
        assert_eq!(response.status, 203, "{acts}");
        assert_eq!(
            response.json(),
            json!({"front": 203, "was": {"from": "guest"}}),
            "{acts}"
        );
        assert_eq!(response.header("x-from"), "guest", "{acts}");
        assert_eq!(
            response.header("x-exchange"),
            "",
            "the stage that replied does not see it"
        );
    }
    assert!(upstream.requests().is_empty());
    for acts in [
        "response-head=reply",
        "response-plan=whole, response-body=reply",
    ] {
        let response = told(&gateway, acts).post("/x", &json!({})).await;
        assert_eq!(
            response.json(),
            json!({"front": 203, "was": {"from": "guest"}}),
            "{acts}"
        );
        upstream.next_request().await;
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_a_stage_refuses_or_fails_at_is_rewritten_by_the_stages_before_it() {
    let upstream = Upstream::always(Script::json(200, &json!({}))).await;
    let gateway = stages(Setup::before(&upstream)).start().await;
    for (acts, status, code) in [
        ("check=fail", 418, "guest_refuses"),
        ("check=trap", 502, "plugin_fault"),
        ("check=reply-99", 502, "plugin_fault"),
        ("request-head=fail", 418, "guest_refuses"),
        ("request-head=loop", 502, "plugin_fault"),
        (
            "request-plan=whole, request-body=fail",
            418,
            "guest_refuses",
        ),
        ("request-plan=whole, request-body=trap", 502, "plugin_fault"),
        ("response-head=fail", 418, "guest_refuses"),
        ("response-head=memory", 502, "plugin_fault"),
        (
            "response-plan=whole, response-body=fail",
            418,
            "guest_refuses",
        ),
        (
            "response-plan=chunks, response-chunk=trap",
            502,
            "plugin_fault",
        ),
        (
            "response-plan=document, response-events=fail",
            418,
            "guest_refuses",
        ),
        (
            "response-plan=document, response-end=fail",
            418,
            "guest_refuses",
        ),
    ] {
        let id = logs::id();
        let client = told(&gateway, acts).with("x-request-id", &id);
        let response = client.post("/x", &json!({})).await;
        assert_wrapped(&response, status, code);
        assert_eq!(response.header("x-request-id"), id);
        let seen = logs::seen(&id).await;
        assert_eq!(
            (&seen["error"], &seen["status"]),
            (&json!(code), &json!(status))
        );
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn failures_of_the_model_server_are_rewritten() {
    let (_socket, dead) = closed_port();
    let gateway = stages(Setup::before_url(&format!("http://{dead}")))
        .start()
        .await;
    let response = gateway.client().get("/x").await;
    assert_wrapped(&response, 502, "upstream_unreachable");
    gateway.shutdown().await;

    let coded = Script::status(200)
        .field("content-encoding", "gzip")
        .body("xx");
    let large = Script::status(200).body("x".repeat(100_000));
    for (script, acts, status, code) in [
        (Script::raw("").cut(), "", 502, "upstream_broken"),
        (Script::raw("nonsense\r\n\r\n"), "", 502, "upstream_invalid"),
        (Script::silent(), "", 504, "upstream_first_byte_timeout"),
        (
            Script::sse_head().hang(),
            "",
            504,
            "upstream_first_byte_timeout",
        ),
        (coded, "response-plan=whole", 502, "upstream_invalid"),
        (large, "response-plan=whole", 502, "upstream_invalid"),
        (
            Script::status(200)
                .field("content-type", "application/json")
                .chunked()
                .chunk("{")
                .cut(),
            "response-plan=whole",
            502,
            "upstream_broken",
        ),
    ] {
        let upstream = Upstream::always(script).await;
        let setup = Setup::before(&upstream)
            .limit("response-body = \"64KiB\"")
            .upstream("timeout = { first-byte = \"200ms\" }");
        let gateway = stages(setup).start().await;
        let response = told(&gateway, acts).get("/x").await;
        assert_wrapped(&response, status, code);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn what_the_client_itself_does_wrong_is_rewritten() {
    let upstream = Upstream::always(Script::json(200, &json!({}))).await;
    let setup = Setup::before(&upstream)
        .limit("request-body = \"1KiB\"")
        .limit("body-timeout = \"200ms\"")
        .limit("headers = 20");
    let gateway = stages(setup).start().await;
    let client = gateway.client();
    let large = client.request(Method::POST, "/x", "x".repeat(2048)).await;
    assert_wrapped(&large, 413, "body_too_large");
    let twice = r#"{"model":"a","model":"b","messages":[]}"#;
    let twice = client
        .request(Method::POST, "/v1/chat/completions", twice)
        .await;
    assert_wrapped(&twice, 400, "invalid_request");
    assert_eq!(twice.json()["was"]["error"]["param"], "model");

    let mut slow = Raw::connect(gateway.address()).await;
    slow.send("POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n{")
        .await;
    let slow = slow.response().await;
    assert_eq!((slow.status, &slow.json()["front"]), (408, &json!(408)));
    assert_eq!(slow.json()["was"]["error"]["code"], "request_timeout");

    // These are refused before any stage has run: the front alone sees them.
    let coded = client.clone().with("content-encoding", "br");
    let coded = coded
        .with(guest::FIELD, "check=trap")
        .post("/x", &json!({}))
        .await;
    assert_wrapped(&coded, 415, "unsupported_coding");
    let many = (0..20).fold(client.clone(), |client, n| {
        client.with(&format!("x-{n}"), "1")
    });
    assert_wrapped(&many.get("/x").await, 431, "head_too_large");
    let dots = client.get("/a/../b").await;
    assert_wrapped(&dots, 400, "invalid_request");

    // Without a route there is nobody to ask.
    let wrong = client.request(Method::PUT, "/x", "").await;
    assert_eq!(
        (wrong.status, &wrong.error()["code"]),
        (405, &json!("method_not_allowed"))
    );
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_overload_is_shown_to_the_front() {
    let upstream = Upstream::always(Script::silent()).await;
    let gateway = stages(Setup::before(&upstream).limit("exchanges = 1"))
        .start()
        .await;
    let client = gateway.client();
    let held = tokio::spawn(async move { client.get("/x").await });
    upstream.next_request().await;
    let response = gateway.client().get("/x").await;
    assert_wrapped(&response, 503, "overloaded");
    assert_eq!(response.header("retry-after"), "1");
    held.abort();
    gateway.shutdown().await;
}

/// The data of a stream's events, as the front has wrapped them.
fn wrapped_events(response: &Response) -> Vec<Value> {
    response.events().iter().map(|event| event.json()).collect()
}

#[tokio::test]
async fn an_error_in_mid_stream_is_one_event_that_the_stages_before_rewrite() {
    for (acts, code, status) in [
        ("response-plan=sse, later-events=fail", "guest_refuses", 418),
        ("response-plan=sse, later-events=trap", "plugin_fault", 502),
        (
            "response-plan=sse, later-events=oversize",
            "plugin_fault",
            502,
        ),
        ("response-plan=sse, response-end=fail", "guest_refuses", 418),
        ("", "upstream_broken", 502),
        ("response-plan=sse", "upstream_broken", 502),
        ("response-plan=chunks", "upstream_broken", 502),
    ] {
        let second = Barrier::new();
        let script = Script::sse_head().chunk("data: 1\n\n").wait(&second);
        let script = match code {
            "upstream_broken" => script.cut(),
            _ => script.chunk("data: 2\n\n"),
        };
        let upstream = Upstream::always(script).await;
        let gateway = stages(Setup::before(&upstream)).start().await;
        let mut stream = told(&gateway, acts).open(Method::GET, "/x", "").await;
        assert_eq!(stream.status, 200);
        let first = stream.event().await.expect("an event").json();
        assert_eq!(first, json!({"front": 200, "was": 1}), "{acts}");
        second.open();
        let response = stream.rest().await;
        let events = wrapped_events(&response);
        let last = events.last().expect("an error");
        assert_eq!(last["was"]["error"]["code"], code, "{acts}: {events:?}");
        assert_eq!(last["front"], status, "{acts}");
        assert!(response.complete, "{acts}: the body ends as it should");
        let errors = events
            .iter()
            .filter(|event| event["was"].get("error").is_some());
        assert_eq!(errors.count(), 1, "{acts}: {events:?}");
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_stream_that_falls_silent_ends_with_a_rewritten_error() {
    for (timeout, code) in [
        ("idle = \"200ms\"", "upstream_idle_timeout"),
        ("total = \"300ms\"", "upstream_total_timeout"),
    ] {
        let upstream = Upstream::always(Script::sse_head().chunk("data: 1\n\n").hang()).await;
        let setup = Setup::before(&upstream).upstream(&format!("timeout = {{ {timeout} }}"));
        let gateway = stages(setup).start().await;
        let response = gateway.client().get("/x").await;
        let events = wrapped_events(&response);
        assert_eq!(events.len(), 2, "{events:?}");
        assert_eq!(
            (&events[1]["was"]["error"]["code"], &events[1]["front"]),
            (&json!(code), &json!(504))
        );
        assert!(response.complete);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn before_anything_has_gone_out_an_error_in_a_stream_is_a_response_with_a_status() {
    let upstream =
        Upstream::always(Script::sse_head().chunks(["data: 1\n\n", "data: 2\n\n"])).await;
    let gateway = stages(Setup::before(&upstream)).start().await;
    for acts in [
        "response-plan=sse, response-events=fail",
        "response-plan=chunks, response-chunk=fail",
    ] {
        let response = told(&gateway, acts).get("/x").await;
        assert_wrapped(&response, 418, "guest_refuses");
        assert_eq!(response.header("content-type"), "application/json");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_stage_that_holds_the_body_back_sees_the_error_and_those_before_it_a_response() {
    let broken = Script::sse_head().chunk("data: 1\n\n").cut();
    let upstream = Upstream::always(broken).await;
    let gateway = stages(Setup::before(&upstream)).start().await;
    for front in ["whole", "document"] {
        let response = gateway.client().with("x-front", front).get("/x").await;
        // What can only be taken in as an event comes once more as a response.
        assert_wrapped(&response, 502, "upstream_broken");
    }
    for plan in ["whole", "document"] {
        let acts = format!("response-plan={plan}, response-end=body");
        let response = told(&gateway, &acts).get("/x").await;
        assert_wrapped(&response, 502, "upstream_broken");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_trap_in_an_outer_stage_is_still_a_canonical_error() {
    let upstream = Upstream::always(Script::sse_head().chunk("data: 1\n\n").cut()).await;
    let gateway = stages(Setup::before(&upstream)).start().await;
    for (front, acts) in [
        ("trap-head", ""),
        ("trap-head", "check=fail"),
        ("trap-body", "check=fail"),
        ("trap-body", "response-plan=sse, response-events=fail"),
    ] {
        let client = told(&gateway, acts).with("x-front", front);
        let response = client.get("/x").await;
        assert_eq!(response.status, 502, "{front} {acts}: {}", response.text());
        let error = response.error();
        assert_eq!(error["code"], "plugin_fault", "{front} {acts}");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains("`front`"), "{message}");
    }
    // In mid-stream it is the last event.
    let response = gateway
        .client()
        .with("x-front", "trap-body")
        .get("/x")
        .await;
    let events = wrapped_events(&response);
    assert_eq!(events[0], json!({"front": 200, "was": 1}));
    assert_eq!(events[1]["error"]["code"], "plugin_fault", "{events:?}");
    assert_eq!((events.len(), response.complete), (2, true));
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_a_stage_sets_for_the_response_goes_out_with_every_response() {
    let upstream = Upstream::always(Script::json(200, &json!({}))).await;
    let gateway = Setup::before(&upstream)
        .plugin("gate", guest::GATE, "")
        .plugin("inner", guest::FILTER, "")
        .route("/*", r#"["gate", "inner"]"#, "")
        .start()
        .await;
    for (acts, status) in [
        ("check=response-field", 200),
        ("check=response-field, request-head=fail", 418),
        ("check=response-field, request-head=reply", 203),
        ("check=response-field, response-head=trap", 502),
    ] {
        let response = told(&gateway, acts).get("/x").await;
        assert_eq!(response.status, status, "{acts}");
        assert_eq!(response.header("x-limit"), "7", "{acts}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_plugin_that_exports_events_alone_works_on_streams_and_leaves_the_rest() {
    let upstream = Upstream::start(|request| match request.path() {
        "/stream" => Script::sse_head().chunks(["data: one\n\n", "event: x\nid: 7\ndata: two\n\n"]),
        "/lines" => Script::ndjson(&[json!("a"), json!("b")]),
        _ => Script::json(200, &json!({"as": "it is"})),
    })
    .await;
    let gateway = Setup::before(&upstream)
        .guest(guest::BARE, "")
        .start()
        .await;
    let plugins = gateway.admin().get("/plugins").await.json();
    assert_eq!(plugins["plugins"][0]["exports"], json!(["events"]));
    let stream = gateway.client().get("/stream").await;
    assert_eq!(stream.text(), "data: ONE\n\nevent: x\nid: 7\ndata: TWO\n\n");
    let lines = gateway.client().get("/lines").await;
    assert_eq!(lines.text(), "\"A\"\n\"B\"\n");
    let document = gateway.client().get("/x").await;
    assert_eq!(document.json(), json!({"as": "it is"}));
    gateway.shutdown().await;
}
