//! The plugins that ship, as components inside the program. `build.rs` makes them from `plugins/`.

mod table {
    include!(concat!(env!("OUT_DIR"), "/builtins.rs"));
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
