//! What is inside the program: the plugins that ship and the chat page. `build.rs` makes them from `plugins/` and `ui/`.

mod table {
    include!(concat!(env!("OUT_DIR"), "/builtins.rs"));
    include!(concat!(env!("OUT_DIR"), "/page.rs"));
}

/// The component of a plugin that ships.
#[must_use]
pub fn find(name: &str) -> Option<&'static [u8]> {
    table::BUILTINS
        .iter()
        .find(|(have, _)| *have == name)
        .map(|(_, octets)| *octets)
}

/// The names of all plugins that ship, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    table::BUILTINS.iter().map(|(name, _)| *name)
}

/// The files of the chat page: path below its root, and content.
#[must_use]
pub fn page() -> &'static [(&'static str, &'static [u8])] {
    table::FILES
}
