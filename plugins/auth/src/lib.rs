//! The `auth` gate: lets requests with a known API key pass, and names their tenant.
//!
//! The key is in `authorization: Bearer …` or in the field `x-api-key` (another name can be configured). On success the note
//! `tenant` holds the key's tenant. The fields that may hold a client's key never reach the model server; they can be
//! replaced by a key for the model server.
//!
//! Without configured keys everybody passes, as the tenant `anonymous`.
//!
//! This file only connects it to the gateway; the decision is in [`rule`], the keys are in [`keys`].

use sluicegate_plugin::{Context, Gate, Manifest, Plugin, Stop};

pub mod config;
pub mod keys;
pub mod rule;

use config::Config;
use rule::Rule;

/// The gate.
#[derive(Debug)]
pub struct Auth(Rule);

impl Plugin for Auth {
    type Config = Config;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new(
            "auth",
            env!("CARGO_PKG_VERSION"),
            "Checks API keys and names the tenant",
        )
        .config(include_str!("config.schema.json"))
        .transforms(false)
        .authenticates(true)
    }

    fn configure(config: Config) -> Result<Self, String> {
        Rule::new(config).map(Self)
    }
}

impl Gate for Auth {
    fn check(&self, (): &mut (), ctx: &Context<'_>) -> Result<(), Stop> {
        let rule = &self.0;
        let authorization = ctx.get("authorization");
        let field = ctx.get(rule.field());
        let tenant = rule.decide(authorization.as_deref(), field.as_deref())?;
        ctx.set_note_json("tenant", tenant)?;
        for (name, value) in [("authorization", &authorization), (rule.field(), &field)] {
            // Setting the injected field replaces a field of the same name.
            let replaced = rule
                .injected()
                .is_some_and(|injected| injected.name == name);
            if value.is_some() && !replaced {
                ctx.remove(name)?;
            }
        }
        if let Some(injected) = rule.injected() {
            ctx.set(&injected.name, &injected.value)?;
        }
        Ok(())
    }
}

sluicegate_plugin::export!(Auth: gate);

#[cfg(test)]
mod tests;
