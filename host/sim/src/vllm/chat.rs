//! Responses to chats: one document, or events. Pure but for the identity, which is an argument.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::refusal::Refusal;
use super::request::{Chat, ToolChoice};
use super::written::{END, Parser, Token, Written, call_id, raw};
use super::{FINGERPRINT, Identity};
use crate::answer::{Ending, Generation};
use crate::events::Event;
use crate::probability;

/// A chat and what the model wrote.
#[derive(Debug)]
pub(super) struct Answer {
    chat: Chat,
    identity: Identity,
    written: Written,
    prompt_tokens: u64,
}

impl Answer {
    pub(super) fn new(chat: Chat, identity: Identity, generation: Generation) -> Self {
        let parser = match &chat.choice {
            ToolChoice::Auto => Parser::Auto,
            ToolChoice::None => Parser::None,
            ToolChoice::Required | ToolChoice::Named(_) => Parser::Forced,
        };
        let prompt_tokens = generation.prompt_tokens;
        let written = Written::of(generation, parser, chat.sampling.limit);
        Self {
            chat,
            identity,
            written,
            prompt_tokens,
        }
    }

    pub(super) fn tokens(&self) -> usize {
        self.written.count()
    }

    pub(super) fn ending(&self) -> Ending {
        self.written.ending
    }

    /// Why the answer ended. A named tool, alone of all, is no `tool_calls`.
    fn finish_reason(&self, has_calls: bool) -> &'static str {
        match self.written.ending {
            Ending::Done("length") => "length",
            Ending::Abort => "abort",
            Ending::Done(_)
            | Ending::ErrorLine
            | Ending::Truncate
            | Ending::Reset
            | Ending::Stall => match self.chat.choice {
                ToolChoice::Auto | ToolChoice::Required if has_calls => "tool_calls",
                ToolChoice::Auto
                | ToolChoice::Required
                | ToolChoice::None
                | ToolChoice::Named(_) => "stop",
            },
        }
    }

    fn usage(&self, completion: usize) -> Value {
        let completion = completion as u64;
        json!({"prompt_tokens": self.prompt_tokens, "total_tokens": self.prompt_tokens + completion,
            "completion_tokens": completion,
            "completion_tokens_details": {"reasoning_tokens": self.written.reasoning_tokens()}})
    }

    /// The response in one document.
    pub(super) fn document(&self) -> Value {
        let n = self.chat.sampling.n;
        let choices: Vec<Value> = (0..n).map(|index| self.choice(index)).collect();
        let mut usage = self.usage(n * self.written.count());
        usage["prompt_tokens_details"] = Value::Null;
        json!({"id": self.identity.id, "object": "chat.completion", "created": self.identity.created,
            "model": self.identity.model, "choices": choices, "service_tier": null, "system_fingerprint": FINGERPRINT,
            "usage": usage, "prompt_logprobs": null, "prompt_token_ids": null, "prompt_text": null,
            "kv_transfer_params": null, "ec_transfer_params": null, "metrics": null})
    }

    fn choice(&self, index: usize) -> Value {
        let (mut content, mut reasoning) = (String::new(), String::new());
        let mut calls: Vec<(u64, &str, String)> = Vec::new();
        for token in &self.written.tokens {
            match token {
                Token::Mark(_) => {}
                Token::Reasoning(text) => reasoning.push_str(text),
                Token::Content(text) => content.push_str(text),
                Token::Name { id, name, .. } => calls.push((*id, name, String::new())),
                Token::Arguments { text, .. } => {
                    if let Some((.., arguments)) = calls.last_mut() {
                        arguments.push_str(text);
                    }
                }
            }
        }
        if self.written.is_broken {
            // No parser understands it: it is text, and so are the calls before it.
            let complete = calls.len().saturating_sub(1);
            for (at, (.., name, arguments)) in calls.drain(..).enumerate() {
                content.push_str(&raw(name, &arguments));
                if at < complete {
                    content.push_str("}\n</tool_call>\n");
                }
            }
        }
        let is_forced = matches!(
            self.chat.choice,
            ToolChoice::Required | ToolChoice::Named(_)
        );
        let content = if calls.is_empty() {
            (!content.is_empty() || reasoning.is_empty()).then_some(content)
        } else {
            is_forced.then(String::new)
        };
        let reasoning =
            Some(reasoning).filter(|text| !text.is_empty() && self.chat.shows_reasoning);
        let mut message = json!({"role": "assistant", "content": content, "refusal": null, "annotations": null,
            "audio": null, "function_call": null, "reasoning": reasoning});
        let has_calls = !calls.is_empty();
        if has_calls {
            let calls: Vec<Value> = calls
                .iter()
                .map(|(id, name, arguments)| {
                    json!({"id": call_id(*id), "type": "function",
                        "function": {"name": name, "arguments": arguments}})
                })
                .collect();
            message["tool_calls"] = json!(calls);
        }
        let logprobs = self.chat.logprobs.map(|_| {
            let end = self.written.has_end().then_some(END);
            let texts = self.written.tokens.iter().map(Token::text).chain(end);
            json!({"content": texts.map(|text| self.logprob(text)).collect::<Vec<Value>>()})
        });
        json!({"index": index, "message": message, "logprobs": logprobs,
            "finish_reason": self.finish_reason(has_calls), "stop_reason": self.written.stopped_by,
            "token_ids": null, "routed_experts": null})
    }

    fn logprob(&self, token: &str) -> Value {
        let (logprob, others) = probability::of(token, self.chat.logprobs.unwrap_or_default());
        let entry = |token: &str, logprob: f64| json!({"token": token, "logprob": logprob, "bytes": token.as_bytes()});
        let mut shown = entry(token, logprob);
        let others = others.iter().map(|(token, logprob)| entry(token, *logprob));
        shown["top_logprobs"] = json!(others.collect::<Vec<Value>>());
        shown
    }

    /// The events of a stream.
    pub(super) fn events(self) -> impl Iterator<Item = Event> + Send + 'static {
        let answer = Arc::new(self);
        let n = answer.chat.sampling.n;
        let count = answer.written.tokens.len();
        let roles = {
            let answer = Arc::clone(&answer);
            (0..n).map(move |index| Event::now(&answer.role(index)))
        };
        let tokens = {
            let answer = Arc::clone(&answer);
            (0..count).flat_map(move |at| {
                let answer = Arc::clone(&answer);
                (0..n).filter_map(move |index| {
                    let event = answer.token(index, at)?;
                    Some(if index == 0 && at > 0 {
                        Event::of_token(&event)
                    } else {
                        Event::now(&event)
                    })
                })
            })
        };
        roles.chain(tokens).chain(answer.end())
    }

    /// The events behind the last token.
    fn end(&self) -> Vec<Event> {
        let mut events = Vec::new();
        match self.written.ending {
            Ending::Done(_) | Ending::Abort => {}
            Ending::ErrorLine => {
                // In a stream it is followed by the mark of a good end.
                return vec![Event::now(&Refusal::engine().body), Event::done()];
            }
            Ending::Truncate | Ending::Reset | Ending::Stall => return events,
        }
        if !self.ends_with_token() {
            for index in 0..self.chat.sampling.n {
                let choice =
                    self.streamed(index, &json!({}), self.written.has_end().then_some(END));
                let chunk = self.with_usage(self.finished(choice), self.written.count());
                events.push(Event::now(&chunk));
            }
        }
        if self.chat.sampling.include_usage {
            let mut chunk = self.chunk(&[]);
            let tokens = self.chat.sampling.n * self.written.count();
            chunk["usage"] = self.usage(tokens);
            chunk["system_fingerprint"] = json!(FINGERPRINT);
            events.push(Event::now(&chunk));
        }
        events.push(Event::done());
        events
    }

    /// Whether the last token and the finish reason share a chunk: where no other token ended the answer.
    fn ends_with_token(&self) -> bool {
        !self.written.tokens.is_empty() && !self.written.has_end()
    }

    fn role(&self, index: usize) -> Value {
        let choice = json!({"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": null,
            "finish_reason": null});
        let mut chunk = self.chunk(&[choice]);
        chunk["prompt_token_ids"] = Value::Null;
        chunk["prompt_text"] = Value::Null;
        self.with_usage(chunk, 0)
    }

    /// The chunk of a token; none if nobody is to see it.
    fn token(&self, index: usize, at: usize) -> Option<Value> {
        let token = &self.written.tokens[at];
        let delta = match token {
            Token::Mark(_) => json!({}),
            Token::Reasoning(_) if !self.chat.shows_reasoning => json!({}),
            Token::Reasoning(text) => json!({"reasoning": text}),
            Token::Content(text) if self.chat.shows_reasoning => json!({"content": text}),
            Token::Content(text) => json!({"content": text, "reasoning": null}),
            Token::Name { index, id, name } => json!({"content": null, "tool_calls": [
                {"id": call_id(*id), "type": "function", "index": index, "function": {"name": name}}]}),
            Token::Arguments { index, text } => json!({"content": null, "tool_calls": [
                {"index": index, "function": {"arguments": text}}]}),
        };
        let is_last = at + 1 == self.written.tokens.len();
        let is_end = matches!(self.written.ending, Ending::Done(_) | Ending::Abort);
        let finishes = is_last && is_end && self.ends_with_token();
        let is_empty = delta.as_object().is_some_and(Map::is_empty);
        if is_empty && self.chat.logprobs.is_none() && !finishes {
            return None;
        }
        let choice = self.streamed(index, &delta, Some(token.text()));
        let chunk = if finishes {
            self.finished(choice)
        } else {
            self.chunk(&[choice])
        };
        Some(self.with_usage(chunk, at + 1))
    }

    fn streamed(&self, index: usize, delta: &Value, token: Option<&str>) -> Value {
        let logprobs = token
            .filter(|_| self.chat.logprobs.is_some())
            .map(|token| json!({"content": [self.logprob(token)]}));
        json!({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": null, "token_ids": null})
    }

    /// A chunk with the finish reason.
    fn finished(&self, mut choice: Value) -> Value {
        choice["finish_reason"] = json!(self.finish_reason(self.written.has_calls()));
        choice["stop_reason"] = json!(self.written.stopped_by);
        let mut chunk = self.chunk(&[choice]);
        if !self.chat.sampling.include_usage {
            chunk["system_fingerprint"] = json!(FINGERPRINT);
        }
        chunk
    }

    fn with_usage(&self, mut chunk: Value, tokens: usize) -> Value {
        if self.chat.sampling.continuous_usage {
            chunk["usage"] = self.usage(tokens);
        }
        chunk
    }

    fn chunk(&self, choices: &[Value]) -> Value {
        json!({"id": self.identity.id, "object": "chat.completion.chunk", "created": self.identity.created,
            "model": self.identity.model, "choices": choices})
    }
}
