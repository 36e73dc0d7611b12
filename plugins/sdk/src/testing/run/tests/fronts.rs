//! Fronts: their own faults come to them as errors.

use serde_json::json;

use crate::testing::{Bench, Outcome, Request, Response};
use crate::*;

/// Renders errors as `sorry N`, and fails where its configuration says.
struct Front(String);

impl Front {
    fn act(&self, place: &str) -> Result<(), Fault> {
        if self.0 == place || self.0 == "everywhere" {
            return Err(Fault::new(418, "teapot", "no").field("x-why", "tea"));
        }
        Ok(())
    }
}

impl Plugin for Front {
    type Config = String;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("front", "0.0.0", "A dialect")
            .config("{}")
            .front("sorry")
    }

    fn configure(place: String) -> Result<Self, String> {
        Ok(Self(place))
    }
}

impl RequestStage for Front {
    fn request_head(&self, (): &mut (), _: &Context<'_>) -> Result<RequestPlan, Stop> {
        self.act("request head")?;
        Ok(RequestPlan::Whole)
    }

    fn request_body(
        &self,
        (): &mut (),
        _: &Context<'_>,
        _: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        self.act("request body")?;
        Ok(None)
    }
}

impl ResponseStage for Front {
    fn response_head(&self, (): &mut (), ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        if ctx.status() < 400 || self.0 == "everywhere" {
            self.act("response head")?;
        }
        Ok(match ctx.get("content-type").as_deref() {
            Some(b"text/event-stream") if self.0.starts_with("document") => ResponsePlan::Document,
            Some(b"text/event-stream") => ResponsePlan::Sse,
            _ => ResponsePlan::Whole,
        })
    }

    fn response_body(
        &self,
        (): &mut (),
        ctx: &Context<'_>,
        _: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        if ctx.status() >= 400 {
            return Ok(Some(format!("sorry {}", ctx.status()).into_bytes()));
        }
        self.act("response body")?;
        Ok(None)
    }
}

impl EventStage for Front {
    fn events(
        &self,
        (): &mut (),
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        if ctx.status() >= 400 && !self.0.starts_with("document") {
            self.act("error")?;
            return Ok(Some(vec![Event::data(format!("sorry {}", ctx.status()))]));
        }
        if batch[0].data == "2" {
            self.act("events")?;
        }
        Ok(None)
    }

    fn end(&self, (): &mut (), _: &Context<'_>) -> Result<Vec<Event>, Fault> {
        self.act("end")?;
        self.act("document end")?;
        Ok(Vec::new())
    }
}

crate::export!(Front: request, response, events);

fn run(place: &str, response: &Response) -> Outcome {
    let bench = Bench::<Front>::load(json!(place)).expect("it loads");
    bench.run(Request::post("/x"), response)
}

fn code(outcome: &Outcome) -> Option<&str> {
    outcome.fault.as_ref().map(|fault| &*fault.code)
}

#[test]
fn a_front_s_own_fault_comes_to_it_as_a_response() {
    for place in [
        "request head",
        "request body",
        "response head",
        "response body",
    ] {
        let outcome = run(place, &Response::json(&json!({})));
        assert_eq!(outcome.body, b"sorry 418", "{place}");
        assert_eq!((outcome.status, outcome.rendered), (418, true), "{place}");
        assert_eq!(code(&outcome), Some("teapot"));
        assert_eq!(outcome.header("x-why").as_deref(), Some("tea"));
        assert_eq!(outcome.sent.is_some(), place.starts_with("response"));
    }
    let document = Response::sse(["1"]);
    for (place, response, status) in [
        ("document end", &document, 418),
        // The failure of the model server is shown as an event.
        ("document", &document.clone().broken(), 502),
    ] {
        let outcome = run(place, response);
        assert_eq!((outcome.status, outcome.rendered), (status, true));
        assert_eq!(outcome.body, format!("sorry {status}").into_bytes());
    }
}

#[test]
fn in_mid_stream_it_comes_as_an_event() {
    for (place, data) in [
        ("events", ["1", "sorry 418"].as_slice()),
        ("end", &["1", "2", "sorry 418"]),
    ] {
        let outcome = run(place, &Response::sse(["1", "2"]).batches(&[1]));
        assert_eq!(outcome.data(), data, "{place}");
        assert_eq!((outcome.status, outcome.rendered), (200, true));
        assert_eq!(code(&outcome), Some("teapot"));
    }
}

#[test]
fn it_comes_only_once() {
    let outcome = run("everywhere", &Response::json(&json!({})));
    assert_eq!((outcome.status, outcome.rendered), (418, false));
    assert_eq!((outcome.body.len(), code(&outcome)), (0, Some("teapot")));
    let outcome = run("error", &Response::sse(["1"]).broken());
    assert_eq!(
        (outcome.data(), outcome.rendered),
        (vec!["1".into()], false)
    );
}
