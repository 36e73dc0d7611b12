//! Logs: one line per event, on standard output, as JSON or for people.
//!
//! Responsible for the form of a line. Lines go to standard output, so that the operator decides where they end up (as in a
//! twelve-factor app); errors of the command line go to standard error. No exchange waits for a line to be written
//! ([`queue`]). Not responsible for what is logged.
//!
//! # Shape
//! A JSON line has `ts`, `level`, `target` and `msg`, then the event's own fields and those of its spans, inner spans first.
//! If a name occurs twice, the first one counts. A text line has the same content. No text from outside can forge a line or a
//! terminal's control sequence: control characters and those that change the writing direction are escaped.
//!
//! An event with the target `sluicegate::plugin` and a field `fields` comes from a plugin: the members of that JSON object
//! become fields of the line. If a field of that name exists already, the member's name gets a `_` at its end.

use std::borrow::Cow;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::SystemTime;

use serde_json::Value;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Registry, reload};

use self::fields::Fields;
use self::queue::Queue;
use super::names::field;
use sluicegate_config::{Log, LogFormat};

mod fields;
mod line;
mod queue;

pub(super) use self::queue::dropped;
pub use self::queue::flush;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level is not a valid filter.
    #[error("the log level {level:?} is not a filter")]
    Level {
        /// The configured level.
        level: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// The thread that writes could not be started.
    #[error("its thread cannot be started: {0}")]
    Thread(#[source] io::Error),
    /// Logging has been set up before.
    #[error("logging is set up already")]
    Twice(#[from] TryInitError),
}

/// Sets up logging for the process. In the form `text`, a terminal gets colours, unless `NO_COLOR` is set.
///
/// # Errors
/// [`Error::Level`], which a validated configuration does not have; [`Error::Thread`]; [`Error::Twice`].
pub fn init(log: &Log) -> Result<(), Error> {
    let level = |source| Error::Level {
        level: log.level.clone(),
        source,
    };
    let filter = EnvFilter::builder().parse(&log.level).map_err(level)?;
    let form = match log.format {
        LogFormat::Json => Form::Json,
        LogFormat::Text => Form::Text {
            color: may_color(&io::stdout()),
        },
    };
    let queue = Queue::to_stdout().map_err(Error::Thread)?;
    install(filter, Lines::new(form, queue))
}

/// Sets up logging for a command that prints its results: as text on standard error, written at once.
///
/// # Errors
/// As [`init`].
pub fn init_stderr(level: &str) -> Result<(), Error> {
    let filter = EnvFilter::builder().parse(level);
    let filter = filter.map_err(|source| Error::Level {
        level: level.to_owned(),
        source,
    })?;
    let form = Form::Text {
        color: may_color(&io::stderr()),
    };
    install(filter, Lines::new(form, io::stderr))
}

fn may_color(output: &impl IsTerminal) -> bool {
    output.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn install<W>(filter: EnvFilter, lines: Lines<W>) -> Result<(), Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter);
    Registry::default().with(filter).with(lines).try_init()?;
    // The subscriber is the process's only one, so that this is its filter.
    let _ = FILTER.set(handle);
    Ok(())
}

/// The filter of the process's log, once it is set up.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Sets another level for the log of this process, if [`init`] has set one up.
///
/// # Errors
/// [`Error::Level`], which a validated configuration does not have.
pub fn set_level(level: &str) -> Result<(), Error> {
    let filter = EnvFilter::builder().parse(level);
    let filter = filter.map_err(|source| Error::Level {
        level: level.to_owned(),
        source,
    })?;
    if let Some(handle) = FILTER.get() {
        // Fails only when the subscriber is gone, and with it the log.
        let _ = handle.reload(filter);
    }
    Ok(())
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A JSON object.
    Json,
    /// Words for people.
    Text {
        /// Whether it has colours, for a terminal.
        color: bool,
    },
}

/// Writes events as lines.
#[derive(Debug)]
pub struct Lines<W> {
    form: Form,
    writer: W,
    clock: fn() -> SystemTime,
}

impl<W> Lines<W> {
    /// Writes lines of this form, one `write` per line.
    pub const fn new(form: Form, writer: W) -> Self {
        Self {
            form,
            writer,
            clock: SystemTime::now,
        }
    }

    /// Replaces the clock.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> SystemTime) -> Self {
        Self { clock, ..self }
    }
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.take("message").map_or_else(String::new, text_of);
        let guest = match metadata.target() {
            field::PLUGIN_TARGET => fields.take(field::FIELDS),
            _ => None,
        };
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.add_missing(outer);
            }
        }
        let guest = guest.map(text_of);
        let members = match &guest {
            Some(text) => fields::members(text, &fields),
            None => Ok(fields::Members::default()),
        };
        let members = members.unwrap_or_else(|_| {
            let text = guest.clone().unwrap_or_default();
            fields.set(field::FIELDS.into(), text.into());
            fields::Members::default()
        });
        if members.left_out > 0 {
            fields.set("fields_left_out".into(), members.left_out.into());
        }
        let line = line::Line {
            at: (self.clock)(),
            level: *metadata.level(),
            target: metadata.target(),
            message: &message,
            fields: &fields,
            members: &members.list,
        };
        let text = match self.form {
            Form::Json => line.json(),
            Form::Text { color } => line.text(color),
        };
        // Nothing can be done about a log that cannot be written, and serving must go on.
        drop(
            self.writer
                .make_writer_for(metadata)
                .write_all(text.as_bytes()),
        );
    }
}

/// A message is a string; anything else would come as its JSON.
fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// A field's name.
type Name = Cow<'static, str>;

#[cfg(test)]
mod tests;
