//! What a Rust author imports to write a plugin for Sluicegate.
//!
//! A plugin is a type that implements one of three roles, [`Gate`], [`Filter`] or [`Observer`], and one macro call that
//! exports it. Build the crate as a `cdylib` for `wasm32-wasip2` and the result is the plugin.
//!
//! The whole of a filter that replaces a word in every streamed answer:
//!
//! ```
//! use serde::Deserialize;
//! use sluicegate_plugin::*;
//!
//! #[derive(Deserialize)]
//! struct Config { word: String, by: String }
//!
//! struct Redact(Config);
//!
//! impl Filter for Redact {
//!     type Config = Config;
//!     type State = ();
//!
//!     fn manifest() -> Manifest {
//!         Manifest::new("redact", "0.1.0", "Replaces a word in streamed answers")
//!             .config(r#"{"type":"object","required":["word","by"]}"#)
//!             .phases(Phases::Response)
//!     }
//!     fn configure(config: Config) -> Result<Self, String> {
//!         if config.word.is_empty() { return Err("`word` must not be empty".into()) }
//!         Ok(Self(config))
//!     }
//!     fn response_head(&self, _: &mut (), ctx: &Context) -> Result<HeadAction, Fault> {
//!         let streams = ctx.get_str("content-type").is_some_and(|t| t.starts_with("text/event-stream"));
//!         Ok(if streams { Plan::Events(Framing::Sse) } else { Plan::Skip }.into())
//!     }
//!     fn response_events(&self, _: &mut (), _: &Context, batch: Vec<Event>) -> Result<EventsAction, Fault> {
//!         let redact = |e: Event| Event::data(String::from_utf8_lossy(&e.data).replace(&self.0.word, &self.0.by));
//!         Ok(EventsAction::Replace(batch.into_iter().map(redact).collect()))
//!     }
//! }
//! sluicegate_plugin::filter!(Redact);
//!
//! // And its test, without a sandbox and without a gateway:
//! use sluicegate_plugin::testing::{FilterBench, Request, Response};
//! let bench = FilterBench::<Redact>::load(serde_json::json!({"word": "cat", "by": "dog"})).unwrap();
//! let outcome = bench.run(Request::post("/v1/chat/completions"), &Response::sse(["a cat", "[DONE]"]));
//! assert_eq!(outcome.data(), ["a dog", "[DONE]"]);
//! ```
//!
//! - `configure` runs once, when the plugin is loaded. The gateway then takes an image of the plugin's memory, and every
//!   exchange starts from that image: nothing that one exchange leaves behind is seen by another.
//! - A refusal or a failure is the `Err` of a phase: a [`Fault`] with a status, a code and a message.
//! - [`testing`] runs a plugin natively through its phases, in the order and by the rules of the gateway.
//! - [`json`] has what a fast adapter needs; [`log`], [`clock`] and [`random`] are what every plugin may use.

pub mod clock;
pub mod json;
pub mod log;
pub mod random;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

mod action;
mod context;
mod manifest;
mod role;
mod summary;
mod types;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod export;

pub use action::{BodyAction, ChunkAction, EndAction, EventsAction, HeadAction, Plan, Verdict};
pub use context::Context;
pub use manifest::{Manifest, Phases};
pub use role::{Filter, Gate, NoConfig, Observer};
pub use summary::Summary;
pub use types::{Event, Fault, Field, Framing, Reply};
