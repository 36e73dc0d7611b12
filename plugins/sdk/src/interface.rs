//! The interfaces of a plugin as traits. A type that implements them is the plugin's *rule*: its parsed configuration.
//! [`export!`](crate::export!) names those that the component exports.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::manifest::Manifest;
use crate::plan::{RequestPlan, ResponsePlan};
use crate::summary::Summary;
use crate::types::{Event, Fault, Stop};

/// The configuration of a plugin without one: `type Config = NoConfig`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// What every plugin has.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// The operator's configuration.
    type Config: DeserializeOwned;
    /// The state of one exchange, kept from phase to phase; `()` if there is none. Created before the first phase.
    type State: Default + 'static;

    /// What the plugin says about itself.
    fn manifest() -> Manifest;

    /// Makes the rule from the configuration. Called once, when the plugin is loaded. Every exchange starts from the memory
    /// as it is after this call, so all parsing and compiling belongs here.
    ///
    /// # Errors
    /// A sentence for the operator; the plugin is not loaded.
    fn configure(config: Self::Config) -> Result<Self, String>;
}

/// A decision on the request head: authentication, allow-lists, path rewriting. The export `gate`.
pub trait Gate: Plugin {
    /// Decides on a request when its head is complete, before its body is read. `Ok` lets it go on, with the changes made
    /// through the context.
    ///
    /// # Errors
    /// The stage's own response, or a fault. No model server is asked.
    fn check(&self, state: &mut Self::State, ctx: &Context<'_>) -> Result<(), Stop>;
}

/// Work on the request. The export `request`.
pub trait RequestStage: Plugin {
    /// The request head. Called once, before any of the body is read; in an adapter once per attempt.
    ///
    /// # Errors
    /// The stage's own response, or a fault. No model server is asked.
    fn request_head(
        &self,
        state: &mut Self::State,
        ctx: &Context<'_>,
    ) -> Result<RequestPlan, Stop> {
        let _ = (state, ctx);
        Ok(RequestPlan::Skip)
    }

    /// The request body. Called once if the plan was not [`RequestPlan::Skip`], also for an empty body. `None` leaves it as
    /// it is and costs no copy.
    ///
    /// # Errors
    /// As [`RequestStage::request_head`].
    fn request_body(
        &self,
        state: &mut Self::State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let _ = (state, ctx, body);
        Ok(None)
    }
}

/// Work on the response: the model server's, an inner stage's own, or an error. The export `response`.
///
/// A [front](crate::Manifest::front) also sees errors from before the first stage ran, in a fresh instance, and once its own
/// fault, from any phase.
pub trait ResponseStage: Plugin {
    /// The response head. Called once, with any status. The content type says in which form the body comes, not the status:
    /// after an early head, an error is also an event of a `text/event-stream`.
    ///
    /// # Errors
    /// What replaces the response.
    fn response_head(
        &self,
        state: &mut Self::State,
        ctx: &Context<'_>,
    ) -> Result<ResponsePlan, Stop> {
        let _ = (state, ctx);
        Ok(ResponsePlan::Skip)
    }

    /// The response body. Called once if the plan was [`ResponsePlan::Whole`], also for an empty body. Status and fields can
    /// still be set. `None` leaves it as it is.
    ///
    /// If the stream failed before its end, `body` is the body of the error, and [`Context::status`] its status.
    ///
    /// # Errors
    /// What replaces the response.
    fn response_body(
        &self,
        state: &mut Self::State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let _ = (state, ctx, body);
        Ok(None)
    }
}

/// The response as bytes, if the plan was [`ResponsePlan::Chunks`]. The export `chunks`.
pub trait ChunkStage: Plugin {
    /// The bytes that have arrived, as they arrive; the last call has `last` set, and its bytes may be empty. If the stream
    /// failed, the last call has the error in the framing of the stream, and [`Context::status`] is the status of the error.
    /// `None` leaves the bytes as they are.
    ///
    /// # Errors
    /// Ends the stream with an error.
    fn chunk(
        &self,
        state: &mut Self::State,
        ctx: &Context<'_>,
        bytes: Vec<u8>,
        last: bool,
    ) -> Result<Option<Vec<u8>>, Fault>;
}

/// The response as events, if the plan was [`ResponsePlan::Sse`], [`ResponsePlan::Ndjson`] or [`ResponsePlan::Document`];
/// without the export `response`, the events of every streamed response. The export `events`.
pub trait EventStage: Plugin {
    /// The events that have arrived, at least one. How they are divided into batches has no meaning. `None` leaves them as
    /// they are. A list replaces them; with the plan [`ResponsePlan::Document`] it must be empty.
    ///
    /// An error in mid-stream, or after an early head, is a batch of its own: one event with the error as JSON;
    /// [`Context::status`] is the status of the error. Only [`Closing::closed`] is called after it. As long as the client has
    /// no head, status and fields can still be set.
    ///
    /// # Errors
    /// Ends the stream with an error.
    fn events(
        &self,
        state: &mut Self::State,
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault>;

    /// The end of the response. Called once, also after [`Context::end_body`], but not if the stream failed or the client
    /// left. Returns the last events; with the plan [`ResponsePlan::Document`] exactly one, whose data is the body.
    ///
    /// # Errors
    /// Ends the stream with an error.
    fn end(&self, state: &mut Self::State, ctx: &Context<'_>) -> Result<Vec<Event>, Fault> {
        let _ = (state, ctx);
        Ok(Vec::new())
    }
}

/// The end of an exchange, however it ended. The export `closing`.
pub trait Closing: Plugin {
    /// Called once at the end of the exchange; in an adapter at the end of its attempt. `error` is "" or an error code such
    /// as `client_closed`. Only notes can still be set.
    fn closed(&self, state: &mut Self::State, ctx: &Context<'_>, error: &str);
}

/// Finished exchanges, off the path of traffic: access logs, usage accounting. The export `observer`.
pub trait Observer: Plugin {
    /// Takes 1 to 64 summaries, in the order in which the exchanges ended.
    fn observe(&self, batch: &[Summary]);
}
