//! Ollama's `options`, put together from four sources: the operator's defaults, the request's own `options`, its extension
//! parameters and its OpenAI parameters. Later sources win.

use std::borrow::Cow;

use sluicegate_plugin::json;

/// Options by name, each JSON text, in the order in which they were first set.
#[derive(Debug, Default)]
pub(super) struct Options<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Options<'a> {
    /// Sets an option.
    pub(super) fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(option) => option.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// Sets an option unless it is set already.
    pub(super) fn default_to(&mut self, name: &'a str, value: &'a str) {
        if !self.0.iter().any(|(known, _)| known == name) {
            self.0.push((name.into(), value.into()));
        }
    }

    /// Appends the member `options` with a comma before it, or nothing if there are none.
    pub(super) fn write(&self, out: &mut String) {
        if self.0.is_empty() {
            return;
        }
        out.push_str(",\"options\":{");
        for (at, (name, value)) in self.0.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            json::push_str(out, name);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
    }
}
