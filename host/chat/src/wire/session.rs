//! Sessions as the page's list sees them.

use serde::{Deserialize, Serialize};

/// One line of the session list, and all settings of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// `ses_…`.
    pub id: String,
    /// May be empty: the page then shows its own words for a new chat.
    pub title: String,
    /// Whether a person chose the title.
    pub titled: bool,
    /// The chosen model; absent means the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The session's own system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Kept at the top.
    pub pinned: bool,
    /// In the archive, and so not in the ordinary list.
    pub archived: bool,
    /// When it was moved to the trash, in milliseconds since 1970; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<u64>,
    /// A run is waiting or under way.
    #[serde(default)]
    pub running: bool,
    /// An answer has ended that the user has not seen.
    pub unread: bool,
    /// The start of the last message, at most 80 characters, one line.
    pub preview: String,
    /// The last message of the branch that is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// Position of the last change.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub created_at: u64,
    /// Milliseconds since 1970; the list is sorted by it.
    pub updated_at: u64,
    /// The matches of a search; only with `q`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hits: Vec<Hit>,
}

/// A message that matches a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hit {
    /// The message; absent when the title matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The text around the match, in parts to be shown one after another.
    pub snippet: Vec<Part>,
}

/// A part of a snippet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Plain text.
    pub t: String,
    /// Whether it matches the search.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hit: bool,
}

/// A page of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sessions {
    /// Pinned first, then the latest change first.
    pub sessions: Vec<Session>,
    /// Sent back, it gets the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// A search stopped at its time limit: there may be more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// A model that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Model {
    /// The name to send.
    pub id: String,
    /// Used if none was chosen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
}

/// Whether a layer below answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reach {
    /// It answers.
    Up,
    /// It does not.
    Down,
    /// Unknown: not probed yet, or the layer before it is down.
    Unknown,
}

/// The state of the chain below the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Health {
    /// The proxy.
    pub proxy: Reach,
    /// The model server behind it.
    pub model: Reach,
}
