//! Active health checks: a small request to every target, again and again, and to those that are there the question what
//! they are.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::header::{self, HeaderValue};
use hyper::http::uri::InvalidUri;
use hyper::{Method, Request, StatusCode};
use tokio::time::MissedTickBehavior;

use super::facts::{self, Facts};
use super::target::{State, describe};
use super::{Body, Target, Upstream, client};

/// How long a check may take. A model server answers these while it computes; one that does not is stuck.
const PATIENCE: Duration = Duration::from_secs(3);

/// The largest answer that is read to its end, in octets: room for a hundred models in memory.
const LARGEST: usize = 64 * 1024;

/// Why a target counts as down.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("`{path}` is not a path")]
    Path { path: String, source: InvalidUri },
    #[error("{}", describe(.0))]
    Unreachable(#[from] super::Error),
    #[error("it does not answer {path} within {PATIENCE:?}")]
    Late { path: String },
    #[error("it answers {path} with {status}")]
    Status { path: String, status: StatusCode },
}

/// Checks all targets of an upstream until dropped; returns at once if no checks are configured.
pub async fn watch(upstream: Arc<Upstream>) {
    let Some(health) = &upstream.health else {
        return;
    };
    let mut ticks = tokio::time::interval(health.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for target in &upstream.targets {
            look(target, &health.path).await;
        }
    }
}

/// Checks one target, and asks it what it is if it is there.
async fn look(target: &Arc<Target>, path: &str) {
    match check(target, path).await {
        Ok(body) => {
            // First of all: what follows may take its time.
            target.set_state(State::Up);
            let asked = tokio::time::timeout(PATIENCE, ask(target, path, body)).await;
            target.set_facts(asked.unwrap_or_default());
        }
        Err(error) => {
            target.set_state(State::Down(error.to_string()));
            target.set_facts(Facts::default());
        }
    }
}

/// The body with which a target answers a check. Any status below 500 shows that it is there.
async fn check(target: &Arc<Target>, path: &str) -> Result<Bytes, Error> {
    let answer = tokio::time::timeout(PATIENCE, get(target, path));
    let path = || path.to_owned();
    let (status, body) = answer.await.map_err(|_| Error::Late { path: path() })??;
    if status.is_server_error() {
        let path = path();
        return Err(Error::Status { path, status });
    }
    Ok(body)
}

/// What a target says of itself; `body` is what it has answered to a check at `path`.
async fn ask(target: &Arc<Target>, path: &str, body: Bytes) -> Facts {
    let answered = async |path| {
        get(target, path)
            .await
            .map(|(_, body)| body)
            .unwrap_or_default()
    };
    // The usual check is this question already, and servers log every request.
    let version = if path == facts::VERSION {
        body
    } else {
        answered(facts::VERSION).await
    };
    let loaded = answered(facts::LOADED).await;
    Facts {
        version: facts::version(&version),
        loaded: facts::loaded(&loaded),
    }
}

/// Status and body of an answer; the body is empty if it is larger than [`LARGEST`].
async fn get(target: &Arc<Target>, path: &str) -> Result<(StatusCode, Bytes), Error> {
    let mut request = Request::new(Body::Full(None));
    *request.method_mut() = Method::GET;
    *request.uri_mut() =
        format!("{}{path}", target.base)
            .parse()
            .map_err(|source| Error::Path {
                path: path.to_owned(),
                source,
            })?;
    request
        .headers_mut()
        .insert(header::HOST, target.authority.clone());
    request.headers_mut().insert(
        header::USER_AGENT,
        HeaderValue::from_static("sluicegate-health"),
    );
    let mut answer = client::send(target, request).await?;
    let mut body = BytesMut::new();
    // Read to the end, so that the connection can be used again; one that sends too much is closed instead.
    loop {
        let piece = answer.body.next(LARGEST).await?;
        if body.len() + piece.bytes.len() > LARGEST {
            return Ok((answer.head.status, Bytes::new()));
        }
        body.extend_from_slice(&piece.bytes);
        if piece.last {
            return Ok((answer.head.status, body.freeze()));
        }
    }
}
