//! Users and what they may do.

use serde::{Deserialize, Serialize};

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// Read and write one's own sessions.
    Chat,
    /// See the whole `/debug` card.
    Debug,
}

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct User {
    /// `u_…`.
    pub id: String,
    /// For people.
    pub name: String,
    /// What is allowed.
    pub scopes: Vec<Scope>,
}
