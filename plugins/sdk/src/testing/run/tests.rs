//! The bench keeps the rules of the gateway: tested with one filter that does what its configuration says.

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::action::Verdict;
use crate::manifest::Manifest;
use crate::role::{Gate, NoConfig};
use crate::testing::GateBench;
use crate::types::Event;

#[derive(Deserialize)]
#[serde(default)]
struct Puppet {
    request: String,
    response: String,
    events: String,
    end: String,
    body: String,
}

impl Default for Puppet {
    fn default() -> Self {
        let pass = || "pass".to_owned();
        Self {
            request: "skip".into(),
            response: "skip".into(),
            events: pass(),
            end: pass(),
            body: pass(),
        }
    }
}

fn head(word: &str) -> Result<HeadAction, Fault> {
    Ok(match word {
        "skip" => Plan::Skip.into(),
        "whole" => Plan::Whole.into(),
        "chunks" => Plan::Chunks.into(),
        "sse" => Plan::Events(Framing::Sse).into(),
        "ndjson" => Plan::Events(Framing::Ndjson).into(),
        "document" => Plan::Events(Framing::Document).into(),
        "reply" => HeadAction::Reply(Reply::new(203, "test.reply").json("{}")),
        "bad reply" => HeadAction::Reply(Reply::new(99, "test.reply")),
        "bad fault" => return Err(Fault::new(200, "x", "x")),
        _ => return Err(Fault::bad_request("no").param("p")),
    })
}

impl Filter for Puppet {
    type Config = Self;
    type State = usize;

    fn manifest() -> Manifest {
        Manifest::new("puppet", "0.0.0", "Does what it is told").config("{}")
    }

    fn configure(config: Self) -> Result<Self, String> {
        Ok(config)
    }

    fn request_head(&self, _: &mut usize, ctx: &Context<'_>) -> Result<HeadAction, Fault> {
        ctx.set_note("saw", "request")?;
        head(&self.request)
    }

    fn request_body(
        &self,
        _: &mut usize,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<BodyAction, Fault> {
        self.body_action(&body)
    }

    fn response_head(&self, _: &mut usize, _: &Context<'_>) -> Result<HeadAction, Fault> {
        head(&self.response)
    }

    fn response_body(
        &self,
        _: &mut usize,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<BodyAction, Fault> {
        ctx.set_status(202)?;
        self.body_action(&body)
    }

    fn response_chunk(
        &self,
        _: &mut usize,
        _: &Context<'_>,
        bytes: Vec<u8>,
        last: bool,
    ) -> Result<ChunkAction, Fault> {
        Ok(match (self.body.as_str(), last) {
            ("pass", _) => ChunkAction::Pass,
            (_, true) => ChunkAction::Replace(b"!".to_vec()),
            (_, false) => ChunkAction::Replace(bytes.to_ascii_uppercase()),
        })
    }

    fn response_events(
        &self,
        calls: &mut usize,
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<EventsAction, Fault> {
        *calls += 1;
        ctx.set_note("calls", calls)?;
        Ok(match self.events.as_str() {
            "pass" => EventsAction::Pass,
            "replace" => EventsAction::Replace(vec![Event::data("r")]),
            "finish" => EventsAction::Finish(vec![Event::data("f")]),
            "let go" => EventsAction::Finish(vec![]),
            _ if *calls == 1 => EventsAction::Replace(batch),
            _ => return Err(Fault::upstream("broken", "mid")),
        })
    }

    fn response_end(&self, calls: &mut usize, _: &Context<'_>) -> Result<EndAction, Fault> {
        Ok(match self.end.as_str() {
            "pass" => EndAction::Pass,
            "events" => EndAction::Events(vec![Event::data("end")]),
            _ => EndAction::Body(calls.to_string().into_bytes()),
        })
    }
}

impl Puppet {
    fn body_action(&self, body: &[u8]) -> Result<BodyAction, Fault> {
        Ok(match self.body.as_str() {
            "pass" => BodyAction::Pass,
            "replace" => BodyAction::Replace(body.to_ascii_uppercase()),
            "reply" => BodyAction::Reply(Reply::new(418, "test.body")),
            _ => return Err(Fault::bad_request("body")),
        })
    }
}

fn run(config: Value, response: &Response) -> Outcome {
    let bench = FilterBench::<Puppet>::load(config).expect("loads");
    bench.run(Request::post("/p?q=1").body("abc"), response)
}

fn code(outcome: &Outcome) -> Option<&str> {
    outcome.fault.as_ref().map(|fault| fault.code.as_str())
}

#[test]
fn skip_forwards_both_ways() {
    let outcome = run(json!({}), &Response::sse(["a", "b"]));
    let sent = outcome.sent.as_ref().expect("sent");
    assert_eq!((sent.path.as_str(), sent.query.as_str()), ("/p", "q=1"));
    assert_eq!(sent.body, b"abc");
    assert_eq!(outcome.data(), ["a", "b"]);
    assert_eq!(outcome.body, b"data: a\n\ndata: b\n\n");
    assert_eq!(outcome.note("saw"), Some(json!("request")));
    assert_eq!(
        outcome.header("content-type").as_deref(),
        Some("text/event-stream")
    );
}

#[test]
fn whole_bodies_are_passed_replaced_answered_or_failed() {
    let both = |body| json!({"request": "whole", "response": "whole", "body": body});
    let outcome = run(both("pass"), &Response::new(200).body("def"));
    assert_eq!(
        outcome.sent.as_ref().map(|s| s.body.as_slice()),
        Some(b"abc".as_slice())
    );
    assert_eq!(
        (outcome.status, outcome.body.as_slice()),
        (202, b"def".as_slice())
    );
    let outcome = run(both("replace"), &Response::new(200).body("def"));
    assert_eq!(
        outcome.sent.as_ref().map(|s| s.body.as_slice()),
        Some(b"ABC".as_slice())
    );
    assert_eq!(outcome.body, b"DEF");
    let outcome = run(both("reply"), &Response::new(200));
    assert_eq!((outcome.status, outcome.sent.is_none()), (418, true));
    assert_eq!(outcome.reason.as_deref(), Some("test.body"));
    let outcome = run(both("fail"), &Response::new(200));
    assert_eq!(
        (outcome.status, code(&outcome)),
        (400, Some("invalid_value"))
    );
}

#[test]
fn request_plans_are_skip_and_whole_only() {
    for plan in ["chunks", "sse", "document"] {
        let outcome = run(json!({ "request": plan }), &Response::new(200));
        assert_eq!(code(&outcome), Some("plugin_fault"), "{plan}");
    }
}

#[test]
fn a_head_phase_can_answer_and_fail() {
    let outcome = run(json!({"request": "reply"}), &Response::new(200));
    assert_eq!(
        (outcome.status, outcome.body.as_slice()),
        (203, b"{}".as_slice())
    );
    assert_eq!(
        outcome.header("content-type").as_deref(),
        Some("application/json")
    );
    let outcome = run(json!({"response": "fail"}), &Response::new(200));
    assert_eq!(
        (outcome.status, code(&outcome)),
        (400, Some("invalid_value"))
    );
    assert!(outcome.sent.is_some());
    for illegal in ["bad reply", "bad fault"] {
        let outcome = run(json!({ "response": illegal }), &Response::new(200));
        assert_eq!(code(&outcome), Some("plugin_fault"), "{illegal}");
    }
}

#[test]
fn chunks_are_passed_and_replaced_and_the_last_one_is_marked() {
    let response = Response::ndjson(["a", "b"]).batches(&[1]);
    let outcome = run(json!({"response": "chunks"}), &response);
    assert_eq!(outcome.body, b"a\nb\n");
    let outcome = run(json!({"response": "chunks", "body": "up"}), &response);
    assert_eq!(outcome.body, b"A\nB\n!");
    let outcome = run(
        json!({"response": "chunks", "body": "up"}),
        &response.broken(),
    );
    assert_eq!(outcome.body, b"A\nB\n");
    assert_eq!(code(&outcome), Some("upstream_broken"));
}

#[test]
fn events_are_passed_replaced_and_ended() {
    let response = Response::ndjson(["1", "2", "3"]).batches(&[2]);
    let outcome = run(json!({"response": "sse", "end": "events"}), &response);
    assert_eq!(outcome.data(), ["1", "2", "3", "end"]);
    assert_eq!(outcome.note("calls"), Some(json!(2)));
    let outcome = run(
        json!({"response": "ndjson", "events": "replace"}),
        &response,
    );
    assert_eq!(outcome.body, b"r\nr\n");
    let outcome = run(
        json!({"response": "sse", "events": "finish", "end": "events"}),
        &response,
    );
    assert_eq!(outcome.data(), ["f", "end"]);
    assert!(outcome.finished);
}

#[test]
fn a_fault_in_mid_stream_keeps_what_went_out() {
    let response = Response::sse(["1", "2"]).batches(&[1]);
    let outcome = run(json!({"response": "sse", "events": "fail"}), &response);
    assert_eq!(
        (outcome.status, outcome.data()),
        (200, vec!["1".to_owned()])
    );
    assert_eq!(code(&outcome), Some("broken"));
}

#[test]
fn a_document_is_given_whole_at_the_end() {
    let response = Response::sse(["1", "2"]).batches(&[1]);
    let document = |end| json!({"response": "document", "events": "replace", "end": end});
    let outcome = run(document("body"), &response);
    assert_eq!(
        (outcome.body.as_slice(), outcome.events.len()),
        (b"2".as_slice(), 0)
    );
    for end in ["pass", "events"] {
        assert_eq!(
            code(&run(document(end), &response)),
            Some("plugin_fault"),
            "{end}"
        );
    }
    let outcome = run(
        json!({"response": "document", "events": "let go", "end": "body"}),
        &response,
    );
    assert_eq!(outcome.body, b"1");
    let outcome = run(
        json!({"response": "document", "events": "finish"}),
        &response,
    );
    assert_eq!(code(&outcome), Some("plugin_fault"));
    let outcome = run(json!({"response": "sse", "end": "body"}), &response);
    assert_eq!(code(&outcome), Some("plugin_fault"));
}

#[test]
fn a_broken_upstream_never_reaches_the_end_phase() {
    let outcome = run(
        json!({"response": "sse", "end": "events"}),
        &Response::sse(["1"]).broken(),
    );
    assert_eq!(outcome.data(), ["1"]);
    assert_eq!(code(&outcome), Some("upstream_broken"));
    let outcome = run(
        json!({"response": "whole"}),
        &Response::new(200).body("x").broken(),
    );
    assert_eq!(
        (outcome.status, code(&outcome)),
        (502, Some("upstream_broken"))
    );
    let outcome = run(json!({}), &Response::new(200).body("x").broken());
    assert_eq!(
        (outcome.status, code(&outcome)),
        (200, Some("upstream_broken"))
    );
}

struct Quiet;

impl Filter for Quiet {
    type Config = NoConfig;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("quiet", "0.0.0", "Looks only")
            .phases(Phases::Response)
            .transforms(false)
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }

    fn request_head(&self, (): &mut (), _: &Context<'_>) -> Result<HeadAction, Fault> {
        Err(Fault::bad_request("not a phase of this filter"))
    }

    fn response_head(&self, (): &mut (), _: &Context<'_>) -> Result<HeadAction, Fault> {
        Ok(Plan::Whole.into())
    }

    fn response_body(
        &self,
        (): &mut (),
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<BodyAction, Fault> {
        Ok(if body.is_empty() {
            BodyAction::Pass
        } else {
            BodyAction::Replace(body)
        })
    }
}

#[test]
fn the_manifest_is_held_to_its_word() {
    let bench = FilterBench::<Quiet>::load(json!({})).expect("loads");
    let outcome = bench.run(Request::get("/"), &Response::new(204));
    assert_eq!((outcome.status, outcome.fault), (204, None));
    let outcome = bench.run(Request::get("/"), &Response::new(200).body("x"));
    assert_eq!(code(&outcome), Some("plugin_fault"));
    assert!(FilterBench::<Quiet>::load(json!({"a": 1})).is_err_and(|e| e.contains("schema")));
}

struct Door;

impl Gate for Door {
    type Config = NoConfig;

    fn manifest() -> Manifest {
        Manifest::new("door", "0.0.0", "Opens for some")
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }

    fn check(&self, ctx: &Context<'_>) -> Result<Verdict, Fault> {
        ctx.set_note("route", &ctx.route())?;
        match ctx.get_str("x-word").as_deref() {
            Some("sesame") => Ok(Verdict::Allow),
            Some("tea") => Ok(Verdict::Reply(Reply::new(418, "door.tea"))),
            Some("zero") => Ok(Verdict::Reply(Reply::new(0, "door.zero"))),
            _ => Err(Fault::unauthorized("Say the word.")),
        }
    }
}

#[test]
fn a_gate_allows_answers_or_refuses() {
    let bench = GateBench::<Door>::load(json!({})).expect("loads");
    let word = |word: &str| bench.check(Request::get("/x").header("X-Word", word));
    let outcome = word("sesame");
    assert_eq!(outcome.verdict, Ok(Verdict::Allow));
    assert_eq!(outcome.request.header("x-word").as_deref(), Some("sesame"));
    assert_eq!(outcome.notes["route"], "\"/x\"");
    assert!(matches!(word("tea").verdict, Ok(Verdict::Reply(reply)) if reply.status == 418));
    assert!(
        word("zero")
            .verdict
            .is_err_and(|fault| fault.code == "plugin_fault")
    );
    assert!(word("").verdict.is_err_and(|fault| fault.status == 401));
}
