//! When an issuer is asked for its keys, and how long they hold.
//!
//! An instance serves one exchange, so keys are in `kv`, for all exchanges and gateways that share it.
//!
//! # The rule
//! - Keys are asked for again after [`FRESH`], and when a token names one that is not there. One exchange asks; others go on with
//!   what is known.
//! - Nobody asks again within [`PAUSE`], whether it failed or not: tokens with invented names of keys cost an issuer six requests a
//!   minute. Before anything is known, [`FIRST`] exchanges may ask in that time, since they have nothing to go on with.
//! - While an issuer does not respond, known keys hold for [`STALE`]. After that, and for keys that are not known, the response is
//!   503: nobody can say that such a token is wrong.

use std::time::Duration;

use sluicegate_plugin::http::Request;
use sluicegate_plugin::{CapabilityError, Fault, kv, log};

use crate::algorithm::Algorithm;
use crate::issuer::Issuer;
use crate::jwks::{Jwk, Set};

/// How long keys are used without asking again. So long a key that was withdrawn is still accepted.
pub const FRESH: Duration = Duration::from_secs(10 * 60);

/// How long keys are used that cannot be asked for.
pub const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long nobody asks after somebody has.
pub const PAUSE: Duration = Duration::from_secs(10);

/// How many exchanges may ask within that time while no key is known.
pub const FIRST: i64 = 16;

/// What is stored in place of nothing when an issuer was asked in vain.
const FAILED: &[u8] = b"failed";

/// How long a response may take. Clients wait for it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What came of asking.
enum Asked {
    Set(Set),
    /// Somebody else has asked a moment ago, or is asking.
    Paused,
    /// The issuer did not respond, now or a moment ago.
    Failed,
}

/// The key that a token means.
///
/// # Errors
/// 401 if the issuer has no such key; 503 if that cannot be known now.
pub fn key(
    issuer: &Issuer,
    kid: Option<&str>,
    algorithm: Algorithm,
    now_ms: u64,
) -> Result<Jwk, Fault> {
    let known = cached(issuer)?;
    let age = |set: &Set| Duration::from_millis(now_ms.saturating_sub(set.fetched_ms));
    let is_within = |limit| known.as_ref().is_some_and(|set| age(set) < limit);
    let found = known.as_ref().and_then(|set| set.find(kid, algorithm));
    if let Some(key) = found.filter(|_| is_within(FRESH)) {
        return Ok(key.clone());
    }
    match (ask(issuer, known.is_some(), now_ms)?, found) {
        (Asked::Set(set), _) => set.find(kid, algorithm).cloned().ok_or_else(unknown),
        (Asked::Paused | Asked::Failed, Some(key)) => Ok(key.clone()),
        // What is known is as new as it would be if it were asked for.
        (Asked::Paused, None) if is_within(PAUSE) => Err(unknown()),
        (Asked::Paused | Asked::Failed, None) => Err(unavailable()),
    }
}

fn unknown() -> Fault {
    Fault::unauthorized("The token is signed with a key that its issuer does not have.")
}

fn unavailable() -> Fault {
    let message = "The keys of the token's issuer cannot be had now. Try again later.";
    Fault::new(503, "issuer_unavailable", message).field("retry-after", "5")
}

fn cached(issuer: &Issuer) -> Result<Option<Set>, CapabilityError> {
    let stored = kv::get(&format!("keys-{}", issuer.store))?;
    // What cannot be read was stored by another version.
    Ok(stored.and_then(|json| serde_json::from_slice(&json).ok()))
}

/// Asks the issuer, if nobody has a moment ago.
fn ask(issuer: &Issuer, has_keys: bool, now_ms: u64) -> Result<Asked, CapabilityError> {
    let store = &issuer.store;
    let asked = format!("asked-{store}");
    if has_keys && !kv::insert(&asked, "", Some(PAUSE))? {
        let has_failed = kv::get(&asked)?.as_deref() == Some(FAILED);
        return Ok(if has_failed {
            Asked::Failed
        } else {
            Asked::Paused
        });
    }
    if !has_keys && kv::add(&format!("first-{store}"), 1, Some(PAUSE))? > FIRST {
        return Ok(Asked::Failed);
    }
    match fetch(issuer, now_ms) {
        Ok(set) => {
            let json = serde_json::to_vec(&set).unwrap_or_default();
            kv::set(&format!("keys-{store}"), json, Some(STALE))?;
            Ok(Asked::Set(set))
        }
        Err(why) => {
            log::warn("the keys of an issuer cannot be had")
                .field("issuer", &issuer.name)
                .field("jwks", &issuer.jwks)
                .field("error", &why)
                .write();
            kv::set(&asked, FAILED, Some(PAUSE))?;
            Ok(Asked::Failed)
        }
    }
}

fn fetch(issuer: &Issuer, now_ms: u64) -> Result<Set, String> {
    let response = Request::get(&*issuer.jwks)
        .header("accept", "application/jwk-set+json, application/json")
        .timeout(TIMEOUT)
        .send()
        .map_err(|error| error.to_string())?;
    if response.status != 200 {
        return Err(format!("the response has the status {}", response.status));
    }
    Ok(Set::read(&response.body, now_ms)?)
}
