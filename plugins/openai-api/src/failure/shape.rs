//! Errors that are recognized by the shape of their text, with any status.
//!
//! A text quotes what the client sent. So only its beginning, or its end, is compared with the server's own words.
//!
//! # Source
//! vLLM source, `vllm/entrypoints/openai` and `vllm/v1/engine`; llama.cpp, `tools/server`; SGLang, `python/sglang/srt`; TGI,
//! `router/src/infer` and `router/src/validation.rs`.

use sluicegate_plugin::Fault;

use super::{clipped, said::Said, unavailable};
use crate::request::Endpoint;

/// What an error is about.
#[derive(Clone, Copy)]
enum About {
    /// The request does not fit into the context.
    Length,
    /// 400 `unsupported_value` of this parameter.
    Unsupported(&'static str),
    /// 400 `invalid_value` of this parameter.
    Invalid(&'static str),
    /// The server cannot serve this request, or any.
    Gone,
    /// The server has too many requests.
    Busy,
    /// The model wrote a call that cannot be read.
    Unreadable,
    /// The model has no chat template.
    NoTemplate,
}

/// The beginnings of texts, in lower case. The first match decides.
const BEGINNINGS: [(&str, About); 36] = [
    ("this model's maximum context length is ", About::Length),
    ("the decoder prompt ", About::Length),
    ("prompt length of ", About::Length),
    (
        "the request exceeds the available context size",
        About::Length,
    ),
    ("the input length exceeds the context length", About::Length),
    ("input is too long", About::Length),
    ("`messages` tokens + ", About::Length),
    ("`messages` must have less than ", About::Length),
    ("grammar is not valid", About::Invalid("response_format")),
    (
        "tool error: grammar and tools ",
        About::Invalid("response_format"),
    ),
    ("tool error: tool with name ", About::Invalid("tool_choice")),
    ("tool error: ", About::Unreadable),
    ("template error: template not found", About::NoTemplate),
    ("template error: ", About::Invalid("messages")),
    ("base64 encoding is invalid", About::Invalid("messages")),
    (
        "cannot apply chat template to an empty conversation",
        About::Invalid("messages"),
    ),
    ("could not fetch image", About::Invalid("messages")),
    ("model is overloaded", About::Busy),
    ("request failed during generation", About::Gone),
    ("incomplete generation", About::Gone),
    (
        "image input is not supported",
        About::Unsupported("messages"),
    ),
    (
        "audio input is not supported",
        About::Unsupported("messages"),
    ),
    ("at most 0 ", About::Unsupported("messages")),
    (
        "logprobs is not supported with tools",
        About::Unsupported("logprobs"),
    ),
    (
        "\"auto\" tool choice requires ",
        About::Unsupported("tools"),
    ),
    ("tool_choice=\"", About::Unsupported("tool_choice")),
    (
        "this server does not support embeddings",
        About::Unsupported("model"),
    ),
    (
        "the model does not support embeddings",
        About::Unsupported("model"),
    ),
    ("grammar error", About::Invalid("response_format")),
    ("failed to parse grammar", About::Invalid("response_format")),
    (
        "json schema conversion failed",
        About::Invalid("response_format"),
    ),
    (
        "unable to generate parser for this template. automatic parser generation failed: json schema",
        About::Invalid("response_format"),
    ),
    (
        "when response_format type is ",
        About::Invalid("response_format"),
    ),
    ("enginecore encountered an issue", About::Gone),
    ("engine process failed", About::Gone),
    ("background loop has errored", About::Gone),
];

/// The fault, if the text is known.
pub(super) fn fault(endpoint: Option<Endpoint>, status: u16, said: &Said) -> Option<Fault> {
    let is_long =
        said.kind == "exceed_context_size_error" || said.param.as_deref() == Some("input_tokens");
    let lower = said.text.to_lowercase();
    let known = BEGINNINGS
        .iter()
        .find(|(start, _)| lower.starts_with(start));
    let about = match known {
        _ if is_long => About::Length,
        Some((_, about)) => *about,
        None => return None,
    };
    let refusal = |code: &str, param: &str| {
        Some(
            Fault::bad_request(clipped(&said.text))
                .code(code)
                .param(param),
        )
    };
    match about {
        About::Length if status == 429 => None,
        About::Length => refusal("context_length_exceeded", Endpoint::of_text(endpoint)),
        About::Unsupported(param) => refusal("unsupported_value", param),
        About::Invalid(param) => refusal("invalid_value", param),
        About::Busy => Some(Fault::new(429, "rate_limit_exceeded", clipped(&said.text))),
        About::Unreadable => Some(Fault::upstream(
            "upstream_invalid",
            "The model wrote something that is no tool call, or a tool call that cannot be read.",
        )),
        About::NoTemplate => Some(Fault::upstream(
            "upstream_configuration",
            "The model has no chat template. Ask it at `/v1/completions`, or give the adapter a `template` in the gateway's \
             configuration.",
        )),
        About::Gone => Some(unavailable("The model server failed to serve the request.")),
    }
}
