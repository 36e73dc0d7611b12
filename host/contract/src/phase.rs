//! The phases of an exchange.

/// The phase of a call. It decides which fields are current and what may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// `gate.check`
    Gate,
    /// `request.head`
    RequestHead,
    /// `request.body`
    RequestBody,
    /// `response.head`
    ResponseHead,
    /// `response.body`
    ResponseBody,
    /// `chunks.chunk`
    Chunk,
    /// `events.batch`
    Events,
    /// `events.end`
    End,
    /// `closing.closed`
    Closing,
}

impl Phase {
    /// The name of the function, with its interface.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate.check",
            Self::RequestHead => "request.head",
            Self::RequestBody => "request.body",
            Self::ResponseHead => "response.head",
            Self::ResponseBody => "response.body",
            Self::Chunk => "chunks.chunk",
            Self::Events => "events.batch",
            Self::End => "events.end",
            Self::Closing => "closing.closed",
        }
    }

    pub(crate) const fn is_request(self) -> bool {
        matches!(self, Self::Gate | Self::RequestHead | Self::RequestBody)
    }

    pub(crate) const fn is_response(self) -> bool {
        !self.is_request() && !matches!(self, Self::Closing)
    }

    /// Whether the request body can be asked about.
    pub(crate) const fn knows_body(self) -> bool {
        matches!(self, Self::RequestBody | Self::ResponseHead)
    }
}
