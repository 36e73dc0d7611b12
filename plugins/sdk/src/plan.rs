//! How a stage wants to see a body.

/// How a stage wants to see the request body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestPlan {
    /// Not at all.
    #[default]
    Skip,
    /// Without its bytes: `request_body` is called with an empty list once the body is complete, and can use
    /// [`Context::request_json`](crate::Context::request_json). Costs no copy; `request_body` must return `None`.
    Look,
    /// The whole body, when it is complete.
    Whole,
}

/// How a stage wants to see the response body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponsePlan {
    /// Not at all. A body that every stage skips is forwarded as it arrives.
    #[default]
    Skip,
    /// In one call of `response_body`, when it is complete. Holds the head back until then.
    Whole,
    /// As bytes, when they arrive; needs the export `chunks`.
    Chunks,
    /// As events; server-sent events are sent. This and the plans below need the export `events`.
    Sse,
    /// As events; newline-delimited JSON is sent.
    Ndjson,
    /// As events; one body is sent, which `end` returns. Holds the head back until then, so that the status and the content
    /// type can still be set, and an error in mid-stream still becomes a proper response.
    Document,
}

#[cfg(not(target_family = "wasm"))]
impl From<RequestPlan> for sluicegate_contract::RequestPlan {
    fn from(plan: RequestPlan) -> Self {
        match plan {
            RequestPlan::Skip => Self::Skip,
            RequestPlan::Look => Self::Look,
            RequestPlan::Whole => Self::Whole,
        }
    }
}

#[cfg(not(target_family = "wasm"))]
impl From<ResponsePlan> for sluicegate_contract::ResponsePlan {
    fn from(plan: ResponsePlan) -> Self {
        match plan {
            ResponsePlan::Skip => Self::Skip,
            ResponsePlan::Whole => Self::Whole,
            ResponsePlan::Chunks => Self::Chunks,
            ResponsePlan::Sse => Self::Sse,
            ResponsePlan::Ndjson => Self::Ndjson,
            ResponsePlan::Document => Self::Document,
        }
    }
}
