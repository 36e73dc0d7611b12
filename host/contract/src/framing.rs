//! How a body is framed, by its content type.

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Server-sent events, `text/event-stream`.
    Sse,
    /// One JSON document per line, `application/x-ndjson`.
    Ndjson,
    /// Not a stream: one body.
    Document,
}

impl Framing {
    /// The framing that a `content-type` value announces; parameters and letter case do not matter.
    ///
    /// Anything unknown, or no value at all, is a [`Framing::Document`].
    #[must_use]
    pub fn of_content_type(value: Option<&[u8]>) -> Self {
        const NDJSON: [&[u8]; 6] = [
            b"application/x-ndjson",
            b"application/ndjson",
            b"application/jsonl",
            b"application/x-jsonl",
            b"application/jsonlines",
            b"application/x-jsonlines",
        ];
        let essence = value
            .and_then(|value| value.split(|byte| *byte == b';').next())
            .unwrap_or_default()
            .trim_ascii();
        if essence.eq_ignore_ascii_case(b"text/event-stream") {
            Self::Sse
        } else if NDJSON.iter().any(|name| essence.eq_ignore_ascii_case(name)) {
            Self::Ndjson
        } else {
            Self::Document
        }
    }

    /// The `content-type` to send with this framing; a document has whatever type its maker gave it.
    #[must_use]
    pub const fn content_type(self) -> Option<&'static str> {
        match self {
            Self::Sse => Some("text/event-stream"),
            Self::Ndjson => Some("application/x-ndjson"),
            Self::Document => None,
        }
    }
}
