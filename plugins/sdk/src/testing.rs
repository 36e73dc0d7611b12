//! A native test bench: it runs a plugin through its phases in the order and by the rules of the gateway, without a sandbox.
//!
//! A [`Bench`] holds a loaded plugin. A [`Request`] and a [`Response`] script what the client sends and what the model server
//! sends back; the [`Outcome`] has what was sent upstream and what the client got. A breach of the contract becomes the fault
//! `plugin_fault`, as in the gateway.
//!
//! How events are divided into batches must not matter. Run the same script over [`BATCHINGS`] and compare:
//!
//! ```
//! # use sluicegate_plugin::{*, testing::*};
//! # struct Echo;
//! # impl Plugin for Echo {
//! #     type Config = NoConfig; type State = ();
//! #     fn manifest() -> Manifest { Manifest::new("echo", "0.1.0", "Changes nothing") }
//! #     fn configure(_: NoConfig) -> Result<Self, String> { Ok(Self) }
//! # }
//! # impl EventStage for Echo {
//! #     fn events(&self, _: &mut (), _: &Context, _: Vec<Event>) -> Result<Option<Vec<Event>>, Fault> { Ok(None) }
//! # }
//! # sluicegate_plugin::export!(Echo: events);
//! let bench = Bench::<Echo>::load(serde_json::json!({})).unwrap();
//! for sizes in BATCHINGS {
//!     let response = Response::sse(["a", "b", "c"]).batches(sizes);
//!     assert_eq!(bench.run(Request::post("/x"), &response).data(), ["a", "b", "c"]);
//! }
//! ```
//! The operator's configuration is not checked against the manifest's JSON Schema here, and nothing is limited: neither the size
//! of bodies nor the time and memory of a call. The gateway does all that.

mod bench;
pub mod capabilities;
mod error;
pub(crate) mod host;
mod outcome;
mod request;
mod response;
mod run;

pub use bench::Bench;
pub use host::{set_clock, take_logs};
pub use outcome::{GateOutcome, Outcome, Sent};
pub use request::Request;
pub use response::Response;

/// Ways to divide a stream into batches, each a list of sizes that repeats: one by one, in pairs, all at once, unevenly.
pub const BATCHINGS: [&[usize]; 6] = [&[1], &[2], &[3], &[32], &[1, 5], &[7, 1, 2]];
