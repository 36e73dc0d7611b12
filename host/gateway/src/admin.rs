//! The admin interface: health, readiness, metrics, plugins. For operators and their probes, not for clients.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::exchange::Core;
use crate::pipeline::observer::Summary;
use crate::reload::Control;
use sluicegate_config::{Problem, Secret};
use sluicegate_serve::Peer;
use sluicegate_telemetry::metrics::{CONTENT_TYPE, Metrics};
use sluicegate_upstream::Target;
use sluicegate_upstream::target::State;

/// The path that makes the gateway read its configuration again.
const RELOAD: &str = "/reload";

/// Exchanges in the list of the last ones.
const SHOWN: usize = 100;

/// The end of OpenMetrics text.
const END: &str = "# EOF\n";

/// Writes the figures of what runs beside the gateway, as OpenMetrics text without its end mark.
pub type MoreMetrics = Box<dyn Fn() -> String + Send + Sync>;

/// What the admin interface shows.
pub struct Admin {
    /// Routes, plugins and upstreams in force, and the token that all but probes must send, if there is one.
    pub core: Arc<Core>,
    /// Puts configurations into force.
    pub control: Arc<Control>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Figures to be shown with them, once there are any.
    pub more_metrics: Arc<OnceLock<MoreMetrics>>,
    /// Cancelled when the gateway drains.
    pub drain: CancellationToken,
}

/// Answers one request.
pub async fn serve(
    admin: Arc<Admin>,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    if let Some(hosts) = &peer.hosts
        && let Err(foreign) = hosts.check(request.uri(), request.headers())
    {
        return json(
            StatusCode::FORBIDDEN,
            &json!({"error": foreign.to_string()}),
        );
    }
    let path = request.uri().path();
    let posts = path == RELOAD;
    let allowed: &[Method] = if posts {
        &[Method::POST]
    } else {
        &[Method::GET, Method::HEAD]
    };
    if !allowed.contains(request.method()) {
        return not_allowed(allowed);
    }
    match path {
        "/livez" => json(
            StatusCode::OK,
            &json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}),
        ),
        "/readyz" => readiness(&admin),
        path if posts || is_protected(path) => {
            let snapshot = admin.core.snapshot.load_full();
            let token = snapshot.admin.as_ref().and_then(|it| it.token.as_ref());
            match token {
                None if posts => json(
                    StatusCode::FORBIDDEN,
                    &json!({"error": "this changes something, which needs a token: set `token` under [admin]"}),
                ),
                Some(token) if !is_allowed(token, &request) => json(
                    StatusCode::UNAUTHORIZED,
                    &json!({"error": "send the admin token as a bearer token"}),
                ),
                Some(_) if posts => reload(&admin).await,
                Some(_) | None => protected(&admin, path),
            }
        }
        _ => json(
            StatusCode::NOT_FOUND,
            &json!({"error": "there are /livez, /readyz, /metrics, /plugins, /routes, /upstreams, /exchanges, /config and /reload"}),
        ),
    }
}

fn not_allowed(allowed: &[Method]) -> Response<Full<Bytes>> {
    let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    let allowed = allowed.join(", ");
    let error = format!("this takes {allowed}");
    let mut response = json(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": error}));
    if let Ok(allowed) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// Reads the configuration again, and responds when it is in force or refused.
async fn reload(admin: &Admin) -> Response<Full<Bytes>> {
    let result = admin.control.reload().await;
    let status = match result {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    json(status, &config(admin))
}

/// The configuration in force, and the last one that was refused.
fn config(admin: &Admin) -> serde_json::Value {
    let status = admin.control.status();
    let refused = status.refused.map(|refused| {
        let problem = |problem: &Problem| {
            json!({"key": problem.key, "line": problem.line, "message": problem.message, "mend": problem.mend})
        };
        let problems: Vec<_> = refused.problems.0.iter().map(problem).collect();
        json!({"at_ms": refused.at_ms, "problems": problems})
    });
    json!({"generation": status.generation, "since_ms": status.since_ms, "refused": refused})
}

/// Whether a path says more than a probe needs.
fn is_protected(path: &str) -> bool {
    matches!(
        path,
        "/metrics" | "/plugins" | "/routes" | "/upstreams" | "/exchanges" | "/config"
    ) || path.starts_with("/exchanges/")
}

fn protected(admin: &Admin, path: &str) -> Response<Full<Bytes>> {
    match path {
        "/metrics" => metrics(admin),
        "/plugins" => json(StatusCode::OK, &plugins(admin)),
        "/config" => json(StatusCode::OK, &config(admin)),
        "/routes" => json(StatusCode::OK, &routes(admin)),
        "/upstreams" => json(StatusCode::OK, &upstreams(admin)),
        "/exchanges" => {
            let last = admin.core.recent.last(SHOWN);
            json(
                StatusCode::OK,
                &json!({"exchanges": last.iter().map(|summary| exchange(summary)).collect::<Vec<_>>()}),
            )
        }
        path => {
            let id = path.strip_prefix("/exchanges/").unwrap_or_default();
            match admin.core.recent.find(id).first() {
                Some(summary) => json(StatusCode::OK, &exchange(summary)),
                None => json(
                    StatusCode::NOT_FOUND,
                    &json!({"error": "no such exchange among the last thousand"}),
                ),
            }
        }
    }
}

/// Compares digests, so that the time says nothing of the token.
fn is_allowed(token: &Secret, request: &Request<Incoming>) -> bool {
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
                State::Unknown | State::Up | State::Stalled(_) => None,
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
    let mut text = admin.metrics.encode();
    if let Some(more) = admin.more_metrics.get() {
        text.truncate(text.trim_end_matches(END).len());
        text.push_str(&more());
        text.push_str(END);
    }
    let mut response = Response::new(Full::from(text));
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
            "exports": version.exports().names().collect::<Vec<_>>(),
            "hash": version.hash(),
            "image": version.is_imaged(),
            "on_fault": if version.fails_open() { "open" } else { "closed" },
            "code_bytes": version.code_bytes(),
        })
    });
    json!({"plugins": list.collect::<Vec<_>>()})
}

fn upstreams(admin: &Admin) -> serde_json::Value {
    let snapshot = admin.core.snapshot.load();
    let mut upstreams: Vec<_> = snapshot.upstreams.values().collect();
    upstreams.sort_by(|a, b| a.name.cmp(&b.name));
    let list = upstreams.iter().map(|upstream| {
        let targets: Vec<_> = upstream.targets.iter().map(|it| target(it)).collect();
        let adapter = snapshot.adapters.get(&upstream.name);
        let adapter = adapter.map(|version| version.name());
        json!({"name": &*upstream.name, "adapter": adapter, "targets": targets})
    });
    json!({"upstreams": list.collect::<Vec<_>>()})
}

/// A model server as the last health check found it: asking for it here never waits for the server.
fn target(target: &Target) -> serde_json::Value {
    let (state, reason) = match target.state() {
        State::Unknown => ("unknown", None),
        State::Up => ("up", None),
        State::Stalled(reason) => ("stalled", Some(reason)),
        State::Down(reason) => ("down", Some(reason)),
    };
    let facts = target.server_info();
    json!({
        "target": &*target.label,
        "state": state,
        "reason": reason,
        "version": facts.version,
        "loaded": facts.loaded,
    })
}

/// One finished exchange. Times are in milliseconds.
fn exchange(summary: &Summary) -> serde_json::Value {
    let ms = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
    let note = |(name, text): &(String, String)| {
        (
            name.clone(),
            serde_json::from_str(text).unwrap_or(serde_json::Value::Null),
        )
    };
    json!({
        "id": &*summary.id,
        "received_ms": summary.received_ms,
        "route": &*summary.route,
        "method": summary.method.as_str(),
        "path": summary.path,
        "status": summary.status,
        "error": summary.error,
        "cancelled": summary.is_cancelled(),
        "upstream": &*summary.upstream,
        "target": &*summary.target,
        "attempts": summary.attempts,
        "request_bytes": summary.request_bytes,
        "response_bytes": summary.response_bytes,
        "events": summary.events,
        "ms": ms(summary.duration),
        "ttft_ms": summary.first_byte.map(ms),
        "stages_ms": ms(summary.overhead),
        "notes": summary.facts.iter().map(note).collect::<serde_json::Map<_, _>>(),
    })
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
