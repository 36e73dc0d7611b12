//! The calls of tools in a stream: blocks one after the other, from parts that may come mixed.

use sluicegate_plugin::chat::Call as Part;
use sluicegate_plugin::json::{self, Text};
use sluicegate_plugin::{Event, Fault};

use super::{Blocks, Open};
use crate::arguments::Arguments;
use crate::{failure, message};

/// All calls of a message.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// The id of the message.
    id: String,
    calls: Vec<Call>,
    /// How many of them are closed.
    closed: usize,
}

/// One call.
#[derive(Debug, Default)]
struct Call {
    /// Its number in the canonical message.
    index: u32,
    id: String,
    name: String,
    arguments: Arguments,
    /// What the client does not have yet of the arguments.
    waiting: String,
    is_open: bool,
}

impl Calls {
    /// None yet, of a message with this id.
    pub(super) fn of(id: String) -> Self {
        Self {
            id,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Takes a part of a call, and sends what can be sent.
    pub(super) fn take(&mut self, part: &Part<'_>, blocks: &mut Blocks, out: &mut Vec<Event>) {
        let id = part.id.as_ref().map_or("", |Text(id)| id);
        // A call may have no id, or a late one; another id under the same index is another call.
        let known = self
            .calls
            .iter()
            .rposition(|call| call.index == part.index)
            .filter(|&at| {
                let known = &self.calls[at].id;
                id.is_empty() || known.is_empty() || id == known
            });
        let at = known.unwrap_or_else(|| {
            self.calls.push(Call {
                index: part.index,
                ..Call::default()
            });
            self.calls.len() - 1
        });
        self.calls[at].take(part);
        self.send(blocks, out);
    }

    /// Sends what is left. `is_cut` says that the limit of tokens was reached.
    ///
    /// # Errors
    /// 502 `upstream_invalid` for a call without a name, and for arguments that are no object although nothing was cut.
    pub(super) fn finish(
        &mut self,
        is_cut: bool,
        blocks: &mut Blocks,
        out: &mut Vec<Event>,
    ) -> Result<(), Fault> {
        while let Some(call) = self.calls.get_mut(self.closed) {
            if call.name.is_empty() {
                return Err(failure::broken_call());
            }
            call.send((&self.id, self.closed), blocks, out);
            if !(is_cut || call.arguments.is_complete() || call.arguments.is_blank()) {
                return Err(failure::broken_call());
            }
            self.closed += 1;
        }
        Ok(())
    }

    /// Sends what there is of the first call that is not closed; and of the next one, if the first is complete.
    fn send(&mut self, blocks: &mut Blocks, out: &mut Vec<Event>) {
        while let Some(call) = self.calls.get_mut(self.closed) {
            if call.name.is_empty() {
                return;
            }
            call.send((&self.id, self.closed), blocks, out);
            let is_last = self.closed + 1 == self.calls.len();
            if is_last || !self.calls[self.closed].arguments.is_complete() {
                return;
            }
            self.closed += 1;
        }
    }
}

impl Call {
    fn take(&mut self, part: &Part<'_>) {
        let first = |known: &mut String, text: &Option<Text<'_>>| {
            if let Some(Text(text)) = text.as_ref().filter(|_| known.is_empty()) {
                known.push_str(text);
            }
        };
        first(&mut self.id, &part.id);
        first(&mut self.name, &part.function.name);
        if let Some(Text(text)) = &part.function.arguments {
            self.waiting.push_str(self.arguments.take(text));
        }
    }

    fn send(&mut self, (id, at): (&str, usize), blocks: &mut Blocks, out: &mut Vec<Event>) {
        if !self.is_open {
            self.is_open = true;
            let mut block = String::from("\"type\":\"tool_use\",\"id\":");
            if self.id.is_empty() {
                json::push_str(&mut block, &message::id_of_call(id, at));
            } else {
                json::push_str(&mut block, &self.id);
            }
            block.push_str(",\"name\":");
            json::push_str(&mut block, &self.name);
            block.push_str(",\"input\":{}");
            blocks.begin(Open::Call, &block, out);
        }
        if !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            blocks.delta("input_json_delta", "partial_json", &waiting, out);
        }
    }
}
