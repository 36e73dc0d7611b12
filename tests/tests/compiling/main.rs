//! Who compiles plugins: a child process with limits, and the cache in front of it.

mod cache;
mod child;
mod common;
mod start;
