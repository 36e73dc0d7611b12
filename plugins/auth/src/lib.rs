//! The `auth` gate: lets requests with a known API key pass, and names their tenant.
//!
//! The key is in `authorization: Bearer …` or in the field `x-api-key` (another name can be configured). On success the note
//! `tenant` holds the key's tenant. The fields that may hold a client's key never reach the model server; they can be
//! replaced by a key for the model server. A key may have an end.
//!
//! Without configured keys everybody passes, as the tenant `anonymous`.
//!
//! This file only connects it to the gateway; the decision is in the crate `credentials`, which the gate `jwt` shares. That one asks
//! other servers: this one imports no capability, so that its calls need no stack of their own.

use sluicegate_credentials::Credentials;
use sluicegate_plugin::{Context, Gate, Manifest, Plugin, Stop, clock};

pub mod config;

use config::Config;

/// The gate.
#[derive(Debug)]
pub struct Auth(Credentials);

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
        Credentials::new(config.keys, config.header, config.inject, "an API key").map(Self)
    }
}

impl Gate for Auth {
    fn check(&self, (): &mut (), ctx: &Context<'_>) -> Result<(), Stop> {
        let credentials = &self.0;
        let presented = credentials.presented(ctx);
        let tenant = if credentials.is_empty() {
            "\"anonymous\""
        } else {
            credentials.tenant(credentials.key(&presented)?, clock::unix_ms)?
        };
        ctx.set_note_json("tenant", tenant)?;
        credentials.replace(ctx, &presented)?;
        Ok(())
    }
}

sluicegate_plugin::export!(Auth: gate);

#[cfg(test)]
mod tests;
