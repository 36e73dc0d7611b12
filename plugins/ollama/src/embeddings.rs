//! Embeddings, for which Ollama's own path of OpenAI's API is asked: the vectors never enter the sandbox.
//!
//! Only requests that Ollama would misread are looked for. It responds to an empty text with a success without vectors, which
//! a client takes for its first vector.

use serde_json::value::RawValue;
use sluicegate_openai_api::request::{Body, elements, unsupported, wrong_type};
use sluicegate_plugin::json::{self, Kind};
use sluicegate_plugin::{Context, Fault};

/// Checks a request. What is returned is the model's name as the client wrote it, if the response will have another one.
///
/// # Errors
/// 400, which names the parameter.
pub fn check(ctx: &Context<'_>, body: &[u8]) -> Result<Option<String>, Fault> {
    let body = Body::read(body)?;
    let missing = |param: &str| {
        Fault::bad_request(format!("Missing required parameter: `{param}`."))
            .code("missing_required_parameter")
            .param(param)
    };
    let model = body.get("model").ok_or_else(|| missing("model"))?;
    let model = json::text(model).ok_or_else(|| wrong_type("model", "a string", model))?;
    input(body.get("input").ok_or_else(|| missing("input"))?)?;
    let asked: Option<String> = ctx.note("model");
    let asked = asked.filter(|asked| *asked != *model);
    Ok(asked.and_then(|_| ctx.note_json("model")))
}

fn input(raw: &RawValue) -> Result<(), Fault> {
    match Kind::of(raw) {
        Kind::Array => {
            let list = elements("input", raw)?;
            if list.is_empty() {
                return Err(empty("input"));
            }
            for (at, raw) in list.into_iter().enumerate() {
                text(&format!("input[{at}]"), raw)?;
            }
            Ok(())
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Object => text("input", raw),
    }
}

fn text(param: &str, raw: &RawValue) -> Result<(), Fault> {
    match (Kind::of(raw), raw.get()) {
        (Kind::String, "\"\"") => Err(empty(param)),
        (Kind::String, _) => Ok(()),
        (Kind::Number | Kind::Array, _) => Err(unsupported(
            param,
            "Ollama makes embeddings of texts, not of lists of tokens; `input` must be a text or an array of texts. (LangChain's \
             `OpenAIEmbeddings` sends texts with `check_embedding_ctx_length=False`.)",
        )),
        (Kind::Null | Kind::Bool | Kind::Object, _) => {
            Err(wrong_type(param, "a string or an array of strings", raw))
        }
    }
}

fn empty(param: &str) -> Fault {
    Fault::bad_request(format!(
        "`{param}` must not be empty; there is no embedding of nothing."
    ))
    .code("invalid_value")
    .param(param)
}
