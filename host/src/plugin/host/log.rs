//! `log`: a guest's lines in the gateway's log.

use serde_json::value::RawValue;

use crate::plugin::bindings::filter::sluicegate::plugin::log::{Host, Level};
use crate::plugin::instance::State;

impl Host for State {
    fn write(
        &mut self,
        at: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let Some(left) = self.lines_left.checked_sub(1) else {
            self.owner.count_dropped_line();
            return Ok(());
        };
        self.lines_left = left;
        let plugin = &*self.owner.name;
        let req = self.context.as_ref().map(|context| &*context.id);
        let fields = object(&fields);
        match at {
            Level::Trace => {
                tracing::trace!(target: "sluicegate::plugin", plugin, req, fields, "{message}")
            }
            Level::Debug => {
                tracing::debug!(target: "sluicegate::plugin", plugin, req, fields, "{message}")
            }
            Level::Info => {
                tracing::info!(target: "sluicegate::plugin", plugin, req, fields, "{message}")
            }
            Level::Warn => {
                tracing::warn!(target: "sluicegate::plugin", plugin, req, fields, "{message}")
            }
            Level::Error => {
                tracing::error!(target: "sluicegate::plugin", plugin, req, fields, "{message}")
            }
        }
        Ok(())
    }
}

/// The pairs as a JSON object, in their order; a value that is not JSON becomes a string.
fn object(fields: &[(String, String)]) -> String {
    let mut text = String::from("{");
    for (at, (name, value)) in fields.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&quoted(name));
        text.push(':');
        match serde_json::from_str::<&RawValue>(value) {
            Ok(json) => text.push_str(json.get()),
            Err(_) => text.push_str(&quoted(value)),
        }
    }
    text.push('}');
    text
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string always serialises")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_json_and_the_rest_becomes_strings() {
        let fields = [
            ("a", "1"),
            ("b", "\"x\""),
            ("c", "plain \"text\""),
            ("d\n", "{\"e\":null}"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(
            object(&fields),
            r#"{"a":1,"b":"x","c":"plain \"text\"","d\n":{"e":null}}"#
        );
    }
}
