//! Errors that are recognized by the shape of their text, with any status.
//!
//! A text quotes what the client sent: a model's name, an option, a format. So only its beginning, its end, or both are
//! compared with Ollama's own words; what is in between is ignored.
//!
//! # Source
//! Ollama source, `server/routes.go`, `server/sched.go`, `api/types.go`, `llm/server.go`, `types/model/capability.go`; llama.cpp, `tools/server`.

use sluicegate_plugin::Fault;

/// A kind of error, by the beginning and the end of its text, in lower case.
struct Shape {
    start: &'static str,
    end: &'static str,
    status: u16,
    code: &'static str,
    param: &'static str,
}

const fn shape(
    (start, end): (&'static str, &'static str),
    status: u16,
    code: &'static str,
    param: &'static str,
) -> Shape {
    Shape {
        start,
        end,
        status,
        code,
        param,
    }
}

const fn missing(start: &'static str, end: &'static str) -> Shape {
    shape((start, end), 404, "model_not_found", "model")
}

const fn too_long(start: &'static str) -> Shape {
    shape((start, ""), 400, "context_length_exceeded", "messages")
}

const fn unsupported(start: &'static str, end: &'static str, param: &'static str) -> Shape {
    shape((start, end), 400, "unsupported_value", param)
}

const fn invalid(start: &'static str, param: &'static str) -> Shape {
    shape((start, ""), 400, "invalid_value", param)
}

/// The first match decides.
const SHAPES: [Shape; 33] = [
    missing("model '", "' not found"),
    missing("model \"", "\" not found"),
    missing("model \"", "\" not found, try pulling it first"),
    invalid("invalid model name", "model"),
    unsupported("", " does not support thinking", "reasoning_effort"),
    unsupported("invalid think value: ", "", "reasoning_effort"),
    unsupported(
        "think value \"",
        "\" is not supported for this model",
        "reasoning_effort",
    ),
    unsupported("", " does not support tools", "tools"),
    unsupported("", " does not support vision", "messages"),
    unsupported("", " does not support chat", "model"),
    unsupported("", " does not support generate", "model"),
    unsupported("", " does not support completion", "model"),
    unsupported("", " does not support insert", "model"),
    unsupported("", " does not support embedding", "model"),
    unsupported("logprobs is not supported with tools", "", "logprobs"),
    invalid("top_logprobs must be between ", "top_logprobs"),
    invalid("invalid input type", "input"),
    invalid("invalid format: ", "response_format"),
    invalid("failed to create grammar", "response_format"),
    invalid("failed to parse grammar", "response_format"),
    invalid("json schema conversion failed", "response_format"),
    invalid(
        "unable to generate parser for this template. automatic parser generation failed: json schema",
        "response_format",
    ),
    unsupported("image input is not supported", "", "messages"),
    unsupported("audio input is not supported", "", "messages"),
    unsupported(
        "this model is missing data required for image input",
        "",
        "messages",
    ),
    invalid("illegal base64 data at input byte ", "messages"),
    invalid("failed to process inputs", "messages"),
    invalid("invalid image", "messages"),
    too_long("the input length exceeds the context length"),
    too_long("input length exceeds maximum context length"),
    too_long("the request exceeds the available context size"),
    too_long("prompt too long; exceeded max context length"),
    too_long("context size has been exceeded"),
];

/// How the model runner speaks of a model that generates text and is asked for embeddings.
const NO_EMBEDDINGS: &str = "this server does not support embeddings";

/// The beginnings of texts for a model's output that could not be parsed.
const UNREADABLE: [&str; 2] = [
    "the model produced output that does not match ",
    "error parsing tool call",
];

/// The kind of an error, if its text is known. `kind` is the runner's own name for the error.
pub(super) fn fault(text: &str, kind: Option<&str>) -> Option<Fault> {
    let client =
        |status: u16, code: &str, param: &str| Some(Fault::new(status, code, text).param(param));
    // This one has its figures between its words.
    if kind == Some("exceed_context_size_error") {
        return client(400, "context_length_exceeded", "messages");
    }
    let lower = text.to_ascii_lowercase();
    if UNREADABLE.iter().any(|start| lower.starts_with(start)) {
        return Some(Fault::upstream(
            "upstream_invalid",
            format!(
                "The model wrote a tool call, or other output, that Ollama could not read: {text}"
            ),
        ));
    }
    if lower.starts_with(NO_EMBEDDINGS) {
        let message =
            "This model generates text; it has no embeddings. Ask a model for embeddings.";
        return Some(Fault::new(400, "unsupported_value", message).param("model"));
    }
    if let Some(option) = bad_option(text) {
        return client(400, "invalid_type", &format!("options.{option}"));
    }
    let shape = SHAPES.iter().find(|shape| shape.fits(&lower))?;
    client(shape.status, shape.code, shape.param)
}

impl Shape {
    fn fits(&self, lower: &str) -> bool {
        lower
            .strip_prefix(self.start)
            .is_some_and(|rest| rest.ends_with(self.end))
    }
}

/// The option in `option "stop" must be of type array`.
fn bad_option(text: &str) -> Option<&str> {
    let (name, rest) = text.strip_prefix("option \"")?.split_once('"')?;
    rest.starts_with(" must be of ").then_some(name)
}
