//! The `vllm` adapter: serves OpenAI's API from vLLM, which speaks it with habits of its own.
//!
//! Responses, errors and the names of thinking are those of every such server, see [`sluicegate_openai_api`]. Of vLLM alone are
//! the requests that it refuses or misreads though OpenAI takes them ([`request`]), and parameters that only an operator may
//! set: they change the prompt's template, the scheduling, the cache, or what the server runs and fetches.
//!
//! # Source
//! vLLM 0.32 source, `vllm/entrypoints/openai/chat_completion/protocol.py`, `completion/protocol.py`; and its behaviour.

use serde::Deserialize;
use sluicegate_openai_api::config::{Common, Settings};
use sluicegate_openai_api::exchange::State;
use sluicegate_openai_api::request::media::Hosts;
use sluicegate_openai_api::request::thinking::Dialect;
use sluicegate_openai_api::request::{Body, Endpoint};
use sluicegate_openai_api::tokens::Counter;
use sluicegate_openai_api::{Habits, Vendor, adapter};
use sluicegate_plugin::{Fault, Manifest, Plugin, log};

pub mod request;

/// The operator's configuration as in the file; `config.schema.json` says what each key means.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    #[serde(flatten)]
    common: Common,
    allow: Vec<String>,
}

/// Members of a response that name the server or its neighbours. The last is shown if a client may send it.
const HIDDEN: [&str; 3] = ["system_fingerprint", "ec_transfer_params", KV];

const KV: &str = "kv_transfer_params";

/// The adapter.
#[derive(Debug)]
pub struct Vllm {
    settings: Settings,
    /// Parameters that a client must not set.
    guarded: Vec<&'static str>,
}

impl Plugin for Vllm {
    type Config = Config;
    type State = State;

    fn manifest() -> Manifest {
        Manifest::new(
            "vllm",
            env!("CARGO_PKG_VERSION"),
            "Serves OpenAI's API from vLLM",
        )
        .config(include_str!("config.schema.json"))
        .adapter("vllm")
        .health("/health")
        .info("/version")
        // Room for requests with images, up to the largest body.
        .limits("192MiB", "1s")
    }

    fn configure(config: Config) -> Result<Self, String> {
        if let Some(unknown) = config
            .allow
            .iter()
            .find(|name| !request::GUARDED.contains(&name.as_str()))
        {
            return Err(format!(
                "`allow` lists {unknown:?}; it can list {}",
                request::GUARDED.join(", ")
            ));
        }
        let is_guarded = |name: &&str| !config.allow.iter().any(|allowed| allowed == name);
        let guarded: Vec<&str> = request::GUARDED.into_iter().filter(is_guarded).collect();
        let hidden: &[&str] = if guarded.contains(&KV) {
            &HIDDEN
        } else {
            &HIDDEN[..2]
        };
        Ok(Self {
            settings: Settings {
                thinking: Dialect::Template,
                hidden,
                ..config.common.settings(Hosts::Listed(Vec::new()))?
            },
            guarded,
        })
    }
}

impl Vendor for Vllm {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn request(&self, endpoint: Endpoint, body: &mut Body<'_>) -> Result<Habits, Fault> {
        let is_set = |name: &&&str| body.has(name);
        let dropped: Vec<&str> = self.guarded.iter().filter(is_set).copied().collect();
        if !dropped.is_empty() {
            for name in &dropped {
                body.remove(name);
            }
            log::info("request parameters that clients may not set were left out")
                .field("parameters", &dropped)
                .write();
        }
        match endpoint {
            Endpoint::Chat => request::mend_chat(body)?,
            Endpoint::Completions => request::mend_sampling(body)?,
            Endpoint::Embeddings => {}
        }
        Ok(Habits::default())
    }

    fn counter(&self) -> Option<Counter> {
        Some(Counter {
            path: "/tokenize",
            members: &[
                "model",
                "messages",
                "tools",
                "chat_template",
                "chat_template_kwargs",
            ],
            member: "count",
            count: |raw| raw.get().parse().ok(),
        })
    }

    fn is_only_whole(&self, body: &Body<'_>) -> bool {
        body.has("prompt_logprobs") || body.says("use_beam_search", true)
    }
}

adapter!(Vllm);
