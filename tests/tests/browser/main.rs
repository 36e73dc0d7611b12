//! The web gateway and its page, on top of the whole chain: the page in a browser, and what holds without one.
//!
//! One program, so that all tests share one engine.

#![expect(clippy::disallowed_types, reason = "these tests run in real time")]

mod chain;
mod suites;
