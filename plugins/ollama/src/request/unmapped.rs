//! OpenAI's parameters without a counterpart in Ollama.
//!
//! Those that only inform the service, or that ask for what happens anyway, are accepted. Those that would change the
//! response are refused or, if the operator wants it so, left out and named in the response: they are never ignored silently.

use serde_json::value::RawValue;
use sluicegate_openai_api::request::dropped::Dropped;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{Kind, Members};

use super::check::{self, Path, integer, kind, unsupported};

/// Checks such a parameter; `false` if the name is unknown.
///
/// # Errors
/// 400 for a wrong type, or a value that would change the response and is not dropped.
pub(super) fn accept(name: &str, raw: &RawValue, dropped: &mut Dropped) -> Result<bool, Fault> {
    let at = Path::of(name);
    match name {
        "user"
        | "safety_identifier"
        | "service_tier"
        | "prompt_cache_key"
        | "prompt_cache_retention" => kind(at, raw, Kind::String)?,
        "metadata" | "prompt_cache_options" | "prediction" => kind(at, raw, Kind::Object)?,
        "store" => kind(at, raw, Kind::Bool)?,
        "n" => {
            if integer(at, raw, 1..=128)? != "1" {
                dropped.unsupported(
                    "n",
                    "Ollama sends one response per request; `n` must be 1. Send several requests instead.",
                )?;
            }
        }
        "logit_bias" => {
            kind(at, raw, Kind::Object)?;
            let Members(biases) = check::object(at, raw)?;
            if !biases.is_empty() {
                dropped.unsupported(
                    "logit_bias",
                    "Ollama has no `logit_bias`; it must be empty.",
                )?;
            }
        }
        "modalities" => {
            for modality in check::array(at, raw)? {
                if modality.get() != "\"text\"" {
                    return Err(unsupported(
                        at,
                        "Ollama responds with text only; `modalities` must be [\"text\"].",
                    ));
                }
            }
        }
        "verbosity" => {
            if check::text(at, raw)? != "medium" {
                dropped.unsupported(
                    "verbosity",
                    "Ollama has no `verbosity`; it must be `medium`.",
                )?;
            }
        }
        "web_search_options" => dropped.unsupported(
            "web_search_options",
            "Ollama has nothing like `web_search_options`.",
        )?,
        // Without these the response would lack a part for which the client waits.
        "audio" | "moderation" => {
            return Err(unsupported(
                at,
                &format!("Ollama has nothing like `{name}`."),
            ));
        }
        "functions" => {
            if !check::array(at, raw)?.is_empty() {
                return Err(unsupported(
                    at,
                    "`functions` is deprecated; use `tools` instead.",
                ));
            }
        }
        "function_call" => {
            if !matches!(raw.get(), "\"none\"" | "\"auto\"") {
                return Err(unsupported(
                    at,
                    "Ollama cannot force a call; use `tools` with `tool_choice` `auto`.",
                ));
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}
