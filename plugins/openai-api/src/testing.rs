//! What the tests of these adapters share, in native builds only: cases of what a model server sent, and what a client must get
//! from each of them, however its bytes are cut, its events are divided into batches, and wherever the server breaks off.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sluicegate_plugin::export::Exported;
use sluicegate_plugin::testing::{BATCHINGS, Bench, Outcome, Request, Response};

mod framed;
mod said;
mod unsupported;

pub use framed::{Framing, batchings};
pub use said::{Said, streamed, whole};
pub use unsupported::{check_unsupported, hello};

/// The members of a case.
///
/// # Shape
/// `case` its name; `config` the adapter's configuration; `openai` members of the client's request; `path` if it is not a chat;
/// `status` and `fields` of the server's response; `events` its events, or `body`; `expect` what the client gets.
pub type Case = Map<String, Value>;

/// The cases of a fixture.
///
/// # Panics
/// If it is not a list of objects.
pub fn cases(fixture: &str) -> Vec<Case> {
    serde_json::from_str(fixture).expect("a list of cases")
}

/// The name of a case.
///
/// # Panics
/// If it has none.
pub fn name(case: &Case) -> &str {
    case["case"].as_str().expect("a name")
}

/// The adapter of a case.
///
/// # Panics
/// If it does not load.
pub fn bench<P: Exported>(case: &Case) -> Bench<P> {
    let config = case.get("config").cloned().unwrap_or_else(|| json!({}));
    Bench::load(config).expect("loads")
}

/// The client's request: a least one with the members of the case.
pub fn request(case: &Case) -> Request {
    let path = case
        .get("path")
        .and_then(Value::as_str)
        .unwrap_or("/v1/chat/completions");
    let mut body = match path {
        "/v1/chat/completions" => {
            json!({"model": "asked/for:1", "messages": [{"role": "user", "content": "Hi"}]})
        }
        "/v1/completions" => json!({"model": "asked/for:1", "prompt": "Hi"}),
        _ => json!({"model": "asked/for:1", "input": "Hi"}),
    };
    if let (Some(body), Some(Value::Object(members))) = (body.as_object_mut(), case.get("openai")) {
        body.extend(members.clone());
    }
    Request::post(path).json(&body)
}

/// The texts of a list: strings as they are, everything else as JSON.
fn texts(list: &Value) -> Vec<String> {
    list.as_array().expect("a list").iter().map(text).collect()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The server's response.
pub fn response(case: &Case) -> Response {
    let status = case.get("status").and_then(Value::as_u64).unwrap_or(200);
    let status = u16::try_from(status).expect("a status");
    let mut response = match case.get("events") {
        Some(events) => Response::sse(texts(events)),
        None => Response::new(status)
            .header("content-type", "application/json")
            .body(case.get("body").map(text).unwrap_or_default()),
    };
    for (name, value) in case
        .get("fields")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        response = response.header(name, text(value));
    }
    response.status(status)
}

/// Checks every case: what the client gets, cut at every byte, in every batching that follows from it, and where the server breaks off after every event. `names` are
/// words that no client may see.
///
/// # Panics
/// If a client gets something else.
pub fn check<P: Exported>(fixture: &str, names: &[&str]) {
    for case in cases(fixture) {
        let name = name(&case);
        let bench = bench::<P>(&case);
        let expected = &case["expect"];
        let mut first = None;
        let sizes = case.get("events").map_or_else(BTreeSet::new, |events| {
            batchings(Framing::Sse, &texts(events))
        });
        let sizes = sizes.iter().map(Vec::as_slice).chain(BATCHINGS);
        for sizes in sizes {
            let outcome = bench.run(request(&case), &response(&case).batches(sizes));
            assert_eq!(
                got(&outcome),
                *expected,
                "{name} in batches of {sizes:?}: {outcome:#?}"
            );
            let text = String::from_utf8_lossy(&outcome.body).to_lowercase();
            for hidden in names {
                assert!(!text.contains(hidden), "{name}: {hidden} in {text}");
            }
            let events: Vec<String> = outcome
                .data()
                .iter()
                .map(|data| without_drawn(data))
                .collect();
            let first = first.get_or_insert_with(|| events.clone());
            assert_eq!(*first, events, "{name} in batches of {sizes:?}");
        }
        for events in prefixes(&case) {
            let mut cut = case.clone();
            cut.insert("events".into(), events);
            let outcome = bench.run(request(&case), &response(&cut).broken());
            let text = outcome.data().join("\n");
            assert!(
                outcome.fault.is_some() || text.ends_with("[DONE]"),
                "{name}: {text}"
            );
            streamed(&outcome).unwrap_or_else(|problem| panic!("{name}, cut: {problem}: {text}"));
        }
    }
}

/// Checks what goes to the server: members of the body that must be there, or must not (`null`), and the path; or the refusal.
///
/// # Shape
/// `sent` the members, `to` the path, or `fault` as `[status, code, parameter]`; `at` the server's address.
///
/// # Panics
/// If something else is sent.
pub fn check_requests<P: Exported>(fixture: &str) {
    for case in cases(fixture) {
        let name = name(&case);
        let mut request = request(&case);
        if let Some(address) = case.get("at").and_then(Value::as_str) {
            request = request.model_server(address);
        }
        let sent = match (bench::<P>(&case).send(request), case.get("fault")) {
            (Ok(sent), None) => sent,
            (Err(outcome), Some(expected)) => {
                assert_eq!(got(&outcome)["fault"], *expected, "{name}");
                continue;
            }
            (Ok(sent), Some(_)) => panic!("{name}: {}", sent.json()),
            (Err(outcome), None) => panic!("{name}: {:?}", outcome.fault),
        };
        let body = sent.json();
        for (member, expected) in case["sent"].as_object().expect("an object") {
            let found = body.get(member).unwrap_or(&Value::Null);
            assert_eq!(found, expected, "{name}: {member} of {body}");
        }
        if let Some(path) = case.get("to") {
            assert_eq!(sent.path, *path, "{name}");
        }
        let json = Some("application/json".to_owned());
        assert_eq!(
            (sent.header("content-type"), &*sent.query),
            (json, ""),
            "{name}"
        );
    }
}

/// An event without ids that the adapter drew, which differ from run to run.
fn without_drawn(data: &str) -> String {
    let mut parts = data.split("\"call_");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("\"call_");
        out.push_str(part.split_once('"').map_or(part, |(_, rest)| rest));
    }
    out
}

/// The beginnings of a streamed chat before its end marker: one event, two, and so on.
fn prefixes(case: &Case) -> Vec<Value> {
    let events = case.get("events").and_then(Value::as_array);
    let events = events
        .filter(|_| !case.contains_key("path"))
        .map_or(&[][..], Vec::as_slice);
    let done = events.iter().position(|event| event == "[DONE]");
    let last = done
        .unwrap_or(events.len())
        .min(events.len().saturating_sub(1));
    (1..=last).map(|length| json!(events[..length])).collect()
}

/// What a client got, in the form of a fixture: `{"choices", "usage"}` and `"fault": [status, code, parameter]`.
///
/// # Panics
/// If it is nothing that a client could cope with.
pub fn got(outcome: &Outcome) -> Value {
    let mut got = json!({});
    if let Some(fault) = &outcome.fault {
        got["fault"] = json!([fault.status, fault.code, fault.param]);
        if let Some(after) = outcome.header("retry-after") {
            got["retry-after"] = json!(after);
        }
    }
    let result = match (&outcome.fault, outcome.events.is_empty()) {
        (_, false) => streamed(outcome),
        (None, true) => whole(outcome),
        (Some(_), true) => return got,
    };
    let (choices, usage) = result.unwrap_or_else(|problem| panic!("{problem}: {outcome:#?}"));
    got["choices"] = choices.values().map(Said::to_json).collect();
    if let Some(usage) = usage {
        got["usage"] = usage;
    }
    got
}
