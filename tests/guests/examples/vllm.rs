//! An adapter for vLLM: a probe of the contract, not for production.
//!
//! vLLM speaks OpenAI's API, so requests and responses pass nearly as they are. What is changed: vLLM is always asked for the
//! usage of a stream, and a client that did not ask does not see it; `model` is what the client asked for; errors of every
//! shape become faults, also where the status is 200 and the first event is the error.
//!
//! # Source
//! vLLM 0.32 as seen on the wire: bodies `{"error":{…,"code":404}}`, `{"error":"…"}`, `{"detail":"…"}`, older ones
//! `{"object":"error",…}`; a dead engine is a 500, or an event in a stream whose head is a 200, and `[DONE]` follows it.

use serde_json::Value;
use serde_json::value::RawValue;
use sluicegate_plugin::json::{self, Members};
use sluicegate_plugin::{
    Context, Event, EventStage, Fault, Manifest, NoConfig, Plugin, RequestPlan, RequestStage,
    ResponsePlan, ResponseStage, Stop,
};

struct Vllm;

#[derive(Default)]
struct State {
    /// Whether the client asked for the usage of its stream.
    shows_usage: bool,
    done: bool,
    /// The fault that ended the stream, while the events before it are sent.
    fault: Option<Fault>,
}

impl Plugin for Vllm {
    type Config = NoConfig;
    type State = State;

    fn manifest() -> Manifest {
        Manifest::new("guest-vllm", "1.2.3", "A probe: vLLM's server")
            .adapter("vllm")
            .health("/health")
            .info("/version")
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl RequestStage for Vllm {
    fn request_head(&self, _: &mut State, ctx: &Context<'_>) -> Result<RequestPlan, Stop> {
        if ctx.path() != "/v1/chat/completions" {
            return Ok(RequestPlan::Skip);
        }
        // Without one vLLM refuses the body.
        ctx.set("content-type", "application/json")?;
        Ok(RequestPlan::Whole)
    }

    fn request_body(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        if ctx.request_json("/stream").as_deref() != Some("true") {
            return Ok(None);
        }
        let wanted = ctx.request_json("/stream_options/include_usage");
        state.shows_usage = wanted.as_deref() == Some("true");
        if state.shows_usage {
            return Ok(None);
        }
        let Members(members) = serde_json::from_slice(&body)
            .map_err(|error| Fault::bad_request(format!("The body is not JSON: {error}.")))?;
        let kept = members.iter().filter(|(name, _)| name != "stream_options");
        let mut out = object(kept.map(|(name, value)| (&**name, value.get())));
        out.pop();
        out.push_str(",\"stream_options\":{\"include_usage\":true}}");
        Ok(Some(out.into_bytes()))
    }
}

impl ResponseStage for Vllm {
    fn response_head(&self, _: &mut State, ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        let kind = ctx.get_str("content-type").unwrap_or_default();
        Ok(if kind.starts_with("text/event-stream") {
            ResponsePlan::Sse
        } else {
            ResponsePlan::Whole
        })
    }

    fn response_body(
        &self,
        _: &mut State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        if ctx.status() < 300 {
            let text = str::from_utf8(&body).map_err(|_| nonsense())?;
            let Members(members) = serde_json::from_str(text).map_err(|_| nonsense())?;
            return Ok(Some(rewritten(ctx, &members, true)?.into_bytes()));
        }
        let mut fault = fault(ctx.status(), &body);
        if let Some(after) = ctx.get("retry-after") {
            fault = fault.field("retry-after", after);
        }
        Err(fault.into())
    }
}

impl EventStage for Vllm {
    fn events(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        let mut out = Vec::with_capacity(batch.len());
        for event in batch {
            match state.event(ctx, event) {
                Ok(event) => out.extend(event),
                // A fault replaces the batch, so the events before it are sent first, as the end of the body.
                Err(fault) if !out.is_empty() => {
                    state.fault = Some(fault);
                    ctx.end_body()?;
                    break;
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(Some(out))
    }

    fn end(&self, state: &mut State, _: &Context<'_>) -> Result<Vec<Event>, Fault> {
        match state.fault.take() {
            Some(fault) => Err(fault),
            None if state.done => Ok(Vec::new()),
            None => Err(Fault::upstream(
                "upstream_truncated",
                "The model server ended its response before it was complete.",
            )),
        }
    }
}

sluicegate_plugin::export!(Vllm: request, response, events);

impl State {
    /// What an event becomes; `None` if the client is not to see it.
    fn event(&mut self, ctx: &Context<'_>, event: Event) -> Result<Option<Event>, Fault> {
        if event.data == "[DONE]" {
            self.done = true;
            return Ok(Some(event));
        }
        let Members(members) = serde_json::from_str(&event.data).map_err(|_| nonsense())?;
        let has = |name: &str| members.iter().any(|(member, _)| member == name);
        if has("error") {
            return Err(fault(500, event.data.as_bytes()));
        }
        let empty = |raw: &RawValue| raw.get() == "[]";
        let hidden = !self.shows_usage
            && (members.iter()).any(|(name, value)| name == "choices" && empty(value));
        let data = rewritten(ctx, &members, self.shows_usage)?;
        Ok((!hidden).then(|| Event::data(data)))
    }
}

/// A completion or a chunk as the client is to see it. Notes its usage.
fn rewritten(
    ctx: &Context<'_>,
    members: &[(std::borrow::Cow<'_, str>, &RawValue)],
    shows_usage: bool,
) -> Result<String, Fault> {
    let model = ctx.note_json("model");
    let version = ctx.upstream_info("/version");
    let version = version.and_then(|json| serde_json::from_str::<String>(&json).ok());
    let fingerprint = version.map(|version| format!("\"vllm-{version}\""));
    let mut out = Vec::with_capacity(members.len() + 1);
    let mut has_fingerprint = false;
    for (name, value) in members {
        has_fingerprint |= name == "system_fingerprint";
        match &**name {
            "usage" if value.get() != "null" => {
                ctx.set_note_json("usage", value.get())?;
                if !shows_usage {
                    continue;
                }
            }
            "model" => {
                out.push(("model", model.as_deref().unwrap_or(value.get())));
                continue;
            }
            _ => {}
        }
        out.push((name, value.get()));
    }
    let is_completion = members.iter().any(|(name, _)| name == "choices");
    if let Some(fingerprint) = fingerprint.as_deref()
        && is_completion
        && !has_fingerprint
    {
        out.push(("system_fingerprint", fingerprint));
    }
    Ok(object(out.into_iter()))
}

/// A JSON object of these members.
fn object<'a>(members: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from("{");
    for (name, value) in members {
        if out.len() > 1 {
            out.push(',');
        }
        json::push_str(&mut out, name);
        out.push(':');
        out.push_str(value);
    }
    out.push('}');
    out
}

fn nonsense() -> Fault {
    Fault::upstream(
        "upstream_invalid",
        "The model server's response makes no sense.",
    )
}

/// An error of any of vLLM's shapes; `status` is what it came with.
fn fault(status: u16, body: &[u8]) -> Fault {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = body.get("error").unwrap_or(&body);
    let text = [error, &error["message"], &body["detail"]];
    let text = text
        .iter()
        .find_map(|text| text.as_str())
        .unwrap_or("The model server failed.");
    let code = error["code"]
        .as_u64()
        .and_then(|code| u16::try_from(code).ok());
    let code = code.filter(|code| (400..600).contains(code));
    let fault = match code.unwrap_or(status) {
        // The gateway's own key, not the client's.
        401 | 403 => Fault::upstream(
            "upstream_unauthorized",
            "The model server refuses the gateway.",
        ),
        404 if error["type"] == "NotFoundError" => Fault::not_found("model_not_found", text),
        429 => Fault::new(429, "rate_limit_exceeded", text),
        // Another model server may do better.
        500 if text.contains("EngineCore") => Fault::new(
            503,
            "upstream_unavailable",
            "The model server's engine has failed.",
        ),
        502..=504 => Fault::new(503, "upstream_unavailable", text),
        status @ (400 | 413 | 422) => Fault::bad_request(text).status(status),
        _ => Fault::upstream("upstream_error", text),
    };
    match error["param"].as_str() {
        Some(param) => fault.param(param),
        None => fault,
    }
}
