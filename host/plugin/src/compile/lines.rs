//! The log lines of a plugin that is loaded in another process: collected there, told here.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The most lines that are collected: three calls write less. What is beyond is counted as dropped.
const LINES: usize = 400;

/// What a plugin logged.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Lines {
    lines: Vec<Line>,
    /// How many there was no room for.
    dropped: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    level: String,
    message: String,
    /// Its own fields, as JSON.
    fields: Option<String>,
}

impl Lines {
    /// Writes them to this process's log, and returns how many were dropped.
    pub(super) fn tell(self, plugin: &str) -> u32 {
        for line in self.lines {
            let Line {
                level,
                message,
                fields,
            } = line;
            match level.parse().unwrap_or(Level::INFO) {
                Level::TRACE => {
                    tracing::trace!(target: "sluicegate::plugin", plugin, fields, "{message}");
                }
                Level::DEBUG => {
                    tracing::debug!(target: "sluicegate::plugin", plugin, fields, "{message}");
                }
                Level::INFO => {
                    tracing::info!(target: "sluicegate::plugin", plugin, fields, "{message}");
                }
                Level::WARN => {
                    tracing::warn!(target: "sluicegate::plugin", plugin, fields, "{message}");
                }
                Level::ERROR => {
                    tracing::error!(target: "sluicegate::plugin", plugin, fields, "{message}");
                }
            }
        }
        self.dropped
    }
}

/// Stands in for the log of a process that has none.
#[derive(Clone, Debug, Default)]
pub(super) struct Collector(Arc<Mutex<Lines>>);

impl Collector {
    /// All that was logged until now.
    pub(super) fn take(&self) -> Lines {
        std::mem::take(&mut *self.0.lock().expect("no panic while the lock is held"))
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == "sluicegate::plugin"
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line {
            level: event.metadata().level().to_string(),
            message: String::new(),
            fields: None,
        };
        event.record(&mut line);
        let mut lines = self.0.lock().expect("no panic while the lock is held");
        if lines.lines.len() < LINES {
            lines.lines.push(line);
        } else {
            lines.dropped += 1;
        }
    }

    // There are no spans: none is enabled.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "fields" {
            self.fields = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(collector: &Collector, times: usize) {
        tracing::subscriber::with_default(collector.clone(), || {
            let plugin = "x";
            let fields = r#"{"a":1}"#;
            for _ in 0..times {
                tracing::warn!(target: "sluicegate::plugin", plugin, fields, "text");
                tracing::warn!("of somebody else");
            }
        });
    }

    #[test]
    fn a_plugins_lines_are_collected_here_and_told_there() {
        let (there, here) = (Collector::default(), Collector::default());
        log(&there, 2);
        let lines = there.take();
        tracing::subscriber::with_default(here.clone(), || assert_eq!(lines.tell("x"), 0));
        let Lines { lines, .. } = here.take();
        assert_eq!(lines.len(), 2);
        for line in lines {
            assert_eq!(
                (line.level.as_str(), line.message.as_str()),
                ("WARN", "text")
            );
            assert_eq!(line.fields.as_deref(), Some(r#"{"a":1}"#));
        }
    }

    #[test]
    fn more_lines_than_there_is_room_for_are_counted() {
        let collector = Collector::default();
        log(&collector, LINES + 3);
        let lines = collector.take();
        assert_eq!((lines.lines.len(), lines.dropped), (LINES, 3));
    }
}
