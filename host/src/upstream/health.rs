//! Active health checks: a small request to every target, again and again.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{self, HeaderValue};
use hyper::{Method, Request};
use tokio::time::MissedTickBehavior;

use super::target::{State, describe};
use super::{Body, Target, Upstream, client};

/// How long a check may take. A model server answers these while it computes; one that does not is stuck.
const PATIENCE: Duration = Duration::from_secs(3);

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
            target.set_state(check(target, &health.path).await);
        }
    }
}

/// Asks one target once. Any answer below 500 shows that it is there.
async fn check(target: &Arc<Target>, path: &str) -> State {
    let mut request = Request::new(Body::Full(None));
    *request.method_mut() = Method::GET;
    let Ok(uri) = format!("{}{path}", target.base).parse() else {
        return State::Down(format!("`{path}` is not a path"));
    };
    *request.uri_mut() = uri;
    request
        .headers_mut()
        .insert(header::HOST, target.authority.clone());
    request.headers_mut().insert(
        header::USER_AGENT,
        HeaderValue::from_static("sluicegate-health"),
    );
    let exchange = async {
        let mut answer = client::send(target, request).await?;
        // Read to the end, so that the connection can be used again.
        while !answer.body.next(64 * 1024).await?.last {}
        Ok(answer.head.status)
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(Ok(status)) if status.is_server_error() => {
            State::Down(format!("it answers {path} with {status}"))
        }
        Ok(Ok(_)) => State::Up,
        Ok(Err(error)) => State::Down(describe(&error)),
        Err(_) => State::Down(format!("it does not answer {path} within {PATIENCE:?}")),
    }
}
