//! Plugins: loading WebAssembly components, and running them in sandboxes.
//!
//! A plugin is loaded once per version ([`load`]): checked against the contract, configured, captured as an image and
//! compiled ([`compile`]: here or in a child process, with a [`cache`] on disk or without), then tried. Every exchange then
//! gets its own instance from that image ([`instance`]). Nothing here knows of HTTP connections or model servers; nothing
//! outside sees an error type of the engine.

mod advice;
mod bindings;
mod budget;
mod builtins;
pub mod cache;
mod called;
mod calls;
pub mod compile;
mod composition;
mod context;
pub mod contract;
mod engine;
mod error;
mod frame;
mod grants;
mod hash;
mod held;
mod host;
mod image;
pub mod instance;
pub mod limits;
pub mod load;
mod loaded;
pub mod manifest;
mod outcome;
mod outside;
mod owner;
mod pins;
pub mod rehearse;
pub mod secret;
pub mod services;
pub mod size;
mod store;
mod toolchain;
mod trial;
mod turn;
mod waiting;
pub mod wit;

pub use builtins::{Builtins, NoSuchBuiltin};
pub use called::{CallFailure, Called};
pub use context::{ExchangeContext, Interruptible};
pub use engine::Engine;
pub use error::Error;
pub use hash::{component, version};
pub use load::Loader;
pub use loaded::Plugin;
pub use outside::FIXED_MS;
pub use owner::Figures;
pub use services::{PluginServices, Services};
pub use store::TargetInfo;
pub use toolchain::Toolchain;
pub use waiting::AT_THE_GATES;
