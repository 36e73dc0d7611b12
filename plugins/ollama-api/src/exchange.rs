//! The state of one exchange: what was asked for, and how far the response is.

use sluicegate_plugin::{Context, Event, Fault, clock};

use crate::request::Canonical;
use crate::response::turn::{Now, Turn};
use crate::route::Route;

/// The state of one exchange.
#[derive(Debug, Default)]
pub struct State {
    pub(crate) route: Option<Route>,
    pub(crate) turn: Turn,
    /// What ends the stream, once the lines before it are out.
    pub(crate) failed: Option<Fault>,
    /// Nothing may follow: the last line is out.
    pub(crate) has_ended: bool,
}

impl State {
    /// Makes the request of the exchange the canonical one; what is returned is its body.
    pub(crate) fn send(
        &mut self,
        ctx: &Context<'_>,
        canonical: Canonical,
    ) -> Result<Vec<u8>, Fault> {
        self.turn.task = canonical.task;
        self.turn.model = canonical.model;
        ctx.set_path(&canonical.path)?;
        match canonical.body {
            Some(body) => {
                ctx.set("content-type", "application/json")?;
                Ok(body.into_bytes())
            }
            None => {
                ctx.set_method("GET")?;
                ctx.remove("content-type")?;
                Ok(Vec::new())
            }
        }
    }

    /// Takes the data of one event of a stream; what comes of it is added to `lines`.
    pub(crate) fn take(&mut self, data: &str, lines: &mut Vec<Event>) -> Result<(), Fault> {
        let data = data.trim_ascii();
        if data.is_empty() || self.has_ended {
            return Ok(());
        }
        if data == "[DONE]" {
            self.finish(lines)
        } else {
            lines.extend(self.turn.event(data, now())?.map(Event::data));
            Ok(())
        }
    }

    /// Ends the stream as it should end.
    pub(crate) fn finish(&mut self, lines: &mut Vec<Event>) -> Result<(), Fault> {
        let last = self.turn.end(now())?;
        lines.extend(last.into_iter().map(Event::data));
        self.has_ended = true;
        Ok(())
    }
}

/// The time of this call.
pub(crate) fn now() -> Now {
    Now {
        unix_ms: clock::unix_ms(),
        monotonic_us: clock::monotonic_us(),
    }
}
