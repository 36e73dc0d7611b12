//! The response: from a completion, or the chunks of one, to a response object and its events.
//!
//! | of the chat API | here |
//! | --- | --- |
//! | `reasoning` | an item `reasoning`, which is done when something else begins |
//! | `content`, `refusal` | the parts of one item `message` |
//! | each tool call | an item `function_call` |
//! | the finish reason `length`, `content_filter` | the status `incomplete`; the item that was written last is incomplete too |
//! | an error in mid-stream | the status `failed`, with the items so far |
//!
//! Messages and calls are done at the end, in their order: in the chat API nothing says before that one is complete, and the
//! parts of several calls may alternate. Every text is kept with the escapes of JSON, because it is written several times.

use sluicegate_plugin::chat::{Call, Choice, Completion, Streamed, Usage};
use sluicegate_plugin::json::{Text, push_escaped, push_u64};
use sluicegate_plugin::{Event, Fault};

mod events;
mod item;
mod logprobs;
mod object;
mod unnamed;

pub use object::counted;

use crate::failure;
use crate::request::{Asked, Echo, Shown};
use events::Events;
use item::{Item, PartKind, Status};
use unnamed::{Unnamed, Waiting};

/// A response, as far as it has come.
#[derive(Debug)]
pub struct Assembly {
    /// What the id of the response and those of its items have in common.
    id: String,
    created: u64,
    echo: Echo,
    shown: Shown,
    items: Vec<Item>,
    /// Calls that become items with their name.
    unnamed: Waiting,
    /// The item that was written last.
    last: usize,
    events: Events,
    /// How the completion ends, once that has come.
    ending: Option<Ending>,
    usage: Option<Usage>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has come.
    Fresh,
    /// `response.created` is out.
    Begun,
    /// The last event is out: nothing may follow.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Complete,
    /// With the reason.
    Incomplete(&'static str),
}

/// The status of a response, with what belongs to it.
enum State<'a> {
    Created,
    InProgress,
    Ended(Ending),
    /// With the status and the canonical error.
    Failed(u16, &'a str),
}

impl Assembly {
    /// The response to a request, created at this time, in seconds since 1970. Takes what it needs of `asked`.
    pub fn new(asked: &mut Asked, created: u64) -> Self {
        Self {
            id: std::mem::take(&mut asked.id),
            created,
            echo: std::mem::take(&mut asked.echo),
            shown: asked.shown,
            items: Vec::new(),
            unnamed: Waiting::default(),
            last: 0,
            events: Events::new(asked.stream),
            ending: None,
            usage: None,
            phase: Phase::Fresh,
        }
    }

    /// Whether there are events, so that an error has to be one too.
    pub fn has_begun(&self) -> bool {
        self.phase != Phase::Fresh
    }

    /// The events since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.events.take()
    }

    /// Takes the data of an event, or a whole completion.
    ///
    /// # Errors
    /// The error that it is, or 502 `upstream_invalid`.
    pub fn push(&mut self, data: &str) -> Result<(), Fault> {
        match Streamed::read(data) {
            _ if self.phase == Phase::Ended => {}
            Some(Streamed::Chunk(completion)) => self.completion(&completion, data),
            Some(Streamed::Done) => {
                self.begin();
                self.complete(self.ending.unwrap_or(Ending::Complete));
            }
            Some(Streamed::Error(error)) => return Err(failure::of_event(&error)),
            None => return Err(failure::nonsense()),
        }
        Ok(())
    }

    /// The end of what the model server sends.
    ///
    /// # Errors
    /// 502 `upstream_truncated` if the response is not complete.
    pub fn finish(&mut self) -> Result<(), Fault> {
        match self.ending {
            _ if self.phase == Phase::Ended => Ok(()),
            // A completion that is no stream has no end marker.
            Some(ending) => {
                self.complete(ending);
                Ok(())
            }
            None => Err(failure::truncated()),
        }
    }

    /// An error in mid-stream, with its status and its canonical form.
    pub fn fail(&mut self, status: u16, error: &str) {
        if self.phase == Phase::Ended {
            return;
        }
        self.begin();
        for item in &mut self.items {
            item.close(Status::Incomplete);
        }
        self.end(&State::Failed(status, error));
    }

    /// The response as one object.
    pub fn object(&self) -> String {
        let mut out = String::with_capacity(1024 + self.echo.json.len());
        self.write(
            &mut out,
            &State::Ended(self.ending.unwrap_or(Ending::Complete)),
        );
        out
    }

    fn completion(&mut self, completion: &Completion<'_>, data: &str) {
        self.begin();
        self.usage = completion.usage.or(self.usage);
        // There is only one: `n` is refused.
        if let Some(choice) = completion.choices.iter().find(|choice| choice.index == 0) {
            self.choice(choice, data);
        }
    }

    fn choice(&mut self, choice: &Choice<'_>, data: &str) {
        let message = &choice.message;
        if let Some(text) = message.reasoning().filter(|text| !text.is_empty()) {
            self.reasoning(text);
        }
        let logprobs = choice.logprobs.filter(|_| self.shown.logprobs);
        let logprobs = logprobs.map(logprobs::translate).unwrap_or_default();
        let text = message.content.as_ref().map_or("", |Text(text)| text);
        if !text.is_empty() || !logprobs.is_empty() {
            self.said(PartKind::Text, text, &logprobs);
        }
        if let Some(Text(text)) = message
            .refusal
            .as_ref()
            .filter(|Text(text)| !text.is_empty())
        {
            self.said(PartKind::Refusal, text, "");
        }
        // In a completion that is no stream the calls have no index, and only their place tells those without an id apart.
        let is_whole = message.tool_calls.len() > 1 && unnamed::is_whole(data);
        for (at, call) in (0..).zip(&message.tool_calls) {
            self.call(if is_whole { at } else { call.index }, call);
        }
        if let Some(Text(reason)) = &choice.finish_reason {
            self.ending = Some(match &**reason {
                "length" => Ending::Incomplete("max_output_tokens"),
                "content_filter" => Ending::Incomplete("content_filter"),
                _ => Ending::Complete,
            });
        }
    }

    /// The first events, if they are not out yet.
    fn begin(&mut self) {
        if self.phase != Phase::Fresh {
            return;
        }
        self.phase = Phase::Begun;
        self.report("response.created", &State::Created);
        self.report("response.in_progress", &State::InProgress);
    }

    fn reasoning(&mut self, text: &str) {
        let open = self.items.last().is_some_and(Item::is_open_reasoning);
        if !open {
            self.add(Item::reasoning(self.shown));
        }
        self.last = self.items.len() - 1;
        let place = self.place(self.last);
        if let Item::Reasoning(reasoning) = &mut self.items[self.last] {
            reasoning.push(&mut self.events, &place, text);
        }
    }

    /// Ends the thoughts, if they have not ended yet: something else begins.
    fn end_reasoning(&mut self) {
        if let Some(at) = self.items.iter().rposition(Item::is_open_reasoning) {
            self.close(at, Status::Completed);
        }
    }

    fn said(&mut self, kind: PartKind, text: &str, logprobs: &str) {
        self.end_reasoning();
        let at = match self.items.iter().position(Item::is_message) {
            Some(at) => at,
            None => self.add(Item::message()),
        };
        self.last = at;
        let place = self.place(at);
        if let Item::Message(message) = &mut self.items[at] {
            message.push(&mut self.events, &place, kind, text, logprobs);
        }
    }

    /// Takes a call, or a part of one. It becomes an item once its name is known, as the first event of an item has that.
    fn call(&mut self, index: u32, delta: &Call<'_>) {
        self.end_reasoning();
        let text = |text: &Option<Text<'_>>| text.as_ref().map_or("", |Text(text)| text).to_owned();
        let mut id = String::new();
        push_escaped(&mut id, &text(&delta.id));
        let name = text(&delta.function.name);
        let arguments = text(&delta.function.arguments);
        if let Some(mut call) = self.unnamed.take(index, &id) {
            call.add(&id, &arguments);
            self.named(call, &name);
            return;
        }
        let known = self.items.iter().rposition(|item| match item {
            Item::Call(call) => call.index == index,
            Item::Reasoning(_) | Item::Message(_) => false,
        });
        let known = known.filter(|&at| match &self.items[at] {
            // One whose id was made here keeps it if another one comes late.
            Item::Call(call) => id.is_empty() || call.is_id_made || call.call_id == id,
            Item::Reasoning(_) | Item::Message(_) => false,
        });
        match known {
            Some(at) => self.argue(at, &arguments),
            None => {
                let mut call = Unnamed::new(index);
                call.add(&id, &arguments);
                self.named(call, &name);
            }
        }
    }

    /// Makes an item of a call that has its name now; otherwise it waits.
    fn named(&mut self, call: Unnamed, name: &str) {
        if name.is_empty() {
            self.unnamed.push(call);
        } else {
            self.add_call(call, name);
        }
    }

    fn add_call(&mut self, call: Unnamed, name: &str) {
        let is_id_made = call.id.is_empty();
        let mut id = call.id;
        if is_id_made {
            id.push_str("call_");
            id.push_str(&self.id);
            push_u64(&mut id, self.items.len() as u64);
        }
        let at = self.add(Item::call(call.index, id, is_id_made, name));
        self.argue(at, &call.arguments);
    }

    /// Appends to the arguments of a call.
    fn argue(&mut self, at: usize, arguments: &str) {
        self.last = at;
        let place = self.place(at);
        if let Item::Call(call) = &mut self.items[at] {
            call.push(&mut self.events, &place, arguments);
        }
    }

    fn add(&mut self, item: Item) -> usize {
        let at = self.items.len();
        self.items.push(item);
        let (id, item) = (&self.id, &self.items[at]);
        self.events.push("response.output_item.added", |out| {
            item::push_event(out, id, at, item);
        });
        let place = self.place(at);
        if let Item::Reasoning(reasoning) = &self.items[at] {
            reasoning.begin(&mut self.events, &place);
        }
        at
    }

    fn close(&mut self, at: usize, status: Status) {
        let place = self.place(at);
        self.items[at].end(&mut self.events, &place);
        self.items[at].close(status);
        let (id, item) = (&self.id, &self.items[at]);
        self.events.push("response.output_item.done", |out| {
            item::push_event(out, id, at, item);
        });
    }

    fn complete(&mut self, ending: Ending) {
        // A client sees that the model called something, if without a name.
        for call in self.unnamed.take_all() {
            self.add_call(call, "");
        }
        let is_silent = self.items.iter().all(Item::is_reasoning);
        if is_silent && ending == Ending::Complete {
            // Who reads the message finds one, if an empty one.
            self.said(PartKind::Text, "", "");
        }
        for at in 0..self.items.len() {
            if !self.items[at].is_open() {
                continue;
            }
            let is_cut = ending != Ending::Complete && at == self.last;
            let status = if is_cut {
                Status::Incomplete
            } else {
                Status::Completed
            };
            self.close(at, status);
        }
        self.ending = Some(ending);
        self.end(&State::Ended(ending));
    }

    fn end(&mut self, state: &State<'_>) {
        self.phase = Phase::Ended;
        let name = match state {
            State::Created => "response.created",
            State::InProgress => "response.in_progress",
            State::Ended(Ending::Complete) => "response.completed",
            State::Ended(Ending::Incomplete(_)) => "response.incomplete",
            State::Failed(..) => "response.failed",
        };
        self.report(name, state);
    }

    /// The event that has the whole response.
    fn report(&mut self, name: &'static str, state: &State<'_>) {
        let mut events = std::mem::take(&mut self.events);
        events.push(name, |out| {
            out.push_str(",\"response\":");
            self.write(out, state);
        });
        self.events = events;
    }

    /// Where an item is: the members of its events.
    fn place(&self, at: usize) -> String {
        let mut place = String::with_capacity(64);
        place.push_str(",\"item_id\":\"");
        self.items[at].push_id(&mut place, &self.id, at);
        place.push_str("\",\"output_index\":");
        push_u64(&mut place, at as u64);
        place
    }
}

#[cfg(test)]
mod tests;
