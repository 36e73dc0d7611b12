//! The `rewrite` gate: changes path, host, upstream and header fields of a request.
//!
//! Rules are tried in their order. The first match is applied and ends the search; after a match with `continue = true` the
//! search goes on with the new path. A rule matches by `exact`, `prefix` or `regex`; without any of them it matches every
//! path.
//!
//! ```toml
//! rules = [
//!   { prefix = "/openai/", path = "/" },                                       # /openai/v1/models -> /v1/models
//!   { regex = "^/t/([a-z0-9-]+)/", path = "/", set = { x-team = "$1" } },      # /t/a/v1/models -> /v1/models
//!   { exact = "/chat", path = "/v1/chat/completions", upstream = "big" },
//! ]
//! ```
//!
//! This file only connects it to the gateway; [`rule`] does the work.

use sluicegate_plugin::{Context, Gate, Manifest, Plugin, Stop};

pub mod config;
pub mod rule;

use config::Config;
use rule::Rule;

/// The gate.
#[derive(Debug)]
pub struct Rewrite(Vec<Rule>);

impl Plugin for Rewrite {
    type Config = Config;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new(
            "rewrite",
            env!("CARGO_PKG_VERSION"),
            "Changes path, host, upstream and header fields of requests",
        )
        .config(include_str!("config.schema.json"))
        .transforms(false)
    }

    fn configure(config: Config) -> Result<Self, String> {
        let rules = config.rules.into_iter().enumerate();
        rules
            .map(|(at, rule)| Rule::new(at, rule))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Gate for Rewrite {
    fn check(&self, (): &mut (), ctx: &Context<'_>) -> Result<(), Stop> {
        let method = ctx.method();
        let mut path = ctx.path();
        for rule in &self.0 {
            let Some(change) = rule.apply(&method, &path) else {
                continue;
            };
            for name in rule.removed() {
                ctx.remove(name)?;
            }
            for (name, value) in &change.fields {
                ctx.set(name, value.as_bytes())?;
            }
            if let Some(upstream) = rule.upstream() {
                ctx.set_upstream(upstream)?;
            }
            if let Some(new) = change.path {
                ctx.set_path(&new)?;
                path = new;
            }
            if !rule.goes_on() {
                break;
            }
        }
        Ok(())
    }
}

sluicegate_plugin::export!(Rewrite: gate);

#[cfg(test)]
mod tests;
