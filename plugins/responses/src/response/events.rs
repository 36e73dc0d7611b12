//! The events of a response, with their numbers.

use sluicegate_plugin::Event;
use sluicegate_plugin::json::push_u64;

/// The events that are not sent yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Whether the client wants any.
    wanted: bool,
    number: u64,
    list: Vec<Event>,
}

impl Events {
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    /// Appends an event; `write` appends its members, with a comma before each.
    pub(super) fn push(&mut self, name: &'static str, write: impl FnOnce(&mut String)) {
        if !self.wanted {
            return;
        }
        let mut data = String::with_capacity(256);
        data.push_str("{\"type\":\"");
        data.push_str(name);
        data.push_str("\",\"sequence_number\":");
        push_u64(&mut data, self.number);
        write(&mut data);
        data.push('}');
        self.number += 1;
        self.list.push(Event {
            name: name.to_owned(),
            ..Event::data(data)
        });
    }

    /// Appends an event with these members: the place of an item, further JSON, and a text with its escapes.
    pub(super) fn push_text(
        &mut self,
        name: &'static str,
        place: &str,
        further: &str,
        member: &str,
        text: &str,
    ) {
        self.push(name, |out| {
            out.push_str(place);
            out.push_str(further);
            out.push_str(",\"");
            out.push_str(member);
            out.push_str("\":\"");
            out.push_str(text);
            out.push('"');
        });
    }

    pub(super) fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.list)
    }
}
