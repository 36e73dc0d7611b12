//! A whole response, if the server was not asked to stream.

use sluicegate_plugin::Fault;

use super::part::{Extra, Record};
use super::{
    Choice, Delta, Ending, Identity, MOST_CHOICES, NO_LOGPROBS, Object, Shown, write_call,
    write_function, write_member,
};
use crate::failure;

/// A choice of the response, as JSON.
#[derive(Default)]
struct Written<'a> {
    index: u64,
    content: Option<String>,
    thoughts: Option<String>,
    /// Id, name and arguments of each.
    calls: Vec<[String; 3]>,
    /// Name and arguments, for a client that asked with `functions`.
    function: Option<[String; 2]>,
    /// Other members of the message, a comma before each.
    members: String,
    has_refusal: bool,
    /// Whether the server sent log probabilities, of whatever text.
    has_logprobs: bool,
    logprobs: Option<String>,
    finish: &'static str,
    extra: Extra<'a>,
}

/// Translates a response to a `chat.completion` or a `text_completion`.
///
/// # Errors
/// The server's error; 502 `upstream_truncated` if the response is not complete; 502 `upstream_invalid`.
pub fn complete(
    identity: &Identity,
    shown: &Shown,
    data: &[u8],
) -> Result<(Vec<u8>, Ending), Fault> {
    let text = std::str::from_utf8(data).map_err(|_| failure::nonsense())?;
    let text = shown.habits.translated(text)?;
    let record = Record::read(&text)?;
    if !record.has_choices {
        return Err(failure::nonsense());
    }
    if record.parts.is_empty() {
        return Err(failure::truncated());
    }
    let mut out = String::with_capacity(data.len() + 384);
    identity.write_head(&mut out, false);
    let mut finish = None;
    for (at, part) in record.parts.into_iter().enumerate() {
        let index = part.index.unwrap_or(at as u64);
        if index >= MOST_CHOICES {
            return Err(failure::nonsense());
        }
        let mut written = Written {
            index,
            has_logprobs: part.logprobs.is_some(),
            extra: part.extra.clone(),
            ..Written::default()
        };
        let mut choice = Choice::new(shown);
        let mut deltas = choice.take(part, shown, false)?;
        deltas.extend(choice.end_without_reason(shown));
        for delta in deltas {
            written.take(delta);
        }
        finish = finish.or(Some(written.finish));
        if at > 0 {
            out.push(',');
        }
        match identity.object {
            Object::Chat => written.write(&mut out, shown),
            Object::Text => written.write_text(&mut out, shown),
        }
    }
    out.push(']');
    shown.write_extra(&mut out, &record.extra);
    let usage = shown.usage(record.usage);
    if let Some(usage) = &usage {
        out.push_str(",\"usage\":");
        out.push_str(usage);
    }
    out.push('}');
    let finish = finish.unwrap_or("stop");
    Ok((out.into_bytes(), Ending { finish, usage }))
}

impl Written<'_> {
    fn take(&mut self, delta: Delta<'_>) {
        match delta {
            Delta::Thoughts(text) => append(&mut self.thoughts, &text),
            Delta::Content(text, logprobs) => {
                append(&mut self.content, &text);
                self.logprobs = logprobs;
            }
            Delta::Text(text, logprobs) => {
                append(&mut self.content, &text);
                self.logprobs = logprobs.map(|raw| raw.get().to_owned());
            }
            Delta::Call {
                id,
                name,
                arguments,
                ..
            } => {
                self.calls
                    .push([id, name.into_owned(), arguments.into_owned()]);
            }
            Delta::Arguments { at, arguments } => {
                if let Some([_, _, known]) = self.calls.get_mut(at) {
                    known.push_str(&arguments);
                }
            }
            Delta::Function { name, arguments } => {
                if let Some(name) = name {
                    self.function = Some([name.into_owned(), String::new()]);
                }
                if let Some([_, known]) = &mut self.function {
                    known.push_str(&arguments);
                }
            }
            // In another form than a text, as Mistral's models send it.
            Delta::Member(name, raw) if name == "content" => {
                self.content = Some(raw.get().to_owned());
            }
            Delta::Member(name, raw) => {
                self.has_refusal |= name == "refusal";
                self.members.push(',');
                write_member(&mut self.members, &name, raw.get());
            }
            Delta::Finish(reason) => self.finish = reason,
        }
    }

    fn write(&self, out: &mut String, shown: &Shown) {
        let says_something_else =
            self.thoughts.is_some() || !self.calls.is_empty() || self.function.is_some();
        let without = if says_something_else { "null" } else { "\"\"" };
        out.push_str("{\"index\":");
        sluicegate_plugin::json::push_u64(out, self.index);
        out.push_str(",\"message\":{\"role\":\"assistant\",\"content\":");
        out.push_str(self.content.as_deref().unwrap_or(without));
        if !self.has_refusal {
            out.push_str(",\"refusal\":null");
        }
        if let Some(thoughts) = &self.thoughts {
            out.push(',');
            shown.write_thoughts(out, thoughts);
        }
        for (at, [id, name, arguments]) in self.calls.iter().enumerate() {
            out.push_str(if at == 0 { ",\"tool_calls\":[{" } else { ",{" });
            write_call(out, id, name, arguments);
            out.push('}');
        }
        if !self.calls.is_empty() {
            out.push(']');
        }
        if let Some([name, arguments]) = &self.function {
            out.push(',');
            write_function(out, Some(name), arguments);
        }
        out.push_str(&self.members);
        let none = if self.has_logprobs {
            NO_LOGPROBS
        } else {
            "null"
        };
        out.push_str("},\"logprobs\":");
        out.push_str(self.logprobs.as_deref().unwrap_or(none));
        self.write_end(out, shown);
    }

    fn write_text(&self, out: &mut String, shown: &Shown) {
        out.push_str("{\"index\":");
        sluicegate_plugin::json::push_u64(out, self.index);
        out.push_str(",\"text\":");
        out.push_str(self.content.as_deref().unwrap_or("\"\""));
        out.push_str(",\"logprobs\":");
        out.push_str(self.logprobs.as_deref().unwrap_or("null"));
        self.write_end(out, shown);
    }

    fn write_end(&self, out: &mut String, shown: &Shown) {
        out.push_str(",\"finish_reason\":\"");
        out.push_str(self.finish);
        out.push('"');
        shown.write_extra(out, &self.extra);
        out.push('}');
    }
}

/// Appends a JSON string to another.
fn append(to: &mut Option<String>, text: &str) {
    match to {
        Some(known) => {
            known.pop();
            known.push_str(text.strip_prefix('"').unwrap_or(text));
        }
        None => *to = Some(text.to_owned()),
    }
}
