//! The admin interface: health, readiness, metrics, plugins. For operators and their probes, not for clients.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::config::Secret;
use crate::exchange::Core;
use crate::telemetry::metrics::{CONTENT_TYPE, Metrics};
use crate::upstream::target::State;

/// What the admin interface shows.
pub struct Admin {
    /// Routes, plugins and upstreams in force.
    pub core: Arc<Core>,
    /// Counters.
    pub metrics: Metrics,
    /// The token that `/metrics` and `/plugins` ask for, if any. Probes need none.
    pub token: Option<Secret>,
    /// Cancelled when the gateway drains.
    pub drain: CancellationToken,
}

/// Answers one request.
pub async fn serve(admin: Arc<Admin>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = json(
            StatusCode::METHOD_NOT_ALLOWED,
            &json!({"error": "only GET is possible here"}),
        );
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/livez" => json(
            StatusCode::OK,
            &json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}),
        ),
        "/readyz" => readiness(&admin),
        path @ ("/metrics" | "/plugins" | "/routes") => {
            if !is_allowed(&admin, &request) {
                return json(
                    StatusCode::UNAUTHORIZED,
                    &json!({"error": "send the admin token as a bearer token"}),
                );
            }
            match path {
                "/metrics" => metrics(&admin),
                "/plugins" => json(StatusCode::OK, &plugins(&admin)),
                _ => json(StatusCode::OK, &routes(&admin)),
            }
        }
        _ => json(
            StatusCode::NOT_FOUND,
            &json!({"error": "there are /livez, /readyz, /metrics, /plugins and /routes"}),
        ),
    }
}

/// Compares digests, so that the time says nothing of the token.
fn is_allowed(admin: &Admin, request: &Request<Incoming>) -> bool {
    let Some(token) = &admin.token else {
        return true;
    };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    given.is_some_and(|given| Sha256::digest(given) == Sha256::digest(token.expose()))
}

/// Ready: not draining, and every upstream has a target that is not known to be down.
fn readiness(admin: &Admin) -> Response<Full<Bytes>> {
    #[derive(Serialize)]
    struct Missing {
        upstream: String,
        target: String,
        reason: String,
    }
    let snapshot = admin.core.snapshot.load();
    let mut missing = Vec::new();
    let mut upstreams: Vec<_> = snapshot.upstreams.values().collect();
    upstreams.sort_by(|a, b| a.name.cmp(&b.name));
    for upstream in upstreams {
        let states = upstream
            .targets
            .iter()
            .map(|target| (target, target.state()));
        let down: Vec<_> = states
            .filter_map(|(target, state)| match state {
                State::Down(reason) => Some(Missing {
                    upstream: upstream.name.to_string(),
                    target: target.label.to_string(),
                    reason,
                }),
                State::Unknown | State::Up => None,
            })
            .collect();
        if down.len() == upstream.targets.len() {
            missing.extend(down);
        }
    }
    let draining = admin.drain.is_cancelled();
    let ready = missing.is_empty() && !draining;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    json(
        status,
        &json!({"ready": ready, "draining": draining, "missing": missing}),
    )
}

fn metrics(admin: &Admin) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(admin.metrics.encode()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}

fn plugins(admin: &Admin) -> serde_json::Value {
    let snapshot = admin.core.snapshot.load();
    let list = snapshot.plugins.values().map(|version| {
        let manifest = version.manifest();
        json!({
            "name": version.name(),
            "plugin": manifest.name,
            "version": manifest.version,
            "summary": manifest.summary,
            "role": version.role().as_str(),
            "hash": version.hash(),
            "image": version.is_imaged(),
            "on-fault": if version.fails_open() { "open" } else { "closed" },
            "code-bytes": version.code_bytes(),
        })
    });
    json!({"plugins": list.collect::<Vec<_>>()})
}

fn routes(admin: &Admin) -> serde_json::Value {
    let snapshot = admin.core.snapshot.load();
    let list = snapshot.routes.iter().map(|route| {
        json!({
            "path": &*route.label,
            "methods": route.methods.iter().map(Method::as_str).collect::<Vec<_>>(),
            "pipeline": route.pipeline.stages.iter().map(|stage| stage.name()).collect::<Vec<_>>(),
            "upstream": &*route.upstream,
        })
    });
    json!({"routes": list.collect::<Vec<_>>()})
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(value.to_string() + "\n"));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
