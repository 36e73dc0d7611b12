//! What a model says in a chat or a completion, as lines of a stream or as one object.

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::chat::Usage;

use super::calls::Calls;
use super::logprobs;
use super::metrics::Moments;
use super::said::Said;
use crate::date;
use crate::request::Task;
use crate::write::Object;

/// The most bytes of tool calls that are held back: as much as `aggregate` collects by default.
const CALL_BYTES: usize = 4 * 1024 * 1024;

/// The time of one call: the clock of the calendar in milliseconds, and the one that never goes back in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// Microseconds since some moment.
    pub monotonic_us: u64,
}

/// What was said so far.
#[derive(Debug, Default)]
pub struct Turn {
    /// What is asked for.
    pub task: Task,
    /// The model, as the client calls it.
    pub model: String,
    /// When the request came, and the first text.
    pub moments: Moments,
    calls: Calls,
    has_text: bool,
    finish: Option<String>,
    usage: Option<Usage>,
}

impl Turn {
    /// Whether the canonical response has said why it ended.
    pub fn has_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Takes one event of a stream. What is returned is its line, if it has one.
    ///
    /// # Errors
    /// The error that it is; 502 if it is nothing of a stream.
    pub fn event(&mut self, data: &str, now: Now) -> Result<Option<String>, Fault> {
        let said = self.read(data)?;
        for call in &said.calls {
            self.calls.take(call, None)?;
        }
        if self.calls.size() > CALL_BYTES {
            let message = "The model's tool calls are too large to be sent as a whole.";
            return Err(Fault::upstream("response_too_large", message));
        }
        self.note(&said);
        let probabilities = said.logprobs.map(|raw| self.probabilities(raw));
        let probabilities = probabilities.filter(|list| !list.is_empty());
        let is_something = said.content.is_some() || said.thinking.is_some();
        if is_something || !said.calls.is_empty() {
            self.moments.first.get_or_insert(now.monotonic_us);
        }
        if !is_something && probabilities.is_none() {
            return Ok(None);
        }
        let mut out = self.begin(now);
        self.write(&mut out, &said, None);
        out.raw("done", "false");
        if let Some(list) = probabilities {
            out.raw("logprobs", &format!("[{list}]"));
        }
        Ok(Some(out.end()))
    }

    /// The last lines of a stream: the calls of tools, and the end with its figures.
    ///
    /// # Errors
    /// 502 if a call is broken.
    pub fn end(&mut self, now: Now) -> Result<Vec<String>, Fault> {
        let mut lines = Vec::with_capacity(2);
        if let Some(calls) = self.calls.finish(self.is_cut(), self.has_text)? {
            let mut out = self.begin(now);
            self.write(&mut out, &Said::default(), Some(&calls));
            out.raw("done", "false");
            lines.push(out.end());
        }
        let mut out = self.begin(now);
        self.write(&mut out, &Said::default(), None);
        self.finish(&mut out, now);
        lines.push(out.end());
        Ok(lines)
    }

    /// A whole completion as one object.
    ///
    /// # Errors
    /// As [`Turn::event`] and [`Turn::end`].
    pub fn whole(&mut self, data: &str, now: Now) -> Result<String, Fault> {
        let said = self.read(data)?;
        for (at, call) in (0..).zip(&said.calls) {
            self.calls.take(call, Some(at))?;
        }
        self.note(&said);
        let calls = self.calls.finish(self.is_cut(), self.has_text)?;
        let mut out = self.begin(now);
        self.write(&mut out, &said, calls.as_deref());
        self.finish(&mut out, now);
        let probabilities = said.logprobs.map(|raw| self.probabilities(raw));
        if let Some(list) = probabilities.filter(|list| !list.is_empty()) {
            out.raw("logprobs", &format!("[{list}]"));
        }
        Ok(out.end())
    }

    fn read<'a>(&self, data: &'a str) -> Result<Said<'a>, Fault> {
        match self.task {
            Task::Completion => Said::of_completion(data),
            _ => Said::of_chat(data),
        }
    }

    fn note(&mut self, said: &Said<'_>) {
        if let Some(reason) = &said.finish {
            self.finish = Some(reason.clone().into_owned());
        }
        self.has_text |= said.content.is_some();
        self.usage = said.usage.or(self.usage);
    }

    fn probabilities(&self, raw: &RawValue) -> String {
        match self.task {
            Task::Completion => logprobs::of_completion(raw),
            _ => logprobs::of_chat(raw),
        }
    }

    fn is_cut(&self) -> bool {
        self.finish.as_deref() == Some("length")
    }

    fn begin(&self, now: Now) -> Object {
        let mut out = Object::new(256);
        out.text("model", &self.model);
        out.text("created_at", &date::of_ms(now.unix_ms));
        out
    }

    /// Writes what was said: in a message, or beside the other members.
    fn write(&self, out: &mut Object, said: &Said<'_>, calls: Option<&str>) {
        let content = said.content.as_deref().unwrap_or_default();
        if self.task != Task::Chat {
            out.text("response", content);
            if let Some(thinking) = &said.thinking {
                out.text("thinking", thinking);
            }
            return;
        }
        let mut message = Object::new(content.len() + 64);
        message.raw("role", "\"assistant\"");
        message.text("content", content);
        if let Some(thinking) = &said.thinking {
            message.text("thinking", thinking);
        }
        if let Some(calls) = calls {
            message.raw("tool_calls", calls);
        }
        out.raw("message", &message.end());
    }

    fn finish(&self, out: &mut Object, now: Now) {
        out.raw("done", "true");
        out.text(
            "done_reason",
            match self.finish.as_deref() {
                // Ollama has no word of its own for calls.
                None | Some("stop" | "tool_calls" | "function_call") => "stop",
                Some(other) => other,
            },
        );
        self.moments.write(out, now.monotonic_us, self.usage);
    }
}
