//! `log`: a guest's lines in the gateway's log.

use crate::plugin::bindings::sluicegate::plugin::log::{Host, Level};
use crate::plugin::store::State;

impl Host for State {
    fn write(&mut self, at: Level, message: String, fields: String) -> wasmtime::Result<()> {
        let Some(left) = self.lines_left.checked_sub(1) else {
            self.owner.count_dropped_line();
            return Ok(());
        };
        self.lines_left = left;
        let plugin = &*self.owner.name;
        let req = self.context.as_ref().map(|context| &*context.identity.id);
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
