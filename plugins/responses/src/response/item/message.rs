//! A message: its parts are texts and refusals.

use sluicegate_plugin::json::{push_escaped, push_u64};

use super::Status;
use crate::response::events::Events;

/// What the model says.
#[derive(Debug, Default)]
pub(in crate::response) struct Message {
    pub(super) status: Status,
    parts: Vec<Part>,
}

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::response) enum PartKind {
    Text,
    Refusal,
}

#[derive(Debug)]
struct Part {
    kind: PartKind,
    text: String,
    /// Of the text, with commas between them.
    logprobs: String,
}

impl Message {
    /// Takes more of what is said. Only the last part grows: another kind of text ends it.
    pub(in crate::response) fn push(
        &mut self,
        events: &mut Events,
        place: &str,
        kind: PartKind,
        text: &str,
        logprobs: &str,
    ) {
        if self.parts.last().is_none_or(|part| part.kind != kind) {
            self.end_part(events, place);
            self.parts.push(Part {
                kind,
                text: String::new(),
                logprobs: String::new(),
            });
            self.report("response.content_part.added", events, place);
        }
        let index = self.index();
        let Some(part) = self.parts.last_mut() else {
            return;
        };
        let begin = part.text.len();
        push_escaped(&mut part.text, text);
        if !logprobs.is_empty() {
            if !part.logprobs.is_empty() {
                part.logprobs.push(',');
            }
            part.logprobs.push_str(logprobs);
        }
        let delta = &part.text[begin..];
        match kind {
            PartKind::Text if delta.is_empty() && logprobs.is_empty() => {}
            PartKind::Text => {
                let further = [&index, ",\"logprobs\":[", logprobs, "]"].concat();
                events.push_text(
                    "response.output_text.delta",
                    place,
                    &further,
                    "delta",
                    delta,
                );
            }
            PartKind::Refusal => {
                events.push_text("response.refusal.delta", place, &index, "delta", delta);
            }
        }
    }

    /// The events that end the last part.
    pub(super) fn end_part(&self, events: &mut Events, place: &str) {
        let Some(part) = self.parts.last() else {
            return;
        };
        let index = self.index();
        match part.kind {
            PartKind::Text => {
                let further = [&index, ",\"logprobs\":[", &part.logprobs, "]"].concat();
                events.push_text(
                    "response.output_text.done",
                    place,
                    &further,
                    "text",
                    &part.text,
                );
            }
            PartKind::Refusal => {
                events.push_text(
                    "response.refusal.done",
                    place,
                    &index,
                    "refusal",
                    &part.text,
                );
            }
        }
        self.report("response.content_part.done", events, place);
    }

    fn report(&self, name: &'static str, events: &mut Events, place: &str) {
        let Some(part) = self.parts.last() else {
            return;
        };
        events.push(name, |out| {
            out.push_str(place);
            out.push_str(&self.index());
            out.push_str(",\"part\":");
            part.write(out);
        });
    }

    /// The number of the last part, as a member.
    fn index(&self) -> String {
        let mut index = ",\"content_index\":".to_owned();
        push_u64(&mut index, self.parts.len().saturating_sub(1) as u64);
        index
    }

    pub(super) fn write(&self, out: &mut String) {
        out.push_str(",\"role\":\"assistant\",\"content\":[");
        for (at, part) in self.parts.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            part.write(out);
        }
        out.push(']');
    }
}

impl Part {
    fn write(&self, out: &mut String) {
        match self.kind {
            PartKind::Text => {
                out.push_str("{\"type\":\"output_text\",\"text\":\"");
                out.push_str(&self.text);
                out.push_str("\",\"annotations\":[],\"logprobs\":[");
                out.push_str(&self.logprobs);
                out.push_str("]}");
            }
            PartKind::Refusal => {
                out.push_str("{\"type\":\"refusal\",\"refusal\":\"");
                out.push_str(&self.text);
                out.push_str("\"}");
            }
        }
    }
}
