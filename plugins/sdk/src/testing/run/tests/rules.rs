//! What a stage may change and when, and which phases are called, by the rules of the gateway.

use serde_json::json;

use super::code;
use crate::testing::{Bench, Request, Response};
use crate::*;

/// Tries every setter in every phase and notes the results.
struct Tinker;

impl Tinker {
    fn tinker(ctx: &Context<'_>, phase: &str) {
        let tries: [(&str, Result<(), Fault>); 12] = [
            ("method", ctx.set_method("PUT")),
            ("path", ctx.set_path("/ok")),
            ("accent", ctx.set_path("/\u{e9}")),
            ("query", ctx.set_query("a=b")),
            ("upstream", ctx.set_upstream("b")),
            ("unknown", ctx.set_upstream("c")),
            ("status", ctx.set_status(201)),
            ("field", ctx.set("x-a", " 9 ")),
            ("line", ctx.append("x-a", "b\r\nc: d")),
            ("owned", ctx.remove("Content-Length")),
            ("response", ctx.set_response_field("x-response", "\tr ")),
            ("end", ctx.end_body()),
        ];
        let mut legal = Vec::new();
        for (name, result) in tries {
            match result {
                Ok(()) => legal.push(name),
                Err(fault) => assert_eq!(
                    (fault.status, fault.code.as_str(), fault.param),
                    (500, "illegal_change", None),
                    "{phase}: {name}"
                ),
            }
        }
        ctx.set_note(phase, &legal).expect("in every phase");
        let fault = ctx.set_note_json("bad", "{").expect_err("not JSON");
        assert_eq!((fault.status, fault.code.as_str()), (500, "illegal_change"));
    }
}

impl Plugin for Tinker {
    type Config = NoConfig;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("tinker", "0.0.0", "Tries all that there is")
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Gate for Tinker {
    fn check(&self, (): &mut (), ctx: &Context<'_>) -> Result<(), Stop> {
        Self::tinker(ctx, "gate");
        match ctx.get_str("x-word").as_deref() {
            Some("hand on") => ctx.set_path("nowhere")?,
            Some("fault") => return Err(Fault::bad_request("no").field("x-hint", "h").into()),
            _ => {}
        }
        Ok(())
    }
}

impl RequestStage for Tinker {
    fn request_head(&self, (): &mut (), ctx: &Context<'_>) -> Result<RequestPlan, Stop> {
        Self::tinker(ctx, "request");
        Ok(RequestPlan::Skip)
    }
}

impl ResponseStage for Tinker {
    fn response_head(&self, (): &mut (), ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        Self::tinker(ctx, "head");
        Ok(ResponsePlan::Sse)
    }
}

impl EventStage for Tinker {
    fn events(
        &self,
        (): &mut (),
        ctx: &Context<'_>,
        _: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        Self::tinker(ctx, "events");
        ctx.set("x-late", "1")?;
        Ok(None)
    }

    fn end(&self, (): &mut (), ctx: &Context<'_>) -> Result<Vec<Event>, Fault> {
        Self::tinker(ctx, "end");
        Ok(Vec::new())
    }
}

impl Closing for Tinker {
    fn closed(&self, (): &mut (), ctx: &Context<'_>, _: &str) {
        Self::tinker(ctx, "closed");
    }
}

crate::export!(Tinker: gate, request, response, events, closing);

fn tinker() -> Bench<Tinker> {
    Bench::load(json!({})).expect("loads")
}

#[test]
fn an_illegal_change_is_a_fault_and_changes_nothing() {
    let request = Request::post("/p?q=1").upstream("b").header("x-a", "1");
    let outcome = tinker().run(request, &Response::sse(["1", "2"]).batches(&[1]));
    let request = ["method", "path", "query", "upstream", "field", "response"];
    assert_eq!(outcome.note("gate"), Some(json!(request)));
    assert_eq!(outcome.note("request"), Some(json!(request)));
    let response = ["status", "field", "response"];
    assert_eq!(outcome.note("head"), Some(json!(response)));
    assert_eq!(
        outcome.note("events"),
        Some(json!(["status", "field", "response", "end"]))
    );
    assert_eq!(outcome.note("end"), Some(json!(response)));
    assert_eq!(outcome.note("closed"), Some(json!([])));
    let sent = outcome.sent.as_ref().expect("sent");
    assert_eq!(
        (&*sent.method, &*sent.path, &*sent.query),
        ("PUT", "/ok", "a=b")
    );
    assert_eq!(sent.upstream.as_deref(), Some("b"));
    assert_eq!(sent.header("x-a").as_deref(), Some("9"), "without blanks");
    assert_eq!(outcome.status, 201);
    assert_eq!(outcome.header("x-response").as_deref(), Some("r"));
    assert_eq!(outcome.header("x-late"), None, "the head had gone out");
    assert!(outcome.finished);
}

#[test]
fn an_illegal_change_can_be_handed_on() {
    let outcome = tinker().run(
        Request::get("/").header("x-word", "hand on"),
        &Response::new(200),
    );
    assert_eq!(
        (outcome.status, code(&outcome)),
        (500, Some("illegal_change"))
    );
    assert!(outcome.sent.is_none());
}

#[test]
fn a_fault_brings_its_own_fields_and_those_of_the_response() {
    let outcome = tinker().run(
        Request::get("/").header("x-word", "fault"),
        &Response::new(200),
    );
    assert_eq!(outcome.status, 400);
    assert_eq!(outcome.header("x-hint").as_deref(), Some("h"));
    assert_eq!(outcome.header("x-response").as_deref(), Some("r"));
    assert_eq!(outcome.header("x-a"), None);
}

#[test]
fn a_head_request_is_shown_as_a_get() {
    let outcome = tinker().check(Request::new("HEAD", "/"));
    assert_eq!(outcome.request.method, "PUT", "the gate set it");
    let sent = Bench::<Door>::load(json!({}))
        .expect("loads")
        .check(Request::new("HEAD", "/"));
    assert_eq!(sent.request.method, "GET");
}

struct Door;

impl Plugin for Door {
    type Config = NoConfig;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("door", "0.0.0", "Opens for some")
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Gate for Door {
    fn check(&self, (): &mut (), ctx: &Context<'_>) -> Result<(), Stop> {
        ctx.set_note("route", &ctx.route())?;
        match ctx.get_str("x-word").as_deref() {
            Some("sesame") => Ok(()),
            Some("tea") => Err(Reply::new(418, "door.tea").into()),
            Some("zero") => Err(Reply::new(0, "door.zero").into()),
            _ => Err(Fault::unauthorized("Say the word.").into()),
        }
    }
}

impl Observer for Door {
    fn observe(&self, batch: &[Summary]) {
        log::info("batch").field("size", &batch.len()).write();
    }
}

crate::export!(Door: gate, observer);

#[test]
fn a_gate_allows_answers_or_refuses() {
    let bench = Bench::<Door>::load(json!({})).expect("loads");
    let word = |word: &str| bench.check(Request::get("/x").header("X-Word", word));
    let outcome = word("sesame");
    assert_eq!(outcome.verdict, Ok(()));
    assert_eq!(outcome.request.header("x-word").as_deref(), Some("sesame"));
    assert_eq!(outcome.notes["route"], "\"/x\"");
    assert!(matches!(word("tea").verdict, Err(Stop::Reply(reply)) if reply.status == 418));
    let fault = |outcome: testing::GateOutcome| match outcome.verdict {
        Err(Stop::Fault(fault)) => fault,
        verdict => panic!("{verdict:?}"),
    };
    assert_eq!(fault(word("zero")).code, "plugin_fault");
    assert_eq!(fault(word("")).status, 401);
}

#[test]
fn a_gate_stands_before_the_request() {
    let bench = Bench::<Door>::load(json!({})).expect("loads");
    let outcome = bench.run(Request::get("/x"), &Response::new(200));
    assert_eq!((outcome.status, outcome.sent.is_none()), (401, true));
    let request = Request::get("/x").header("x-word", "sesame");
    assert!(bench.send(request).is_ok());
}

#[test]
fn an_observer_is_shown_at_most_64_at_once() {
    testing::take_logs();
    let bench = Bench::<Door>::load(json!({})).expect("loads");
    bench.observe(&vec![Summary::default(); 65]);
    let sizes: Vec<String> = testing::take_logs().iter().map(log::Line::fields).collect();
    assert_eq!(sizes, [r#"{"size":64}"#, r#"{"size":1}"#]);
}

/// Exports only `events`.
struct Reader;

impl Plugin for Reader {
    type Config = NoConfig;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("reader", "0.0.0", "Reads streams").response_if("stream", "true")
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl EventStage for Reader {
    fn events(
        &self,
        (): &mut (),
        _: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        let upper = |event: Event| Event {
            data: event.data.to_uppercase(),
            ..event
        };
        Ok(Some(batch.into_iter().map(upper).collect()))
    }
}

crate::export!(Reader: events);

#[test]
fn events_alone_see_every_stream_in_the_framing_that_it_has() {
    let bench = Bench::<Reader>::load(json!({})).expect("loads");
    let run = |response| bench.run(Request::get("/").note("stream", "true"), &response);
    assert_eq!(run(Response::sse(["a"]).status(500)).body, b"data: A\n\n");
    assert_eq!(run(Response::ndjson(["a"])).body, b"A\n");
    assert_eq!(run(Response::json(&json!("a"))).body, b"\"a\"");
    let other = Response::sse(["a"]).header("content-type", "text/plain");
    assert_eq!(run(other).body, b"data: A\n\n", "the first one counts");
    let named = Event {
        name: "n".into(),
        id: Some("7".into()),
        data: "a".into(),
    };
    let outcome = run(Response::events([named]));
    assert_eq!(outcome.body, b"event: n\nid: 7\ndata: A\n\n");
}

#[test]
fn response_interfaces_wait_for_the_notes_of_the_manifest() {
    let bench = Bench::<Reader>::load(json!({})).expect("loads");
    let data = |request| bench.run(request, &Response::sse(["a"])).data();
    assert_eq!(data(Request::get("/")), ["a"]);
    assert_eq!(data(Request::get("/").note("stream", "false")), ["a"]);
    // The gateway sets the note itself.
    let chat = |stream: bool| {
        Request::post("/v1/chat/completions").json(&json!({"model": "m", "stream": stream}))
    };
    assert_eq!(data(chat(true)), ["A"]);
    assert_eq!(data(chat(false)), ["a"]);
}

#[test]
fn a_member_that_is_there_twice_is_refused_by_its_name() {
    let bench = Bench::<Reader>::load(json!({})).expect("loads");
    let request = Request::post("/v1/chat/completions").body(r#"{"model":"a","model":"b"}"#);
    let outcome = bench.run(request, &Response::sse(["a"]));
    let fault = outcome.fault.expect("refused");
    assert_eq!((fault.status, fault.code.as_str()), (400, "invalid_value"));
    assert_eq!(fault.param.as_deref(), Some("model"));
}
