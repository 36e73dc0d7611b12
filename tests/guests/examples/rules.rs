//! The plugin that tries what the contract forbids, as a component.

#[path = "../src/rules.rs"]
pub mod rules;
