//! The admin interface: health, readiness, metrics, plugins, the configuration. For operators and their probes, not for clients.
//!
//! What only shows something needs the token if there is one; what changes something always needs one. Names in JSON are in snake
//! case, as those of metrics are.

use std::sync::{Arc, OnceLock};

use hyper::body::Incoming;
use hyper::header::{self, ACCEPT, HeaderMap};
use hyper::{Request, Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::exchange::Core;
use crate::reload::{self, Control};
use sluicegate_config::{Problem, Problems, Secret};
use sluicegate_serve::Peer;
use sluicegate_telemetry::metrics::Exposition;
use sluicegate_upstream::target::State;

mod events;
mod path;
mod plugins;
mod response;
mod upload;
mod views;

use path::{Path, PluginAction};
pub use response::Body;
use response::{Refusal, error, not_allowed, respond, whole};

/// Exchanges in the list of the last ones.
const SHOWN: usize = 100;

/// Writes the figures of what runs beside the gateway, as families in the form of OpenMetrics.
pub type MoreMetrics = Box<dyn Fn() -> String + Send + Sync>;

/// What the admin interface shows.
pub struct Admin {
    /// Routes, plugins and upstreams in force, and the token that all but probes must send, if there is one.
    pub core: Arc<Core>,
    /// Puts configurations into force.
    pub control: Arc<Control>,
    /// Figures to be shown with the gateway's own, once there are any.
    pub more_metrics: Arc<OnceLock<MoreMetrics>>,
    /// Cancelled when the gateway drains.
    pub drain: CancellationToken,
    /// One upload at a time: each is held in memory.
    pub uploads: Arc<Semaphore>,
    /// Those who follow the events: each has a connection for good, and there must be some left for probes.
    pub followers: Arc<Semaphore>,
}

/// Answers one request.
pub async fn serve(admin: Arc<Admin>, peer: Peer, request: Request<Incoming>) -> Response<Body> {
    if let Some(hosts) = &peer.hosts
        && let Err(foreign) = hosts.check(request.uri(), request.headers())
    {
        return error(StatusCode::FORBIDDEN, foreign.to_string());
    }
    let Some(path) = Path::of(request.uri().path()) else {
        return error(
            StatusCode::NOT_FOUND,
            "there are /livez, /readyz, /metrics, /plugins, /routes, /upstreams, /exchanges, /budgets, /config, /events and /reload",
        );
    };
    let allowed = path.methods();
    if !allowed.contains(request.method()) {
        return not_allowed(allowed);
    }
    let changes = !request.method().is_safe();
    if path.is_protected()
        && let Err(refused) = check_token(&admin, &request, changes)
    {
        return refused.respond();
    }
    match path {
        Path::Live => respond(
            StatusCode::OK,
            &json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}),
        ),
        Path::Ready => readiness(&admin),
        Path::Metrics => metrics(&admin, request.headers()),
        Path::Config => respond(StatusCode::OK, &config(&admin)),
        Path::Reload => reloaded(&admin, &admin.control.reload().await),
        Path::Events => events::follow(&admin, request.headers()),
        Path::Routes => respond(StatusCode::OK, &views::routes(&admin)),
        Path::Upstreams => respond(StatusCode::OK, &views::upstreams(&admin)),
        Path::Exchanges => {
            let last = admin.core.recent.last(SHOWN);
            let list: Vec<_> = last.iter().map(|it| views::exchange(it)).collect();
            respond(StatusCode::OK, &json!({"exchanges": list}))
        }
        Path::Exchange(id) => match admin.core.recent.find(&id).first() {
            Some(summary) => respond(StatusCode::OK, &views::exchange(summary)),
            None => error(
                StatusCode::NOT_FOUND,
                "no such exchange among the last thousand",
            ),
        },
        Path::Budgets => match admin.control.supply().services.budgets().await {
            Ok(budgets) => respond(StatusCode::OK, &views::budgets(budgets)),
            Err(_) => error(
                StatusCode::SERVICE_UNAVAILABLE,
                "the shared state cannot be reached",
            ),
        },
        Path::Plugins => plugins::list(&admin).await,
        Path::Plugin(name) if changes => upload::take(&admin, &name, request).await,
        Path::Plugin(name) => plugins::one(&admin, &name).await,
        Path::PluginAction(name, PluginAction::Activate) => plugins::activate(&admin, &name).await,
        Path::PluginAction(name, PluginAction::Rollback) => plugins::roll_back(&admin, &name).await,
    }
}

/// Whether the request may do what it asks for.
fn check_token(admin: &Admin, request: &Request<Incoming>, changes: bool) -> Result<(), Refusal> {
    let snapshot = admin.core.snapshot.load();
    let token = snapshot.admin.as_ref().and_then(|it| it.token.as_ref());
    match token {
        None if changes => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "this changes something, which needs a token: set `token` under [admin]",
        )),
        Some(token) if !is_allowed(token, request) => Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "send the admin token as a bearer token",
        )),
        None | Some(_) => Ok(()),
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

/// How a reload ended, with what is in force now.
fn reloaded(admin: &Admin, result: &Result<Vec<Problem>, Problems>) -> Response<Body> {
    let status = match result {
        Ok(kept) if kept.is_empty() => StatusCode::OK,
        Ok(_) | Err(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    respond(status, &config(admin))
}

/// The configuration in force, and the last one that was refused.
fn config(admin: &Admin) -> Value {
    let status = admin.control.current();
    let refused = status.refused.map(
        |refused| json!({"at_ms": refused.at_ms, "problems": reload::problems(&refused.problems.0)}),
    );
    let mut config = json!({
        "generation": status.generation,
        "since_ms": status.since_ms,
        "refused": refused,
        "kept": reload::problems(&status.kept),
    });
    if let Some(shared) = &admin.control.supply().shared {
        config["state"] = json!({"address": shared.address(), "reachable": shared.is_reachable()});
    }
    config
}

/// Ready: not draining, and every upstream has a target that is not known to be down.
fn readiness(admin: &Admin) -> Response<Body> {
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
        let targets = upstream.targets();
        let states = targets.iter().map(|target| (target, target.state()));
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
        if down.len() == targets.len() {
            missing.extend(down);
            let nowhere = upstream.names().iter();
            let nowhere = nowhere.filter(|name| name.targets().is_empty());
            missing.extend(nowhere.map(|name| Missing {
                upstream: upstream.name.to_string(),
                target: name.label.to_string(),
                reason: name.why_unknown(),
            }));
        }
    }
    let draining = admin.drain.is_cancelled();
    let ready = missing.is_empty() && !draining;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    respond(
        status,
        &json!({"ready": ready, "draining": draining, "missing": missing}),
    )
}

fn metrics(admin: &Admin, header: &HeaderMap) -> Response<Body> {
    let accept = header.get_all(ACCEPT).iter();
    let exposition = Exposition::asked(accept.filter_map(|field| field.to_str().ok()));
    let supply = admin.control.supply();
    if let Some(shared) = &supply.shared {
        let (address, is) = (shared.address(), shared.is_reachable());
        supply.metrics.state_is_reachable(&address, is);
    }
    let mut families = supply.metrics.encode();
    if let Some(more) = admin.more_metrics.get() {
        families.push_str(&more());
    }
    let text = exposition.write(families);
    whole(StatusCode::OK, exposition.content_type(), text)
}
