//! The gateway as a whole: an exact client in front, a scripted model server behind, both ends checked.
//!
//! One program, so that all tests share one engine and every plugin is compiled once.

mod bad_input;
mod chat;
mod command;
mod hostile;
mod leaving;
mod lifecycle;
mod loading;
mod plugins;
mod streams;
mod transport;
