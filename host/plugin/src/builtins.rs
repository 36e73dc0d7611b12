//! Components that are part of the program.

/// The components that are inside the program, by name. Whoever builds the program decides which ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Builtins(&'static [(&'static str, &'static [u8])]);

impl Builtins {
    /// These components.
    #[must_use]
    pub const fn new(table: &'static [(&'static str, &'static [u8])]) -> Self {
        Self(table)
    }

    /// The component of this name.
    ///
    /// # Errors
    /// What is wrong, and which names there are.
    pub fn find(self, name: &str) -> Result<&'static [u8], NoSuchBuiltin> {
        let found = self.0.iter().find(|(have, _)| *have == name);
        found.map(|(_, bytes)| *bytes).ok_or_else(|| NoSuchBuiltin {
            name: name.to_owned(),
            names: self.names().collect::<Vec<_>>().join(", "),
        })
    }

    /// All names, in order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }
}

/// There is no component of this name in the program.
#[derive(Clone, Debug, thiserror::Error)]
#[error("there is no built-in plugin `{name}`")]
pub struct NoSuchBuiltin {
    name: String,
    /// The names of all built-in plugins.
    pub names: String,
}
