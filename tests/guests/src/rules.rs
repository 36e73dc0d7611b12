//! A plugin that tries what the contract forbids, phase by phase, and responds with the results.
//!
//! It runs as a component in the gateway and natively in the SDK's bench: both must say the same.

use sluicegate_plugin::{
    Context, Fault, Gate, Manifest, NoConfig, Plugin, RequestPlan, RequestStage, ResponsePlan,
    ResponseStage, Stop,
};

/// Tries everything in every phase.
#[derive(Debug)]
pub struct Rules;

impl Plugin for Rules {
    type Config = NoConfig;
    /// The results so far.
    type State = Vec<String>;

    fn manifest() -> Manifest {
        Manifest::new("guest-rules", "1.2.3", "Tries what the contract forbids")
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Gate for Rules {
    fn check(&self, said: &mut Vec<String>, ctx: &Context<'_>) -> Result<(), Stop> {
        try_all("gate.check", said, ctx);
        Ok(())
    }
}

impl RequestStage for Rules {
    fn request_head(&self, said: &mut Vec<String>, ctx: &Context<'_>) -> Result<RequestPlan, Stop> {
        try_all("request.head", said, ctx);
        Ok(RequestPlan::Whole)
    }

    fn request_body(
        &self,
        said: &mut Vec<String>,
        ctx: &Context<'_>,
        _: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        try_all("request.body", said, ctx);
        Ok(None)
    }
}

impl ResponseStage for Rules {
    fn response_head(
        &self,
        said: &mut Vec<String>,
        ctx: &Context<'_>,
    ) -> Result<ResponsePlan, Stop> {
        try_all("response.head", said, ctx);
        Ok(ResponsePlan::Whole)
    }

    fn response_body(
        &self,
        said: &mut Vec<String>,
        ctx: &Context<'_>,
        _: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        try_all("response.body", said, ctx);
        Ok(Some(said.join("\n").into_bytes()))
    }
}

sluicegate_plugin::export!(Rules: gate, request, response);

/// Tries every setter with right and wrong values, and reads what there is.
fn try_all(phase: &str, said: &mut Vec<String>, ctx: &Context<'_>) {
    let mut say = |what: &str, result: Result<(), Fault>| {
        let result = match result {
            Ok(()) => "ok".to_owned(),
            Err(fault) => fault.to_string(),
        };
        said.push(format!("{phase} {what}: {result}"));
    };
    for path in ["/v1/x%20y", "/a b", "/a?b", "/a#b", "/é", "a", ""] {
        say(&format!("path {path:?}"), ctx.set_path(path));
    }
    for query in ["a=b", "a b", "a#b", "é"] {
        say(&format!("query {query:?}"), ctx.set_query(query));
    }
    for method in ["POST", "get", "CONNECT", ""] {
        say(&format!("method {method:?}"), ctx.set_method(method));
    }
    say("upstream", ctx.set_upstream("nowhere"));
    for status in [201, 99, 600] {
        say(&format!("status {status}"), ctx.set_status(status));
    }
    for name in ["x-set", "content-length", "te", "a b", ""] {
        say(&format!("set {name:?}"), ctx.set(name, " value\t"));
        say(&format!("append {name:?}"), ctx.append(name, "other"));
        say(
            &format!("response field {name:?}"),
            ctx.set_response_field(name, "1"),
        );
    }
    say("set line end", ctx.set("x-set", "a\r\nb: c"));
    say("remove", ctx.remove("x-gone"));
    say("remove foreign", ctx.remove("transfer-encoding"));
    say("note", ctx.set_note_json("n", "1"));
    say("note not JSON", ctx.set_note_json("n", "{"));
    let long = format!("\"{}\"", "x".repeat(70_000));
    say("note too long", ctx.set_note_json("n", &long));
    say("end body", ctx.end_body());
    let text = |value: Option<String>| value.unwrap_or_else(|| "none".into());
    said.push(format!(
        "{phase} reads {} {} {} {} {} {} {} {} {} {}",
        ctx.method(),
        ctx.path(),
        ctx.query(),
        ctx.status(),
        ctx.attempt(),
        text(ctx.get_str("X-Set")),
        text(ctx.request_field_str("x-set")),
        text(ctx.request_json("/model")),
        ctx.request_bytes(),
        text(ctx.note_json("n")),
    ));
}
