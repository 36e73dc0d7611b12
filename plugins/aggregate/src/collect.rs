//! Collects the chunks of a stream into one `chat.completion` or `text_completion`.
//!
//! Texts are never unescaped: the insides of two JSON strings, joined, are again the inside of a JSON string.

use serde_json::value::RawValue;
use sluicegate_plugin::json::{self, Kind};
use sluicegate_plugin::{Event, Fault};

use crate::chunk::{CallDelta, Choice, Chunk, Delta};
use crate::failure;

mod logprobs;
mod parts;
mod repeat;

use parts::{Call, Collected, Member, Object};
use repeat::Frame;

/// The most choices and calls. OpenAI has at most 128 choices and 128 tools; more would make no sense, and cost time.
const MAX_PARTS: usize = 128;

/// The content of a stream so far.
#[derive(Debug, Default)]
pub struct Collector {
    object: Object,
    id: Option<String>,
    created: Option<String>,
    model: Option<String>,
    usage: Option<String>,
    extra: Vec<Member>,
    choices: Vec<Collected>,
    /// The frame of the last chunk that was parsed.
    frame: Option<Frame>,
    size: usize,
    done: bool,
}

/// Replacements for members that the stream does not have.
#[derive(Debug)]
pub struct Fallback {
    /// The request id.
    pub id: String,
    /// When the exchange began, in milliseconds since 1970.
    pub received_ms: u64,
    /// The model's name as JSON text.
    pub model: Option<String>,
}

impl Collector {
    /// Takes one event. `max_bytes` bounds what is kept.
    ///
    /// # Errors
    /// The error that the stream reports; 502 `upstream_invalid` for an event that is not a chunk; 502 `response_too_large`.
    pub fn push(&mut self, event: &Event, max_bytes: usize) -> Result<(), Fault> {
        let data = event.data.trim_ascii();
        if self.done || data.is_empty() {
            return Ok(());
        }
        if data == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        if event.name == "error" || !self.repeat(data) {
            self.parse(data, event.name == "error")?;
        }
        if self.size > max_bytes {
            return Err(failure::too_large());
        }
        Ok(())
    }

    /// Takes a chunk that differs from the previous one only in its text; `false` if it differs otherwise.
    fn repeat(&mut self, data: &str) -> bool {
        let Some(frame) = &self.frame else {
            return false;
        };
        let Some(inner) = frame.text(data) else {
            return false;
        };
        let choice = self
            .choices
            .iter_mut()
            .find(|known| known.index == frame.index);
        let text = choice.and_then(|choice| match &frame.name {
            None => choice.content.as_mut(),
            Some(name) => choice.text_mut(name),
        });
        let Some(text) = text else {
            return false;
        };
        text.push_str(inner);
        self.size += inner.len();
        true
    }

    fn parse(&mut self, data: &str, is_error: bool) -> Result<(), Fault> {
        let chunk: Chunk<'_> = serde_json::from_str(data).map_err(|_| failure::nonsense())?;
        if let Some(error) = chunk.error {
            return Err(failure::of_error(error));
        }
        if is_error {
            return Err(failure::of_event(data));
        }
        self.frame = Frame::of(data, &chunk);
        self.take(chunk)
    }

    fn take(&mut self, chunk: Chunk<'_>) -> Result<(), Fault> {
        let is_text = chunk
            .object
            .is_some_and(|raw| raw.get() == "\"text_completion\"");
        if is_text || chunk.choices.iter().any(|choice| choice.text.is_some()) {
            self.object = Object::Text;
        }
        // The first value counts: a stream has one identity, although some servers change it.
        for (kept, found) in [
            (&mut self.id, chunk.id),
            (&mut self.created, chunk.created),
            (&mut self.model, chunk.model),
        ] {
            if let (None, Some(raw)) = (&kept, found.filter(|raw| raw.get() != "\"\"")) {
                self.size += raw.get().len();
                *kept = Some(raw.get().to_owned());
            }
        }
        if let Some(usage) = chunk.usage {
            // The last value counts: with continuous usage it is the total.
            self.size += usage.get().len();
            self.usage = Some(usage.get().to_owned());
        }
        for (name, raw) in chunk.extra {
            self.size += parts::keep(&mut self.extra, name, raw);
        }
        for choice in chunk.choices {
            self.choice(choice)?;
        }
        Ok(())
    }

    fn choice(&mut self, choice: Choice<'_>) -> Result<(), Fault> {
        let at = match self
            .choices
            .iter()
            .position(|known| known.index == choice.index)
        {
            Some(at) => at,
            None if self.choices.len() == MAX_PARTS => return Err(failure::nonsense()),
            None => {
                self.choices.push(Collected::new(choice.index));
                self.choices.len() - 1
            }
        };
        let collected = &mut self.choices[at];
        if let Some(delta) = choice.delta {
            self.size += take_delta(collected, delta)?;
        }
        if let Some(raw) = choice.text {
            self.size += append(collected.content.get_or_insert_default(), raw)?;
        }
        if let Some(raw) = choice.logprobs {
            self.size += collected.logprobs.add(raw)?;
        }
        if let Some(raw) = choice.token_ids {
            self.size += collected.token_ids.get_or_insert_default().add(raw)?;
        }
        if let Some(reason) = choice.finish_reason.filter(|raw| raw.get() != "\"\"") {
            reason
                .get()
                .clone_into(collected.finish_reason.get_or_insert_default());
        }
        for (name, raw) in choice.extra {
            self.size += parts::keep(&mut collected.extra, name, raw);
        }
        Ok(())
    }

    /// Makes the response.
    ///
    /// # Errors
    /// 502 `upstream_truncated` if the stream had neither its end marker nor a finish reason for every choice.
    pub fn finish(mut self, fallback: impl FnOnce() -> Fallback) -> Result<String, Fault> {
        let finished = self
            .choices
            .iter()
            .all(|choice| choice.finish_reason.is_some());
        if self.choices.is_empty() || !(self.done || finished) {
            return Err(failure::truncated());
        }
        self.choices.sort_by_key(|choice| choice.index);
        let mut out = String::with_capacity(self.size + 512);
        self.write_head(&mut out, fallback);
        for (at, choice) in self.choices.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            choice.write(&mut out, self.object);
        }
        out.push(']');
        parts::write_members(&mut out, &self.extra);
        if let Some(usage) = &self.usage {
            out.push_str(",\"usage\":");
            out.push_str(usage);
        }
        out.push('}');
        Ok(out)
    }

    /// Appends everything up to and with `"choices":[`.
    fn write_head(&self, out: &mut String, fallback: impl FnOnce() -> Fallback) {
        let fallback = match (&self.id, &self.created, &self.model) {
            (Some(_), Some(_), Some(_)) => None,
            (_, _, _) => Some(fallback()),
        };
        out.push_str("{\"id\":");
        match (&self.id, &fallback) {
            (None, Some(fallback)) => {
                let id = fallback.id.strip_prefix("req_").unwrap_or(&fallback.id);
                json::push_str(out, &format!("{}-{id}", self.object.id_prefix()));
            }
            (id, _) => out.push_str(id.as_deref().unwrap_or("\"\"")),
        }
        out.push_str(",\"object\":\"");
        out.push_str(self.object.name());
        out.push_str("\",\"created\":");
        match (&self.created, &fallback) {
            (None, Some(fallback)) => json::push_u64(out, fallback.received_ms / 1000),
            (created, _) => out.push_str(created.as_deref().unwrap_or("0")),
        }
        out.push_str(",\"model\":");
        let model = self
            .model
            .as_ref()
            .or_else(|| fallback.as_ref()?.model.as_ref());
        out.push_str(model.map_or("\"\"", String::as_str));
        out.push_str(",\"choices\":[");
    }
}

/// Adds a delta to its choice, and returns by how much the choice grew.
fn take_delta(choice: &mut Collected, delta: Delta<'_>) -> Result<usize, Fault> {
    let mut size = 0;
    for (text, raw) in [
        (&mut choice.content, delta.content),
        (&mut choice.refusal, delta.refusal),
    ] {
        if let Some(raw) = raw {
            size += append(text.get_or_insert_default(), raw)?;
        }
    }
    for call in delta.tool_calls.into_iter().flatten() {
        size += take_call(choice, &call)?;
    }
    for (name, raw) in delta.extra {
        // Other texts, such as thoughts under any of their names, also arrive in parts.
        if Kind::of(raw) == Kind::String {
            let text = match choice.texts.iter().position(|(known, _)| *known == name) {
                Some(at) => &mut choice.texts[at].1,
                None => {
                    size += name.len();
                    choice.texts.push((name.into_owned(), String::new()));
                    &mut choice.texts.last_mut().expect("just pushed").1
                }
            };
            size += append(text, raw)?;
        } else if Kind::of(raw) != Kind::Null {
            size += parts::keep(&mut choice.members, name, raw);
        }
    }
    Ok(size)
}

fn take_call(choice: &mut Collected, delta: &CallDelta<'_>) -> Result<usize, Fault> {
    // A fragment without an index belongs to the only call.
    let index = delta.index.unwrap_or(0);
    let name = delta.function.as_ref().and_then(|function| function.name);
    let at = match choice.call_of(index, delta.id, name.is_some()) {
        Some(at) => at,
        None if choice.calls.len() == MAX_PARTS => return Err(failure::nonsense()),
        None => {
            choice.calls.push(Call {
                index,
                ..Call::default()
            });
            choice.calls.len() - 1
        }
    };
    let call = &mut choice.calls[at];
    let mut size = 0;
    // Taken once: some servers repeat both in every fragment.
    for (kept, found) in [(&mut call.id, delta.id), (&mut call.name, name)] {
        if let (true, Some(raw)) = (kept.is_empty(), found) {
            size += append(kept, raw)?;
        }
    }
    if let Some(arguments) = delta
        .function
        .as_ref()
        .and_then(|function| function.arguments)
    {
        size += append(&mut call.arguments, arguments)?;
    }
    Ok(size)
}

/// Appends the inside of a JSON string to that of another.
fn append(text: &mut String, raw: &RawValue) -> Result<usize, Fault> {
    let inner = json::string_inner(raw).ok_or_else(failure::nonsense)?;
    text.push_str(inner);
    Ok(inner.len())
}

#[cfg(test)]
mod tests;
