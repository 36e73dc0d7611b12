//! Capabilities: what a plugin may do if it is granted, what it gets if it is not, and what is left when its exchange is over.

use serde_json::Value;
use sluicegate_tests::{Client, Gateway, Script, Setup, Upstream, guest};

mod places;
mod requests;
mod state;
mod wasi_http;

/// Everything but requests.
const ALL: &str = "kv = true, rate = true, metrics = true";

/// The token of an admin interface that has one.
const TOKEN: &str = "admin-token";

/// A model server that responds to everything with a document.
async fn model() -> Upstream {
    Upstream::always(Script::json(200, &Value::Null)).await
}

/// A gateway with the guest alone, under the name `guest`, with this grant.
async fn granted(upstream: &Upstream, grant: &str) -> Gateway {
    setup(upstream, grant).start().await
}

fn setup(upstream: &Upstream, grant: &str) -> Setup {
    Setup::before(upstream).guest(guest::CAPABLE, &format!("grant = {{ {grant} }}"))
}

/// The configuration, whose admin interface has a token, so that it can be told to reload.
fn reloadable(setup: &Setup) -> String {
    let token = format!("[admin]\ntoken = \"{TOKEN}\"\n");
    setup.toml().replace("[admin]\n", &token)
}

/// A client of that admin interface.
fn admin(gateway: &Gateway) -> Client {
    let bearer = format!("Bearer {TOKEN}");
    gateway.admin().with("authorization", &bearer)
}

/// What came of the commands.
async fn ask(client: &Client, commands: &str) -> Vec<String> {
    let response = client.clone().with("x-do", commands).get("/x").await;
    assert_eq!(response.status, 200, "{}", response.text());
    serde_json::from_str(&response.text()).expect("a list of texts")
}
