//! What a completion has and a chat does not: a prompt, and how its text is written.
//!
//! Ollama is asked with `raw`, so that the model's template adds nothing to the prompt. Only a `suffix` needs the template: it
//! says how the model is asked for what comes in between.

use serde_json::value::RawValue;
use sluicegate_openai_api::request::dropped::Dropped;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::Kind;

use super::check::{self, Path, boolean, integer, unsupported};
use super::value::TOP_LOGPROBS;

/// Parameters of a chat that mean nothing beside a prompt. What the model thinks is a matter of the prompt, too.
const OF_CHATS: [&str; 15] = [
    "chat_template_kwargs",
    "enable_thinking",
    "function_call",
    "functions",
    "include_reasoning",
    "modalities",
    "parallel_tool_calls",
    "reasoning",
    "reasoning_effort",
    "think",
    "thinking",
    "tool_choice",
    "tools",
    "top_logprobs",
    "verbosity",
];

/// The parameters of a completion.
#[derive(Debug, Default)]
pub(super) struct Prompt<'a> {
    /// A JSON string that is not empty.
    text: Option<&'a RawValue>,
    suffix: Option<&'a RawValue>,
    echo: bool,
    /// The number of likely tokens for each token.
    pub(super) logprobs: Option<&'a str>,
}

impl<'a> Prompt<'a> {
    /// Takes a parameter that a completion reads otherwise than a chat; `false` if it is not one of these. Those that mean
    /// nothing are added to `ignored`.
    ///
    /// # Errors
    /// 400 for a wrong type, or for something that Ollama cannot do.
    pub(super) fn take(
        &mut self,
        name: &str,
        raw: &'a RawValue,
        ignored: &mut Vec<String>,
        dropped: &mut Dropped,
    ) -> Result<bool, Fault> {
        let at = Path::of(name);
        match name {
            "prompt" => self.text = Some(text(at, raw)?),
            "suffix" => {
                check::kind(at, raw, Kind::String)?;
                self.suffix = (raw.get() != "\"\"").then_some(raw);
            }
            "echo" => self.echo = boolean(at, raw)?,
            "logprobs" => self.logprobs = Some(integer(at, raw, 0..=TOP_LOGPROBS)?),
            "best_of" => {
                if integer(at, raw, 1..=20)? != "1" {
                    dropped.unsupported(
                        "best_of",
                        "Ollama writes one text for each request; `best_of` must be 1.",
                    )?;
                }
            }
            _ if OF_CHATS.contains(&name) => ignored.push(name.to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Checks parameters that depend on each other.
    ///
    /// # Errors
    /// 400 for what Ollama cannot do together, if it is not dropped.
    pub(super) fn agree(&mut self, dropped: &mut Dropped) -> Result<(), Fault> {
        if self.echo && self.logprobs.is_some() {
            dropped.unsupported(
                "logprobs",
                "Ollama has no log probabilities of a prompt; `logprobs` must be absent where `echo` is true.",
            )?;
            self.logprobs = None;
        }
        Ok(())
    }

    /// Whether there is a prompt.
    pub(super) fn is_given(&self) -> bool {
        self.text.is_some()
    }

    /// The prompt as a JSON string, if it is to come before the text.
    pub(super) fn echoed(&self) -> Option<String> {
        let text = self.text.filter(|_| self.echo)?;
        Some(text.get().to_owned())
    }

    /// Appends the prompt's members, a comma before each.
    pub(super) fn write(&self, out: &mut String) {
        let mut member = |name: &str, json: &str| {
            out.push_str(name);
            out.push_str(json);
        };
        member(",\"prompt\":", self.text.map_or("\"\"", RawValue::get));
        match self.suffix {
            Some(suffix) => member(",\"suffix\":", suffix.get()),
            None => member(",\"raw\":", "true"),
        }
    }
}

/// The one text of a prompt.
fn text<'a>(at: Path<'_>, raw: &'a RawValue) -> Result<&'a RawValue, Fault> {
    let text = match Kind::of(raw) {
        Kind::Array => {
            let list = check::array(at, raw)?;
            let is_tokens = |raw: &&RawValue| matches!(Kind::of(raw), Kind::Number | Kind::Array);
            if list.iter().any(is_tokens) {
                return Err(unsupported(
                    at,
                    "Ollama takes a prompt as a text, not as a list of tokens.",
                ));
            }
            match list[..] {
                [one] => one,
                [] => return Err(check::invalid(at, "a text, not empty")),
                [..] => {
                    return Err(unsupported(
                        at,
                        "Ollama writes one text for each request; `prompt` must be a single text. Send several requests instead.",
                    ));
                }
            }
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Object => raw,
    };
    match (Kind::of(text), text.get()) {
        // Ollama would only load the model.
        (Kind::String, "\"\"") => Err(check::invalid(at, "a text, not empty")),
        (Kind::String, _) => Ok(text),
        (Kind::Null | Kind::Bool | Kind::Number | Kind::Array | Kind::Object, _) => {
            Err(check::wrong_type(at, "a string", text))
        }
    }
}
