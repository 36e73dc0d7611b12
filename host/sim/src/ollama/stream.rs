//! Sends a generation at its pace, as a stream of NDJSON lines or as one document.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::time::Instant;

use super::request::Request;
use super::slots::Held;
use super::wire::{self, Line, Logprob, Message, Metrics, Said};
use crate::Pace;
use crate::answer::{Chunk, Ending, Generation};
use crate::body::{Body, Error};
use crate::pace::wait;
use crate::tools::Call;

/// The text of the error line or, without a stream, of the error document.
const RUNNER_ERROR: &str =
    "an error was encountered while running the model: simulated, as the message asked";

/// The text of the error if the model's call breaks off.
const BROKEN_CALL: &str = "llama-server chat error: map[code:500 message:The model produced output that does not match the \
                           expected format: simulated, as the message asked type:server_error]";

/// What the model's text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Chat,
    /// Without a template, if it is `raw`.
    Completion {
        raw: bool,
    },
}

/// A running generation.
pub(super) struct Run {
    /// As the client wrote it.
    model: String,
    generation: Generation,
    form: Form,
    /// How many alternatives each token gets; `None` without `logprobs`.
    logprobs: Option<usize>,
    pace: Pace,
    next: usize,
    /// Whether the tag before the next chunk has been sent.
    has_tag: bool,
    started: Instant,
    load: Duration,
    first_token: Duration,
    /// Released when the generation ends or its client leaves.
    slot: Option<Held>,
}

impl Run {
    /// Waits until the first token is there: for loading the model if it is `cold`, and for reading the prompt.
    pub(super) async fn start(
        request: &Request,
        form: Form,
        generation: Generation,
        pace: Pace,
        cold: bool,
        slot: Option<Held>,
    ) -> Self {
        let started = Instant::now();
        let pace = Pace {
            load: if cold { pace.load } else { Duration::ZERO },
            ..pace.of(generation.slow)
        };
        wait(pace.load).await;
        let load = started.elapsed();
        wait(pace.first_token).await;
        Self {
            model: request.model.clone(),
            generation,
            form,
            logprobs: request.logprobs,
            pace,
            next: 0,
            has_tag: false,
            started,
            load,
            first_token: started.elapsed(),
            slot,
        }
    }

    /// The lines, one token's time apart.
    ///
    /// # Cancel safety
    /// Dropping the body ends the generation.
    pub(super) fn into_lines(self) -> Body {
        let lines = stream::unfold(Some(self), |run| async move { run?.step().await });
        StreamBody::new(lines).boxed_unsync()
    }

    /// The whole response, after the time that its tokens take.
    ///
    /// # Errors
    /// The text of a runner's error, for a 500; or the end of the connection without a response.
    pub(super) async fn into_document(self) -> Result<String, Failure> {
        let tokens = u32::try_from(self.generation.chunks.len()).unwrap_or(u32::MAX);
        wait(self.pace.token.saturating_mul(tokens)).await;
        let done_reason = match self.generation.ending {
            Ending::Done(reason) => Some(reason),
            Ending::Truncate => None,
            Ending::ErrorLine | Ending::Abort => return Err(Failure::Runner(RUNNER_ERROR)),
            Ending::Reset => return Err(Failure::Connection(Error::Reset)),
            Ending::Stall => std::future::pending().await,
        };
        let (mut content, mut thinking, mut calls) = (String::new(), String::new(), Vec::new());
        for chunk in &self.generation.chunks {
            match chunk {
                Chunk::Content(text) => content.push_str(text),
                Chunk::Thinking(text) => thinking.push_str(text),
                Chunk::Calls(made) => calls.extend_from_slice(made),
                Chunk::Broken { .. } if done_reason == Some("stop") => {
                    return Err(Failure::Runner(BROKEN_CALL));
                }
                // Cut by the limit: nothing is left of it.
                Chunk::Broken { .. } => {}
            }
        }
        Ok(wire::go_json(&Line {
            model: &self.model,
            created_at: wire::timestamp(SystemTime::now()),
            said: self.said(&content, &thinking, &calls),
            context: self.context(),
            logprobs: (0..self.generation.chunks.len())
                .flat_map(|at| {
                    let tag = self
                        .tag(at)
                        .map(|tag| Logprob::of(tag, self.alternatives()));
                    tag.into_iter()
                        .chain(self.logprob(&self.generation.chunks[at]))
                })
                .collect(),
            done: done_reason.is_some(),
            done_reason,
            metrics: done_reason.map_or_else(Metrics::default, |_| self.metrics()),
        }))
    }

    /// The next frame and the state after it; the state `None` ends the body.
    async fn step(mut self) -> Option<(Result<Frame<Bytes>, Error>, Option<Self>)> {
        let Some(chunk) = self.generation.chunks.get(self.next) else {
            return self.end().await;
        };
        if self.next > 0 {
            wait(self.pace.token).await;
        }
        if let Some(tag) = self.tag(self.next).filter(|_| !self.has_tag) {
            let line = frame(wire::go_json(&Line {
                model: &self.model,
                created_at: wire::timestamp(SystemTime::now()),
                said: self.said("", "", &[]),
                context: &[],
                logprobs: vec![Logprob::of(tag, self.alternatives())],
                done: false,
                done_reason: None,
                metrics: Metrics::default(),
            }));
            self.has_tag = true;
            return Some((Ok(line), Some(self)));
        }
        let message = match chunk {
            Chunk::Thinking(text) => self.said("", text, &[]),
            Chunk::Content(text) => self.said(text, "", &[]),
            Chunk::Calls(calls) => self.said("", "", calls),
            Chunk::Broken { .. } if self.generation.ending == Ending::Done("stop") => {
                return Some((Ok(frame(wire::error(BROKEN_CALL))), None));
            }
            // Cut by the limit: nothing is left of it.
            Chunk::Broken { .. } => self.said("", "", &[]),
        };
        let line = frame(wire::go_json(&Line {
            model: &self.model,
            created_at: wire::timestamp(SystemTime::now()),
            said: message,
            context: &[],
            logprobs: self.logprob(chunk).into_iter().collect(),
            done: false,
            done_reason: None,
            metrics: Metrics::default(),
        }));
        self.next += 1;
        self.has_tag = false;
        if let Some(slot) = &mut self.slot {
            slot.has_begun = true;
        }
        Some((Ok(line), Some(self)))
    }

    async fn end(mut self) -> Option<(Result<Frame<Bytes>, Error>, Option<Self>)> {
        if let Some(slot) = &mut self.slot {
            slot.has_ended = true;
        }
        match self.generation.ending {
            Ending::Done(reason) => {
                let line = frame(wire::go_json(&Line {
                    model: &self.model,
                    created_at: wire::timestamp(SystemTime::now()),
                    said: self.said("", "", &[]),
                    context: self.context(),
                    logprobs: Vec::new(),
                    done: true,
                    done_reason: Some(reason),
                    metrics: self.metrics(),
                }));
                Some((Ok(line), None))
            }
            Ending::ErrorLine | Ending::Abort => Some((Ok(frame(wire::error(RUNNER_ERROR))), None)),
            Ending::Truncate => None,
            Ending::Reset => {
                // The server flushes only when the body is pending: without this, the lines before the break could be lost
                // with the connection.
                tokio::task::yield_now().await;
                Some((Err(Error::Reset), None))
            }
            Ending::Stall => std::future::pending().await,
        }
    }

    /// The tag of thinking before this chunk, of which only log probabilities tell.
    fn tag(&self, at: usize) -> Option<&'static str> {
        self.logprobs?;
        let is_thought = |at: usize| {
            let chunk = self.generation.chunks.get(at);
            matches!(chunk, Some(Chunk::Thinking(_)))
        };
        match (at.checked_sub(1).is_some_and(is_thought), is_thought(at)) {
            (false, true) => Some("<think>"),
            (true, false) => Some("</think>"),
            (true, true) | (false, false) => None,
        }
    }

    /// How many alternatives each token gets.
    fn alternatives(&self) -> usize {
        self.logprobs.unwrap_or_default()
    }

    fn said<'a>(&self, content: &'a str, thinking: &'a str, calls: &'a [Call]) -> Said<'a> {
        match self.form {
            Form::Chat => Said::Message(Message::new(content, thinking, calls)),
            Form::Completion { .. } => Said::Response(content),
        }
    }

    fn context(&self) -> &'static [u32] {
        match self.form {
            Form::Chat | Form::Completion { raw: true } => &[],
            Form::Completion { raw: false } => &[1, 2, 3],
        }
    }

    fn logprob<'a>(&self, chunk: &'a Chunk) -> Option<Logprob<'a>> {
        let alternatives = self.logprobs?;
        match chunk {
            Chunk::Content(token) | Chunk::Thinking(token) => {
                Some(Logprob::of(token, alternatives))
            }
            Chunk::Calls(_) | Chunk::Broken { .. } => None,
        }
    }

    fn metrics(&self) -> Metrics {
        let total = self.started.elapsed();
        Metrics {
            total_duration: nanoseconds(total),
            load_duration: nanoseconds(self.load),
            prompt_eval_count: self.generation.prompt_tokens,
            prompt_eval_duration: nanoseconds(self.first_token.saturating_sub(self.load)),
            eval_count: self.generation.tokens() as u64,
            eval_duration: nanoseconds(total.saturating_sub(self.first_token)),
        }
    }
}

/// Why no document can be sent.
#[derive(Debug)]
pub(super) enum Failure {
    /// The model's runner failed, with this message.
    Runner(&'static str),
    Connection(Error),
}

fn frame(mut line: String) -> Frame<Bytes> {
    line.push('\n');
    Frame::data(line.into())
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
