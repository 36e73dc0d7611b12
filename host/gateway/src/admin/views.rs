//! Upstreams, routes and exchanges as the admin interface shows them.

use std::time::Duration;

use hyper::Method;
use serde_json::json;

use super::Admin;
use crate::pipeline::observer::Summary;
use sluicegate_state::shared::Budget;
use sluicegate_upstream::target::State;
use sluicegate_upstream::{Name, Target};

pub(super) fn upstreams(admin: &Admin) -> serde_json::Value {
    let snapshot = admin.core.snapshot.load();
    let mut upstreams: Vec<_> = snapshot.upstreams.values().collect();
    upstreams.sort_by(|a, b| a.name.cmp(&b.name));
    let list = upstreams.iter().map(|upstream| {
        let targets: Vec<_> = upstream.targets().iter().map(|it| target(it)).collect();
        let adapter = snapshot.adapters.get(&upstream.name);
        let adapter = adapter.map(|version| version.name());
        let mut shown = json!({"name": &*upstream.name, "adapter": adapter, "targets": targets});
        if !upstream.names().is_empty() {
            let names: Vec<_> = upstream.names().iter().map(|it| name(it)).collect();
            shown["names"] = names.into();
        }
        shown
    });
    json!({"upstreams": list.collect::<Vec<_>>()})
}

/// A name whose addresses are targets, as the last lookup found it.
fn name(name: &Name) -> serde_json::Value {
    json!({
        "name": &*name.label,
        "addresses": name.targets().len(),
        // What is wrong with the last lookup; its addresses are then those that were known before.
        "error": name.problem(),
    })
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
        "circuit": target.circuit().label(),
        // Because of its breaker, or because it has asked for that.
        "left_alone_ms": target.left_alone_for().as_millis(),
        "in_flight": target.in_flight(),
        "waiting": target.waiting(),
        "version": facts.version,
        "loaded": facts.loaded,
        // How many it lists; null if that is not known.
        "models": target.models().map(|models| models.len()),
    })
}

/// One finished exchange. Times are in milliseconds.
pub(super) fn exchange(summary: &Summary) -> serde_json::Value {
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

pub(super) fn routes(admin: &Admin) -> serde_json::Value {
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

/// What was spent in days and months that are not over, in units of the plugin, in the order of names.
pub(super) fn budgets(mut budgets: Vec<(String, Budget)>) -> serde_json::Value {
    budgets.sort_by(|(plugin, budget), (other, than)| {
        let by_name = (plugin, &budget.name, &budget.subject);
        let and = (other, &than.name, &than.subject);
        by_name
            .cmp(&and)
            .then_with(|| budget.window.cmp(&than.window))
    });
    let list = budgets.iter().map(|(plugin, budget)| {
        json!({
            "plugin": plugin,
            "limit": budget.name,
            "subject": budget.subject,
            "window": budget.window,
            "spent": budget.spent,
            "reserved": budget.reserved,
            "capacity": budget.capacity,
            "left_ms": budget.left_ms,
        })
    });
    json!({"budgets": list.collect::<Vec<_>>()})
}
