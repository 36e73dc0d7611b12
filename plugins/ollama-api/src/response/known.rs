//! Responses that need no model server.

use super::turn::Now;
use crate::date;
use crate::request::{Known, Task};
use crate::write::Object;

/// What `GET /` says; clients look for this text.
pub const RUNNING: &str = "Ollama is running";

/// The response to a request without anything for the model to do.
pub fn nothing_to_do(known: &Known, now: Now) -> String {
    let mut out = Object::new(256);
    if known.task == Task::Embedding {
        out.raw("embedding", "[]");
        return out.end();
    }
    out.text("model", &known.model);
    if known.task == Task::Embed {
        out.raw("embeddings", "[]");
        return out.end();
    }
    out.text("created_at", &date::of_ms(now.unix_ms));
    if known.task == Task::Chat {
        out.raw("message", "{\"role\":\"assistant\",\"content\":\"\"}");
    } else {
        out.raw("response", "\"\"");
    }
    out.raw("done", "true");
    out.raw(
        "done_reason",
        if known.is_unload {
            "\"unload\""
        } else {
            "\"load\""
        },
    );
    out.end()
}

/// The response to `GET /api/version`.
pub fn version(version: &str) -> String {
    let mut out = Object::new(64);
    out.text("version", version);
    out.end()
}
