//! What one chunk of an OpenAI chat stream says, if it is exactly as the reference has it.
//!
//! # Source
//! OpenAI API reference, "The chat completion chunk object"; `reasoning` as Ollama and vLLM name it, `reasoning_content` as older
//! vLLM and DeepSeek do.

use std::borrow::Cow;

use serde::Deserialize;

use crate::wire::message::Usage;

/// What a chunk says.
#[derive(Default)]
pub(super) struct Content<'a> {
    pub(super) choices: Vec<Choice<'a>>,
    pub(super) usage: Option<Usage>,
    /// The JSON of an error.
    pub(super) error: Option<Cow<'a, str>>,
}

/// One of the choices; requests ask for one.
#[derive(Default)]
pub(super) struct Choice<'a> {
    pub(super) text: Vec<Cow<'a, str>>,
    pub(super) reasoning: Option<Cow<'a, str>>,
    pub(super) finish_reason: Option<Cow<'a, str>>,
}

/// A chunk exactly as the reference has it; `loose` reads similar ones.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Vec<Exact<'a>>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(borrow, default)]
    error: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Exact<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow, default)]
    delta: Option<Words<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
    /// Instead of `delta`, from a server that does not stream.
    #[serde(default)]
    message: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Words<'a> {
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    refusal: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// What a chunk says; `None` if it is not exactly as the reference has it.
pub(super) fn read(data: &str) -> Option<Content<'_>> {
    let chunk: Chunk<'_> = serde_json::from_str(data).ok()?;
    let mut content = Content {
        choices: Vec::new(),
        usage: chunk.usage.map(|counts| Usage {
            input: counts.prompt_tokens,
            output: counts.completion_tokens,
        }),
        error: chunk.error.map(|error| Cow::Borrowed(error.get())),
    };
    for choice in chunk.choices.into_iter().filter(|choice| choice.index == 0) {
        if choice.message.is_some() {
            return None;
        }
        let mut read = Choice {
            finish_reason: choice.finish_reason,
            ..Choice::default()
        };
        if let Some(words) = choice.delta {
            // Some servers send both names, with the same text or one of them empty.
            read.reasoning = [words.reasoning, words.reasoning_content]
                .into_iter()
                .flatten()
                .find(|text| !text.is_empty());
            read.text = [words.content, words.refusal]
                .into_iter()
                .flatten()
                .collect();
        }
        content.choices.push(read);
    }
    Some(content)
}
