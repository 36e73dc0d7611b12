//! Translates Ollama's responses to OpenAI's: the lines of a stream, or one object.
//!
//! # Source
//! Ollama source, `api/types.go` (`ChatResponse`); OpenAI API reference (document 2.3.0), "Chat completion object" and
//! "Chat completion chunk object".

mod completion;
mod frame;
mod line;
mod stream;
mod tools;

pub use completion::complete;
pub use line::Ending;
pub use stream::Stream;

/// What all responses of one exchange share.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The request id.
    pub id: String,
    /// When the exchange began, in milliseconds since 1970.
    pub received_ms: u64,
    /// The model's name as JSON text, as the client wrote it.
    pub model: String,
    /// The member that carries thoughts: `reasoning` or `reasoning_content`; `None` if they are left out.
    pub reasoning: Option<&'static str>,
}

impl Identity {
    /// Appends the members that come before `choices`, and `"choices":[`.
    fn write_head(&self, out: &mut String, object: &str) {
        use sluicegate_plugin::json;

        out.push_str("{\"id\":\"chatcmpl-");
        json::push_escaped(out, self.id.strip_prefix("req_").unwrap_or(&self.id));
        out.push_str("\",\"object\":\"");
        out.push_str(object);
        out.push_str("\",\"created\":");
        json::push_u64(out, self.received_ms / 1000);
        out.push_str(",\"model\":");
        out.push_str(&self.model);
        out.push_str(",\"choices\":[");
    }
}
