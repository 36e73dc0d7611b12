//! Probes the layers below when it is time, and tells all connections when their state, the models or the load changes.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::outbox::Frame;
use super::wire;
use super::wire::event::Notice;
use super::wire::session::{Health, Model};

/// How often the state is compared with what was told last.
const EVERY: Duration = Duration::from_secs(1);

/// Probes, and tells all connections what changed, until the gateway closes.
pub(crate) async fn watch(core: Arc<Core>) {
    let mut told: Option<(Health, Vec<Model>, usize, usize)> = None;
    loop {
        if core.health.due() {
            core.probe().await;
        }
        let (health, models) = core.health.now();
        let (running, waiting) = core.slots.load();
        let now = (health, models, running, waiting);
        if told.as_ref() != Some(&now) {
            if told.as_ref().is_none_or(|told| told.0 != health) {
                tracing::info!(proxy = ?health.proxy, model = ?health.model, "chat: the state of the proxy or the model server has changed");
            }
            let notice = Notice::System {
                health,
                running,
                waiting,
                models: now.1.clone(),
            };
            core.connections.to_all(&Frame::from(wire::text(&notice)));
            told = Some(now);
        }
        tokio::select! {
            () = core.closed.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
