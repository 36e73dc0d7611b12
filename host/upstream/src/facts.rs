//! What a model server says of itself: its version, and which models it has in memory.
//!
//! Only Ollama tells. Of another server nothing is known, which is no error.

use serde::Deserialize;

/// Where Ollama tells its version.
///
/// # Source
/// Ollama's API documentation, "Version": `GET /api/version`.
pub const VERSION: &str = "/api/version";

/// Where Ollama tells what is in memory.
///
/// # Source
/// Ollama's API documentation, "List Running Models": `GET /api/ps`.
pub const LOADED: &str = "/api/ps";

/// Models that are taken over. Arbitrary; far more than one machine holds in memory.
const MODELS: usize = 64;

/// The longest name or version that is taken over, in octets. Arbitrary; names are a few dozen.
const LONGEST: usize = 256;

/// What is known of a model server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its version, such as `0.12.3`; `None` if it does not tell.
    pub version: Option<String>,
    /// The names of the models in its memory, in its own order; `None` if it does not tell.
    pub loaded: Option<Vec<String>>,
}

/// The version in an answer to [`VERSION`]; `None` if that is not Ollama's.
#[must_use]
pub fn version(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Document {
        version: String,
    }
    let document: Document = serde_json::from_slice(body).ok()?;
    Some(document.version).filter(|version| version.len() <= LONGEST)
}

/// The names in an answer to [`LOADED`]; `None` if that is not Ollama's.
#[must_use]
pub fn loaded(body: &[u8]) -> Option<Vec<String>> {
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

#[cfg(test)]
mod tests {
    use super::{LONGEST, MODELS, loaded, version};

    #[test]
    fn ollamas_answers_are_read() {
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
