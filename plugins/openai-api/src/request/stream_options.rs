//! The options of a stream: the usage is asked for always.

use sluicegate_plugin::{Fault, json};

use super::{Body, members};

/// OpenAI's `stream_options`.
pub(crate) struct StreamOptions {
    /// Whether the client wants a chunk with the usage.
    pub(crate) include_usage: bool,
    /// Other members, a comma before each.
    others: String,
}

impl StreamOptions {
    /// Takes them out of a body: a request that does not stream must not have them.
    ///
    /// # Errors
    /// 400 `invalid_type`.
    pub(crate) fn take(body: &mut Body<'_>) -> Result<Self, Fault> {
        let mut options = Self {
            include_usage: false,
            others: String::new(),
        };
        if let Some(raw) = body.get("stream_options") {
            for (name, raw) in members("stream_options", raw)? {
                match &*name {
                    "include_usage" => options.include_usage = raw.get() == "true",
                    // The usage so far in every chunk, which is left out there anyway.
                    "continuous_usage_stats" => {}
                    _ => {
                        options.others.push(',');
                        json::push_str(&mut options.others, &name);
                        options.others.push(':');
                        options.others.push_str(raw.get());
                    }
                }
            }
            body.remove("stream_options");
        }
        Ok(options)
    }

    /// The options for a server that streams.
    pub(crate) fn with_usage(&self) -> String {
        ["{\"include_usage\":true", &self.others, "}"].concat()
    }
}
