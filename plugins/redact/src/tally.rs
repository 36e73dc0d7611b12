//! What was hidden in an exchange: how often by which rule, and what the placeholders stand for.

use std::collections::BTreeMap;

use serde::Serialize;
use sluicegate_plugin::json::push_escaped;
use sluicegate_plugin::window::Matched;

use crate::rules::Side;
use crate::vault::Vault;

/// The tally of an exchange.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) vault: Vault,
    counts: Counts,
}

/// How often something was hidden, by rule; the value of the note. It never has what was hidden.
#[derive(Debug, Default, Serialize)]
struct Counts {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    request: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    response: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "is_zero")]
    restored: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Tally {
    pub(crate) fn count(&mut self, side: Side, rule: &str) {
        let counts = match side {
            Side::Request => &mut self.counts.request,
            Side::Response => &mut self.counts.response,
        };
        match counts.get_mut(rule) {
            Some(count) => *count += 1,
            None => {
                counts.insert(rule.to_owned(), 1);
            }
        }
    }

    /// How often something was hidden or put back.
    pub(crate) fn hits(&self) -> u64 {
        let hidden = self
            .counts
            .request
            .values()
            .chain(self.counts.response.values());
        hidden.sum::<u64>() + self.counts.restored
    }

    /// Puts back what a placeholder stands for. If something else came in the middle of it, it stays as the model wrote it.
    pub(crate) fn restore(&mut self, placeholder: Matched<'_>, out: &mut String) {
        match self.vault.text(placeholder.text) {
            Some(text) if placeholder.sent == 0 => {
                self.counts.restored += 1;
                if placeholder.text.contains('\\') {
                    // It stands in JSON within a text.
                    push_escaped(out, text);
                } else {
                    out.push_str(text);
                }
            }
            Some(_) | None => out.push_str(&placeholder.text[placeholder.sent..]),
        }
    }

    /// The counts, if there are any.
    pub(crate) fn note(&self) -> Option<&(impl Serialize + use<>)> {
        let Counts {
            request,
            response,
            restored,
        } = &self.counts;
        let is_empty = request.is_empty() && response.is_empty() && *restored == 0;
        (!is_empty).then_some(&self.counts)
    }
}
