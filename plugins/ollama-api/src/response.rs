//! Responses: what a canonical one becomes in Ollama's form.

use sluicegate_plugin::Fault;

pub mod calls;
pub mod embeddings;
pub mod known;
pub mod logprobs;
pub mod metrics;
pub mod models;
pub mod said;
pub mod turn;

/// A response that is not what was asked for.
pub fn nonsense() -> Fault {
    Fault::upstream(
        "upstream_invalid",
        "The model server's response is not what was asked for.",
    )
}
