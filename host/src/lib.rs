//! Sluicegate: a gateway for language-model traffic whose pipeline is made of sandboxed WebAssembly components.
//!
//! This crate is the program: the command line, and the plugins that ship. What it is made of lies beside it, in crates whose
//! dependencies point down:
//!
//! | crate | is responsible for |
//! | --- | --- |
//! | `gateway` | the life of an exchange, pipelines, routes, snapshots, start and stop, the admin interface |
//! | `chat` | the web gateway: the chat page and its sessions; talks to the proxy over HTTP only |
//! | `sim` | simulated model servers, for the demo and the tests |
//! | `plugin` | loading components, and sandboxes; the only one that knows wasmtime |
//! | `upstream` | model servers: connections, health, stall detection |
//! | `serve` | listeners, TLS, the timeouts of clients |
//! | `config`, `telemetry`, `framing`, `io`, `contract` | the ground floor |
//!
//! `plugin` and `upstream` do not know each other, and `chat` and `sim` know neither. To see what happens to a request, begin
//! with [`sluicegate_gateway::exchange`].

pub mod builtin;
pub mod cli;
