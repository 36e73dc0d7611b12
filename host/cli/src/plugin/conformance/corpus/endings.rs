//! Exchanges that do not end as they should: the model server breaks off, the client leaves, something inside stops them.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};

use super::{Ground, Scenario, ordinary};
use crate::plugin::sample::{self, JSON, NDJSON, SSE};
use sluicegate_contract::Manifest;
use sluicegate_gateway::exchange::scripted::{Cause, Interruption, Point};

/// The points between the request and the response, with what they are called.
const BEFORE: [(&str, Point); 2] = [
    ("before the request body", Point::RequestBody),
    ("before the response", Point::Response),
];

/// The model server cannot be reached, or breaks off.
pub(super) fn broken(ground: &Ground, manifest: &Manifest) -> Vec<Scenario> {
    let mut scenarios = vec![interrupted(
        ground,
        "before the response".into(),
        &ground.response,
        Point::Response,
        Cause::ModelServer,
    )];
    scenarios.extend(in_mid_stream(ground, manifest, &Cause::ModelServer));
    scenarios
}

/// The client leaves.
pub(super) fn left(ground: &Ground, manifest: &Manifest) -> Vec<Scenario> {
    let leaves = |name: String, response: &Response<Bytes>, at| {
        interrupted(ground, name, response, at, Cause::ClientLeaves)
    };
    let before = |(name, at): (&str, Point)| leaves(name.to_owned(), &ground.response, at);
    let mut scenarios: Vec<Scenario> = BEFORE.into_iter().map(before).collect();
    scenarios.extend(in_mid_stream(ground, manifest, &Cause::ClientLeaves));
    for (name, response) in kinds(ground, manifest) {
        scenarios.push(leaves(
            format!("at the end of {name}"),
            &response,
            Point::End,
        ));
    }
    scenarios
}

/// A stage on the model server's side, or the gateway itself, ends the exchange.
pub(super) fn inside(ground: &Ground) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for (place, at) in BEFORE {
        let mut add = |name: &str, by| {
            let name = format!("{name} {place}");
            scenarios.push(interrupted(ground, name, &ground.response, at, by));
        };
        add("a fault", Cause::Fault);
        add("a failure of the gateway", Cause::Gateway);
        for (name, reply) in replies() {
            add(name, Cause::Reply(reply));
        }
    }
    for (kind, response) in streams() {
        for (name, by) in [
            ("a fault", Cause::Fault),
            ("a failure of the gateway", Cause::Gateway),
        ] {
            for (place, at) in places(&response) {
                let name = format!("{name} {place} of {kind}");
                scenarios.push(interrupted(ground, name, &response, at, by.clone()).fine());
            }
        }
    }
    scenarios
}

/// The client has got the head of a stream before there is a response. That happens to chats alone.
pub(super) fn early(ground: &Ground, manifest: &Manifest) -> Vec<Scenario> {
    if !manifest.early_head || ground.request.method() != Method::POST {
        return Vec::new();
    }
    let mut scenarios: Vec<Scenario> = kinds(ground, manifest)
        .into_iter()
        .map(|(name, response)| Scenario::new(name, &ground.request, response).fine())
        .collect();
    let mut failed = sample::response(
        JSON,
        r#"{"error":{"message":"It does not work.","type":"server_error","param":null,"code":"odd"}}"#,
    );
    *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    scenarios.push(Scenario::new("an error", &ground.request, failed).fine());
    scenarios.extend(in_mid_stream(ground, manifest, &Cause::ModelServer));
    // What comes before the response follows the head here.
    for scenario in &mut scenarios {
        scenario.script.early_head = true;
    }
    scenarios
}

/// Failures that a front alone sees.
pub(super) fn entrance(ground: &Ground) -> Vec<Scenario> {
    let fails =
        |name: &str, by| interrupted(ground, name.into(), &ground.response, Point::Entrance, by);
    vec![
        fails("no room", Cause::Gateway),
        fails("a refusal", Cause::Fault),
    ]
}

/// What a stage may reply in place of the model server.
fn replies() -> [(&'static str, Response<Bytes>); 5] {
    let mut teapot = sample::response("text/plain", "no tea\n");
    *teapot.status_mut() = StatusCode::IM_A_TEAPOT;
    let mut bare = Response::new(Bytes::new());
    *bare.status_mut() = StatusCode::NO_CONTENT;
    [
        (
            "a reply with a completion",
            sample::response(JSON, sample::COMPLETION),
        ),
        (
            "a reply with a stream",
            sample::response(SSE, sample::STREAM),
        ),
        (
            "a reply with lines",
            sample::response(NDJSON, sample::LINES),
        ),
        ("a reply with an odd status", teapot),
        ("a reply without a body", bare),
    ]
}

/// The response of each framing, and the ordinary one of the component.
fn kinds(ground: &Ground, manifest: &Manifest) -> Vec<(&'static str, Response<Bytes>)> {
    let mut kinds = vec![
        ("the ordinary response", ground.response.clone()),
        ("the ordinary stream", ordinary(manifest, true)),
    ];
    kinds.extend(streams());
    kinds
}

fn streams() -> [(&'static str, Response<Bytes>); 3] {
    [
        ("server-sent events", sample::response(SSE, sample::STREAM)),
        ("lines", sample::response(NDJSON, sample::LINES)),
        ("a document", sample::response(JSON, sample::COMPLETION)),
    ]
}

/// Places in a body: before its first byte, inside of an event, between two events, and behind the last byte.
fn places(response: &Response<Bytes>) -> [(&'static str, Point); 4] {
    let body = response.body();
    let line = body.iter().position(|byte| *byte == b'\n');
    let event = line.map_or(body.len() / 2, |line| line + 1);
    let is_sse = response.headers().get(CONTENT_TYPE) == Some(&HeaderValue::from_static(SSE));
    // The blank line belongs to the event.
    let between = if is_sse { event + 1 } else { event };
    [
        ("before the first byte", Point::Behind(0)),
        ("inside the first event", Point::Behind(event / 2)),
        ("between two events", Point::Behind(between)),
        ("behind the last byte", Point::Behind(body.len())),
    ]
}

fn in_mid_stream(ground: &Ground, manifest: &Manifest, by: &Cause) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for (kind, response) in kinds(ground, manifest) {
        for (place, at) in places(&response) {
            let name = format!("{place} of {kind}");
            scenarios.push(interrupted(ground, name, &response, at, by.clone()).fine());
        }
    }
    scenarios
}

fn interrupted(
    ground: &Ground,
    name: String,
    response: &Response<Bytes>,
    at: Point,
    by: Cause,
) -> Scenario {
    let mut scenario = Scenario::new(name, &ground.request, response.clone());
    scenario.script.interruption = Some(Interruption { at, by });
    scenario
}
