//! The simulated models. The vendors have documents of their own about them. Pure.

/// A model on offer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) name: &'static str,
    /// In Ollama's words.
    pub(super) capabilities: &'static [&'static str],
    /// In tokens.
    pub(super) context_length: u64,
    /// The dimensions of its vectors.
    pub(super) embedding_length: u64,
}

pub(super) const MODELS: [Model; 3] = [
    Model {
        name: "demo",
        capabilities: &["completion", "tools", "vision", "insert"],
        context_length: 8192,
        embedding_length: 64,
    },
    Model {
        name: "qwen3:32b",
        capabilities: &["completion", "tools", "thinking"],
        context_length: 40_960,
        embedding_length: 5120,
    },
    Model {
        name: "embed",
        capabilities: &["embedding"],
        context_length: 2048,
        embedding_length: 64,
    },
];

impl Model {
    pub(super) fn can(&self, capability: &str) -> bool {
        self.capabilities.contains(&capability)
    }
}
