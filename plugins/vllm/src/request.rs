//! Requests that vLLM refuses or misreads though OpenAI takes them: mended, or refused with a clear word.

use sluicegate_openai_api::request::history::{Arguments, with_arguments};
use sluicegate_openai_api::request::{Body, media, stop, tools};
use sluicegate_plugin::Fault;

/// Parameters that a client may set only if the operator allows it.
pub const GUARDED: [&str; 11] = [
    // Replaces the prompt's template, which is a program.
    "chat_template",
    // Goes before everybody else.
    "priority",
    // Takes another request's name.
    "request_id",
    // Shares, or avoids sharing, the cache of prompts.
    "cache_salt",
    // Where vLLM gets and sends its caches.
    "kv_transfer_params",
    "ec_transfer_params",
    // Names code to run.
    "logits_processors",
    "vllm_xargs",
    // How media are fetched and decoded.
    "media_io_kwargs",
    "mm_processor_kwargs",
    // Serialized tensors.
    "prompt_embeds",
];

/// The least temperature at which vLLM still samples: below it, it takes the likeliest token and refuses several choices.
///
/// # Source
/// vLLM source, `vllm/sampling_params.py` (`_MAX_TEMP`).
const LEAST_TEMPERATURE: &str = "0.01";

/// Mends a chat.
///
/// # Errors
/// 400 for what vLLM would silently ignore, and for too many stop sequences.
pub fn mend_chat(body: &mut Body<'_>) -> Result<(), Fault> {
    refuse_ignored(body)?;
    tools::of_functions(body)?;
    tools::without_idle(body);
    // vLLM reads the arguments of every earlier call, and refuses the request if they are no JSON.
    let mended = body
        .get("messages")
        .and_then(|raw| with_arguments(raw, Arguments::Text));
    if let Some(messages) = mended {
        body.set("messages", messages);
    }
    mend_sampling(body)
}

/// Mends what chats and completions have in common.
///
/// # Errors
/// 400 for too many stop sequences.
pub fn mend_sampling(body: &mut Body<'_>) -> Result<(), Fault> {
    stop::mend(body, stop::MOST)?;
    let is_several = number(body, "n").is_some_and(|n| n > 1.0);
    if is_several && number(body, "temperature") == Some(0.0) {
        body.set("temperature", LEAST_TEMPERATURE);
    }
    Ok(())
}

/// What vLLM ignores though it would change the response.
fn refuse_ignored(body: &mut Body<'_>) -> Result<(), Fault> {
    media::without_sound(body)?;
    if body.has("web_search_options") {
        let message = "The model server has nothing like `web_search_options`.";
        body.unsupported("web_search_options", message)?;
    }
    Ok(())
}

fn number(body: &Body<'_>, name: &str) -> Option<f64> {
    body.get(name)?.get().parse().ok()
}
