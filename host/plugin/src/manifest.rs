//! Whether a plugin's manifest can be used, and whether an operator's configuration fits it.

use serde::{Deserialize, Serialize};
use sluicegate_contract::Manifest;

use super::size;

/// Why a manifest, or a configuration for it, cannot be used.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// `describe` returned something that is not a manifest.
    #[error("`describe` did not return a manifest: {0}")]
    Unreadable(String),
    /// The component says that it is two things that exclude each other.
    #[error(
        "the manifest says that the plugin is both a front and an adapter; it can be one of them"
    )]
    FrontAndAdapter,
    /// The schema would take too much to compile.
    #[error(transparent)]
    TooLarge(#[from] size::TooLarge),
    /// The manifest's `config` is not a JSON Schema.
    #[error("the manifest's `config` is not a JSON Schema: {0}")]
    BadSchema(String),
    /// The configuration deviates from the schema; pairs of a JSON pointer and what is wrong there.
    #[error("the configuration does not fit: {}", deviations(.0))]
    Schema(Vec<(String, String)>),
}

fn deviations(list: &[(String, String)]) -> String {
    let one = |(path, text): &(String, String)| {
        if path.is_empty() {
            text.clone()
        } else {
            format!("{path}: {text}")
        }
    };
    list.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The manifest in what `describe` returned.
///
/// # Errors
/// [`Error::Unreadable`]
pub(super) fn parse(text: &str) -> Result<Manifest, Error> {
    Manifest::parse(text).map_err(|error| Error::Unreadable(error.to_string()))
}

/// Checks a manifest, and a configuration against its JSON Schema; without a schema only an empty one passes.
///
/// # Errors
/// [`Error::FrontAndAdapter`], [`Error::Schema`] with all deviations, each with the path of the member and without its value,
/// [`Error::TooLarge`] for a schema that is too large, or [`Error::BadSchema`] if the manifest's `config` is not a JSON Schema.
pub(super) fn check(manifest: &Manifest, configuration: &serde_json::Value) -> Result<(), Error> {
    if manifest.front.is_some() && manifest.adapter.is_some() {
        return Err(Error::FrontAndAdapter);
    }
    let Some(schema) = &manifest.config else {
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
    size::check_schema(schema)?;
    let validator =
        jsonschema::validator_for(schema).map_err(|error| Error::BadSchema(error.to_string()))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest(text: &str) -> Manifest {
        Manifest::parse(text).expect("a manifest")
    }

    #[test]
    fn without_a_schema_only_an_empty_configuration_passes() {
        let manifest = manifest(r#"{"name":"x"}"#);
        assert!(check(&manifest, &json!({})).is_ok() && check(&manifest, &json!(null)).is_ok());
        assert!(matches!(
            check(&manifest, &json!({"a": 1})),
            Err(Error::Schema(_))
        ));
    }

    #[test]
    fn a_deeply_nested_schema_is_checked_like_any_other() {
        let mut schema = json!({"type": "string"});
        for _ in 0..25 {
            schema = json!({"anyOf": [{"type": "integer"}, schema]});
        }
        let manifest = manifest(&json!({"name": "x", "config": schema}).to_string());
        assert!(check(&manifest, &json!("text")).is_ok());
        let deviating = check(&manifest, &json!(true));
        assert!(matches!(deviating, Err(Error::Schema(_))));
    }

    #[test]
    fn every_deviation_is_reported_without_its_value() {
        let manifest = manifest(
            r#"{"name":"x","config":{"type":"object","properties":{"key":{"type":"integer"}},"required":["name"]}}"#,
        );
        let Err(Error::Schema(deviations)) = check(&manifest, &json!({"key": "secret"})) else {
            panic!("two deviations");
        };
        assert_eq!(deviations.len(), 2);
        assert!(deviations.iter().any(|(path, _)| path == "/key"));
        assert!(deviations.iter().all(|(_, text)| !text.contains("secret")));
    }
}
