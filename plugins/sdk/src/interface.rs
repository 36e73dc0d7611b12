//! The interfaces of a plugin as traits. A type that implements them is the plugin's *ready rule*: its configuration after
//! parsing. [`export!`](crate::export!) says which of them the component exports.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::manifest::Manifest;
use crate::plan::{RequestPlan, ResponsePlan};
use crate::summary::Summary;
use crate::types::{Event, Fault, Stop};

/// The configuration of a plugin that has none: `type Config = NoConfig`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// What every plugin has.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// The operator's configuration.
    type Config: DeserializeOwned;
    /// What one exchange carries from phase to phase; `()` if nothing. Made before the first phase.
    type State: Default + 'static;

    /// What the plugin says about itself.
    fn manifest() -> Manifest;

    /// Makes the rule from the configuration. Runs once, when the plugin is loaded; every exchange starts from the memory
    /// as it is afterwards, so all parsing and compiling belongs here.
    ///
    /// # Errors
    /// A sentence for the operator; the plugin is not loaded.
    fn configure(config: Self::Config) -> Result<Self, String>;
}

/// A decision on the request head: authentication, allow-lists, path rewriting. The export `gate`.
pub trait Gate: Plugin {
    /// Decides on one request, when its head is complete and before its body is read. `Ok` lets it go on, with the changes made
    /// through the context.
    ///
    /// # Errors
    /// The stage's own response, or a fault. The model server is not asked.
    fn check(&self, state: &mut Self::State, ctx: &Context<'_>) -> Result<(), Stop>;
}

/// Work on the request. The export `request`.
pub trait RequestStage: Plugin {
    /// The request head, once and before any of the body is read; in an adapter once per attempt.
    ///
    /// # Errors
    /// The stage's own response, or a fault. The model server is not asked.
    fn request_head(
        &self,
        state: &mut Self::State,
        ctx: &Context<'_>,
    ) -> Result<RequestPlan, Stop> {
        let _ = (state, ctx);
        Ok(RequestPlan::Skip)
    }

    /// The request body, once, if the plan was not [`RequestPlan::Skip`]; an empty body too. `None` leaves it as it is and
    /// costs no copy.
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
/// A [front](crate::Manifest::front) also sees what failed before the first stage ran, in a fresh instance, and once a fault of its
/// own, whichever phase returned that.
pub trait ResponseStage: Plugin {
    /// The response head, once, whatever its status. The content type says what comes in, not the status: behind a head that went
    /// out early an error is an event of a `text/event-stream` too.
    ///
    /// # Errors
    /// What takes the place of the response.
    fn response_head(
        &self,
        state: &mut Self::State,
        ctx: &Context<'_>,
    ) -> Result<ResponsePlan, Stop> {
        let _ = (state, ctx);
        Ok(ResponsePlan::Skip)
    }

    /// The response body, once, if the plan was [`ResponsePlan::Whole`]; an empty body too. Status and fields can still be set.
    /// `None` leaves it as it is.
    ///
    /// If the stream failed before its end, `body` is the error's, and [`Context::status`] its status.
    ///
    /// # Errors
    /// What takes the place of the response.
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
    /// What has arrived, as it arrives; the last call has `last` set and may be empty. If the stream failed, the last call has
    /// the error in the framing of the stream, and [`Context::status`] is the error's. `None` leaves the bytes as they are.
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

/// The response as records, if the plan was [`ResponsePlan::Sse`], [`ResponsePlan::Ndjson`] or [`ResponsePlan::Document`]; or,
/// without the export `response`, those of every response that is a stream. The export `events`.
pub trait EventStage: Plugin {
    /// The events that have arrived, at least one; how they fall into batches means nothing. `None` leaves them as they are. A
    /// list takes their place; with the plan [`ResponsePlan::Document`] it must be empty.
    ///
    /// An error in mid-stream, or behind a head that went out early, is a batch of its own: one event with the error as JSON, with
    /// [`Context::status`] the error's. Only [`Closing::closed`] is called after it. As long as the client has no head, status and
    /// fields can still be set.
    ///
    /// # Errors
    /// Ends the stream with an error.
    fn events(
        &self,
        state: &mut Self::State,
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault>;

    /// The end of the response, once, also after [`Context::end_body`]; not when the stream failed or the client left. The last
    /// events; with the plan [`ResponsePlan::Document`] exactly one, whose data is the body.
    ///
    /// # Errors
    /// Ends the stream with an error.
    fn end(&self, state: &mut Self::State, ctx: &Context<'_>) -> Result<Vec<Event>, Fault> {
        let _ = (state, ctx);
        Ok(Vec::new())
    }
}

/// The end of an exchange, whichever way it ended. The export `closing`.
pub trait Closing: Plugin {
    /// Called once when the exchange is over; in an adapter when its attempt is. `error` is "" or an error code such as
    /// `client_closed`. Only notes can still be set.
    fn closed(&self, state: &mut Self::State, ctx: &Context<'_>, error: &str);
}

/// Finished exchanges, off the path of traffic: access logs, usage accounting. The export `observer`.
pub trait Observer: Plugin {
    /// Takes 1 to 64 summaries, in the order in which the exchanges ended.
    fn observe(&self, batch: &[Summary]);
}
