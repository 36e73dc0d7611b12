//! The harness of the end-to-end tests.
//!
//! A test has a scripted model server ([`Upstream`]), the gateway in its own process ([`Gateway`]) and a client
//! ([`Client`], or [`client::Raw`] where single bytes matter), all on ports that the system chose. It asserts what the
//! client got and what the model server got, and, through [`logs`], what an operator reads. [`guest`] and [`component`] have
//! plugins that do what no decent plugin does. [`clients`] runs the official clients of other languages, [`web`] has the chat
//! page's gateway in front of all that.
//!
//! Nothing here waits for luck: what is waited for has a name and a [`DEADLINE`].

#![expect(
    clippy::disallowed_types,
    reason = "the clients and servers of these tests run in real time"
)]

pub mod client;
pub mod clients;
pub mod component;
pub mod gateway;
pub mod guest;
pub mod http;
pub mod logs;
pub mod program;
mod remembering;
pub mod served;
pub mod setup;
pub mod sse;
pub mod upstream;
pub mod web;

use std::time::Duration;

pub use client::Client;
pub use gateway::Gateway;
pub use setup::Setup;
pub use upstream::{Barrier, Script, Upstream};
pub use web::Web;

/// How long a test waits for anything: long enough for a loaded machine, short enough to notice a hang.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How often [`eventually`] looks.
const INTERVAL: Duration = Duration::from_millis(5);

/// Awaits `future`; `what` says in the panic what did not come.
///
/// # Panics
/// After [`DEADLINE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come within {DEADLINE:?}"),
    }
}

/// Looks again and again until `look` gives something.
///
/// # Panics
/// After [`DEADLINE`].
pub async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    })
    .await
}
