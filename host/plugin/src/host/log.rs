//! `log`: a guest's lines in the gateway's log.

use crate::bindings::sluicegate::plugin::log::{Host, Level};
use crate::store::State;

/// The longest message in bytes; the rest is cut off. Arbitrary, as in `wit/host.wit`.
const MESSAGE: usize = 8 << 10;

/// The longest text of fields in bytes; what is longer is left out. Arbitrary, as in `wit/host.wit`.
const FIELDS: usize = 16 << 10;

impl Host for State {
    fn write(&mut self, at: Level, message: String, fields: String) -> wasmtime::Result<()> {
        let bytes = message.len() + fields.len();
        self.charged(bytes, |state| state.log(at, &message, &fields))
    }
}

impl State {
    fn log(&mut self, at: Level, message: &str, fields: &str) {
        let message = &message[..message.floor_char_boundary(MESSAGE)];
        let too_long = (fields.len() > FIELDS)
            .then(|| format!("{{\"fields\":\"left out: {} bytes\"}}", fields.len()));
        let fields = too_long.as_deref().unwrap_or(fields);
        if !self.may_log(message.len() + fields.len()) {
            return self.owner.count_dropped_line();
        }
        let plugin = &*self.owner.name;
        let req = self.context().map(|context| &*context.identity.id);
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
    }
}
