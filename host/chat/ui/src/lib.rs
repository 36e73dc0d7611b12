//! The files of the chat page, embedded by `build.rs`.
//!
//! They are a crate of their own so that a change of the page compiles these lines and nothing of the gateway.

mod table {
    include!(concat!(env!("OUT_DIR"), "/page.rs"));
}

/// Every file: its path below the page's root, and its content.
pub const FILES: &[(&str, &[u8])] = table::FILES;
