//! A stream: turns each record of the server into the chunks that OpenAI's clients expect.
//!
//! The order is role, deltas, finish for each choice, usage if wanted, `[DONE]`. The end marker comes only after a complete
//! response; after an error, and after a stream that was cut, only the missing marker tells the client so.

use sluicegate_plugin::{Event, Fault};

use super::part::{Extra, Part, Record};
use super::{
    Choice, Delta, Ending, Identity, MOST_CHOICES, Object, Shown, usage, write_call,
    write_function, write_member,
};
use crate::failure;

/// The state of one stream.
#[derive(Debug)]
pub struct Stream {
    object: Object,
    shown: Shown,
    /// Everything up to the choices.
    head: String,
    /// Whether a chunk with the usage is wanted.
    wants_usage: bool,
    choices: Vec<(u64, Choice)>,
    usage: Option<String>,
    /// Members beside the usage, a comma before each.
    beside_usage: String,
    records: u64,
    ending: Option<Ending>,
}

impl Stream {
    /// A stream at its beginning. `wants_usage` says whether a chunk with the usage is wanted.
    pub fn new(identity: &Identity, shown: Shown, wants_usage: bool) -> Self {
        let mut head = String::with_capacity(192);
        identity.write_head(&mut head, true);
        Self {
            object: identity.object,
            shown,
            head,
            wants_usage,
            choices: Vec::new(),
            usage: None,
            beside_usage: String::new(),
            records: 0,
            ending: None,
        }
    }

    /// How the response ended; `None` before its end.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Whether the response is complete although the server would send more.
    pub fn is_cut(&self) -> bool {
        self.ending.is_some() && self.choices.iter().any(|(_, choice)| choice.is_cut())
    }

    /// The usage so far, marked as partial.
    pub fn partial_usage(&self) -> String {
        match &self.usage {
            Some(usage) => format!(
                "{},\"partial\":true}}",
                usage.strip_suffix('}').unwrap_or(usage)
            ),
            None => usage::partial(self.records),
        }
    }

    /// Takes an event and appends its chunks.
    ///
    /// # Errors
    /// The server's error in mid-stream, or 502 `upstream_invalid` for an invalid event.
    pub fn push(&mut self, event: &Event, out: &mut Vec<Event>) -> Result<(), Fault> {
        let data = event.data.trim_ascii();
        if self.ending.is_some() || data.is_empty() {
            return Ok(());
        }
        if data == "[DONE]" {
            return self.done(out);
        }
        if event.name == "error" {
            return Err(failure::of_event(data));
        }
        let data = self.shown.habits.translated(data)?;
        let record = Record::read(&data)?;
        if let Some(usage) = self.shown.usage(record.usage) {
            // The last one counts: with continuous usage it is the total.
            self.usage = Some(usage);
        }
        if record.parts.is_empty() {
            self.beside_usage.clear();
            self.shown
                .write_extra(&mut self.beside_usage, &record.extra);
            return Ok(());
        }
        self.records += 1;
        let most = self.shown.habits.most_tokens;
        let is_last = most.is_some_and(|most| self.records >= most);
        let none = Extra::new();
        for (at, part) in record.parts.into_iter().enumerate() {
            let extra = if at == 0 { &record.extra } else { &none };
            self.part(at, part, (extra, is_last), out)?;
        }
        if self.choices.iter().any(|(_, choice)| choice.is_cut()) {
            self.usage = Some(self.partial_usage());
            return self.done(out);
        }
        Ok(())
    }

    /// Takes the end of the response, which some servers send without the end marker.
    ///
    /// # Errors
    /// 502 `upstream_truncated` if the response is not complete.
    pub fn end(&mut self, out: &mut Vec<Event>) -> Result<(), Fault> {
        if self.ending.is_some() {
            return Ok(());
        }
        let finished = self
            .choices
            .iter()
            .all(|(_, choice)| choice.finish().is_some());
        if self.choices.is_empty() || !finished {
            return Err(failure::truncated());
        }
        self.done(out)
    }

    fn part(
        &mut self,
        at: usize,
        part: Part<'_>,
        (extra, is_last): (&Extra<'_>, bool),
        out: &mut Vec<Event>,
    ) -> Result<(), Fault> {
        let index = part.index.unwrap_or(at as u64);
        if index >= MOST_CHOICES {
            return Err(failure::nonsense());
        }
        let before = out.len();
        let known = self.choices.iter().position(|(known, _)| *known == index);
        let place = known.unwrap_or_else(|| {
            self.choices.push((index, Choice::new(&self.shown)));
            self.choices.len() - 1
        });
        let choice_extra = part.extra.clone();
        let deltas = self.choices[place].1.take(part, &self.shown, is_last)?;
        if known.is_none() && self.object == Object::Chat {
            let role = "{\"role\":\"assistant\",\"content\":\"\"}";
            out.push(self.chunk(index, &["\"delta\":", role, ",\"finish_reason\":null"]));
        }
        for delta in deltas {
            out.push(self.delta(index, delta));
        }
        if out.len() > before {
            self.decorate(out, before, &choice_extra, extra);
        }
        Ok(())
    }

    /// Adds the server's own members: those of the choice to its last chunk, those of the record to its first one.
    fn decorate(&self, out: &mut [Event], first: usize, choice: &Extra<'_>, record: &Extra<'_>) {
        let insert = |event: &mut Event, ending: usize, extra: &Extra<'_>| {
            let mut members = String::new();
            self.shown.write_extra(&mut members, extra);
            let at = event.data.len() - ending;
            event.data.insert_str(at, &members);
        };
        if let Some(last) = out.last_mut() {
            insert(last, "}]}".len(), choice);
        }
        insert(&mut out[first], "}".len(), record);
    }

    fn delta(&self, index: u64, delta: Delta<'_>) -> Event {
        const OPEN: &str = "\"delta\":{";
        const CLOSE: &str = "},\"finish_reason\":null";
        let mut members = String::with_capacity(64);
        match delta {
            Delta::Content(text, None) => {
                return self.chunk(index, &[OPEN, "\"content\":", &text, CLOSE]);
            }
            Delta::Content(text, Some(logprobs)) => {
                let parts = [
                    OPEN,
                    "\"content\":",
                    &text,
                    "},\"logprobs\":",
                    &logprobs,
                    ",\"finish_reason\":null",
                ];
                return self.chunk(index, &parts);
            }
            Delta::Text(text, logprobs) => {
                let logprobs = logprobs.map_or("null", serde_json::value::RawValue::get);
                let parts = [
                    "\"text\":",
                    &*text,
                    ",\"logprobs\":",
                    logprobs,
                    ",\"finish_reason\":null",
                ];
                return self.chunk(index, &parts);
            }
            Delta::Finish(reason) => {
                let open = match self.object {
                    Object::Chat => "\"delta\":{},\"finish_reason\":\"",
                    Object::Text => "\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"",
                };
                return self.chunk(index, &[open, reason, "\""]);
            }
            Delta::Thoughts(text) => self.shown.write_thoughts(&mut members, &text),
            Delta::Member(name, raw) => write_member(&mut members, &name, raw.get()),
            Delta::Function { name, arguments } => {
                write_function(&mut members, name.as_deref(), &arguments);
            }
            Delta::Call {
                at,
                id,
                name,
                arguments,
            } => {
                open_call(&mut members, at);
                write_call(&mut members, &id, &name, &arguments);
                members.push_str("}]");
            }
            Delta::Arguments { at, arguments } => {
                open_call(&mut members, at);
                members.push_str("\"function\":{\"arguments\":\"");
                members.push_str(&arguments);
                members.push_str("\"}}]");
            }
        }
        self.chunk(index, &[OPEN, &members, CLOSE])
    }

    /// Ends the response.
    fn done(&mut self, out: &mut Vec<Event>) -> Result<(), Fault> {
        if self.choices.is_empty() {
            return Err(failure::truncated());
        }
        for place in 0..self.choices.len() {
            let index = self.choices[place].0;
            for delta in self.choices[place].1.end_without_reason(&self.shown) {
                out.push(self.delta(index, delta));
            }
        }
        if let Some(usage) = self.usage.as_ref().filter(|_| self.wants_usage) {
            out.push(Event::data(
                [
                    &*self.head,
                    "]",
                    &self.beside_usage,
                    ",\"usage\":",
                    usage,
                    "}",
                ]
                .concat(),
            ));
        }
        out.push(Event::data("[DONE]"));
        self.ending = Some(Ending {
            finish: self.choices[0].1.finish().unwrap_or("stop"),
            usage: self.usage.clone(),
        });
        Ok(())
    }

    fn chunk(&self, index: u64, parts: &[&str]) -> Event {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut data = String::with_capacity(self.head.len() + length + 32);
        data.push_str(&self.head);
        data.push_str("{\"index\":");
        sluicegate_plugin::json::push_u64(&mut data, index);
        data.push(',');
        for part in parts {
            data.push_str(part);
        }
        data.push_str("}]}");
        Event::data(data)
    }
}

fn open_call(out: &mut String, at: usize) {
    out.push_str("\"tool_calls\":[{\"index\":");
    sluicegate_plugin::json::push_u64(out, at as u64);
    out.push(',');
}
