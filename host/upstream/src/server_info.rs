//! What a model server says about itself: its version, and which models it has in memory.

/// What a model server says about itself. For a server of an unknown vendor nothing is known, which is not an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// Its version, such as `0.12.3`; `None` if unknown.
    pub version: Option<String>,
    /// The names of the models in its memory, in its own order; `None` if unknown.
    pub loaded: Option<Vec<String>>,
}
