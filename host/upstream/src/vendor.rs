//! What the gateway knows of a vendor's model servers beyond what the adapter translates.

use super::ask::Question;

mod ollama;

/// The path of vLLM's version.
///
/// # Source
/// vLLM source, `vllm/entrypoints/serve/instrumentator/basic.py`: `GET /version`.
const VLLM_VERSION: &str = "/version";

/// The path of what TGI says of itself, its version too.
///
/// # Source
/// TGI source, `router/src/server.rs`: `GET /info`.
const TGI_INFO: &str = "/info";

/// Whether adapters for this vendor put whole paths behind a target's address. The address must then not end in a part of them,
/// such as `/v1`.
#[must_use]
pub fn takes_whole_paths(vendor: &str) -> bool {
    matches!(vendor, "ollama" | "vllm" | "tgi")
}

/// A kind of model server, as an adapter's manifest names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vendor {
    /// `ollama`
    Ollama,
    /// `vllm`
    Vllm,
    /// `tgi`
    Tgi,
    /// Any other, or one without an adapter.
    #[default]
    Other,
}

impl Vendor {
    /// The vendor of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "ollama" => Self::Ollama,
            "vllm" => Self::Vllm,
            "tgi" => Self::Tgi,
            _ => Self::Other,
        }
    }

    /// A key that is the same for all names that the server takes for one model.
    #[must_use]
    pub fn model_key(self, name: &str) -> String {
        match self {
            Self::Ollama => ollama::model_key(name),
            Self::Vllm | Self::Tgi | Self::Other => name.to_owned(),
        }
    }

    /// The key of a name without a tag that the name does not have; `None` if it has none.
    #[must_use]
    pub fn without_added_tag<'k>(self, name: &str, key: &'k str) -> Option<&'k str> {
        match self {
            Self::Ollama => {
                let short = key.strip_suffix(ollama::TAG);
                short.filter(|_| !name.to_ascii_lowercase().ends_with(ollama::TAG))
            }
            Self::Vllm | Self::Tgi | Self::Other => None,
        }
    }

    /// The path of the server's version.
    pub(super) fn version_path(self) -> Option<&'static str> {
        match self {
            Self::Ollama => Some(ollama::VERSION),
            Self::Vllm => Some(VLLM_VERSION),
            Self::Tgi => Some(TGI_INFO),
            Self::Other => None,
        }
    }

    /// The version in the response; `None` if there is none.
    pub(super) fn read_version(self, body: &[u8]) -> Option<String> {
        match self {
            // All three have it in the same member.
            Self::Ollama | Self::Vllm | Self::Tgi => ollama::version(body),
            Self::Other => None,
        }
    }

    /// The path of the models that are loaded.
    pub(super) fn loaded_path(self) -> Option<&'static str> {
        match self {
            Self::Ollama => Some(ollama::LOADED),
            Self::Vllm | Self::Tgi | Self::Other => None,
        }
    }

    /// The names of the models in the response; `None` if it has no such list.
    pub(super) fn read_loaded(self, body: &[u8]) -> Option<Vec<String>> {
        match self {
            Self::Ollama => ollama::loaded(body),
            Self::Vllm | Self::Tgi | Self::Other => None,
        }
    }

    /// What makes the server unload a model.
    pub(super) fn unload(self, model: &str) -> Option<Question<'static>> {
        match self {
            Self::Ollama => Some(Question {
                path: ollama::UNLOAD,
                json: Some(ollama::unload(model)),
            }),
            Self::Vllm | Self::Tgi | Self::Other => None,
        }
    }

    /// What to do about a stalled server; continues a sentence after "…;".
    #[must_use]
    pub fn when_stalled(self) -> &'static str {
        match self {
            Self::Ollama => "unloading the model did not help: restart Ollama",
            Self::Vllm | Self::Tgi | Self::Other => "restart the model server if this continues",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Vendor;

    #[test]
    fn all_names_of_a_model_have_one_key() {
        let ollama = Vendor::named("ollama");
        for (one, other) in [
            ("qwen3", "Qwen3:latest"),
            ("QWEN3:32B", "qwen3:32b"),
            ("hf.co/a/B", "hf.co/A/b:latest"),
            ("qwen3", "library/qwen3"),
            ("qwen3", "https://registry.ollama.ai/library/Qwen3:latest"),
            ("a/b", "registry.ollama.ai/a/b"),
        ] {
            assert_eq!(ollama.model_key(one), ollama.model_key(other));
        }
        for other in ["qwen3:32b", "a/qwen3", "hf.co/library/qwen3"] {
            assert_ne!(ollama.model_key("qwen3"), ollama.model_key(other));
        }
        assert_eq!(Vendor::named("vllm").model_key("Qwen3"), "Qwen3");
    }
}
