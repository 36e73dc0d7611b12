//! Calls whose name has not come yet.

use serde::Deserialize;
use sluicegate_plugin::json::Text;

/// A call that waits for its name.
#[derive(Debug)]
pub(super) struct Unnamed {
    /// Its number in the chat API.
    pub(super) index: u32,
    /// With the escapes of JSON; "" until one has come.
    pub(super) id: String,
    pub(super) arguments: String,
}

impl Unnamed {
    pub(super) fn new(index: u32) -> Self {
        Self {
            index,
            id: String::new(),
            arguments: String::new(),
        }
    }

    /// Takes a part of it.
    pub(super) fn add(&mut self, id: &str, arguments: &str) {
        if self.id.is_empty() {
            self.id.push_str(id);
        }
        self.arguments.push_str(arguments);
    }
}

/// All that wait, in their order.
#[derive(Debug, Default)]
pub(super) struct Waiting(Vec<Unnamed>);

impl Waiting {
    pub(super) fn push(&mut self, call: Unnamed) {
        self.0.push(call);
    }

    /// Takes out the call that a part belongs to: another id under the same number is another call.
    pub(super) fn take(&mut self, index: u32, id: &str) -> Option<Unnamed> {
        let at = self.0.iter().rposition(|call| call.index == index)?;
        let known = &self.0[at].id;
        (id.is_empty() || known.is_empty() || id == known).then(|| self.0.remove(at))
    }

    pub(super) fn take_all(&mut self) -> Vec<Unnamed> {
        std::mem::take(&mut self.0)
    }
}

/// Whether this is a completion that is no stream.
pub(super) fn is_whole(data: &str) -> bool {
    #[derive(Deserialize)]
    struct Completion<'a> {
        #[serde(borrow)]
        object: Option<Text<'a>>,
    }
    let completion: Option<Completion<'_>> = serde_json::from_str(data).ok();
    completion
        .and_then(|it| it.object)
        .is_some_and(|Text(object)| object == "chat.completion")
}
