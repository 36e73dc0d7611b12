//! How exchanges end: streams that break, clients that leave, the call of `closed`, and what is different in an adapter.

use serde_json::{Value, json};

use super::{code, run};
use crate::testing::{Bench, Outcome, Request, Response};
use crate::*;

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

#[test]
fn a_failure_in_mid_stream_is_a_batch_of_its_own() {
    let response = || Response::sse(["1"]).broken();
    let sse = |events| json!({"response": "sse", "events": events, "end": "events"});
    let outcome = run(sse("pass"), &response());
    assert_eq!(outcome.note("calls"), Some(json!(2)));
    assert_eq!(outcome.note("status"), Some(json!(502)));
    assert_eq!((outcome.status, outcome.rendered), (200, false));
    assert_eq!(
        outcome.note("closed"),
        Some(json!(["upstream_broken", 200]))
    );

    let outcome = run(sse("render"), &response());
    assert!(outcome.rendered);
    assert_eq!(code(&outcome), Some("upstream_broken"));
    let data = outcome.data();
    let shown = data[1].strip_prefix("sorry: ").expect("the second event");
    let shown: Value = serde_json::from_str(shown).expect("JSON");
    assert_eq!(shown["error"]["code"], "upstream_broken");
    assert_eq!(shown["error"]["type"], "server_error");
    assert_eq!((data[0].as_str(), data.len()), ("1", 2));

    let outcome = run(sse("fail"), &response());
    assert_eq!(
        (outcome.data(), code(&outcome)),
        (vec!["1".into()], Some("broken"))
    );
    assert_eq!(outcome.note("closed"), Some(json!(["broken", 200])));
}

#[test]
fn a_failure_is_the_last_chunk_in_the_framing_of_the_stream() {
    let response = Response::sse(["1"]).broken();
    let outcome = run(json!({"response": "chunks"}), &response);
    assert_eq!(outcome.body, b"data: 1\n\n");
    assert_eq!(outcome.note("status"), Some(json!(502)));
    assert_eq!((outcome.status, outcome.rendered), (200, false));
    let outcome = run(json!({"response": "chunks", "body": "up"}), &response);
    assert_eq!(outcome.body, b"DATA: 1\n\n!");
    assert!(outcome.rendered);
}

#[test]
fn a_failure_takes_the_place_of_a_body_that_is_wanted_whole() {
    let response = Response::new(200).body("half").broken();
    let whole = |body| json!({"response": "whole", "body": body});
    let outcome = run(whole("replace"), &response);
    assert_eq!((outcome.status, outcome.rendered), (502, true));
    let body = String::from_utf8(outcome.body.clone()).expect("text");
    assert!(body.contains(r#""CODE":"UPSTREAM_BROKEN""#), "{body}");
    assert_eq!(
        outcome.header("content-type").as_deref(),
        Some("application/json")
    );
    assert_eq!(
        outcome.note("closed"),
        Some(json!(["upstream_broken", 502]))
    );
    let outcome = run(whole("fail"), &response);
    assert_eq!(
        (outcome.status, code(&outcome)),
        (400, Some("invalid_value"))
    );
    let outcome = run(whole("reply"), &response);
    assert_eq!((outcome.status, outcome.fault), (418, None));
}

#[test]
fn a_failure_stays_where_a_document_says_nothing_to_it() {
    let response = || Response::sse(["1"]).batches(&[1]).broken();
    let document = |events| json!({"response": "document", "events": events, "end": "body"});
    for events in ["take", "pass"] {
        let outcome = run(document(events), &response());
        assert_eq!(
            (outcome.status, code(&outcome)),
            (502, Some("upstream_broken"))
        );
        assert_eq!((outcome.body.len(), outcome.rendered), (0, false));
        assert_eq!(outcome.note("calls"), Some(json!(2)));
    }
    let bench = Bench::<Careful>::load(json!({})).expect("loads");
    let outcome = bench.run(Request::get("/").note("care", "true"), &response());
    assert_eq!((outcome.status, code(&outcome)), (504, Some("careful")));
}

#[test]
fn a_client_that_leaves_is_told_to_closing_alone() {
    for (plan, status) in [("sse", 200), ("chunks", 200), ("skip", 200), ("whole", 0)] {
        let outcome = run(
            json!({"response": plan, "end": "events"}),
            &Response::sse(["1"]).left(),
        );
        assert_eq!(
            outcome.note("closed"),
            Some(json!(["client_closed", status])),
            "{plan}"
        );
        assert_eq!((outcome.status, outcome.fault), (status, None), "{plan}");
    }
    let outcome = run(
        json!({"response": "document", "end": "body"}),
        &Response::sse(["1"]).left(),
    );
    assert_eq!(outcome.note("closed"), Some(json!(["client_closed", 0])));
    assert_eq!(
        (outcome.body.len(), outcome.note("calls")),
        (0, Some(json!(1)))
    );
}

#[test]
fn closing_is_told_how_the_exchange_ended() {
    let closed = |config, response: Response| run(config, &response).note("closed");
    let ok = || Response::new(207);
    assert_eq!(closed(json!({}), ok()), Some(json!(["", 207])));
    assert_eq!(
        closed(json!({"request": "reply"}), ok()),
        Some(json!(["", 203]))
    );
    assert_eq!(
        closed(json!({"request": "fail"}), ok()),
        Some(json!(["invalid_value", 400]))
    );
    // The instance of a plugin that breaks the contract is gone.
    assert_eq!(closed(json!({"response": "bad fault"}), ok()), None);
    let looks = json!({"request": "look", "body": "replace"});
    assert_eq!(closed(looks, ok()), None);
}

#[test]
fn closing_is_not_called_where_no_phase_was() {
    let bench = Bench::<Careful>::load(json!({})).expect("loads");
    let outcome = bench.run(Request::get("/"), &Response::new(200));
    assert_eq!(outcome.note("closed"), None);
    let outcome = bench.run(Request::get("/").note("care", "true"), &Response::new(200));
    assert_eq!(outcome.note("closed"), Some(json!("yes")));
}

/// A plugin without request phases that renders errors itself.
struct Careful;

impl Plugin for Careful {
    type Config = NoConfig;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("careful", "0.0.0", "Says what went wrong").response_if("care", "true")
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl ResponseStage for Careful {
    fn response_head(&self, (): &mut (), _: &Context<'_>) -> Result<ResponsePlan, Stop> {
        Ok(ResponsePlan::Document)
    }
}

impl EventStage for Careful {
    fn events(
        &self,
        (): &mut (),
        ctx: &Context<'_>,
        _: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        if ctx.status() == 502 {
            return Err(Fault::new(504, "careful", "It broke."));
        }
        Ok(None)
    }

    fn end(&self, (): &mut (), _: &Context<'_>) -> Result<Vec<Event>, Fault> {
        Ok(vec![Event::data("{}")])
    }
}

impl Closing for Careful {
    fn closed(&self, (): &mut (), ctx: &Context<'_>, _: &str) {
        ctx.set_note("closed", "yes").expect("notes can be set");
    }
}

crate::export!(Careful: response, events, closing);

/// An adapter that notes what it knows.
struct Adapter;

impl Plugin for Adapter {
    type Config = NoConfig;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("adapter", "0.0.0", "Notes what it knows")
            .adapter("test")
            .info("/info")
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl RequestStage for Adapter {
    fn request_head(&self, (): &mut (), ctx: &Context<'_>) -> Result<RequestPlan, Stop> {
        let known = (ctx.attempt(), ctx.upstream(), ctx.upstream_info("/version"));
        ctx.set_note("known", &known)?;
        let asked = (ctx.note::<String>("model"), ctx.note::<bool>("stream"));
        ctx.set_note("asked", &asked)?;
        assert!(ctx.target().starts_with("http://"));
        assert!(ctx.set_upstream("other").is_err());
        ctx.set_path("/api")?;
        ctx.set_response_field("x-adapter", "1")?;
        Ok(RequestPlan::Whole)
    }

    fn request_body(
        &self,
        (): &mut (),
        ctx: &Context<'_>,
        _: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        ctx.set_note("messages", &ctx.request_json("/messages"))?;
        Ok(Some(b"{\"own\":1}".to_vec()))
    }
}

impl ResponseStage for Adapter {
    fn response_head(&self, (): &mut (), ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        ctx.set_note("own", &ctx.request_json("/own"))?;
        Ok(match ctx.status() {
            200 => ResponsePlan::Sse,
            _ => ResponsePlan::Whole,
        })
    }
}

impl EventStage for Adapter {
    fn events(
        &self,
        (): &mut (),
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        ctx.set_note("shown", &ctx.status())?;
        if batch[0].data == "bad" {
            return Err(Fault::new(503, "busy", "Later.").field("retry-after", "1"));
        }
        Ok(match batch[0].data.as_str() {
            "nothing" => Some(Vec::new()),
            _ => None,
        })
    }
}

impl Closing for Adapter {
    fn closed(&self, (): &mut (), ctx: &Context<'_>, error: &str) {
        ctx.set_note("closed", &(error, ctx.status()))
            .expect("notes can be set");
    }
}

crate::export!(Adapter: request, response, events, closing);

fn adapt(response: &Response) -> Outcome {
    let body = json!({"model": "m", "stream": true, "messages": []});
    let request = Request::post("/v1/chat/completions")
        .json(&body)
        .upstream("other")
        .info(&json!({"version": "0.9"}));
    let bench = Bench::<Adapter>::load(json!({})).expect("loads");
    bench.run(request, response)
}

#[test]
fn an_adapter_works_on_one_attempt_of_a_frozen_request() {
    let outcome = adapt(&Response::sse(["a"]));
    assert_eq!(outcome.note("known"), Some(json!([1, "main", "\"0.9\""])));
    assert_eq!(outcome.note("asked"), Some(json!(["m", true])));
    assert_eq!(outcome.note("messages"), Some(json!("[]")));
    assert_eq!(outcome.note("own"), Some(json!("1")), "its own copy");
    let sent = outcome.sent.as_ref().expect("sent");
    assert_eq!((&*sent.path, sent.json()), ("/api", json!({"own": 1})));
    assert_eq!(outcome.data(), ["a"]);
    assert_eq!(outcome.header("x-adapter").as_deref(), Some("1"));
    assert_eq!(outcome.note("closed"), Some(json!(["", 200])));
    assert_eq!(outcome.note("model"), Some(json!("m")), "of the exchange");
}

#[test]
fn a_request_that_cannot_be_frozen_never_reaches_an_adapter() {
    let bench = Bench::<Adapter>::load(json!({})).expect("loads");
    let body = r#"{"stream":true,"stream":false}"#;
    let outcome = bench.run(
        Request::post("/v1/completions").body(body),
        &Response::new(200),
    );
    let fault = outcome.fault.as_ref().expect("refused");
    assert_eq!(
        (fault.status, fault.param.as_deref()),
        (400, Some("stream"))
    );
    assert!(outcome.notes.is_empty(), "{:?}", outcome.notes);
}

#[test]
fn an_adapter_is_not_shown_that_the_model_server_broke_off() {
    let outcome = adapt(&Response::sse(["a"]).broken());
    assert_eq!(
        (outcome.data(), code(&outcome)),
        (vec!["a".into()], Some("upstream_broken"))
    );
    assert_eq!(outcome.note("shown"), Some(json!(200)));
    assert_eq!(
        outcome.note("closed"),
        Some(json!(["upstream_broken", 200]))
    );
    let outcome = adapt(&Response::new(500).body("half").broken());
    assert_eq!(
        (outcome.status, code(&outcome)),
        (502, Some("upstream_broken"))
    );
}

#[test]
fn the_head_goes_out_with_the_first_event_that_leaves_an_adapter() {
    let run = |lines: &[&str]| {
        let outcome = adapt(&Response::sse(lines.to_vec()).batches(&[1]));
        assert_eq!(code(&outcome), Some("busy"));
        (outcome.status, outcome.header("retry-after"))
    };
    assert_eq!(run(&["bad"]), (503, Some("1".into())));
    assert_eq!(run(&["nothing", "bad"]), (503, Some("1".into())));
    assert_eq!(run(&["nothing", "a", "bad"]), (200, None));
}
