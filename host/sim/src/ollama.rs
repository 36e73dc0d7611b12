//! Ollama: its native API, with those of its habits that matter to a gateway.
//!
//! NDJSON with `stream` on by default, error texts and statuses word for word, the checks of `Host` and `Origin`, `think`,
//! `format`, `tools`, `keep_alive`.
//!
//! `decide` and the modules below it say what to send, without IO or clock; `http` and `stream` send it.

mod catalog;
mod decide;
mod embed;
mod generate;
mod go_duration;
pub(crate) mod http;
mod loaded;
mod options;
mod origin;
mod request;
mod slots;
mod stream;
mod wire;

#[cfg(test)]
mod tests;
