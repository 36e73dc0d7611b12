//! Sluicegate: a gateway for language-model traffic whose pipeline is made of sandboxed WebAssembly components.
//!
//! This crate is the program: it embeds the plugins that ship and the chat page, so that a change of those compiles little. The
//! rest is in the crates beside it, whose dependencies point down:
//!
//! | crate | is responsible for |
//! | --- | --- |
//! | `cli` | the commands |
//! | `gateway` | the life of an exchange, pipelines, routes, snapshots, start and stop, the admin interface |
//! | `chat` | the web gateway: the chat page and its sessions; talks to the proxy over HTTP only |
//! | `sim` | simulated model servers, for the demo and the tests |
//! | `plugin` | loading components, and sandboxes; the only crate that uses wasmtime |
//! | `upstream` | model servers: connections, health, which is asked next and how many at a time, stall detection |
//! | `serve` | listeners, TLS, timeouts of clients |
//! | `otlp` | traces and metrics for a collector of OpenTelemetry |
//! | `config`, `telemetry`, `framing`, `io`, `outbound`, `state`, `contract` | the ground floor |
//!
//! `plugin` and `upstream` do not depend on each other, and `chat` and `sim` depend on neither. To see what happens to a
//! request, begin with `exchange` in the crate `gateway`.

pub mod builtin;
