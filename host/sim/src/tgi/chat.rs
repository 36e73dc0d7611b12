//! Responses to chats: one document, or events. Pure but for the time, which is an argument.

use std::sync::Arc;

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::request::Chat;
use super::written::{END, Finish, Limits, Written, no_call};
use super::{FINGERPRINT, stream_end};
use crate::answer::{Chunk, Ending, Generation};
use crate::events::Event;
use crate::probability;
use crate::tools::Call;

/// A chat and what the model wrote.
#[derive(Debug)]
pub(super) struct Answer {
    chat: Chat,
    created: u64,
    written: Written,
    said: Said,
    pub(super) prompt_tokens: u64,
}

/// What the router makes of the text.
#[derive(Debug)]
enum Said {
    Text,
    /// The model chose no tool and wrote this many tokens to say so. The text is another one.
    TextAfter(usize),
    /// A call, if the text is complete.
    Call(Option<Call>),
    /// Neither a call nor a text.
    Nothing,
}

impl Answer {
    pub(super) fn new(chat: Chat, created: u64, mut generation: Generation) -> Self {
        let prompt_tokens = generation.prompt_tokens;
        let call = generation.chunks.iter().find_map(|chunk| match chunk {
            Chunk::Calls(calls) => Some(calls.first().cloned()),
            Chunk::Broken { .. } => Some(None),
            Chunk::Thinking(_) | Chunk::Content(_) => None,
        });
        let (written, said) = match call {
            Some(call) => {
                // The grammar of tools leaves no room for thinking.
                generation
                    .chunks
                    .retain(|chunk| !matches!(chunk, Chunk::Thinking(_)));
                let written = Written::of(generation, &chat.limits);
                let is_complete = written.finish == Finish::End;
                (written, Said::Call(call.filter(|_| is_complete)))
            }
            None if chat.guided => {
                let limits = Limits {
                    most: chat.limits.most,
                    stop: Vec::new(),
                };
                let first = Written::text(&no_call("No tool is needed."), &limits);
                if first.finish == Finish::End {
                    let count = first.count();
                    (
                        Written::of(generation, &chat.limits),
                        Said::TextAfter(count),
                    )
                } else {
                    (first, Said::Nothing)
                }
            }
            None => (Written::of(generation, &chat.limits), Said::Text),
        };
        Self {
            chat,
            created,
            written,
            said,
            prompt_tokens,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.written.count()
    }

    pub(super) fn ending(&self) -> Ending {
        self.written.ending
    }

    fn usage(&self) -> Value {
        // The count of a text that was thrown away, if there was one.
        let completion = match self.said {
            Said::TextAfter(count) => count,
            Said::Text | Said::Call(_) | Said::Nothing => self.written.count(),
        };
        let completion = completion as u64;
        json!({"prompt_tokens": self.prompt_tokens, "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion})
    }

    /// The response in one document.
    ///
    /// # Errors
    /// What the model wrote is no call.
    pub(super) fn document(&self) -> Result<Value, Refusal> {
        let message = match &self.said {
            Said::Text | Said::TextAfter(_) => {
                json!({"role": "assistant", "content": self.written.said()})
            }
            Said::Call(Some(call)) => {
                let arguments = Value::Object(call.arguments.clone()).to_string();
                json!({"role": "assistant", "tool_calls": [{"id": "0", "type": "function",
                    "function": {"description": null, "name": call.name, "arguments": arguments}}]})
            }
            Said::Call(None) | Said::Nothing => {
                let text = self.written.said();
                let column = text.len();
                return Err(Refusal::tool(&format!(
                    "Failed to parse generated text: EOF while parsing a string at line 1 column {column} {text:?}"
                )));
            }
        };
        let logprobs = self.chat.logprobs.map(|_| {
            let end = (self.written.finish == Finish::End).then_some(END);
            let tokens = self.written.tokens.iter().map(String::as_str).chain(end);
            json!({"content": tokens.map(|token| self.logprob(token)).collect::<Vec<Value>>()})
        });
        let choice = json!({"index": 0, "message": message, "logprobs": logprobs,
            "finish_reason": self.written.finish.of_openai()});
        Ok(
            json!({"object": "chat.completion", "id": "", "created": self.created, "model": self.chat.model,
            "system_fingerprint": FINGERPRINT, "choices": [choice], "usage": self.usage()}),
        )
    }

    /// A probability, without `bytes`.
    fn logprob(&self, token: &str) -> Value {
        let (logprob, others) = probability::of(token, self.chat.logprobs.unwrap_or_default());
        let others: Vec<Value> = others
            .iter()
            .map(|(token, logprob)| json!({"token": token, "logprob": logprob}))
            .collect();
        json!({"token": token, "logprob": logprob, "top_logprobs": others})
    }

    /// The events of a stream.
    pub(super) fn events(self) -> impl Iterator<Item = Event> + Send + 'static {
        let answer = Arc::new(self);
        let deltas = answer.deltas();
        let shown = {
            let answer = Arc::clone(&answer);
            deltas.into_iter().enumerate().map(move |(at, delta)| {
                let chunk = answer.chunk(&delta);
                if at > 0 {
                    Event::of_token(&chunk)
                } else {
                    Event::now(&chunk)
                }
            })
        };
        shown.chain(answer.end())
    }

    /// What the tokens become.
    fn deltas(&self) -> Vec<Delta> {
        let last = self.written.tokens.len();
        let finish = (self.written.finish != Finish::End).then_some(self.written.finish);
        match &self.said {
            Said::Nothing => Vec::new(),
            Said::Text | Said::TextAfter(_) => {
                let tokens = self.written.tokens.iter().enumerate();
                let mut deltas: Vec<Delta> = tokens
                    .map(|(at, token)| Delta {
                        token: token.clone(),
                        content: Content::Text(token.clone()),
                        finish: finish.filter(|_| at + 1 == last),
                    })
                    .collect();
                if self.written.finish == Finish::End
                    && matches!(self.written.ending, Ending::Done(_))
                {
                    deltas.push(Delta {
                        token: END.to_owned(),
                        content: Content::Text(String::new()),
                        finish: Some(Finish::End),
                    });
                }
                deltas
            }
            Said::Call(_) => self.lossy_call(finish),
        }
    }

    /// A call as the router streams it. Everything up to the first text that it can read as the begin of a call becomes `{`;
    /// where that is the whole text, nothing follows. A call that ends by itself has no finish reason.
    fn lossy_call(&self, finish: Option<Finish>) -> Vec<Delta> {
        let mut said = String::new();
        let mut name: Option<String> = None;
        let mut deltas = Vec::new();
        let last = self.written.tokens.len();
        for (at, token) in self.written.tokens.iter().enumerate() {
            said.push_str(token);
            let content = match name {
                Some(_) => {
                    // The brace that closes the object around the arguments is not theirs.
                    let is_end = at + 1 == last && finish.is_none();
                    let text = token.strip_suffix('}').filter(|_| is_end);
                    Content::Arguments(text.unwrap_or(token).to_owned())
                }
                None => match begun(&said) {
                    Some(found) => {
                        name = Some(found.clone());
                        Content::Name(found)
                    }
                    None => continue,
                },
            };
            deltas.push(Delta {
                token: token.clone(),
                content,
                finish: finish.filter(|_| at + 1 == last),
            });
        }
        deltas
    }

    fn chunk(&self, delta: &Delta) -> Value {
        let id = self.chat.call_id.to_string();
        let call = |name: Option<&str>, arguments: &str| {
            json!({"role": "assistant", "tool_calls": [{"index": 0, "id": id, "type": "function",
                "function": {"name": name, "arguments": arguments}}]})
        };
        let shown = match &delta.content {
            Content::Text(text) => json!({"role": "assistant", "content": text}),
            Content::Name(name) => call(Some(name), "{"),
            Content::Arguments(text) => call(None, text),
        };
        let logprobs = self
            .chat
            .logprobs
            .map(|_| json!({"content": [self.logprob(&delta.token)]}));
        let choice = json!({"index": 0, "delta": shown, "logprobs": logprobs,
            "finish_reason": delta.finish.map(Finish::of_openai)});
        self.object(&[choice], &Value::Null)
    }

    fn object(&self, choices: &[Value], usage: &Value) -> Value {
        json!({"object": "chat.completion.chunk", "id": "", "created": self.created, "model": self.chat.model,
            "system_fingerprint": FINGERPRINT, "choices": choices, "usage": usage})
    }

    fn end(&self) -> Vec<Event> {
        let usage = self
            .chat
            .include_usage
            .then(|| Event::now(&self.object(&[], &self.usage())));
        stream_end(self.written.ending, usage)
    }
}

/// What one token becomes.
#[derive(Debug)]
struct Delta {
    token: String,
    content: Content,
    finish: Option<Finish>,
}

#[derive(Debug)]
enum Content {
    Text(String),
    Name(String),
    Arguments(String),
}

/// The name of the tool, if the text is the readable begin of a call.
fn begun(said: &str) -> Option<String> {
    let rest = said.split_once("\"_name\": \"")?.1;
    let (name, rest) = rest.split_once('"')?;
    rest.starts_with([',', '}']).then(|| name.to_owned())
}
