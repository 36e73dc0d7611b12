//! The `tgi` adapter: serves OpenAI's API from TGI (Text Generation Inference), whose chat route is only like it.
//!
//! | the client asks | TGI is asked |
//! | --- | --- |
//! | `POST /v1/chat/completions` | the same; with a `template` in the configuration, `POST /generate_stream` or `/generate` |
//! | `POST /v1/completions` | the same |
//! | `POST /v1/chat/completions/input_tokens` | `POST /chat_tokenize`, if it has a chat template |
//! | `GET /v1/models`, `GET /v1/models/{id}` | `GET /v1/models` |
//!
//! Responses, errors and thoughts are those of every such server, see [`sluicegate_openai_api`]. Of TGI alone are requests in a
//! form of its own ([`request`]), tools that are asked in one object because their stream loses arguments, stop sequences and
//! surplus tokens that are cut off the response, and its own API for a model without a chat template ([`native`]).
//!
//! # Source
//! TGI 3.3 source, `router/src/lib.rs`, `router/src/server.rs`, `router/src/validation.rs`; and its behaviour.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_openai_api::config::{Common, Settings, Streaming};
use sluicegate_openai_api::exchange::State;
use sluicegate_openai_api::request::media::Hosts;
use sluicegate_openai_api::request::thinking::Dialect;
use sluicegate_openai_api::request::{Body, Endpoint, unsupported};
use sluicegate_openai_api::tokens::Counter;
use sluicegate_openai_api::{Habits, Translate, Vendor, adapter};
use sluicegate_plugin::{Context, Fault, Manifest, Plugin};

pub mod native;
pub mod recovery;
pub mod request;

use native::Template;

/// The operator's configuration as in the file; `config.schema.json` says what each key means.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    #[serde(flatten)]
    common: Common,
    lora_adapters: Vec<String>,
    template: Option<Template>,
}

/// The adapter.
#[derive(Debug)]
pub struct Tgi {
    settings: Settings,
    lora_adapters: Vec<String>,
    template: Option<Template>,
}

impl Plugin for Tgi {
    type Config = Config;
    type State = State;

    fn manifest() -> Manifest {
        Manifest::new(
            "tgi",
            env!("CARGO_PKG_VERSION"),
            "Serves OpenAI's API from TGI",
        )
        .config(include_str!("config.schema.json"))
        .adapter("tgi")
        .health("/health")
        .info("/info")
        // Room for requests with images, up to the largest body.
        .limits("192MiB", "1s")
    }

    fn configure(config: Config) -> Result<Self, String> {
        if let Some(template) = &config.template {
            template.check()?;
        }
        Ok(Self {
            settings: Settings {
                // TGI has no say in how much a model thinks.
                thinking: Dialect::AsSent,
                hidden: &["system_fingerprint"],
                ..config.common.settings(Hosts::Listed(Vec::new()))?
            },
            lora_adapters: config.lora_adapters,
            template: config.template,
        })
    }
}

impl Vendor for Tgi {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn request(&self, endpoint: Endpoint, body: &mut Body<'_>) -> Result<Habits, Fault> {
        if endpoint == Endpoint::Embeddings {
            let message = "The model server generates text; it has no embeddings.";
            return Err(unsupported("model", message));
        }
        request::refuse(body)?;
        request::model(body, &self.lora_adapters);
        let stops = request::sampling(body)?;
        if endpoint == Endpoint::Completions {
            request::completion(body)?;
        } else {
            request::chat(body)?;
        }
        let has_tools = body.has("tools");
        let streams = body.says("stream", true) || self.settings.streaming == Streaming::Always;
        let most = request::most_tokens(body, streams && !self.is_only_whole(body))?;
        let recover: Translate = recovery::recovered;
        let mut habits = Habits {
            stops,
            most_tokens: most.filter(|&most| most > request::RUN),
            recover: has_tools.then_some(recover),
            full_at: most.filter(|_| has_tools),
            repeats_ids: true,
            shows_end: endpoint == Endpoint::Completions,
            counters: Some(["x-prompt-tokens", "x-generated-tokens"]),
            ..Habits::default()
        };
        if let Some(template) = self
            .template
            .as_ref()
            .filter(|_| endpoint == Endpoint::Chat)
        {
            habits.paths = Some(["/generate", "/generate_stream"]);
            habits.translate = Some(template.ask(body)?);
            habits.stops.extend_from_slice(template.stops());
        }
        request::hide_links(body);
        Ok(habits)
    }

    fn counter(&self) -> Option<Counter> {
        // A model without a chat template cannot count a chat.
        self.template.is_none().then_some(Counter {
            path: "/chat_tokenize",
            members: &["model", "messages", "tools", "tool_choice", "tool_prompt"],
            member: "tokenize_response",
            count: |raw| {
                let tokens: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
                Some(tokens.len() as u64)
            },
        })
    }

    fn is_only_whole(&self, body: &Body<'_>) -> bool {
        // A stream of several completions counts only one of them.
        body.has("tools")
            || body
                .text("prompt")
                .is_some_and(|prompt| prompt.starts_with('['))
    }

    fn context_length(&self, ctx: &Context<'_>) -> Option<u64> {
        ctx.upstream_info("/max_total_tokens")?.parse().ok()
    }
}

adapter!(Tgi);
