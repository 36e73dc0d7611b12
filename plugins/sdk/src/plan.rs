//! How a stage wants to see a body.

/// How a stage wants to see the request body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestPlan {
    /// Not at all.
    #[default]
    Skip,
    /// Not the bytes, but a call of `request_body` with an empty list once the body is there, for
    /// [`Context::request_json`](crate::Context::request_json). Costs no copy; `request_body` must return `None`.
    Look,
    /// The whole body, when it is complete.
    Whole,
}

/// How a stage wants to see the response body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponsePlan {
    /// Not at all. A body that every stage skips is forwarded as it comes.
    #[default]
    Skip,
    /// In one call of `response_body`, when it is complete. Holds the head back until then.
    Whole,
    /// As the bytes arrive; needs the export `chunks`.
    Chunks,
    /// As events, and server-sent events go out. Needs the export `events`, as all below.
    Sse,
    /// As events, and newline-delimited JSON goes out.
    Ndjson,
    /// As events, and one body goes out: `end` gives it. Holds the head back until then, so that the status, the content type
    /// and an error in mid-stream can still become a proper response.
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
