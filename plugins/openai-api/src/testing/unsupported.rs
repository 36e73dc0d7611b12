//! Checks the policy for parameters that a server cannot do.

use serde_json::{Value, json};
use sluicegate_plugin::export::Exported;
use sluicegate_plugin::log::Line;
use sluicegate_plugin::testing::{Outcome, Response, take_logs};

use super::{bench, cases, name, request, response};
use crate::request::dropped;

/// Checks what becomes of parameters that the server cannot do: by default a 400 that names `param`, without a request to the
/// server. Under `unsupported = "drop"` the same, or, if the case has `sent`, members of the body that goes to the server as in
/// [`check_requests`](super::check_requests), and one field and one log line that name `dropped` (or else `param`).
/// `usual` is the server's response to cases without `events`.
///
/// # Panics
/// If something else happens.
pub fn check_unsupported<P: Exported>(fixture: &str, usual: &Response) {
    for case in cases(fixture) {
        let name = name(&case);
        let run = |policy: Option<&str>| {
            let mut case = case.clone();
            let config = case.entry("config").or_insert_with(|| json!({}));
            if let Some(policy) = policy {
                config["unsupported"] = json!(policy);
            }
            let own = case.contains_key("events").then(|| response(&case));
            bench::<P>(&case).run(request(&case), own.as_ref().unwrap_or(usual))
        };
        let assert_refused = |outcome: &Outcome| {
            let fault = outcome.fault.as_ref();
            let fault = fault.unwrap_or_else(|| panic!("{name}: {outcome:#?}"));
            let expected = (400, "unsupported_value", case["param"].as_str());
            let found = (fault.status, &*fault.code, fault.param.as_deref());
            assert_eq!(found, expected, "{name}");
            assert_eq!(outcome.header(dropped::FIELD), None, "{name}");
            assert!(outcome.sent.is_none(), "{name}");
        };
        assert_refused(&run(None));
        assert_refused(&run(Some("refuse")));
        take_logs();
        let outcome = run(Some("drop"));
        let logs = take_logs();
        let Some(expected) = case.get("sent").and_then(Value::as_object) else {
            assert_refused(&outcome);
            continue;
        };
        assert_eq!(outcome.fault, None, "{name}");
        assert_eq!(outcome.status, 200, "{name}");
        let names = case.get("dropped").unwrap_or(&case["param"]);
        assert_eq!(
            outcome.header(dropped::FIELD).as_deref(),
            names.as_str(),
            "{name}"
        );
        let names: Vec<&str> = names.as_str().expect("names").split(", ").collect();
        let fields: Vec<String> = logs.iter().map(Line::fields).collect();
        assert_eq!(
            fields,
            [json!({ "parameters": names }).to_string()],
            "{name}"
        );
        let sent = outcome.sent.expect("a request").json();
        for (member, expected) in expected {
            let found = sent.get(member).unwrap_or(&Value::Null);
            assert_eq!(found, expected, "{name}: {member} of {sent}");
        }
    }
}

/// A short stream that is a chat's as well as a completion's.
pub fn hello() -> Response {
    let choice = json!({"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "text": "Hi", "finish_reason": "stop"});
    let chunk = json!({"choices": [choice], "usage": null});
    Response::sse([chunk.to_string(), "[DONE]".to_owned()])
}
