//! Active health checks: probes every target periodically, and asks live ones for version and loaded models.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use tokio::time::MissedTickBehavior;

use super::ask::{self, Question, Sender};
use super::server_info::ServerInfo;
use super::target::{State, Target};
use super::vendor::Vendor;

/// How long a check may take. A model server answers checks while it computes; one that does not is stuck.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Why a target counts as down.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Asking(#[from] ask::Error),
    #[error("it does not answer {path} within {TIMEOUT:?}")]
    Late { path: String },
    #[error("it answers {path} with {status}{}", mend(*.status))]
    Status { path: String, status: StatusCode },
}

/// What to ask a target, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The path whose response shows that the server is up.
    pub path: String,
    /// How often.
    pub interval: Duration,
    /// How long a connection may take.
    pub connect: Duration,
    /// The `authorization` for the model server: without it a check would fail at a server that every exchange can use.
    pub key: Option<HeaderValue>,
    /// The path whose response the adapter reads, if it names one.
    pub info: Option<String>,
    /// The vendor, which decides whether the server is asked for its version and its loaded models.
    pub vendor: Vendor,
}

/// Checks a target until dropped.
pub async fn watch(target: Arc<Target>, probe: Probe) {
    let mut ticks = tokio::time::interval(probe.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        look(&target, &probe).await;
    }
}

/// Checks a target, and asks it for its version and models if it is up.
async fn look(target: &Arc<Target>, probe: &Probe) {
    match check(target, probe).await {
        Ok(body) => {
            // First of all: what follows may take its time.
            target.set_state(State::Up, true);
            let asked = tokio::time::timeout(TIMEOUT, ask(target, probe, body)).await;
            let (server, info) = asked.unwrap_or_default();
            if let Some(loaded) = &server.loaded {
                let keys = loaded.iter().map(|name| probe.vendor.model_key(name));
                target.stalls.listed(&keys.collect::<Vec<_>>());
            }
            target.set_server_info(server);
            target.set_info(info);
            target.checked(true);
        }
        Err(error) => {
            let beyond_connection = match error {
                Error::Late { .. } | Error::Status { .. } => true,
                Error::Asking(_) => false,
            };
            target.set_state(State::Down(error.to_string()), beyond_connection);
            target.set_server_info(ServerInfo::default());
            target.set_info(None);
            target.set_models(None);
            target.checked(false);
        }
    }
}

/// The body of a target's response to a check. The target is up unless it fails, refuses the gateway, or does not know the
/// path: then exchanges could not use it either.
async fn check(target: &Arc<Target>, probe: &Probe) -> Result<Bytes, Error> {
    let response = tokio::time::timeout(TIMEOUT, get(target, probe, &probe.path));
    let path = || probe.path.clone();
    let (status, body) = response.await.map_err(|_| Error::Late { path: path() })??;
    if status.is_server_error() || !mend(status).is_empty() {
        let path = path();
        return Err(Error::Status { path, status });
    }
    Ok(body)
}

/// What to do about a status that says that the gateway's configuration is wrong; "" for any other.
fn mend(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 407 => ": check the `key` of the upstream",
        403 => {
            ": check the `key` of the upstream, and whether the server takes requests for this address"
        }
        404 => ": check the address, which ends before the paths of the API",
        _ => "",
    }
}

/// What a target says about itself; `body` is its response to the check.
async fn ask(target: &Arc<Target>, probe: &Probe, body: Bytes) -> (ServerInfo, Option<Bytes>) {
    let mut known = vec![(probe.path.clone(), body)];
    let info = match &probe.info {
        Some(path) => Some(body_of(target, probe, path, &mut known).await),
        None => None,
    };
    let info = info.filter(|info| !info.is_empty());
    let mut server = ServerInfo::default();
    if let Some(path) = probe.vendor.version_path() {
        let body = body_of(target, probe, path, &mut known).await;
        server.version = probe.vendor.read_version(&body);
    }
    if let Some(path) = probe.vendor.loaded_path() {
        let body = body_of(target, probe, path, &mut known).await;
        server.loaded = probe.vendor.read_loaded(&body);
    }
    (server, info)
}

/// The response body for a path, which is asked once per check: servers log every request. Empty if the request fails.
async fn body_of(
    target: &Arc<Target>,
    probe: &Probe,
    path: &str,
    known: &mut Vec<(String, Bytes)>,
) -> Bytes {
    if let Some((_, body)) = known.iter().find(|(asked, _)| asked == path) {
        return body.clone();
    }
    let body = match get(target, probe, path).await {
        Ok((status, body)) if status.is_success() => body,
        Ok(_) | Err(_) => Bytes::new(),
    };
    known.push((path.to_owned(), body.clone()));
    body
}

/// Status and body of the response.
async fn get(
    target: &Arc<Target>,
    probe: &Probe,
    path: &str,
) -> Result<(StatusCode, Bytes), ask::Error> {
    let sender = Sender {
        target,
        connect: probe.connect,
        key: probe.key.as_ref(),
    };
    ask::ask(&sender, Question { path, json: None }).await
}
