//! The `openai` adapter: any model server that speaks OpenAI's API, such as llama.cpp's `llama-server`, SGLang, or a hosted
//! provider. It makes such a server's responses those that OpenAI's clients expect, and changes nothing else.
//!
//! This file has its configuration; what it does is in [`sluicegate_openai_api`].

use serde::Deserialize;
use sluicegate_openai_api::config::{Common, Settings};
use sluicegate_openai_api::exchange::State;
use sluicegate_openai_api::request::Body;
use sluicegate_openai_api::request::media::Hosts;
use sluicegate_openai_api::request::thinking::Dialect;
use sluicegate_openai_api::{Vendor, adapter};
use sluicegate_plugin::{Manifest, Plugin};

/// The operator's configuration as in the file; `config.schema.json` says what each key means.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    prefix: String,
    thinking: Thinking,
    #[serde(flatten)]
    common: Common,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            prefix: "/v1".to_owned(),
            thinking: Thinking::AsSent,
            common: Common::default(),
        }
    }
}

/// How the server is told how much a model thinks.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Thinking {
    AsSent,
    ReasoningEffort,
    ChatTemplate,
}

/// The adapter.
#[derive(Debug)]
pub struct Openai(Settings);

impl Plugin for Openai {
    type Config = Config;
    type State = State;

    fn manifest() -> Manifest {
        Manifest::new(
            "openai",
            env!("CARGO_PKG_VERSION"),
            "Serves OpenAI's API from any server that speaks it",
        )
        .config(include_str!("config.schema.json"))
        .adapter("openai")
        // Room for requests with images, up to the largest body.
        .limits("192MiB", "1s")
    }

    fn configure(config: Config) -> Result<Self, String> {
        let prefix = config.prefix.trim_end_matches('/').to_owned();
        let is_path = |path: &str| {
            path.starts_with('/')
                && path
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte))
        };
        if !prefix.is_empty() && !is_path(&prefix) {
            return Err(
                "`prefix` must be a path such as \"/v1\" or \"/api/openai/v1\", or \"\"".to_owned(),
            );
        }
        Ok(Self(Settings {
            thinking: match config.thinking {
                Thinking::AsSent => Dialect::AsSent,
                Thinking::ReasoningEffort => Dialect::Effort,
                Thinking::ChatTemplate => Dialect::Template,
            },
            prefix,
            base_is_prefix: true,
            ..config.common.settings(Hosts::All)?
        }))
    }
}

impl Vendor for Openai {
    fn settings(&self) -> &Settings {
        &self.0
    }

    fn is_only_whole(&self, body: &Body<'_>) -> bool {
        // llama.cpp refuses both together in a stream.
        body.says("logprobs", true) && body.has("tools")
    }
}

adapter!(Openai);
