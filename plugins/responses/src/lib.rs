//! The `responses` front: serves `POST /v1/responses`, OpenAI's Responses API, over the canonical chat API.
//!
//! Only the stateless part is served: nothing is stored, so a client sends the whole conversation as `input` each time. What
//! refers to something stored is a 400 that says so.
//!
//! - [`request`] translates a request to one of the chat API.
//! - [`response`] translates what comes back: a whole completion, or a stream of chunks, to a response object or its events.
//! - [`failure`] renders errors. Before the stream has begun they are in OpenAI's form already, and pass; later they become
//!   `response.failed`.
//!
//! Thoughts of a model are reasoning items: with `reasoning.summary` their text is the summary, otherwise the `reasoning_text`.
//! `include: ["reasoning.encrypted_content"]` adds the text in an opaque form, which [`reasoning`] reads back; it is an
//! encoding, not a secret.
//!
//! This file only connects the parts to the gateway.
//!
//! # Source
//! OpenAI API reference (document 2.3.0), "Responses", "Streaming events"; the types of `openai` 3.57 for Python.

use sluicegate_plugin::{
    Context, Event, EventStage, Fault, Manifest, NoConfig, Plugin, RequestPlan, RequestStage,
    ResponsePlan, ResponseStage, Stop,
};

pub mod failure;
pub mod reasoning;
pub mod request;
pub mod response;

use request::Asked;
use response::Assembly;

/// The paths that are served, each with its counterpart in the chat API.
const PATHS: [(&str, &str); 2] = [
    ("/v1/responses", "/v1/chat/completions"),
    (COUNT, "/v1/chat/completions/input_tokens"),
];

/// Counts the tokens of a request.
const COUNT: &str = "/v1/responses/input_tokens";

const NOT_STORED: &str = "Responses are not stored here, so only `POST /v1/responses` is served. Send the whole conversation as \
    `input`, with `store: false`.";

/// The front.
#[derive(Debug)]
pub struct Responses;

/// An exchange.
#[derive(Debug, Default)]
pub struct State {
    /// What the client asked for, once that is known.
    asked: Option<Asked>,
    /// Whether it asked only for the number of tokens.
    counts: bool,
    /// The response, once some of it has come.
    assembly: Option<Assembly>,
    /// Whether the head of the stream went out before there was a response, which then was an error.
    failed_behind_early_head: bool,
    /// What ended the stream; reported at its end, so that the events before it are not lost.
    fault: Option<Fault>,
}

impl Plugin for Responses {
    type Config = NoConfig;
    type State = State;

    fn manifest() -> Manifest {
        Manifest::new(
            "responses",
            env!("CARGO_PKG_VERSION"),
            "Serves OpenAI's Responses API over the canonical chat API",
        )
        .front("responses")
        // Room for requests with images, up to the largest body.
        .limits("192MiB", "1s")
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl RequestStage for Responses {
    fn request_head(&self, state: &mut State, ctx: &Context<'_>) -> Result<RequestPlan, Stop> {
        let path = ctx.path();
        let served = PATHS.iter().find(|(served, _)| path == *served);
        let Some((served, chat)) = served else {
            return Err(Fault::not_found("not_found", NOT_STORED).into());
        };
        if ctx.method() != "POST" {
            let fault = Fault::new(405, "method_not_allowed", NOT_STORED);
            return Err(fault.field("allow", "POST").into());
        }
        state.counts = *served == COUNT;
        ctx.set_path(chat)?;
        ctx.set_query("")?;
        ctx.set("content-type", "application/json")?;
        Ok(RequestPlan::Whole)
    }

    fn request_body(
        &self,
        state: &mut State,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let (canonical, mut asked) = request::translate(&body)?;
        asked.stream &= !state.counts;
        state.asked = Some(asked);
        Ok(Some(canonical.into_bytes()))
    }
}

impl ResponseStage for Responses {
    fn response_head(&self, state: &mut State, ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        let status = ctx.status();
        if (300..400).contains(&status) {
            return Err(failure::invalid("The response is a redirect.").into());
        }
        let is_stream = is_event_stream(ctx);
        let Some(asked) = &state.asked else {
            // An inner stage stopped before the body was read: with an error, or with a response of its own.
            return Ok(if status >= 400 {
                ResponsePlan::Whole
            } else {
                ResponsePlan::Skip
            });
        };
        if asked.stream && (is_stream || status < 400) {
            state.failed_behind_early_head = status >= 400;
            // A response that is not a stream, such as one from a cache, becomes one.
            ctx.set("content-type", "text/event-stream; charset=utf-8")?;
            return Ok(ResponsePlan::Sse);
        }
        if is_stream && status < 400 {
            ctx.set("content-type", "application/json")?;
            ctx.remove("cache-control")?;
            return Ok(ResponsePlan::Document);
        }
        Ok(ResponsePlan::Whole)
    }

    fn response_body(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        if ctx.status() >= 400 {
            return Ok(failure::body(ctx.status(), &body)?);
        }
        let text = std::str::from_utf8(&body).map_err(|_| failure::nonsense())?;
        if state.counts {
            return Ok(Some(response::counted(text)?.into_bytes()));
        }
        let assembly = state.assembly(ctx)?;
        assembly.push(text)?;
        assembly.finish()?;
        Ok(Some(assembly.object().into_bytes()))
    }
}

impl EventStage for Responses {
    fn events(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        let streams = state.asked.as_ref().is_some_and(|asked| asked.stream);
        if ctx.status() >= 400 {
            // For a client that wants one object the gateway makes the error the response.
            let error = batch.first().map_or("", |event| &event.data);
            return Ok(streams.then(|| state.fail(ctx, error)));
        }
        let assembly = state.assembly(ctx)?;
        for event in &batch {
            if let Err(fault) = assembly.push(&event.data) {
                let events = assembly.take_events();
                if events.is_empty() {
                    return Err(fault);
                }
                ctx.end_body()?;
                state.fault = Some(fault);
                return Ok(Some(events));
            }
        }
        let events = assembly.take_events();
        Ok(streams.then_some(events))
    }

    fn end(&self, state: &mut State, ctx: &Context<'_>) -> Result<Vec<Event>, Fault> {
        if let Some(fault) = state.fault.take() {
            return Err(fault);
        }
        let streams = state.asked.as_ref().is_some_and(|asked| asked.stream);
        let assembly = state.assembly(ctx)?;
        assembly.finish()?;
        Ok(if streams {
            assembly.take_events()
        } else {
            vec![Event::data(assembly.object())]
        })
    }
}

sluicegate_plugin::export!(Responses: request, response, events);

impl State {
    /// The response to what was asked for.
    fn assembly(&mut self, ctx: &Context<'_>) -> Result<&mut Assembly, Fault> {
        let asked = self.asked.as_mut();
        let asked = asked.ok_or_else(|| failure::invalid("The response belongs to no request."))?;
        Ok(self
            .assembly
            .get_or_insert_with(|| Assembly::new(asked, ctx.received_ms() / 1000)))
    }

    /// The events of an error in mid-stream.
    fn fail(&mut self, ctx: &Context<'_>, error: &str) -> Vec<Event> {
        let failed_behind_early_head = self.failed_behind_early_head;
        match self.assembly(ctx) {
            Ok(assembly) if assembly.has_begun() || failed_behind_early_head => {
                assembly.fail(ctx.status(), error);
                assembly.take_events()
            }
            // It may yet become the body of a response: one event has to be both.
            Ok(_) | Err(_) => vec![failure::event(ctx.status(), error)],
        }
    }
}

fn is_event_stream(ctx: &Context<'_>) -> bool {
    let value = ctx.get("content-type").unwrap_or_default();
    let kind = value.split(|&b| b == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}
