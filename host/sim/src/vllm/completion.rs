//! Responses to completions: one document, or events. Pure but for the identity, which is an argument.

use std::sync::Arc;

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::request::Completion;
use super::written::{Parser, Token, Written};
use super::{FINGERPRINT, Identity};
use crate::answer::{Ending, Generation};
use crate::events::Event;
use crate::probability;

/// A completion and what the model wrote to each prompt.
#[derive(Debug)]
pub(super) struct Answer {
    completion: Completion,
    identity: Identity,
    written: Vec<Written>,
    prompt_tokens: u64,
}

impl Answer {
    pub(super) fn new(
        completion: Completion,
        identity: Identity,
        generations: Vec<Generation>,
    ) -> Self {
        let prompts = generations.iter();
        let prompt_tokens = prompts.map(|generation| generation.prompt_tokens).sum();
        let n = completion.sampling.n;
        let limit = completion.sampling.limit;
        let written = generations
            .into_iter()
            .flat_map(|generation| std::iter::repeat_n(generation, n))
            .map(|generation| Written::of(generation, Parser::None, limit))
            .collect();
        Self {
            completion,
            identity,
            written,
            prompt_tokens,
        }
    }

    pub(super) fn tokens(&self) -> usize {
        self.written.iter().map(Written::count).sum()
    }

    /// How the stream of all ends.
    pub(super) fn ending(&self) -> Ending {
        let endings = self.written.iter().map(|written| written.ending);
        let mut odd = endings.filter(|ending| !matches!(ending, Ending::Done(_)));
        odd.next().unwrap_or(Ending::Done("stop"))
    }

    fn usage(&self) -> Value {
        let completion = self.tokens() as u64;
        json!({"prompt_tokens": self.prompt_tokens, "total_tokens": self.prompt_tokens + completion,
            "completion_tokens": completion})
    }

    fn finish_reason(written: &Written) -> &'static str {
        match written.ending {
            Ending::Done(reason) => reason,
            Ending::Abort => "abort",
            Ending::ErrorLine | Ending::Truncate | Ending::Reset | Ending::Stall => "stop",
        }
    }

    /// The prompt of a choice, if it is to be repeated.
    fn prompt(&self, index: usize) -> &str {
        let prompt = &self.completion.prompts[index / self.completion.sampling.n];
        if self.completion.echo { prompt } else { "" }
    }

    /// The response in one document.
    pub(super) fn document(&self) -> Value {
        let choices: Vec<Value> = self
            .written
            .iter()
            .enumerate()
            .map(|(index, written)| {
                let mut text = self.prompt(index).to_owned();
                text.extend(written.tokens.iter().map(Token::text));
                let texts: Vec<&str> = written.tokens.iter().map(Token::text).collect();
                json!({"index": index, "text": text, "logprobs": self.logprobs(&texts, 0),
                    "finish_reason": Self::finish_reason(written), "stop_reason": written.stopped_by,
                    "token_ids": null, "prompt_logprobs": null, "prompt_token_ids": null, "routed_experts": null})
            })
            .collect();
        let mut usage = self.usage();
        usage["prompt_tokens_details"] = Value::Null;
        usage["completion_tokens_details"] = Value::Null;
        json!({"id": self.identity.id, "object": "text_completion", "created": self.identity.created,
            "model": self.identity.model, "choices": choices, "service_tier": null,
            "system_fingerprint": FINGERPRINT, "usage": usage, "kv_transfer_params": null,
            "ec_transfer_params": null, "metrics": null})
    }

    fn logprobs(&self, tokens: &[&str], offset: usize) -> Value {
        let Some(top) = self.completion.logprobs else {
            return Value::Null;
        };
        let mut at = offset;
        let (mut offsets, mut logprobs, mut tops) = (Vec::new(), Vec::new(), Vec::new());
        for token in tokens {
            let (logprob, others) = probability::of(token, top.max(1));
            offsets.push(at);
            at += token.chars().count();
            logprobs.push(logprob);
            let others = others
                .into_iter()
                .map(|(token, logprob)| (token.to_owned(), json!(logprob)));
            tops.push(Value::Object(others.collect()));
        }
        json!({"text_offset": offsets, "token_logprobs": logprobs, "tokens": tokens, "top_logprobs": tops})
    }

    /// The events of a stream: token by token, each of every choice.
    pub(super) fn events(self) -> impl Iterator<Item = Event> + Send + 'static {
        let answer = Arc::new(self);
        let lengths = answer.written.iter().map(|written| written.tokens.len());
        let longest = lengths.max().unwrap_or_default();
        let count = answer.written.len();
        let tokens = {
            let answer = Arc::clone(&answer);
            (0..longest).flat_map(move |at| {
                let answer = Arc::clone(&answer);
                (0..count).filter_map(move |index| {
                    let chunk = answer.token(index, at)?;
                    Some(if index == 0 && at > 0 {
                        Event::of_token(&chunk)
                    } else {
                        Event::now(&chunk)
                    })
                })
            })
        };
        tokens.chain(answer.end())
    }

    fn end(&self) -> Vec<Event> {
        let mut events = Vec::new();
        match self.ending() {
            Ending::Done(_) | Ending::Abort => {}
            Ending::ErrorLine => {
                return vec![Event::now(&Refusal::engine().body), Event::done()];
            }
            Ending::Truncate | Ending::Reset | Ending::Stall => return events,
        }
        for (index, written) in self.written.iter().enumerate() {
            if written.has_end() || written.tokens.is_empty() {
                let choice = self.choice(index, "", Some(written));
                events.push(Event::now(&self.chunk(&[choice], true)));
            }
        }
        if self.completion.sampling.include_usage {
            let mut chunk = self.chunk(&[], true);
            chunk["usage"] = self.usage();
            events.push(Event::now(&chunk));
        }
        events.push(Event::done());
        events
    }

    fn token(&self, index: usize, at: usize) -> Option<Value> {
        let written = &self.written[index];
        let token = written.tokens.get(at)?.text();
        let is_last = at + 1 == written.tokens.len();
        let is_end = matches!(written.ending, Ending::Done(_) | Ending::Abort);
        let finishes = is_last && is_end && !written.has_end();
        let prompt = if at == 0 { self.prompt(index) } else { "" };
        let text = format!("{prompt}{token}");
        let choice = self.choice(index, &text, finishes.then_some(written));
        Some(self.chunk(&[choice], finishes))
    }

    fn choice(&self, index: usize, text: &str, finished: Option<&Written>) -> Value {
        let tokens: &[&str] = if text.is_empty() { &[] } else { &[text] };
        let stop_reason = finished.and_then(|written| written.stopped_by.as_deref());
        json!({"index": index, "text": text, "logprobs": self.logprobs(tokens, 0),
            "finish_reason": finished.map(Self::finish_reason), "stop_reason": stop_reason,
            "prompt_token_ids": null, "token_ids": null})
    }

    fn chunk(&self, choices: &[Value], is_last: bool) -> Value {
        let mut chunk = json!({"id": self.identity.id, "object": "text_completion",
            "created": self.identity.created, "model": self.identity.model, "choices": choices});
        let has_usage = self.completion.sampling.include_usage;
        if is_last && (!has_usage || chunk["choices"] == json!([])) {
            chunk["system_fingerprint"] = json!(FINGERPRINT);
        }
        chunk
    }
}
