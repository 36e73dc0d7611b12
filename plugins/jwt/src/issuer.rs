//! An issuer: which of its tokens are accepted, and whose they are.

use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use sluicegate_plugin::Fault;

use crate::algorithm::Algorithm;
use crate::config;

/// By how many seconds the clocks of an issuer and of this gateway may differ.
const LEEWAY: f64 = 60.0;

/// The most bytes of a tenant's name: that of a subject of `rate`.
const LONGEST_TENANT: usize = 256;

/// An issuer.
#[derive(Debug)]
pub struct Issuer {
    /// As the claim `iss` has it.
    pub name: String,
    /// The URL of its keys.
    pub jwks: String,
    /// What its keys are stored under: a digest of the URL.
    pub store: String,
    audience: Vec<String>,
    tenant_claim: String,
    tenant_prefix: String,
    algorithms: Vec<Algorithm>,
}

impl Issuer {
    /// The issuer of a section.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence that begins with the section.
    pub fn new(section: config::Issuer) -> Result<Self, String> {
        let jwks = section.jwks;
        if !jwks.starts_with("https://") && !jwks.starts_with("http://") {
            return Err(format!("jwks`: `{jwks}` is not a URL with https or http"));
        }
        if section.issuer.is_empty() {
            return Err("issuer` must not be empty".into());
        }
        if section.audience.is_empty() {
            return Err("audience` must not be empty: tokens for others would be accepted".into());
        }
        let algorithms = match &section.algorithms {
            None => Algorithm::ALL.to_vec(),
            Some(names) => {
                let named = |name: &String| {
                    Algorithm::named(name)
                        .ok_or_else(|| format!("algorithms`: `{name}` is not accepted here"))
                };
                names.iter().map(named).collect::<Result<_, _>>()?
            }
        };
        Ok(Self {
            name: section.issuer,
            store: HEXLOWER.encode(&Sha256::digest(&jwks)),
            jwks,
            audience: section.audience,
            tenant_claim: section.tenant_claim,
            tenant_prefix: section.tenant_prefix,
            algorithms,
        })
    }

    /// The algorithm of this name, if it is accepted.
    ///
    /// # Errors
    /// 401 if it is not.
    pub fn algorithm(&self, name: &str) -> Result<Algorithm, Fault> {
        Algorithm::named(name)
            .filter(|algorithm| self.algorithms.contains(algorithm))
            .ok_or_else(|| {
                Fault::unauthorized(
                    "The token is signed with an algorithm that this gateway does not accept.",
                )
            })
    }

    /// Whether a token with these claims is for this gateway, and within its time.
    ///
    /// # Errors
    /// 401 if it is not.
    pub fn check(&self, claims: &Map<String, Value>, now_ms: u64) -> Result<(), Fault> {
        #[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
        let now = now_ms as f64 / 1000.0;
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| {
                Fault::unauthorized(format!("The token's claim `{name}` is not a time."))
            }),
        };
        let audience = claims.get("aud").unwrap_or(&Value::Null);
        let is_own = |name: &Value| self.audience.iter().any(|own| name == own.as_str());
        let is_for_us = match audience {
            Value::Array(names) => names.iter().any(is_own),
            name => is_own(name),
        };
        if !is_for_us {
            return Err(Fault::unauthorized("The token is for another audience."));
        }
        match time("exp")? {
            None => {
                return Err(Fault::unauthorized(
                    "The token has no end: its claim `exp`.",
                ));
            }
            Some(end) if now >= end + LEEWAY => {
                return Err(Fault::unauthorized(
                    "The token has expired. Ask for a new one.",
                ));
            }
            Some(_) => {}
        }
        match time("nbf")? {
            Some(begin) if now < begin - LEEWAY => {
                Err(Fault::unauthorized("The token is not valid yet."))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The tenant that a verified token names.
    ///
    /// # Errors
    /// 401 if it names none.
    pub fn tenant(&self, claims: &Map<String, Value>) -> Result<String, Fault> {
        let whole;
        let found = if self.tenant_claim.starts_with('/') {
            whole = Value::Object(claims.clone());
            whole.pointer(&self.tenant_claim)
        } else {
            claims.get(&self.tenant_claim)
        };
        let name = found
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty());
        let tenant = name.map(|name| format!("{}{name}", self.tenant_prefix));
        tenant
            .filter(|tenant| tenant.len() <= LONGEST_TENANT)
            .ok_or_else(|| {
                let claim = &self.tenant_claim;
                Fault::unauthorized(format!(
                    "The token has no claim `{claim}` that could name a tenant."
                ))
            })
    }
}
