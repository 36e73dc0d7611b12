//! The items of a response: what they hold, the events of their parts, and their form.

use sluicegate_plugin::json::{push_escaped, push_u64};

use super::events::Events;
use crate::reasoning;
use crate::request::Shown;

mod message;

pub(super) use message::{Message, PartKind};

/// An item.
#[derive(Debug)]
pub(super) enum Item {
    Reasoning(Reasoning),
    Message(Message),
    Call(Call),
}

/// How far an item has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Status {
    #[default]
    InProgress,
    Completed,
    Incomplete,
}

/// What the model thinks.
#[derive(Debug)]
pub(super) struct Reasoning {
    status: Status,
    is_summary: bool,
    text: String,
    /// The text without escapes, then its opaque form; only if that is wanted.
    sealed: Option<String>,
}

/// A call of a function.
#[derive(Debug)]
pub(super) struct Call {
    status: Status,
    /// Its number in the chat API.
    pub(super) index: u32,
    pub(super) call_id: String,
    /// Whether the model server gave it none.
    pub(super) is_id_made: bool,
    name: String,
    arguments: String,
}

impl Item {
    pub(super) fn reasoning(shown: Shown) -> Self {
        Self::Reasoning(Reasoning {
            status: Status::InProgress,
            is_summary: shown.summary,
            text: String::new(),
            sealed: shown.encrypted.then(String::new),
        })
    }

    pub(super) fn message() -> Self {
        Self::Message(Message::default())
    }

    pub(super) fn call(index: u32, call_id: String, is_id_made: bool, name: &str) -> Self {
        let mut escaped = String::new();
        push_escaped(&mut escaped, name);
        Self::Call(Call {
            status: Status::InProgress,
            index,
            call_id,
            is_id_made,
            name: escaped,
            arguments: String::new(),
        })
    }

    pub(super) fn is_reasoning(&self) -> bool {
        matches!(self, Self::Reasoning(_))
    }

    pub(super) fn is_message(&self) -> bool {
        matches!(self, Self::Message(_))
    }

    pub(super) fn is_open_reasoning(&self) -> bool {
        self.is_reasoning() && self.is_open()
    }

    pub(super) fn is_open(&self) -> bool {
        self.status() == Status::InProgress
    }

    fn status(&self) -> Status {
        match self {
            Self::Reasoning(it) => it.status,
            Self::Message(it) => it.status,
            Self::Call(it) => it.status,
        }
    }

    /// The events that end its parts.
    pub(super) fn end(&mut self, events: &mut Events, place: &str) {
        match self {
            Self::Reasoning(it) => it.end(events, place),
            Self::Message(it) => it.end_part(events, place),
            Self::Call(it) => events.push_text(
                "response.function_call_arguments.done",
                place,
                "",
                "arguments",
                &it.arguments,
            ),
        }
    }

    /// Sets its status, unless it has one.
    pub(super) fn close(&mut self, status: Status) {
        if !self.is_open() {
            return;
        }
        match self {
            Self::Reasoning(it) => {
                it.status = status;
                it.sealed = it.sealed.as_deref().map(reasoning::seal);
            }
            Self::Message(it) => it.status = status,
            Self::Call(it) => it.status = status,
        }
    }

    /// Appends its id: those of a response differ by their numbers.
    pub(super) fn push_id(&self, out: &mut String, id: &str, at: usize) {
        out.push_str(match self {
            Self::Reasoning(_) => "rs_",
            Self::Message(_) => "msg_",
            Self::Call(_) => "fc_",
        });
        out.push_str(id);
        push_u64(out, at as u64);
    }

    /// Appends it as JSON.
    pub(super) fn write(&self, out: &mut String, id: &str, at: usize) {
        out.push_str("{\"id\":\"");
        self.push_id(out, id, at);
        out.push_str("\",\"type\":\"");
        out.push_str(match self {
            Self::Reasoning(_) => "reasoning",
            Self::Message(_) => "message",
            Self::Call(_) => "function_call",
        });
        out.push_str("\",\"status\":\"");
        out.push_str(match self.status() {
            Status::InProgress => "in_progress",
            Status::Completed => "completed",
            Status::Incomplete => "incomplete",
        });
        out.push('"');
        match self {
            Self::Reasoning(it) => it.write(out),
            Self::Message(it) => it.write(out),
            Self::Call(it) => it.write(out),
        }
        out.push('}');
    }
}

/// Appends the members of an event about a whole item.
pub(super) fn push_event(out: &mut String, id: &str, at: usize, item: &Item) {
    out.push_str(",\"output_index\":");
    push_u64(out, at as u64);
    out.push_str(",\"item\":");
    item.write(out, id, at);
}

impl Reasoning {
    /// The event that begins its one part.
    pub(super) fn begin(&self, events: &mut Events, place: &str) {
        let (name, index) = if self.is_summary {
            (
                "response.reasoning_summary_part.added",
                ",\"summary_index\":0",
            )
        } else {
            ("response.content_part.added", ",\"content_index\":0")
        };
        events.push(name, |out| {
            out.push_str(place);
            out.push_str(index);
            out.push_str(",\"part\":");
            self.write_part(out);
        });
    }

    /// Takes more of the text.
    pub(super) fn push(&mut self, events: &mut Events, place: &str, text: &str) {
        let begin = self.text.len();
        push_escaped(&mut self.text, text);
        if let Some(sealed) = &mut self.sealed {
            sealed.push_str(text);
        }
        let (name, index) = if self.is_summary {
            (
                "response.reasoning_summary_text.delta",
                ",\"summary_index\":0",
            )
        } else {
            ("response.reasoning_text.delta", ",\"content_index\":0")
        };
        events.push_text(name, place, index, "delta", &self.text[begin..]);
    }

    fn end(&self, events: &mut Events, place: &str) {
        let (text, part, index) = if self.is_summary {
            (
                "response.reasoning_summary_text.done",
                "response.reasoning_summary_part.done",
                ",\"summary_index\":0",
            )
        } else {
            (
                "response.reasoning_text.done",
                "response.content_part.done",
                ",\"content_index\":0",
            )
        };
        events.push_text(text, place, index, "text", &self.text);
        events.push(part, |out| {
            out.push_str(place);
            out.push_str(index);
            out.push_str(",\"part\":");
            self.write_part(out);
        });
    }

    fn write_part(&self, out: &mut String) {
        out.push_str(if self.is_summary {
            "{\"type\":\"summary_text\",\"text\":\""
        } else {
            "{\"type\":\"reasoning_text\",\"text\":\""
        });
        out.push_str(&self.text);
        out.push_str("\"}");
    }

    fn write(&self, out: &mut String) {
        out.push_str(if self.is_summary {
            ",\"summary\":["
        } else {
            ",\"summary\":[],\"content\":["
        });
        if !self.text.is_empty() {
            self.write_part(out);
        }
        out.push(']');
        if let Some(sealed) = self
            .sealed
            .as_ref()
            .filter(|_| self.status != Status::InProgress)
        {
            out.push_str(",\"encrypted_content\":\"");
            out.push_str(sealed);
            out.push('"');
        }
    }
}

impl Call {
    /// Takes more of the arguments.
    pub(super) fn push(&mut self, events: &mut Events, place: &str, arguments: &str) {
        if arguments.is_empty() {
            return;
        }
        let begin = self.arguments.len();
        push_escaped(&mut self.arguments, arguments);
        events.push_text(
            "response.function_call_arguments.delta",
            place,
            "",
            "delta",
            &self.arguments[begin..],
        );
    }

    fn write(&self, out: &mut String) {
        for (before, text) in [
            (",\"call_id\":\"", &self.call_id),
            (",\"name\":\"", &self.name),
            (",\"arguments\":\"", &self.arguments),
        ] {
            out.push_str(before);
            out.push_str(text);
            out.push('"');
        }
    }
}
