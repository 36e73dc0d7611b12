//! Capabilities: what a plugin may do if it is granted, what it gets if it is not, and what is left when its exchange is over.

use serde_json::Value;
use sluicegate_tests::{Client, Gateway, Script, Setup, Upstream, guest};

mod requests;
mod state;

/// Everything but requests.
const ALL: &str = "kv = true, rate = true, metrics = true";

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

/// What came of the commands.
async fn ask(client: &Client, commands: &str) -> Vec<String> {
    let response = client.clone().with("x-do", commands).get("/x").await;
    assert_eq!(response.status, 200, "{}", response.text());
    serde_json::from_str(&response.text()).expect("a list of texts")
}
