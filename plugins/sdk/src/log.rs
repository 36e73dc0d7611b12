//! Structured log lines. The gateway adds the plugin's name and, within an exchange, its request id.
//!
//! ```
//! use sluicegate_plugin::log;
//! log::info("keys loaded").field("count", &3).field("source", "file").write();
//! ```
//! At most 100 lines per call are written; further lines are counted and dropped. In a native test the lines can be read
//! with [`testing::take_logs`](crate::testing::take_logs).

use serde::Serialize;

use crate::json;

/// Room for the fields of a usual line, to avoid reallocations.
const USUAL: usize = 512;

/// What an operator should do about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the plugin's author, in great detail.
    Trace,
    /// For the plugin's author.
    Debug,
    /// Worth knowing; nothing to do.
    Info,
    /// Look at it when there is time.
    Warn,
    /// Look at it now.
    Error,
}

/// A line under construction; nothing happens until [`Line::write`].
#[must_use = "a line is written by `.write()`"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The level.
    pub level: Level,
    /// The message: a constant sentence. What varies belongs into fields.
    pub message: String,
    /// The fields as the text of a JSON object, without its closing brace; empty if there are none.
    json: String,
}

/// A line of any level.
pub fn line(level: Level, message: impl Into<String>) -> Line {
    Line {
        level,
        message: message.into(),
        json: String::new(),
    }
}

/// A line for the plugin's author.
pub fn debug(message: impl Into<String>) -> Line {
    line(Level::Debug, message)
}

/// A line worth knowing.
pub fn info(message: impl Into<String>) -> Line {
    line(Level::Info, message)
}

/// A line to look at when there is time.
pub fn warn(message: impl Into<String>) -> Line {
    line(Level::Warn, message)
}

/// A line to look at now.
pub fn error(message: impl Into<String>) -> Line {
    line(Level::Error, message)
}

impl Line {
    /// Adds a field. A value that cannot be JSON is left out.
    pub fn field<T: Serialize + ?Sized>(self, name: &str, value: &T) -> Self {
        match serde_json::to_string(value) {
            Ok(json) => self.json(name, &json),
            Err(_) => self,
        }
    }

    /// Adds a field whose value is JSON text. The text is not checked: if it is not JSON, the line keeps all its fields as
    /// one text.
    pub fn json(mut self, name: &str, json: &str) -> Self {
        self.write_json(name, |out| out.push_str(json));
        self
    }

    /// Adds a field whose value `write` appends, as JSON text: for many fields on a hot path, see
    /// [`mod@json`].
    pub fn write_json(&mut self, name: &str, write: impl FnOnce(&mut String)) {
        let out = &mut self.json;
        if out.is_empty() {
            out.reserve(USUAL);
        }
        out.push(if out.is_empty() { '{' } else { ',' });
        json::push_str(out, name);
        out.push(':');
        write(out);
    }

    /// The fields as the text of a JSON object.
    pub fn fields(&self) -> String {
        object(self.json.clone())
    }

    /// Writes the line to the gateway's log.
    pub fn write(self) {
        #[cfg(target_family = "wasm")]
        {
            use crate::bindings::imports::log;
            let level = match self.level {
                Level::Trace => log::Level::Trace,
                Level::Debug => log::Level::Debug,
                Level::Info => log::Level::Info,
                Level::Warn => log::Level::Warn,
                Level::Error => log::Level::Error,
            };
            log::write(level, &self.message, &object(self.json));
        }
        #[cfg(not(target_family = "wasm"))]
        crate::testing::host::record(self);
    }
}

/// Fields as the text of a JSON object, from such a text without its closing brace.
fn object(mut json: String) -> String {
    if json.is_empty() {
        json.push('{');
    }
    json.push('}');
    json
}
