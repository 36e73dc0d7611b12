//! Finish reasons: the vendors' words as OpenAI's.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sluicegate_plugin::{Fault, json};

use crate::failure;

/// OpenAI's word for a vendor's; `None` if the choice is not finished.
///
/// # Errors
/// For words that mean a failure.
///
/// # Source
/// OpenAI API reference (document 2.3.0); vLLM source, `vllm/v1/engine/__init__.py` (`FinishReason`); TGI source,
/// `router/src/lib.rs`; Mistral and DeepSeek API references, "Create chat completion".
pub(super) fn reason(raw: &RawValue) -> Result<Option<&'static str>, Fault> {
    Ok(Some(
        match json::text(raw).unwrap_or(Cow::Borrowed("stop")).as_ref() {
            "" => return Ok(None),
            "length" | "max_tokens" | "model_length" => "length",
            "tool_calls" | "tool_call" => "tool_calls",
            "function_call" => "function_call",
            "content_filter" => "content_filter",
            // The server shut down, or was told by somebody else to stop.
            "abort" | "insufficient_system_resource" => return Err(failure::gave_up()),
            "error" => return Err(failure::unexplained()),
            // `stop`, `eos_token`, `stop_sequence`, `repetition` and what else there is.
            _ => "stop",
        },
    ))
}
