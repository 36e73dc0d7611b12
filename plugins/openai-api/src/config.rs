//! What the configurations of these adapters have in common.

use serde::Deserialize;

use crate::request::media::Hosts;
use crate::request::thinking::Dialect;

/// Whether the model server is asked to stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Streaming {
    /// Always: then stalls are noticed, and the model stops when the client leaves.
    #[default]
    Always,
    /// As the client asked.
    AsClient,
}

/// The member that carries a model's thoughts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningField {
    /// `reasoning`
    #[default]
    Reasoning,
    /// `reasoning_content`
    ReasoningContent,
    /// Both.
    Both,
}

impl ReasoningField {
    /// The names of the members.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Reasoning => &["reasoning"],
            Self::ReasoningContent => &["reasoning_content"],
            Self::Both => &["reasoning", "reasoning_content"],
        }
    }
}

/// What becomes of a parameter that the model server cannot do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unsupported {
    /// The request is refused.
    #[default]
    Refuse,
    /// It is left out, where the response is still of the kind that the client asked for.
    Drop,
}

/// The keys that all these adapters have.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Common {
    stream: Streaming,
    reasoning_field: ReasoningField,
    think_tags: Option<bool>,
    media_hosts: Option<Vec<String>>,
    unsupported: Unsupported,
}

impl Common {
    /// The settings made from them; `media` is from where media are fetched if the configuration does not say. What an adapter
    /// decides itself is as most do.
    ///
    /// # Errors
    /// For what is not the name of a host.
    pub fn settings(self, media: Hosts) -> Result<Settings, String> {
        Ok(Settings {
            streaming: self.stream,
            unsupported: self.unsupported,
            reasoning_field: self.reasoning_field,
            think_tags: self.think_tags.unwrap_or(true),
            thinking: Dialect::AsSent,
            media: self.media_hosts.map_or(Ok(media), hosts)?,
            prefix: "/v1".to_owned(),
            base_is_prefix: false,
            hidden: &[],
        })
    }
}

/// What an adapter's configuration and its vendor decide.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether the model server is asked to stream.
    pub streaming: Streaming,
    /// What becomes of a parameter that the model server cannot do.
    pub unsupported: Unsupported,
    /// The member that carries a model's thoughts.
    pub reasoning_field: ReasoningField,
    /// Whether thoughts between `<think>` and `</think>` are split off the content.
    pub think_tags: bool,
    /// How the model server is told how much to think.
    pub thinking: Dialect,
    /// From where the model server may fetch media.
    pub media: Hosts,
    /// What stands before the endpoint in the server's paths, such as `/v1`.
    pub prefix: String,
    /// Whether a path in the target's address stands in place of `prefix`.
    pub base_is_prefix: bool,
    /// Members of a response that are never shown.
    pub hidden: &'static [&'static str],
}

/// The hosts of `media-hosts`.
///
/// # Errors
/// For what is not the name of a host.
fn hosts(list: Vec<String>) -> Result<Hosts, String> {
    if list == ["*"] {
        return Ok(Hosts::All);
    }
    let is_name = |name: &String| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        !name.is_empty() && name.bytes().all(legal)
    };
    if let Some(wrong) = list.iter().find(|name| !is_name(name)) {
        return Err(format!(
            "`media-hosts` lists names of hosts such as \"images.example.com\", without scheme, port and path, or is [\"*\"]; \
             {wrong:?} is neither"
        ));
    }
    let lower = |name: String| name.to_ascii_lowercase();
    Ok(Hosts::Listed(list.into_iter().map(lower).collect()))
}
