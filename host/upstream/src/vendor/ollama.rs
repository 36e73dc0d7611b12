//! Ollama: where it tells its version and its models, how it names them, and how a model is unloaded.

use serde::Deserialize;
use serde_json::json;

/// The path of Ollama's version.
///
/// # Source
/// Ollama's API documentation, "Version": `GET /api/version`.
pub(super) const VERSION: &str = "/api/version";

/// The path of the models in memory.
///
/// # Source
/// Ollama's API documentation, "List Running Models": `GET /api/ps`.
pub(super) const LOADED: &str = "/api/ps";

/// The most models that are kept. Arbitrary; far more than one machine holds in memory.
const MODELS: usize = 64;

/// The longest name or version that is kept, in bytes. Arbitrary; names have a few dozen.
const LONGEST: usize = 256;

/// The version in a response to [`VERSION`]; `None` if it is not Ollama's.
pub(super) fn version(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Document {
        version: String,
    }
    let document: Document = serde_json::from_slice(body).ok()?;
    Some(document.version).filter(|version| version.len() <= LONGEST)
}

/// The names in a response to [`LOADED`]; `None` if it is not Ollama's.
pub(super) fn loaded(body: &[u8]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Document {
        models: Vec<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        name: String,
    }
    let document: Document = serde_json::from_slice(body).ok()?;
    let names = document.models.into_iter().map(|model| model.name);
    let names = names.filter(|name| name.len() <= LONGEST);
    Some(names.take(MODELS).collect())
}

/// The path that unloads a model, and frees any slot that a request has left taken.
pub(super) const UNLOAD: &str = "/api/chat";

/// The request for [`UNLOAD`].
///
/// # Source
/// Ollama's API documentation, "Unload a model": no messages, and nothing to keep it for.
pub(super) fn unload(model: &str) -> String {
    json!({"model": model, "messages": [], "keep_alive": 0}).to_string()
}

/// Where models come from whose names say nothing else.
const HOST: &str = "registry.ollama.ai/";
const NAMESPACE: &str = "library/";

/// The tag of a model whose name has none.
pub(super) const TAG: &str = ":latest";

/// A key that is the same for all names that Ollama takes for one model.
///
/// # Source
/// Ollama source, `types/model/name.go` (`ParseName`, `EqualFold`).
pub(super) fn model_key(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let name = name.split_once("://").map_or(&*name, |(_, name)| name);
    let name = name.strip_prefix(HOST).unwrap_or(name);
    let short = name.strip_prefix(NAMESPACE);
    let name = short.filter(|short| !short.contains('/')).unwrap_or(name);
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') {
        name.to_owned()
    } else {
        format!("{name}{TAG}")
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, MODELS, loaded, version};

    #[test]
    fn ollamas_responses_are_read() {
        assert_eq!(version(br#"{"version":"0.12.3"}"#), Some("0.12.3".into()));
        let body =
            br#"{"models":[{"name":"qwen3:32b","model":"qwen3:32b","size":1},{"name":"b"}]}"#;
        assert_eq!(loaded(body), Some(vec!["qwen3:32b".into(), "b".into()]));
        assert_eq!(loaded(br#"{"models":[]}"#), Some(Vec::new()));
    }

    #[test]
    fn anything_else_is_unknown() {
        for other in [
            "",
            "<html>",
            "[]",
            "null",
            "{}",
            r#"{"version":1,"models":null}"#,
            r#"{"version":null,"models":[{"name":1}]}"#,
        ] {
            assert_eq!(version(other.as_bytes()), None, "{other}");
            assert_eq!(loaded(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn what_is_taken_over_is_bounded() {
        let long = "x".repeat(LONGEST + 1);
        let body = format!(r#"{{"version":"{long}"}}"#);
        assert_eq!(version(body.as_bytes()), None);
        let entries = vec![r#"{"name":"m"}"#; MODELS + 1].join(",");
        let body = format!(r#"{{"models":[{{"name":"{long}"}},{entries}]}}"#);
        assert_eq!(loaded(body.as_bytes()), Some(vec!["m".into(); MODELS]));
    }
}
