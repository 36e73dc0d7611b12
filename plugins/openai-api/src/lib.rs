//! What adapters for servers with OpenAI's API share: `openai`, `vllm` and `tgi` are this crate with rules of their own.
//!
//! | the client asks | the server is asked |
//! | --- | --- |
//! | `POST /v1/chat/completions`, `/v1/completions`, `/v1/embeddings` | the same, behind the server's prefix |
//! | `POST /v1/chat/completions/input_tokens` | how it counts, if it can; else the response is an estimate |
//! | `GET /v1/models`, `GET /v1/models/{id}` | `GET` of its list of models |
//!
//! All of these servers speak OpenAI's API, but none speaks it well. Here a client gets from each of them: the role once and
//! first, one id, one finish reason for each choice, tool calls that begin once and have arguments, thoughts apart from the
//! content under one name, the usage where it is asked for, log probabilities of the content only, errors in OpenAI's form, and
//! the end marker only after a complete response. Members that OpenAI's API does not have are passed on in both directions.
//!
//! An adapter implements [`Vendor`], and [`adapter!`] does the rest:
//!
//! - [`request`] changes the request, [`response`] the response, [`failure`] errors, [`models`] and [`embeddings`] what they
//!   say; [`tokens`] counts; [`exchange`] combines them.
//! - The notes `usage` and `finish` are set. If a stream is cut, by either side, `usage` counts what had arrived, with
//!   `"partial": true`.

pub mod config;
pub mod embeddings;
pub mod exchange;
pub mod failure;
pub mod models;
pub mod request;
pub mod response;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod tokens;

pub use response::{Habits, Logprobs, NO_LOGPROBS, Translate};

use config::Settings;
use request::{Body, Endpoint};
use sluicegate_plugin::{Context, Fault};
use tokens::Counter;

/// The rules of a kind of model server.
pub trait Vendor {
    /// What its configuration decides.
    fn settings(&self) -> &Settings;

    /// Changes a request so that the server takes it as OpenAI would. If it replaces the deprecated `functions` by `tools`, the
    /// client gets a `function_call`. What is returned is what the server does otherwise than others in its response.
    ///
    /// # Errors
    /// 400 for what the server cannot do.
    fn request(&self, endpoint: Endpoint, body: &mut Body<'_>) -> Result<Habits, Fault> {
        let _ = (endpoint, body);
        Ok(Habits::default())
    }

    /// Whether the server would refuse this request, or serve it badly, if it were asked for a stream. The response to a client
    /// that wants a stream is then made of one object.
    fn is_only_whole(&self, body: &Body<'_>) -> bool;

    /// How it counts the tokens of a chat; `None` if it does not.
    fn counter(&self) -> Option<Counter> {
        None
    }

    /// The length of its models' context in tokens, if the server tells it elsewhere than in its list of models.
    fn context_length(&self, ctx: &Context<'_>) -> Option<u64> {
        let _ = ctx;
        None
    }
}

/// Makes a plugin of a type that implements `Vendor` and `Plugin` with `State` as its state.
#[macro_export]
macro_rules! adapter {
    ($plugin:ty) => {
        impl ::sluicegate_plugin::RequestStage for $plugin {
            fn request_head(
                &self,
                state: &mut $crate::exchange::State,
                ctx: &::sluicegate_plugin::Context<'_>,
            ) -> Result<::sluicegate_plugin::RequestPlan, ::sluicegate_plugin::Stop> {
                Ok(state.request_head(ctx, self)?)
            }

            fn request_body(
                &self,
                state: &mut $crate::exchange::State,
                ctx: &::sluicegate_plugin::Context<'_>,
                body: Vec<u8>,
            ) -> Result<Option<Vec<u8>>, ::sluicegate_plugin::Stop> {
                state.request_body(ctx, &body, self)
            }
        }

        impl ::sluicegate_plugin::ResponseStage for $plugin {
            fn response_head(
                &self,
                state: &mut $crate::exchange::State,
                ctx: &::sluicegate_plugin::Context<'_>,
            ) -> Result<::sluicegate_plugin::ResponsePlan, ::sluicegate_plugin::Stop> {
                Ok(state.response_head(ctx)?)
            }

            fn response_body(
                &self,
                state: &mut $crate::exchange::State,
                ctx: &::sluicegate_plugin::Context<'_>,
                body: Vec<u8>,
            ) -> Result<Option<Vec<u8>>, ::sluicegate_plugin::Stop> {
                Ok(state.response_body(ctx, &body, self)?)
            }
        }

        impl ::sluicegate_plugin::EventStage for $plugin {
            fn events(
                &self,
                state: &mut $crate::exchange::State,
                ctx: &::sluicegate_plugin::Context<'_>,
                batch: Vec<::sluicegate_plugin::Event>,
            ) -> Result<Option<Vec<::sluicegate_plugin::Event>>, ::sluicegate_plugin::Fault> {
                state.events(ctx, &batch)
            }

            fn end(
                &self,
                state: &mut $crate::exchange::State,
                ctx: &::sluicegate_plugin::Context<'_>,
            ) -> Result<Vec<::sluicegate_plugin::Event>, ::sluicegate_plugin::Fault> {
                state.end(ctx)
            }
        }

        impl ::sluicegate_plugin::Closing for $plugin {
            fn closed(
                &self,
                state: &mut $crate::exchange::State,
                ctx: &::sluicegate_plugin::Context<'_>,
                _: &str,
            ) {
                state.closed(ctx);
            }
        }

        ::sluicegate_plugin::export!($plugin: request, response, events, closing);
    };
}
