//! What one event of a canonical stream says, or a whole completion: of a chat, or of a completion of a prompt.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::chat::{Call, Completion, Failure, Usage};
use sluicegate_plugin::json::Text;

use super::nonsense;

/// What was said.
#[derive(Debug, Default)]
pub struct Said<'a> {
    /// The text.
    pub content: Option<Cow<'a, str>>,
    /// What the model thinks.
    pub thinking: Option<String>,
    /// Calls of tools, or parts of them.
    pub calls: Vec<Call<'a>>,
    /// Why it ended.
    pub finish: Option<Cow<'a, str>>,
    /// The probabilities of the tokens.
    pub logprobs: Option<&'a RawValue>,
    /// The tokens.
    pub usage: Option<Usage>,
}

/// A completion of a prompt, or a chunk of one.
#[derive(Deserialize)]
struct TextCompletion<'a> {
    #[serde(borrow)]
    choices: Vec<TextChoice<'a>>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct TextChoice<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
}

impl<'a> Said<'a> {
    /// Reads a chunk of a chat, or a whole one. Of several choices the first is taken: none is asked for.
    ///
    /// # Errors
    /// The error that it is; 502 `upstream_invalid` if it is something else.
    pub fn of_chat(data: &'a str) -> Result<Self, Fault> {
        let Some(completion) = Completion::read(data) else {
            return Err(failure(data));
        };
        let usage = completion.usage;
        let Some(choice) = completion.choices.into_iter().next() else {
            return Ok(Self::of_usage(usage));
        };
        let message = choice.message;
        let thinking = message.reasoning().filter(|text| !text.is_empty());
        let thinking = thinking.map(str::to_owned);
        // A refusal is the assistant's text under another name.
        let content = filled(message.content).or_else(|| filled(message.refusal));
        Ok(Self {
            content,
            thinking,
            calls: message.tool_calls,
            finish: filled(choice.finish_reason),
            logprobs: choice.logprobs,
            usage,
        })
    }

    /// Reads a chunk of a completion of a prompt, or a whole one.
    ///
    /// # Errors
    /// As [`Said::of_chat`].
    pub fn of_completion(data: &'a str) -> Result<Self, Fault> {
        let Ok(completion) = serde_json::from_str::<TextCompletion<'_>>(data) else {
            return Err(failure(data));
        };
        let usage = completion.usage;
        let Some(choice) = completion.choices.into_iter().next() else {
            return Ok(Self::of_usage(usage));
        };
        Ok(Self {
            content: filled(choice.text),
            finish: filled(choice.finish_reason),
            logprobs: choice.logprobs,
            usage,
            ..Self::default()
        })
    }

    fn of_usage(usage: Option<Usage>) -> Self {
        Self {
            usage,
            ..Self::default()
        }
    }
}

/// A text that is not empty.
fn filled(text: Option<Text<'_>>) -> Option<Cow<'_, str>> {
    text.map(|Text(text)| text).filter(|text| !text.is_empty())
}

/// An error inside of a response with a good status, or nonsense.
fn failure(data: &str) -> Fault {
    match Failure::read(data) {
        Some(failure) => {
            let code = match &*failure.code {
                "" => "upstream_error",
                code => code,
            };
            Fault::upstream(code, failure.message)
        }
        None => nonsense(),
    }
}
