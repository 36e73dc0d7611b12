//! The operator's configuration as in the file.

use serde::Deserialize;
use sluicegate_credentials::config::{Inject, Key};

/// The configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whose tokens are accepted; at least one.
    pub issuers: Vec<Issuer>,
    /// API keys that are accepted as well.
    pub keys: Vec<Key>,
    /// The second field that may hold the token or key, besides `authorization`.
    pub header: Option<String>,
    /// The key for the model server.
    pub inject: Option<Inject>,
}

/// An identity provider.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Issuer {
    /// Its name, as the claim `iss` has it.
    pub issuer: String,
    /// Where it publishes its keys.
    pub jwks: String,
    /// The audiences of which the claim `aud` must have one.
    pub audience: Vec<String>,
    /// The claim that names the tenant, or a JSON Pointer to it.
    #[serde(default = "subject")]
    pub tenant_claim: String,
    /// What is put before the tenant, so that tenants of several issuers cannot be mistaken for each other.
    #[serde(default)]
    pub tenant_prefix: String,
    /// The algorithms that are accepted; all by default.
    pub algorithms: Option<Vec<String>>,
}

fn subject() -> String {
    "sub".to_owned()
}
