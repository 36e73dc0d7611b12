//! What a Rust author imports to write a plugin for Sluicegate.
//!
//! A plugin is a type that implements [`Plugin`] and one or more of [`Gate`], [`RequestStage`], [`ResponseStage`],
//! [`ChunkStage`], [`EventStage`], [`Closing`] and [`Observer`], and one macro call, [`export!`], that names those. Build the
//! crate as a `cdylib` for `wasm32-wasip2` and the result is the plugin.
//!
//! A complete plugin that replaces a word in every streamed response, also where the stream cuts it in two:
//!
//! ```
//! use serde::Deserialize;
//! use sluicegate_plugin::chat::Deltas;
//! use sluicegate_plugin::window::Words;
//! use sluicegate_plugin::*;
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[schemars(crate = "schemars")]
//! struct Config {
//!     /// The word that clients must not see.
//!     word: String,
//!     /// What they see instead.
//!     by: String,
//! }
//!
//! struct Filter(Words);
//!
//! impl Plugin for Filter {
//!     type Config = Config;
//!     type State = Deltas;
//!
//!     fn manifest() -> Manifest {
//!         Manifest::new("words", "0.1.0", "Replaces a word in streamed responses").schema::<Config>()
//!     }
//!     fn configure(config: Config) -> Result<Self, String> {
//!         Words::new([config.word], config.by).map(Self)
//!     }
//! }
//!
//! impl EventStage for Filter {
//!     fn events(&self, deltas: &mut Deltas, _: &Context, batch: Vec<Event>) -> Result<Option<Vec<Event>>, Fault> {
//!         deltas.rewrite(batch, &self.0)
//!     }
//!     fn end(&self, deltas: &mut Deltas, _: &Context) -> Result<Vec<Event>, Fault> {
//!         Ok(deltas.end(&self.0))
//!     }
//! }
//! sluicegate_plugin::export!(Filter: events);
//!
//! // And its test, without a sandbox and without a gateway. The stream cuts the word in two:
//! use sluicegate_plugin::testing::{Bench, Request, Response};
//! let bench = Bench::<Filter>::load(serde_json::json!({"word": "cat", "by": "dog"})).unwrap();
//! let chunk = |text| format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#);
//! let response = Response::sse([chunk("a c"), chunk("at, "), "[DONE]".into()]);
//! let outcome = bench.run(Request::post("/v1/chat/completions"), &response);
//! assert_eq!(outcome.data(), [chunk("a "), chunk("dog, "), "[DONE]".into()]);
//! ```
//!
//! - `configure` runs once, when the plugin is loaded. The gateway then takes an image of the plugin's memory, and every
//!   exchange starts from that image: no exchange sees anything of another.
//! - A refusal or a failure is the `Err` of a phase: a [`Fault`] with a status, a code and a message. If a stage may also
//!   send its own response, the `Err` is a [`Stop`]: a fault or a [`Reply`].
//! - `None` from a phase leaves its input as it is, and costs no copy.
//! - [`testing`] runs a plugin natively through its phases, in the order and by the rules of the gateway.
//! - [`chat`] reads canonical responses, and rewrites the texts of streams; [`window`] finds what a stream cuts in two.
//! - [`json`] helps to write fast adapters and to change a body in place; [`log`], [`clock`] and [`random`] are available to every
//!   plugin.
//! - [`kv`], [`rate`], [`http`] and [`metrics`] are capabilities, which the operator grants in the configuration. A component imports
//!   those that its code calls. A call that is not granted returns [`CapabilityError::Denied`].

pub mod chat;
pub mod clock;
pub mod http;
pub mod json;
pub mod kv;
pub mod log;
pub mod metrics;
pub mod random;
pub mod rate;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod window;

mod capability;
mod context;
mod interface;
mod internals;
mod manifest;
mod plan;
mod summary;
mod types;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod export;

#[cfg(feature = "schema")]
pub use schemars::{self, JsonSchema};

pub use capability::CapabilityError;
pub use context::Context;
pub use interface::{
    ChunkStage, Closing, EventStage, Gate, NoConfig, Observer, Plugin, RequestStage, ResponseStage,
};
pub use internals::without_internals;
pub use manifest::Manifest;
pub use plan::{RequestPlan, ResponsePlan};
pub use summary::Summary;
pub use types::{Event, Fault, Field, Reply, Stop};
