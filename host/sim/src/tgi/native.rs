//! Responses of TGI's own API: one document, or events without an end mark. Pure.

use std::sync::Arc;

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::request::Generate;
use super::written::{END, Finish, Written};
use crate::answer::{Ending, Generation};
use crate::events::Event;
use crate::probability;

/// A request and what the model wrote.
#[derive(Debug)]
pub(super) struct Answer {
    request: Generate,
    written: Written,
    pub(super) prompt_tokens: u64,
}

impl Answer {
    pub(super) fn new(request: Generate, generation: Generation) -> Self {
        let prompt_tokens = generation.prompt_tokens;
        let written = Written::of(generation, &request.limits);
        Self {
            request,
            written,
            prompt_tokens,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.written.count()
    }

    pub(super) fn ending(&self) -> Ending {
        self.written.ending
    }

    /// The text, behind the prompt if that was asked for.
    fn text(&self) -> String {
        let prompt = if self.request.return_full_text == Some(true) {
            &self.request.inputs
        } else {
            ""
        };
        format!("{prompt}{}", self.written.said())
    }

    fn token(token: &str, logprob: f64) -> Value {
        // Arbitrary, but the same for the same token.
        let id = token
            .bytes()
            .fold(2_u32, |id, byte| (id * 31 + u32::from(byte)) % 30_000);
        json!({"id": id, "text": token, "logprob": logprob, "special": token == END})
    }

    fn with_top(&self, token: &str) -> (Value, Vec<Value>) {
        let (logprob, others) = probability::of(token, self.request.top_tokens.unwrap_or_default());
        let others = others
            .iter()
            .map(|(token, logprob)| Self::token(token, *logprob));
        (Self::token(token, logprob), others.collect())
    }

    /// The response in one document.
    pub(super) fn document(&self) -> Value {
        let mut document = json!({"generated_text": self.text()});
        if self.request.details {
            let end = (self.written.finish == Finish::End).then_some(END);
            let tokens = self.written.tokens.iter().map(String::as_str).chain(end);
            let (tokens, tops): (Vec<Value>, Vec<Vec<Value>>) =
                tokens.map(|token| self.with_top(token)).unzip();
            document["details"] = json!({"finish_reason": self.written.finish.name(),
                "generated_tokens": self.written.count(), "seed": null, "prefill": [], "tokens": tokens});
            if self.request.top_tokens.is_some() {
                document["details"]["top_tokens"] = json!(tops);
            }
        }
        document
    }

    /// The events of a stream.
    pub(super) fn events(self) -> impl Iterator<Item = Event> + Send + 'static {
        let answer = Arc::new(self);
        let is_done = matches!(answer.written.ending, Ending::Done(_));
        let has_end = answer.written.finish == Finish::End && is_done;
        let count = answer.written.tokens.len() + usize::from(has_end);
        let failure = match answer.written.ending {
            Ending::ErrorLine => Some(Refusal::shard()),
            Ending::Abort => Some(Refusal::dead_shard()),
            Ending::Done(_) | Ending::Truncate | Ending::Reset | Ending::Stall => None,
        };
        let failure = failure.and_then(|refusal| match refusal {
            Refusal::Router { text, kind, .. } => Some(Event::now(&Refusal::document(&text, kind))),
            Refusal::Body { .. } => None,
        });
        let tokens = (0..count).map(move |at| {
            let is_last = is_done && at + 1 == count;
            let event = answer.event(at, is_last);
            if at > 0 {
                Event::of_token(&event)
            } else {
                Event::now(&event)
            }
        });
        tokens.chain(failure)
    }

    fn event(&self, at: usize, is_last: bool) -> Value {
        let token = self.written.tokens.get(at).map_or(END, String::as_str);
        let (shown, top) = self.with_top(token);
        let details = (is_last && self.request.details).then(|| {
            json!({"finish_reason": self.written.finish.name(), "generated_tokens": self.written.count(),
                "seed": null, "input_length": self.prompt_tokens})
        });
        let mut event = json!({"index": at + 1, "token": shown, "generated_text": is_last.then(|| self.text()),
            "details": details});
        if self.request.top_tokens.is_some() {
            event["top_tokens"] = json!(top);
        }
        event
    }
}
