//! Whether a plugin is granted what its manifest requires.

use sluicegate_config as config;
use sluicegate_contract::Manifest;
use sluicegate_contract::capability::Capability;

/// A plugin requires what it cannot have.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The manifest requires something that no plugin can be granted.
    #[error("the manifest requires {0:?}; what can be granted is http, kv, rate and metrics")]
    Unknown(String),
    /// The configuration does not grant it.
    #[error("the plugin requires {missing}, which the configuration does not grant it: {mend}")]
    Missing {
        /// The capabilities.
        missing: String,
        /// What to write.
        mend: String,
    },
}

/// Checks a manifest's `requires` against the configuration.
///
/// # Errors
/// [`Error`]
pub(super) fn check(manifest: &Manifest, configured: &config::Plugin) -> Result<(), Error> {
    let mut missing = Vec::new();
    for name in &manifest.requires {
        let Some(capability) = Capability::of(name) else {
            return Err(Error::Unknown(name.clone()));
        };
        if !configured.grant.has(capability) {
            missing.push(capability);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|it| it.name()).collect();
    let grants: Vec<_> = missing.into_iter().map(example).collect();
    Err(Error::Missing {
        missing: names.join(", "),
        mend: format!(
            "add grant = {{ {} }} to [plugin.{}]",
            grants.join(", "),
            configured.name
        ),
    })
}

fn example(capability: Capability) -> &'static str {
    match capability {
        Capability::Http => "http = [\"https://HOST\"]",
        Capability::Kv => "kv = true",
        Capability::Rate => "rate = true",
        Capability::Metrics => "metrics = true",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn checked(requires: &str, grant: config::Grant) -> Result<(), Error> {
        let manifest = format!("{{\"name\":\"x\",\"requires\":{requires}}}");
        let manifest = Manifest::parse(&manifest).expect("a manifest");
        let configured = config::Plugin {
            name: "door".into(),
            source: config::Source::Builtin("auth".into()),
            fail_open: false,
            limits: config::SetLimits::default(),
            grant,
            config: serde_json::Value::Null,
            secrets: BTreeSet::new(),
        };
        check(&manifest, &configured)
    }

    #[test]
    fn what_is_missing_is_named_with_what_to_write() {
        let some = || config::Grant {
            rate: Some(1),
            ..config::Grant::default()
        };
        assert!(checked("[]", some()).is_ok() && checked("[\"rate\"]", some()).is_ok());
        let error = checked("[\"http\", \"rate\", \"kv\"]", some()).expect_err("two are missing");
        let text = error.to_string();
        assert!(text.contains("requires http, kv,"), "{text}");
        let mend = "add grant = { http = [\"https://HOST\"], kv = true } to [plugin.door]";
        assert!(text.ends_with(mend), "{text}");
        let unknown = checked("[\"files\"]", some());
        assert!(matches!(unknown, Err(Error::Unknown(name)) if name == "files"));
    }
}
