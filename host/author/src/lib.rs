//! What authors of plugins need before a component exists: projects, templates, kits, and the tools of each language.
//!
//! A *project* is a folder with a `plugin.toml`, the author's sources, cases for `plugin test`, and two folders that are never
//! committed: `kit/`, which holds the contract and helpers as this program knows them, and `build/` with the component.
//!
//! | module | does |
//! | --- | --- |
//! | [`project`] | reads `plugin.toml` |
//! | [`template`] | makes a new project |
//! | [`kit`] | writes `kit/` |
//! | [`build`] | makes the component, by the language's own tools |
//!
//! A language is a variant of [`Language`], a file in `language/` that adds to the kit and calls its tools, a folder
//! `plugins/kits/LANGUAGE/` whose files become `kit/`, and in it `template/`, whose files become a new project. This crate knows
//! neither wasmtime nor the gateway.

pub mod build;
pub mod kit;
pub mod project;
pub mod template;
pub mod tool;

mod componentize;
mod contract;
mod embedded;
mod language;
mod names;
mod render;

pub use names::{Export, Language};
