//! The three roles as traits. A type that implements one is the plugin's *ready rule*: its configuration after parsing.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::action::{BodyAction, ChunkAction, EndAction, EventsAction, HeadAction, Plan, Verdict};
use crate::context::Context;
use crate::manifest::Manifest;
use crate::summary::Summary;
use crate::types::{Event, Fault};

/// The configuration of a plugin that has none: `type Config = NoConfig`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// A decision on the request head: authentication, allow-lists, path rewriting. Export it with [`gate!`](crate::gate!).
pub trait Gate: Sized + Send + Sync + 'static {
    /// The operator's configuration.
    type Config: DeserializeOwned;

    /// What the plugin says about itself.
    fn manifest() -> Manifest;

    /// Makes the rule from the configuration. Runs once, when the plugin is loaded; every exchange starts from the memory
    /// as it is afterwards, so all parsing and compiling belongs here.
    ///
    /// # Errors
    /// A sentence for the operator; the plugin is not loaded.
    fn configure(config: Self::Config) -> Result<Self, String>;

    /// Decides on one request, when its head is complete and before its body is read.
    ///
    /// # Errors
    /// Refuses the exchange with an error that the gateway renders.
    fn check(&self, ctx: &Context<'_>) -> Result<Verdict, Fault>;
}

/// Work on a request and its response. Implement the phases that you need; the others leave everything as it is.
/// Export it with [`filter!`](crate::filter!).
///
/// In every phase an `Err` fails the exchange: before the response head has gone out as an error answer, afterwards as an
/// error event.
pub trait Filter: Sized + Send + Sync + 'static {
    /// The operator's configuration.
    type Config: DeserializeOwned;
    /// What one exchange carries from phase to phase; `()` if nothing.
    type State: Default + 'static;

    /// What the plugin says about itself.
    fn manifest() -> Manifest;

    /// Makes the rule from the configuration, once; see [`Gate::configure`].
    ///
    /// # Errors
    /// A sentence for the operator; the plugin is not loaded.
    fn configure(config: Self::Config) -> Result<Self, String>;

    /// The request head, once. Only [`Plan::Skip`] and [`Plan::Whole`] are possible plans here.
    ///
    /// # Errors
    /// Fails the exchange.
    fn request_head(
        &self,
        state: &mut Self::State,
        ctx: &Context<'_>,
    ) -> Result<HeadAction, Fault> {
        let _ = (state, ctx);
        Ok(Plan::Skip.into())
    }

    /// The request body, once, if the plan was [`Plan::Whole`]; an empty body too.
    ///
    /// # Errors
    /// Fails the exchange.
    fn request_body(
        &self,
        state: &mut Self::State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<BodyAction, Fault> {
        let _ = (state, ctx, body);
        Ok(BodyAction::Pass)
    }

    /// The response head, once, when the model server has answered, whatever its status.
    ///
    /// # Errors
    /// Fails the exchange.
    fn response_head(
        &self,
        state: &mut Self::State,
        ctx: &Context<'_>,
    ) -> Result<HeadAction, Fault> {
        let _ = (state, ctx);
        Ok(Plan::Skip.into())
    }

    /// The response body, once, if the plan was [`Plan::Whole`]. The status can still be set.
    ///
    /// # Errors
    /// Fails the exchange.
    fn response_body(
        &self,
        state: &mut Self::State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<BodyAction, Fault> {
        let _ = (state, ctx, body);
        Ok(BodyAction::Pass)
    }

    /// A piece of the response, if the plan was [`Plan::Chunks`]; the last call has `last` set and may be empty.
    ///
    /// # Errors
    /// Ends the response with an error.
    fn response_chunk(
        &self,
        state: &mut Self::State,
        ctx: &Context<'_>,
        bytes: Vec<u8>,
        last: bool,
    ) -> Result<ChunkAction, Fault> {
        let _ = (state, ctx, bytes, last);
        Ok(ChunkAction::Pass)
    }

    /// The events that have arrived, at least one; how they fall into batches means nothing.
    ///
    /// # Errors
    /// Ends the stream with an error.
    fn response_events(
        &self,
        state: &mut Self::State,
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<EventsAction, Fault> {
        let _ = (state, ctx, batch);
        Ok(EventsAction::Pass)
    }

    /// The end of the response after events, once. Not called when the model server broke off or the client left.
    ///
    /// # Errors
    /// Ends the stream with an error.
    fn response_end(&self, state: &mut Self::State, ctx: &Context<'_>) -> Result<EndAction, Fault> {
        let _ = (state, ctx);
        Ok(EndAction::Pass)
    }
}

/// Finished exchanges, off the path of traffic: access logs, usage accounting. Export it with
/// [`observer!`](crate::observer!).
pub trait Observer: Sized + Send + Sync + 'static {
    /// The operator's configuration.
    type Config: DeserializeOwned;

    /// What the plugin says about itself.
    fn manifest() -> Manifest;

    /// Makes the rule from the configuration, once; see [`Gate::configure`].
    ///
    /// # Errors
    /// A sentence for the operator; the plugin is not loaded.
    fn configure(config: Self::Config) -> Result<Self, String>;

    /// Takes 1 to 64 summaries, in the order in which the exchanges ended.
    fn observe(&self, batch: &[Summary]);
}
