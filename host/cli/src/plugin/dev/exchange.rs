//! Shows the first exchange that a version has served.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use crate::admin::Gateway;
use crate::print;

/// How often the gateway is asked. Arbitrary: soon enough for a person.
const EVERY: Duration = Duration::from_secs(1);

/// Waits for an exchange on a route of the plugin that began after its version was live, and shows it. Says so where no route has
/// the plugin.
///
/// # Cancel safety
/// Nothing is lost: it only looks.
pub(super) async fn show_first(gateway: &Gateway, name: &str) {
    let Ok(admin) = gateway.admin() else { return };
    let Ok(routes) = admin.get("/routes").await else {
        return;
    };
    let routes = routes_of(&routes, name);
    if routes.is_empty() {
        print(&format!(
            "no route has `{name}` in its pipeline: add it to a [[route]] of the configuration\n"
        ));
        return;
    }
    let Ok(plugin) = admin.get(&format!("/plugins/{name}")).await else {
        return;
    };
    let since = live_since(&plugin);
    print(&format!(
        "waiting for an exchange on {}\n",
        routes.join(", ")
    ));
    let mut clock = interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let Ok(seen) = admin.get("/exchanges").await else {
            return;
        };
        if let Some(exchange) = first(&seen, &routes, since) {
            print(&format!("first exchange: {}\n", text(exchange)));
            return;
        }
    }
}

/// The paths of the routes whose pipelines have the plugin.
fn routes_of(routes: &Value, name: &str) -> Vec<String> {
    let routes = routes["routes"].as_array().into_iter().flatten();
    let has = |route: &&Value| {
        let stages = route["pipeline"].as_array().into_iter().flatten();
        stages.into_iter().any(|stage| stage == name)
    };
    let mut paths: Vec<String> = routes
        .filter(has)
        .filter_map(|route| route["path"].as_str().map(str::to_owned))
        .collect();
    paths.dedup();
    paths
}

/// Since when the version in force is live, by the gateway's clock.
fn live_since(plugin: &Value) -> u64 {
    let versions = plugin["versions"].as_array().into_iter().flatten();
    let is_live = |version: &&Value| version["version_id"] == plugin["version_id"];
    let live = versions.into_iter().find(is_live);
    live.and_then(|version| version["since_ms"].as_u64())
        .unwrap_or(0)
}

/// The oldest exchange that is listed, of those that began since then.
fn first<'a>(seen: &'a Value, routes: &[String], since: u64) -> Option<&'a Value> {
    let exchanges = seen["exchanges"].as_array()?;
    exchanges.iter().rev().find(|exchange| {
        let route = exchange["route"].as_str().unwrap_or_default();
        exchange["received_ms"]
            .as_u64()
            .is_some_and(|at| at >= since)
            && routes.iter().any(|it| it == route)
    })
}

fn text(exchange: &Value) -> String {
    let text = |name: &str| exchange[name].as_str().unwrap_or_default();
    let mut line = format!(
        "{} {} → {}, {} ms, {} ms of them in stages",
        text("method"),
        text("path"),
        exchange["status"],
        exchange["ms"],
        exchange["stages_ms"],
    );
    if exchange["events"].as_u64().is_some_and(|events| events > 0) {
        line.push_str(&format!(", {} events", exchange["events"]));
    }
    if !text("error").is_empty() {
        line.push_str(&format!(", error {}", text("error")));
    }
    line.push_str(&format!(", request id {}", text("id")));
    let notes = exchange["notes"].as_object();
    if let Some(notes) = notes.filter(|notes| !notes.is_empty()) {
        let notes: Vec<String> = notes
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        line.push_str(&format!("\n  notes: {}", notes.join(", ")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_exchange_on_a_route_of_the_plugin_is_shown() {
        let routes = json!({"routes": [
            {"path": "/v1/a", "pipeline": ["auth", "door"]},
            {"path": "/v1/b", "pipeline": ["auth"]},
        ]});
        let routes = routes_of(&routes, "door");
        assert_eq!(routes, ["/v1/a"]);
        let plugin = json!({"version_id": "2", "versions": [
            {"version_id": "2", "since_ms": 20}, {"version_id": "1", "since_ms": 5}]});
        assert_eq!(live_since(&plugin), 20);
        let exchange = |id: &str, route: &str, at: u64| {
            json!({"id": id, "route": route, "received_ms": at, "method": "POST", "path": route, "status": 200, "ms": 3.5,
                "stages_ms": 0.1, "events": 4, "error": "", "notes": {"tenant": "blue"}})
        };
        let seen = json!({"exchanges": [
            exchange("d", "/v1/a", 40), exchange("c", "/v1/a", 30), exchange("b", "/v1/b", 25), exchange("a", "/v1/a", 10)]});
        let first = first(&seen, &routes, 20).expect("an exchange");
        assert_eq!(
            text(first),
            "POST /v1/a → 200, 3.5 ms, 0.1 ms of them in stages, 4 events, request id c\n  notes: tenant = \"blue\""
        );
    }
}
