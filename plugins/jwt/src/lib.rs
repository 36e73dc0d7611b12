//! The `jwt` gate: lets requests pass with a token that an identity provider has signed, and names the tenant by one of its claims. It
//! can take API keys beside that, like `auth`.
//!
//! A token is a JWT in compact form (RFC 7519). It must be of a configured issuer, for a configured audience, within its time, and
//! signed with one of the keys that the issuer publishes (RFC 7517). Where it stands in a request, and what becomes of the
//! field, is as with `auth`. What has the form of a token is taken for one; everything else is an API key, and nothing of it is
//! parsed.
//!
//! | is about | file |
//! | --- | --- |
//! | the form of a token | [`token`] |
//! | issuer, audience, times, tenant | [`issuer`] |
//! | published keys, and which one is meant | [`jwks`] |
//! | when an issuer is asked for its keys, and how long they hold | [`keyring`] |
//! | signatures | [`algorithm`], [`signature`] |
//!
//! It is a plugin of its own because it imports `http` and `kv`: calls of such a component run on stacks of their own, and it is not
//! loaded without these grants. Who has API keys alone should not pay for that.

use sluicegate_credentials::{Credentials, json_text};
use sluicegate_plugin::{Context, Fault, Gate, Manifest, Plugin, Stop, clock};

pub mod algorithm;
pub mod config;
pub mod issuer;
pub mod jwks;
pub mod keyring;
pub mod signature;
pub mod token;

use config::Config;
use issuer::Issuer;
use token::Token;

/// The gate.
#[derive(Debug)]
pub struct Jwt {
    issuers: Vec<Issuer>,
    credentials: Credentials,
}

impl Plugin for Jwt {
    type Config = Config;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new(
            "jwt",
            env!("CARGO_PKG_VERSION"),
            "Verifies tokens of identity providers and names the tenant",
        )
        .config(include_str!("config.schema.json"))
        .transforms(false)
        .authenticates(true)
        .requires(&["http", "kv"])
        // A signature takes some milliseconds, with the largest keys.
        .limits("16MiB", "50ms")
    }

    fn configure(config: Config) -> Result<Self, String> {
        let mut issuers: Vec<Issuer> = Vec::with_capacity(config.issuers.len());
        for (at, issuer) in config.issuers.into_iter().enumerate() {
            let issuer = Issuer::new(issuer).map_err(|why| format!("`issuers[{at}].{why}"))?;
            if issuers.iter().any(|other| other.name == issuer.name) {
                return Err(format!(
                    "`issuers[{at}].issuer`: there are two sections for `{}`",
                    issuer.name
                ));
            }
            issuers.push(issuer);
        }
        if issuers.is_empty() {
            return Err("`issuers` must not be empty; for API keys alone there is `auth`".into());
        }
        let tokens = config.keys.iter();
        let mut tokens = tokens.filter(|entry| token::has_its_form(entry.key.as_bytes()));
        if let Some(entry) = tokens.next() {
            return Err(format!(
                "the key of `{}` has the form of a token, and would be taken for one",
                entry.name
            ));
        }
        let wanted = if config.keys.is_empty() {
            "a token"
        } else {
            "a token or an API key"
        };
        let credentials = Credentials::new(config.keys, config.header, config.inject, wanted)?;
        Ok(Self {
            issuers,
            credentials,
        })
    }
}

impl Gate for Jwt {
    fn check(&self, (): &mut (), ctx: &Context<'_>) -> Result<(), Stop> {
        let presented = self.credentials.presented(ctx);
        let key = self.credentials.key(&presented)?;
        if token::has_its_form(key) {
            let tenant = self.tenant(key)?;
            ctx.set_note_json("tenant", &json_text(&tenant))?;
        } else {
            let tenant = self.credentials.tenant(key, clock::unix_ms)?;
            ctx.set_note_json("tenant", tenant)?;
        }
        self.credentials.replace(ctx, &presented)?;
        Ok(())
    }
}

impl Jwt {
    /// Whose a token is. What costs nothing is checked first: a token that is refused for its claims asks nobody for a key.
    fn tenant(&self, text: &[u8]) -> Result<String, Fault> {
        let now_ms = clock::unix_ms();
        let token = Token::read(text)?;
        let claims = &token.claims;
        let name = claims.get("iss").and_then(|name| name.as_str());
        let mut issuers = self.issuers.iter();
        let issuer = issuers.find(|issuer| Some(&*issuer.name) == name);
        let issuer = issuer.ok_or_else(|| {
            Fault::unauthorized("The token is of an issuer that this gateway does not know.")
        })?;
        let algorithm = issuer.algorithm(&token.header.alg)?;
        issuer.check(claims, now_ms)?;
        let key = keyring::key(issuer, token.header.kid.as_deref(), algorithm, now_ms)?;
        if !signature::verifies(algorithm, &key, token.signed, &token.signature) {
            return Err(Fault::unauthorized(
                "The token's signature is not that of its issuer.",
            ));
        }
        issuer.tenant(claims)
    }
}

sluicegate_plugin::export!(Jwt: gate);

#[cfg(test)]
mod tests;
