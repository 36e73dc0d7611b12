//! OpenAI's parameters without a counterpart in Ollama.
//!
//! Those that only inform the service, or that ask for what happens anyway, are accepted. Those that would change the
//! response are refused: an error is better than a response that silently ignores them.

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{Kind, Members};

use super::check::{self, Path, integer, kind, unsupported};

/// Checks such a parameter; `false` if the name is unknown.
///
/// # Errors
/// 400 for a wrong type, or a value that would change the response.
pub(super) fn accept(name: &str, raw: &RawValue) -> Result<bool, Fault> {
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
                return Err(unsupported(
                    at,
                    "Ollama sends one response per request; `n` must be 1. Send several requests instead.",
                ));
            }
        }
        "logit_bias" => {
            kind(at, raw, Kind::Object)?;
            let Members(biases) = check::object(at, raw)?;
            if !biases.is_empty() {
                return Err(unsupported(
                    at,
                    "Ollama has no `logit_bias`; it must be empty.",
                ));
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
                return Err(unsupported(
                    at,
                    "Ollama has no `verbosity`; it must be `medium`.",
                ));
            }
        }
        "audio" | "web_search_options" | "moderation" => {
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
