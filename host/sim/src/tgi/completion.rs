//! Responses to completions: one document, or events. Pure but for the time, which is an argument.

use std::sync::Arc;

use serde_json::{Value, json};

use super::request::Completion;
use super::written::{END, Finish, Written};
use super::{FINGERPRINT, stream_end};
use crate::answer::{Ending, Generation};
use crate::events::Event;

/// A completion and what the model wrote to each prompt.
#[derive(Debug)]
pub(super) struct Answer {
    model: String,
    created: u64,
    /// Each with the tokens of its prompt.
    written: Vec<(Written, u64)>,
}

impl Answer {
    pub(super) fn new(completion: &Completion, created: u64, generations: Vec<Generation>) -> Self {
        let written = generations.into_iter().map(|generation| {
            let prompt_tokens = generation.prompt_tokens;
            (Written::of(generation, &completion.limits), prompt_tokens)
        });
        Self {
            model: completion.model.clone(),
            created,
            written: written.collect(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.written
            .iter()
            .map(|(written, _)| written.count())
            .sum()
    }

    pub(super) fn prompt_tokens(&self) -> u64 {
        self.written.iter().map(|(_, prompt)| prompt).sum()
    }

    pub(super) fn ending(&self) -> Ending {
        let endings = self.written.iter().map(|(written, _)| written.ending);
        let mut odd = endings.filter(|ending| !matches!(ending, Ending::Done(_)));
        odd.next().unwrap_or(Ending::Done("stop"))
    }

    /// The response in one document, whose text is without the token of the end.
    pub(super) fn document(&self) -> Value {
        let choices: Vec<Value> = self
            .written
            .iter()
            .enumerate()
            .map(|(index, (written, _))| {
                json!({"index": index, "text": written.said(), "logprobs": null,
                    "finish_reason": written.finish.of_openai()})
            })
            .collect();
        json!({"object": "text_completion", "id": "", "created": self.created, "model": self.model,
            "system_fingerprint": FINGERPRINT, "choices": choices,
            "usage": usage(self.prompt_tokens(), self.count() as u64)})
    }

    /// The events of a stream, one prompt after the other. The last one of each has the usage, asked for or not.
    pub(super) fn events(self) -> impl Iterator<Item = Event> + Send + 'static {
        let ending = self.ending();
        let answer = Arc::new(self);
        let count = answer.written.len();
        let texts = (0..count).flat_map(move |index| {
            let answer = Arc::clone(&answer);
            let (written, _) = &answer.written[index];
            let has_end =
                written.finish == Finish::End && matches!(written.ending, Ending::Done(_));
            let tokens = written.tokens.len();
            (0..tokens + usize::from(has_end)).map(move |at| {
                let chunk = answer.chunk(index, at);
                if at > 0 {
                    Event::of_token(&chunk)
                } else {
                    Event::now(&chunk)
                }
            })
        });
        texts.chain(stream_end(ending, None))
    }

    fn chunk(&self, index: usize, at: usize) -> Value {
        let (written, prompt_tokens) = &self.written[index];
        // The end of the model's turn is a text here.
        let text = written.tokens.get(at).map_or(END, String::as_str);
        let last = written.count() - 1;
        let finishes = at == last && matches!(written.ending, Ending::Done(_));
        let reason = if finishes { written.finish.name() } else { "" };
        let mut chunk = json!({"object": "text_completion", "id": "", "created": self.created, "choices": [
            {"index": index, "text": text, "logprobs": null, "finish_reason": reason}],
            "model": self.model, "system_fingerprint": FINGERPRINT});
        if finishes {
            chunk["usage"] = usage(*prompt_tokens, written.count() as u64);
        }
        chunk
    }
}

fn usage(prompt: u64, completion: u64) -> Value {
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}
