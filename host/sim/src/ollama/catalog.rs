//! The documents that describe the models. Pure.

use serde_json::{Value, json};

use crate::catalog::{MODELS, Model};

/// What Ollama knows of a model's file.
struct File {
    family: &'static str,
    parameter_size: &'static str,
    /// The size in bytes that is shown.
    size: u64,
    /// Obviously not a real digest.
    digest: &'static str,
}

/// Day and hour are arbitrary.
const MODIFIED_AT: &str = "2026-01-01T00:00:00Z";

const LICENSE: &str = "A simulation: there is no model behind this name.";

fn file(model: &Model) -> File {
    match model.name {
        "qwen3:32b" => File {
            family: "qwen3",
            parameter_size: "32.8B",
            size: 20_201_253_588,
            digest: "0000000000000000000000000000000000000000000000000000000000000002",
        },
        "embed" => File {
            family: "simulated-bert",
            parameter_size: "0B",
            size: 1_048_576,
            digest: "0000000000000000000000000000000000000000000000000000000000000003",
        },
        _ => File {
            family: "simulated",
            parameter_size: "0B",
            size: 1_048_576,
            digest: "0000000000000000000000000000000000000000000000000000000000000001",
        },
    }
}

impl File {
    fn details(&self) -> Value {
        json!({"parent_model": "", "format": "gguf", "family": self.family, "families": [self.family],
            "parameter_size": self.parameter_size, "quantization_level": "Q4_K_M"})
    }
}

/// What `/api/show` says.
pub(super) fn show(model: &Model) -> Value {
    let file = file(model);
    let family = file.family;
    json!({
        "license": LICENSE,
        "modelfile": format!("# {LICENSE}\nFROM {}\n", model.name),
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": file.details(),
        "model_info": {
            "general.architecture": family,
            format!("{family}.context_length"): model.context_length,
            format!("{family}.embedding_length"): model.embedding_length,
        },
        "capabilities": model.capabilities,
        "modified_at": MODIFIED_AT,
    })
}

/// One entry of `/api/ps`; `num_ctx` is the context that the request asked for.
pub(super) fn running(model: &Model, expires_at: &str, num_ctx: Option<u64>) -> Value {
    let file = file(model);
    json!({"name": model.name, "model": model.name, "size": file.size, "digest": file.digest,
        "details": file.details(), "expires_at": expires_at, "size_vram": file.size,
        "context_length": num_ctx.unwrap_or(model.context_length)})
}

/// What `/api/tags` says. As with Ollama, the list knows less of what a model can do than `/api/show`.
pub(super) fn tags() -> Value {
    let models: Vec<Value> = MODELS
        .iter()
        .map(|model| {
            let file = file(model);
            let mut details = file.details();
            details["context_length"] = json!(model.context_length);
            json!({"name": model.name, "model": model.name, "modified_at": MODIFIED_AT, "size": file.size,
                "digest": file.digest, "details": details, "capabilities": [model.capabilities[0]]})
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
        assert_eq!(tags["models"][1]["details"]["context_length"], 40_960);
        assert_eq!(tags["models"][1]["capabilities"], json!(["completion"]));
        assert_eq!(tags["models"][2]["capabilities"], json!(["embedding"]));
        let shown = show(&MODELS[1]);
        assert_eq!(shown["model_info"]["qwen3.context_length"], 40_960);
        assert_eq!(shown["capabilities"][2], "thinking");
        let run = running(&MODELS[0], "t", Some(5));
        assert_eq!(
            (&run["expires_at"], &run["context_length"]),
            (&json!("t"), &json!(5))
        );
        assert_eq!(running(&MODELS[0], "t", None)["context_length"], 8192);
    }
}
