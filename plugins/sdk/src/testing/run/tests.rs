//! The bench follows the rules of the gateway, shown with one plugin that does what its configuration says.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::testing::{Bench, Outcome, Request, Response};
use crate::*;

mod endings;
mod fronts;
mod rules;

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

/// What a head phase can do, besides returning a plan.
fn stop(word: &str) -> Stop {
    match word {
        "reply" => Reply::new(203, "test.reply").json("{}").into(),
        "bad reply" => Reply::new(99, "test.reply").into(),
        "bad fault" => Fault::new(200, "x", "x").into(),
        _ => Fault::bad_request("no").param("p").into(),
    }
}

impl Plugin for Puppet {
    type Config = Self;
    type State = usize;

    fn manifest() -> Manifest {
        Manifest::new("puppet", "0.0.0", "Does what it is told").config("{}")
    }

    fn configure(config: Self) -> Result<Self, String> {
        Ok(config)
    }
}

impl RequestStage for Puppet {
    fn request_head(&self, _: &mut usize, ctx: &Context<'_>) -> Result<RequestPlan, Stop> {
        ctx.set_note("saw", "request")?;
        match self.request.as_str() {
            "skip" => Ok(RequestPlan::Skip),
            "look" => Ok(RequestPlan::Look),
            "whole" => Ok(RequestPlan::Whole),
            word => Err(stop(word)),
        }
    }

    fn request_body(
        &self,
        _: &mut usize,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        ctx.set_note("shown", &body.len())?;
        ctx.set_note("known", &ctx.request_bytes())?;
        self.replaced(&body)
    }
}

impl ResponseStage for Puppet {
    fn response_head(&self, _: &mut usize, _: &Context<'_>) -> Result<ResponsePlan, Stop> {
        match self.response.as_str() {
            "skip" => Ok(ResponsePlan::Skip),
            "whole" => Ok(ResponsePlan::Whole),
            "chunks" => Ok(ResponsePlan::Chunks),
            "sse" => Ok(ResponsePlan::Sse),
            "ndjson" => Ok(ResponsePlan::Ndjson),
            "document" => Ok(ResponsePlan::Document),
            word => Err(stop(word)),
        }
    }

    fn response_body(
        &self,
        _: &mut usize,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        if ctx.status() == 200 {
            ctx.set_status(202)?;
        }
        self.replaced(&body)
    }
}

impl ChunkStage for Puppet {
    fn chunk(
        &self,
        _: &mut usize,
        ctx: &Context<'_>,
        bytes: Vec<u8>,
        last: bool,
    ) -> Result<Option<Vec<u8>>, Fault> {
        ctx.set_note("status", &ctx.status())?;
        Ok(match (self.body.as_str(), last) {
            ("pass", _) => None,
            (_, true) => Some(b"!".to_vec()),
            (_, false) => Some(bytes.to_ascii_uppercase()),
        })
    }
}

impl EventStage for Puppet {
    fn events(
        &self,
        calls: &mut usize,
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        *calls += 1;
        ctx.set_note("calls", calls)?;
        ctx.set_note("status", &ctx.status())?;
        Ok(match self.events.as_str() {
            "pass" => None,
            "replace" => Some(vec![Event::data("r")]),
            "take" => Some(Vec::new()),
            "finish" => {
                ctx.end_body()?;
                Some(vec![Event::data("f")])
            }
            "let go" => {
                ctx.end_body()?;
                None
            }
            "render" if ctx.status() >= 400 => {
                Some(vec![Event::data(format!("sorry: {}", batch[0].data))])
            }
            "render" => None,
            _ if *calls == 1 => Some(batch),
            _ => return Err(Fault::upstream("broken", "mid")),
        })
    }

    fn end(&self, calls: &mut usize, _: &Context<'_>) -> Result<Vec<Event>, Fault> {
        Ok(match self.end.as_str() {
            "pass" => Vec::new(),
            "two" => vec![Event::data("1"), Event::data("2")],
            "events" => vec![Event::data("end")],
            _ => vec![Event::data(calls.to_string())],
        })
    }
}

impl Closing for Puppet {
    fn closed(&self, _: &mut usize, ctx: &Context<'_>, error: &str) {
        ctx.set_note("closed", &(error, ctx.status()))
            .expect("notes can be set");
    }
}

impl Puppet {
    fn replaced(&self, body: &[u8]) -> Result<Option<Vec<u8>>, Stop> {
        match self.body.as_str() {
            "pass" => Ok(None),
            "replace" => Ok(Some(body.to_ascii_uppercase())),
            "reply" => Err(Reply::new(418, "test.body").into()),
            _ => Err(Fault::bad_request("body").into()),
        }
    }
}

crate::export!(Puppet: request, response, chunks, events, closing);

fn run(config: Value, response: &Response) -> Outcome {
    let bench = Bench::<Puppet>::load(config).expect("loads");
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
fn looking_shows_no_bytes_and_replaces_none() {
    let look = |body| json!({"request": "look", "body": body});
    let outcome = run(look("pass"), &Response::new(200));
    assert_eq!(
        outcome.sent.as_ref().map(|s| s.body.as_slice()),
        Some(b"abc".as_slice())
    );
    assert_eq!(outcome.note("shown"), Some(json!(0)));
    assert_eq!(outcome.note("known"), Some(json!(3)));
    let outcome = run(look("replace"), &Response::new(200));
    assert_eq!(code(&outcome), Some("plugin_fault"));
    assert!(outcome.sent.is_none());
    let outcome = run(look("reply"), &Response::new(200));
    assert_eq!(outcome.status, 418);
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
        for phase in ["request", "response"] {
            let outcome = run(json!({ phase: illegal }), &Response::new(200));
            assert_eq!(code(&outcome), Some("plugin_fault"), "{phase} {illegal}");
        }
    }
}

#[test]
fn chunks_are_passed_and_replaced_and_the_last_one_is_marked() {
    let response = Response::ndjson(["a", "b"]).batches(&[1]);
    let outcome = run(json!({"response": "chunks"}), &response);
    assert_eq!(outcome.body, b"a\nb\n");
    let outcome = run(json!({"response": "chunks", "body": "up"}), &response);
    assert_eq!(outcome.body, b"A\nB\n!");
    // The last chunk of a failed stream is the error.
    let outcome = run(
        json!({"response": "chunks", "body": "up"}),
        &response.broken(),
    );
    assert_eq!(outcome.body, b"A\nB\n!");
    assert_eq!(code(&outcome), Some("upstream_broken"));
}

#[test]
fn events_are_passed_replaced_and_ended() {
    let response = Response::ndjson(["1", "2", "3"]).batches(&[2]);
    let outcome = run(json!({"response": "sse", "end": "events"}), &response);
    assert_eq!(outcome.data(), ["1", "2", "3", "end"]);
    assert_eq!(outcome.note("calls"), Some(json!(2)));
    assert_eq!(
        outcome.header("content-type").as_deref(),
        Some("text/event-stream")
    );
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
fn a_batch_that_ends_the_body_may_itself_stay_as_it_is() {
    let response = Response::sse(["1", "2", "3"]).batches(&[2]).broken();
    let outcome = run(
        json!({"response": "sse", "events": "let go", "end": "events"}),
        &response,
    );
    assert_eq!(outcome.data(), ["1", "2", "end"]);
    assert!(outcome.finished);
    // The connection was released before the model server broke off.
    assert_eq!(outcome.fault, None);
    assert_eq!(outcome.note("closed"), Some(json!(["", 200])));
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
    assert_eq!(outcome.note("closed"), Some(json!(["broken", 200])));
}

#[test]
fn a_document_is_given_whole_at_the_end() {
    let response = Response::sse(["1", "2"]).batches(&[1]);
    let document = |events, end| json!({"response": "document", "events": events, "end": end});
    for events in ["take", "pass"] {
        let outcome = run(document(events, "body"), &response);
        assert_eq!(
            (outcome.body.as_slice(), outcome.events.len()),
            (b"2".as_slice(), 0)
        );
        assert_eq!(
            outcome.header("content-type").as_deref(),
            Some("application/json")
        );
    }
    for end in ["pass", "two"] {
        assert_eq!(
            code(&run(document("take", end), &response)),
            Some("plugin_fault"),
            "{end}"
        );
    }
    let outcome = run(document("let go", "body"), &response);
    assert_eq!(outcome.body, b"1");
    for events in ["finish", "replace"] {
        let outcome = run(document(events, "body"), &response);
        assert_eq!(code(&outcome), Some("plugin_fault"));
    }
}

#[test]
fn a_body_that_is_no_stream_is_one_event() {
    let response = Response::json(&json!({"a": 1}));
    let outcome = run(json!({"response": "sse", "end": "body"}), &response);
    assert_eq!(outcome.data(), ["{\"a\":1}", "1"]);
    let outcome = run(
        json!({"response": "document", "end": "body"}),
        &Response::new(200),
    );
    assert_eq!(outcome.body, b"1", "and an empty one too");
}

#[test]
fn what_is_not_text_is_shown_as_text_and_passed_on_as_it_came() {
    let response = Response::sse([b"a\xff".to_vec()]);
    let outcome = run(json!({"response": "sse", "events": "pass"}), &response);
    assert_eq!(outcome.data(), ["a\u{fffd}"]);
    assert_eq!(outcome.body, b"data: a\xff\n\n");
}

struct Quiet;

impl Plugin for Quiet {
    type Config = NoConfig;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("quiet", "0.0.0", "Looks only").transforms(false)
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl RequestStage for Quiet {
    fn request_head(&self, (): &mut (), _: &Context<'_>) -> Result<RequestPlan, Stop> {
        Err(Fault::bad_request("not an interface that is exported").into())
    }
}

impl ResponseStage for Quiet {
    fn response_head(&self, (): &mut (), ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        Ok(match ctx.request_field("x-plan").as_deref() {
            Some(b"sse") => ResponsePlan::Sse,
            Some(b"chunks") => ResponsePlan::Chunks,
            _ => ResponsePlan::Whole,
        })
    }

    fn response_body(
        &self,
        (): &mut (),
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        Ok((!body.is_empty()).then_some(body))
    }
}

impl EventStage for Quiet {
    fn events(
        &self,
        (): &mut (),
        _: &Context<'_>,
        _: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        Ok(None)
    }
}

crate::export!(Quiet: response, events);

#[test]
fn the_manifest_is_held_to_its_word() {
    let bench = Bench::<Quiet>::load(json!({})).expect("loads");
    let outcome = bench.run(Request::get("/"), &Response::new(204));
    assert_eq!((outcome.status, outcome.fault), (204, None));
    let outcome = bench.run(Request::get("/"), &Response::new(200).body("x"));
    assert_eq!(code(&outcome), Some("plugin_fault"));
    assert!(Bench::<Quiet>::load(json!({"a": 1})).is_err_and(|e| e.contains("schema")));
}

#[test]
fn a_plan_is_held_to_the_manifest_and_to_the_exports() {
    let bench = Bench::<Quiet>::load(json!({})).expect("loads");
    let plan = |plan: &str, response: &Response| {
        let outcome = bench.run(Request::get("/").header("x-plan", plan), response);
        outcome.fault.map(|fault| fault.code)
    };
    assert_eq!(plan("sse", &Response::sse(["a"])), None);
    let fault = Some("plugin_fault".to_owned());
    assert_eq!(plan("sse", &Response::ndjson(["a"])), fault);
    assert_eq!(plan("chunks", &Response::sse(["a"])), fault);
}
