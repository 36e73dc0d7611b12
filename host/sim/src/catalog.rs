//! The simulated models and the documents that describe them. Pure.

use serde_json::{Value, json};

/// A model on offer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) capabilities: &'static [&'static str],
    family: &'static str,
    parameter_size: &'static str,
    /// The size in bytes that is shown.
    size: u64,
    context_length: u64,
    embedding_length: u64,
    /// Obviously not a real digest.
    digest: &'static str,
}

/// Day and hour are arbitrary.
const MODIFIED_AT: &str = "2026-01-01T00:00:00Z";

const LICENSE: &str = "A simulation: there is no model behind this name.";

pub(super) const MODELS: [Model; 2] = [
    Model {
        name: "demo",
        capabilities: &["completion", "tools", "vision"],
        family: "simulated",
        parameter_size: "0B",
        size: 1_048_576,
        context_length: 8192,
        embedding_length: 64,
        digest: "0000000000000000000000000000000000000000000000000000000000000001",
    },
    Model {
        name: "qwen3:32b",
        capabilities: &["completion", "tools", "thinking"],
        family: "qwen3",
        parameter_size: "32.8B",
        size: 20_201_253_588,
        context_length: 40_960,
        embedding_length: 5120,
        digest: "0000000000000000000000000000000000000000000000000000000000000002",
    },
];

impl Model {
    pub(super) fn can(&self, capability: &str) -> bool {
        self.capabilities.contains(&capability)
    }

    fn details(&self) -> Value {
        json!({"parent_model": "", "format": "gguf", "family": self.family, "families": [self.family],
            "parameter_size": self.parameter_size, "quantization_level": "Q4_K_M"})
    }

    /// What `/api/show` says.
    pub(super) fn show(&self) -> Value {
        let family = self.family;
        json!({
            "license": LICENSE,
            "modelfile": format!("# {LICENSE}\nFROM {}\n", self.name),
            "parameters": "",
            "template": "{{ .Prompt }}",
            "details": self.details(),
            "model_info": {
                "general.architecture": family,
                format!("{family}.context_length"): self.context_length,
                format!("{family}.embedding_length"): self.embedding_length,
            },
            "capabilities": self.capabilities,
            "modified_at": MODIFIED_AT,
        })
    }

    /// One entry of `/api/ps`; `num_ctx` is the context that the request asked for.
    pub(super) fn running(&self, expires_at: &str, num_ctx: Option<u64>) -> Value {
        json!({"name": self.name, "model": self.name, "size": self.size, "digest": self.digest,
            "details": self.details(), "expires_at": expires_at, "size_vram": self.size,
            "context_length": num_ctx.unwrap_or(self.context_length)})
    }
}

/// What `/api/tags` says.
pub(super) fn tags() -> Value {
    let models: Vec<Value> = MODELS
        .iter()
        .map(|model| {
            json!({"name": model.name, "model": model.name, "modified_at": MODIFIED_AT, "size": model.size,
                "digest": model.digest, "details": model.details(), "capabilities": model.capabilities})
        })
        .collect();
    json!({ "models": models })
}

/// The model of this name. As in Ollama, letter case, the default registry, its `library` and the tag `latest` do not matter.
pub(super) fn find(name: &str) -> Option<&'static Model> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("registry.ollama.ai/").unwrap_or(&name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let name = name.strip_suffix(":latest").unwrap_or(name);
    MODELS.iter().find(|model| model.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_every_spelling_that_ollama_takes() {
        for name in [
            "demo",
            "demo:latest",
            "DEMO",
            "library/demo",
            "registry.ollama.ai/library/demo:latest",
        ] {
            assert_eq!(find(name).map(|m| m.name), Some("demo"), "{name}");
        }
        assert_eq!(find("Qwen3:32B").map(|m| m.name), Some("qwen3:32b"));
        for name in ["", "qwen3", "qwen3:8b", "demo:1b", "other/demo"] {
            assert_eq!(find(name), None, "{name}");
        }
    }

    #[test]
    fn documents_have_the_fields_of_ollama() {
        let tags = tags();
        assert_eq!(tags["models"][0]["name"], "demo");
        assert_eq!(tags["models"][1]["details"]["parameter_size"], "32.8B");
        let show = MODELS[1].show();
        assert_eq!(show["model_info"]["qwen3.context_length"], 40_960);
        assert_eq!(show["capabilities"][2], "thinking");
        let running = MODELS[0].running("t", Some(5));
        assert_eq!(
            (&running["expires_at"], &running["context_length"]),
            (&json!("t"), &json!(5))
        );
        assert_eq!(MODELS[0].running("t", None)["context_length"], 8192);
    }
}
