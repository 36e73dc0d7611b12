//! Sluicegate: a gateway for language-model traffic whose pipeline is made of sandboxed WebAssembly components.
//!
//! The program is one binary; this library is what it and its tests are made of. Dependencies point down:
//! `cli` → `lifecycle` → `server`, `admin` → `exchange` → `pipeline` → `plugin`, `upstream` → `framing`, `config`,
//! `failure`, `telemetry`. `plugin` and `upstream` do not know each other. To see what happens to a request, begin with
//! [`exchange`].

pub mod admin;
pub mod builtin;
mod calendar;
pub mod chat;
pub mod cli;
pub mod config;
pub mod demo;
pub mod descriptors;
pub mod exchange;
pub mod failure;
pub mod framing;
pub mod lifecycle;
mod octets;
pub mod pipeline;
pub mod plugin;
pub mod route;
pub mod server;
pub mod snapshot;
pub mod telemetry;
pub mod upstream;
