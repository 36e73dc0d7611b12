//! What a plugin says about itself, and its role, which its exports say.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::load::Error;

/// What a plugin does in a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// One decision on the request head.
    Gate,
    /// Works on request and response.
    Filter,
    /// Sees finished exchanges.
    Observer,
}

impl Role {
    /// The word with its article, for sentences.
    #[must_use]
    pub const fn with_article(self) -> &'static str {
        match self {
            Self::Gate => "a gate",
            Self::Filter => "a filter",
            Self::Observer => "an observer",
        }
    }

    /// The word for it in configuration, logs and the admin interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Filter => "filter",
            Self::Observer => "observer",
        }
    }
}

/// One half of an exchange, as a filter's manifest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// `request-head` and `request-body`.
    Request,
    /// The response phases.
    Response,
}

impl Phase {
    /// The word for it in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

/// The answer of `describe`.
///
/// # Source
/// `describe` in `wit/world.wit`. Members that this version does not know are ignored, so that a plugin can describe more.
#[derive(Clone, Debug, Deserialize)]
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
    /// For a filter: the halves of the exchange that it takes part in.
    #[serde(default = "both")]
    pub phases: Vec<Phase>,
    /// For a filter: the values that notes must have for its response phases to run.
    #[serde(default, rename = "response-if")]
    pub response_if: BTreeMap<String, serde_json::Value>,
    /// Whether the plugin may change a body.
    #[serde(default = "yes")]
    pub transforms: bool,
}

fn both() -> Vec<Phase> {
    vec![Phase::Request, Phase::Response]
}

const fn yes() -> bool {
    true
}

impl Manifest {
    /// Reads the answer of `describe`.
    ///
    /// # Errors
    /// [`Error::Manifest`] if it is not a JSON object of the form above.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(Error::Manifest)
    }

    /// Checks a configuration against the schema.
    ///
    /// # Errors
    /// [`Error::Schema`] with all deviations, each with the path of the member; or a schema that is none.
    pub(super) fn check(&self, configuration: &serde_json::Value) -> Result<(), Error> {
        let Some(schema) = &self.config else {
            let empty = configuration
                .as_object()
                .is_none_or(serde_json::Map::is_empty);
            return if empty {
                Ok(())
            } else {
                Err(Error::Schema(vec![(
                    String::new(),
                    "this plugin takes no configuration".into(),
                )]))
            };
        };
        let validator = jsonschema::validator_for(schema)
            .map_err(|error| Error::BadSchema(error.to_string()))?;
        let deviations: Vec<_> = validator
            .iter_errors(configuration)
            .map(|error| {
                (
                    error.instance_path().to_string(),
                    error.masked().to_string(),
                )
            })
            .collect();
        if deviations.is_empty() {
            Ok(())
        } else {
            Err(Error::Schema(deviations))
        }
    }

    /// Whether a filter takes part in this half of the exchange.
    #[must_use]
    pub fn takes_part(&self, phase: Phase) -> bool {
        self.phases.contains(&phase)
    }

    /// Whether a filter's response phases run in an exchange with these notes, each as JSON text.
    pub fn wants_response<'a>(&self, note: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.takes_part(Phase::Response)
            && self.response_if.iter().all(|(name, wanted)| {
                note(name).is_some_and(|text| {
                    serde_json::from_str(text)
                        .is_ok_and(|value: serde_json::Value| value == *wanted)
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest(text: &str) -> Manifest {
        Manifest::parse(text).expect("a manifest")
    }

    #[test]
    fn defaults_are_both_phases_and_a_transforming_stage() {
        let manifest = manifest(r#"{"name":"x","later":true}"#);
        assert!(manifest.takes_part(Phase::Request) && manifest.takes_part(Phase::Response));
        assert!(manifest.transforms);
    }

    #[test]
    fn response_phases_run_only_with_the_notes_that_the_manifest_names() {
        let always = manifest(r#"{"name":"x"}"#);
        assert!(always.wants_response(|_| None));
        let never = manifest(r#"{"name":"x","phases":["request"]}"#);
        assert!(!never.wants_response(|_| None));
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

    #[test]
    fn without_a_schema_only_an_empty_configuration_passes() {
        let manifest = manifest(r#"{"name":"x"}"#);
        assert!(manifest.check(&json!({})).is_ok() && manifest.check(&json!(null)).is_ok());
        assert!(matches!(
            manifest.check(&json!({"a": 1})),
            Err(Error::Schema(_))
        ));
    }

    #[test]
    fn every_deviation_is_reported_without_its_value() {
        let manifest = manifest(
            r#"{"name":"x","config":{"type":"object","properties":{"key":{"type":"integer"}},"required":["name"]}}"#,
        );
        let Err(Error::Schema(deviations)) = manifest.check(&json!({"key": "secret"})) else {
            panic!("two deviations");
        };
        assert_eq!(deviations.len(), 2);
        assert!(deviations.iter().any(|(path, _)| path == "/key"));
        assert!(deviations.iter().all(|(_, text)| !text.contains("secret")));
    }
}
