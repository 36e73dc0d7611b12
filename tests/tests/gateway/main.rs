//! The gateway as a whole: an exact client in front, a scripted model server behind, both ends checked.
//!
//! One program, so that all tests share one engine and every plugin is compiled once.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "these tests run in real time, and a test waits for its tasks or its runtime ends them"
)]

mod admin;
mod aggregated;
mod anthropic_front;
mod attempts;
mod bad_input;
mod bad_upstream;
mod browsers;
mod budgets;
mod by_model;
mod capabilities;
mod changes;
mod chat;
mod client_wire;
mod closing;
mod coded;
mod command;
mod command_conformance;
mod command_doctor;
mod command_operate;
mod command_plugin;
mod common;
mod cors;
mod cut;
mod disconnects;
mod dns_targets;
mod drained;
mod examples;
mod exposure;
mod faults;
mod frozen;
mod health;
mod heartbeats;
mod hostile;
mod hygiene;
mod identity;
mod jwt;
mod leaving;
mod lifecycle;
mod limits;
mod loading;
mod marked;
mod model_split;
mod model_tenants;
mod models;
mod nginx;
mod ollama_api;
mod ollama_front;
mod ollama_habits;
mod onion;
mod operators;
mod otlp;
mod plans;
mod plugins;
mod probes;
mod proxied;
mod queue;
mod rate_limit;
mod readiness;
mod redact;
mod redis;
mod reload;
mod responses_front;
mod rules;
mod scripted;
mod slow;
mod streams;
mod swaps;
mod targets;
mod transport;
mod trusted_proxies;
mod unwatched;
mod upstreams;
mod vendors;
mod versions;
mod wire;
