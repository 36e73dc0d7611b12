//! What a plugin says about itself.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The text of `describe`.
///
/// # Source
/// `describe` in `wit/world.wit`. Members that this version does not know are ignored, so that a plugin can describe more.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// The plugin's own name; the configuration may call it something else.
    pub name: String,
    /// The plugin's own version.
    #[serde(default)]
    pub version: String,
    /// One sentence.
    #[serde(default)]
    pub summary: String,
    /// The JSON Schema of the configuration.
    #[serde(default)]
    pub config: Option<serde_json::Value>,
    /// The values that notes must have for the response interfaces to be called.
    #[serde(default)]
    pub response_if: BTreeMap<String, serde_json::Value>,
    /// Whether the plugin may change a body.
    #[serde(default = "yes")]
    pub transforms: bool,
    /// Whether it is a gate that refuses whoever has no credentials.
    #[serde(default)]
    pub authenticates: bool,
    /// The client dialect that it translates, if it is a front.
    #[serde(default)]
    pub front: Option<String>,
    /// Whether a response head may go out before there is a response.
    #[serde(default = "yes")]
    pub early_head: bool,
    /// What it is for, if it is an adapter.
    #[serde(default)]
    pub adapter: Option<Adapter>,
    /// The limits that it suggests, where the configuration sets none.
    #[serde(default)]
    pub limits: SuggestedLimits,
    /// The capabilities without which it is of no use, by name.
    #[serde(default)]
    pub requires: Vec<String>,
}

/// Limits that a plugin suggests for itself, written as in a configuration: `"192MiB"`, `"500ms"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct SuggestedLimits {
    /// Memory of an instance.
    #[serde(default)]
    pub memory: Option<String>,
    /// CPU time of a call.
    #[serde(default)]
    pub cpu: Option<String>,
}

/// What an adapter says of the model servers that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Adapter {
    /// The kind of model server, such as `ollama`.
    pub vendor: String,
    /// The path of a health check.
    #[serde(default)]
    pub health: Option<String>,
    /// The path whose response `upstream-info.json` reads.
    #[serde(default)]
    pub info: Option<String>,
}

const fn yes() -> bool {
    true
}

impl Manifest {
    /// Reads the text of `describe`.
    ///
    /// # Errors
    /// If it is not a JSON object of the form above.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Whether the response interfaces are called in an exchange with these notes, each as JSON text.
    pub fn wants_response<'a>(&self, note: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.response_if.iter().all(|(name, wanted)| {
            note(name).is_some_and(|text| {
                serde_json::from_str(text).is_ok_and(|value: serde_json::Value| value == *wanted)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> Manifest {
        Manifest::parse(text).expect("a manifest")
    }

    #[test]
    fn defaults_are_those_of_a_filter_that_may_do_all() {
        let manifest = manifest(r#"{"name":"x","later":true}"#);
        assert!(manifest.transforms && manifest.early_head);
        assert!(manifest.front.is_none() && manifest.adapter.is_none());
    }

    #[test]
    fn an_adapter_names_its_vendor_and_its_probes() {
        let text =
            r#"{"name":"x","adapter":{"vendor":"tgi","health":"/health"},"early-head":false}"#;
        let manifest = manifest(text);
        let adapter = manifest.adapter.expect("an adapter");
        assert_eq!((&*adapter.vendor, adapter.info), ("tgi", None));
        assert_eq!(adapter.health.as_deref(), Some("/health"));
        assert!(!manifest.early_head);
        assert!(Manifest::parse(r#"{"name":"x","adapter":{}}"#).is_err());
    }

    #[test]
    fn response_interfaces_run_only_with_the_notes_that_the_manifest_names() {
        let always = manifest(r#"{"name":"x"}"#);
        assert!(always.wants_response(|_| None));
        let some = manifest(r#"{"name":"x","response-if":{"stream":false,"model":"m"}}"#);
        let notes = |stream: &'static str, model: &'static str| {
            move |name: &str| Some(if name == "stream" { stream } else { model })
        };
        assert!(some.wants_response(notes("false", "\"m\"")));
        assert!(some.wants_response(notes(" false ", r#""\u006d""#)));
        for (stream, model) in [("true", "\"m\""), ("false", "\"n\""), ("false", "m")] {
            assert!(
                !some.wants_response(notes(stream, model)),
                "{stream} {model}"
            );
        }
        assert!(!some.wants_response(|_| None));
    }
}
